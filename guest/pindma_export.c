// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pages of an mr for others: we export a dma-buf, they attach to it. It has a
 * hold of its own on the pinned pages, and nothing else of the mr or the device:
 * both may go while others are still at work. See
 * Documentation/driver-api/dma-buf.rst.
 */
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "pindma_compat.h"
#include "pindma_drv.h"

struct pindma_dmabuf_export {
	struct pindma_pinned *pinned;
	struct mutex lock;
	struct list_head mappings;
};

/* What an importer has mapped */
struct pindma_mapping {
	struct list_head list;
	struct device *dev;
	enum dma_data_direction dir;
	struct sg_table sgt;
};

static bool pindma_export_is_readonly(const struct pindma_dmabuf_export *e)
{
	return e->pinned->flags & PINDMA_MR_READONLY;
}

/* ------------------------------------------------------------ other devices */

static struct sg_table *pindma_export_map(struct dma_buf_attachment *attach,
					  enum dma_data_direction dir)
{
	struct pindma_dmabuf_export *e = attach->dmabuf->priv;
	struct pindma_pinned *p = e->pinned;
	struct pindma_mapping *m;
	int ret;

	if (pindma_export_is_readonly(e) && dir != DMA_TO_DEVICE)
		return ERR_PTR(-EACCES);
	m = kzalloc(sizeof(*m), GFP_KERNEL);
	if (!m)
		return ERR_PTR(-ENOMEM);
	m->dev = attach->dev;
	m->dir = dir;
	ret = sg_alloc_table_from_pages(&m->sgt, p->pages, p->npages, 0,
					(u64)p->npages << PAGE_SHIFT,
					GFP_KERNEL);
	if (ret)
		goto err_free;
	ret = dma_map_sgtable(m->dev, &m->sgt, dir, PINDMA_DMA_ATTRS);
	if (ret)
		goto err_table;
	/* Another device may well have what this one must not: bounce buffers. */
	dma_sync_sgtable_for_device(m->dev, &m->sgt, dir);
	mutex_lock(&e->lock);
	list_add(&m->list, &e->mappings);
	mutex_unlock(&e->lock);
	return &m->sgt;

err_table:
	sg_free_table(&m->sgt);
err_free:
	kfree(m);
	return ERR_PTR(ret);
}

static void pindma_export_unmap(struct dma_buf_attachment *attach,
				struct sg_table *sgt,
				enum dma_data_direction dir)
{
	struct pindma_dmabuf_export *e = attach->dmabuf->priv;
	struct pindma_mapping *m = container_of(sgt, struct pindma_mapping, sgt);

	mutex_lock(&e->lock);
	list_del(&m->list);
	mutex_unlock(&e->lock);
	dma_sync_sgtable_for_cpu(m->dev, sgt, dir);
	dma_unmap_sgtable(m->dev, sgt, dir, PINDMA_DMA_ATTRS);
	sg_free_table(sgt);
	kfree(m);
}

/* --------------------------------------------------------------------- CPUs */

/* Each device may have a view of its own, where DMA is not coherent. */
static int pindma_export_begin(struct dma_buf *buf, enum dma_data_direction dir)
{
	struct pindma_dmabuf_export *e = buf->priv;
	struct pindma_mapping *m;

	mutex_lock(&e->lock);
	list_for_each_entry(m, &e->mappings, list)
		dma_sync_sgtable_for_cpu(m->dev, &m->sgt, m->dir);
	mutex_unlock(&e->lock);
	return 0;
}

static int pindma_export_end(struct dma_buf *buf, enum dma_data_direction dir)
{
	struct pindma_dmabuf_export *e = buf->priv;
	struct pindma_mapping *m;

	mutex_lock(&e->lock);
	list_for_each_entry(m, &e->mappings, list)
		dma_sync_sgtable_for_device(m->dev, &m->sgt, m->dir);
	mutex_unlock(&e->lock);
	return 0;
}

static vm_fault_t pindma_export_fault(struct vm_fault *vmf)
{
	struct pindma_dmabuf_export *e = vmf->vma->vm_private_data;
	struct pindma_pinned *p = e->pinned;

	if (vmf->pgoff >= p->npages)
		return VM_FAULT_SIGBUS;
	return vmf_insert_pfn(vmf->vma, vmf->address,
			      page_to_pfn(p->pages[vmf->pgoff]));
}

static const struct vm_operations_struct pindma_export_vm_ops = {
	.fault	= pindma_export_fault,
};

/*
 * VM_PFNMAP: these are pages of another mapping, whose counts and dirty bits are
 * its own business, and which cannot be pinned again by way of ours. The mapping
 * has the file, and the file the pages.
 */
static int pindma_export_mmap(struct dma_buf *buf, struct vm_area_struct *vma)
{
	struct pindma_dmabuf_export *e = buf->priv;

	if (!(vma->vm_flags & VM_SHARED) || vma->vm_flags & VM_EXEC)
		return -EINVAL;
	if (pindma_export_is_readonly(e)) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		vm_flags_clear(vma, VM_MAYWRITE);
	}
	vm_flags_clear(vma, VM_MAYEXEC);
	vm_flags_set(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_private_data = e;
	vma->vm_ops = &pindma_export_vm_ops;
	return 0;
}

/* ------------------------------------------------------------- life and end */

/* The last descriptor, mapping and importer is gone. */
static void pindma_export_release(struct dma_buf *buf)
{
	struct pindma_dmabuf_export *e = buf->priv;

	pindma_pinned_put(e->pinned);
	kfree(e);
}

static const struct dma_buf_ops pindma_export_ops = {
	.map_dma_buf		= pindma_export_map,
	.unmap_dma_buf		= pindma_export_unmap,
	.begin_cpu_access	= pindma_export_begin,
	.end_cpu_access		= pindma_export_end,
	.mmap			= pindma_export_mmap,
	.release		= pindma_export_release,
};

/* The caller sees to it that the mr does not go meanwhile. */
struct dma_buf *pindma_export(struct pindma_mr *mr)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct pindma_dmabuf_export *e;
	struct dma_buf *buf;

	/* Others may keep it for ever: no other pin is made for that. */
	if (mr->pin_mode != PINDMA_PIN_LONGTERM)
		return ERR_PTR(-EOPNOTSUPP);
	if (!PAGE_ALIGNED(mr->addr) || !PAGE_ALIGNED(mr->len))
		return ERR_PTR(pindma_refuse(mr->pd, "EXPORT_DMABUF: mr 0x%x is not of whole pages",
					     mr->key));
	e = kzalloc(sizeof(*e), GFP_KERNEL_ACCOUNT);
	if (!e)
		return ERR_PTR(-ENOMEM);
	mutex_init(&e->lock);
	INIT_LIST_HEAD(&e->mappings);
	e->pinned = pindma_pinned_get(mr);
	info.ops = &pindma_export_ops;
	info.size = mr->len;
	info.flags = O_RDWR;
	info.priv = e;
	buf = dma_buf_export(&info);
	if (IS_ERR(buf)) {
		pindma_pinned_put(e->pinned);
		kfree(e);
	}
	return buf;
}
