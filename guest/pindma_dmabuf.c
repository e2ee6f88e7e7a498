// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of somebody else's: a dma-buf. Whoever exports it knows where it is and
 * keeps it there; we attach and map it, for as long as the mr lives. See
 * Documentation/driver-api/dma-buf.rst.
 */
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "pindma_compat.h"
#include "pindma_drv.h"

struct pindma_dmabuf {
	struct pindma_mr mr;
	struct dma_buf *buf;
	struct dma_buf_attachment *attach;
};

static struct pindma_dmabuf *to_dmabuf(struct pindma_mr *mr)
{
	return container_of(mr, struct pindma_dmabuf, mr);
}

/* The device knows pages only. */
static bool pindma_dmabuf_is_aligned(struct sg_table *sgt)
{
	struct scatterlist *sg;
	int i;

	for_each_sgtable_dma_sg(sgt, sg, i)
		if (!PAGE_ALIGNED(sg_dma_address(sg)) ||
		    !PAGE_ALIGNED(sg_dma_len(sg)))
			return false;
	return true;
}

static void pindma_dmabuf_unmap(struct pindma_dmabuf *d)
{
	dma_buf_unmap_attachment_unlocked(d->attach, d->mr.sgt, d->mr.dir);
	dma_buf_detach(d->buf, d->attach);
	dma_buf_put(d->buf);
}

static int pindma_dmabuf_get(struct pindma_mr *mr)
{
	struct pindma_dmabuf *d = to_dmabuf(mr);
	struct sg_table *sgt;

	if (mr->len > d->buf->size || mr->addr > d->buf->size - mr->len)
		return pindma_refuse(mr->pd, "IMPORT_DMABUF: 0x%llx bytes at 0x%lx are not in a dma-buf of 0x%zx",
				     mr->len, mr->addr, d->buf->size);
	d->attach = dma_buf_attach(d->buf, &mr->pd->pdev->dev);
	if (IS_ERR(d->attach))
		return PTR_ERR(d->attach);
	sgt = dma_buf_map_attachment_unlocked(d->attach, mr->dir);
	if (IS_ERR(sgt)) {
		dma_buf_detach(d->buf, d->attach);
		return PTR_ERR(sgt);
	}
	get_dma_buf(d->buf);
	mr->sgt = sgt;
	mr->sgt_first = mr->addr >> PAGE_SHIFT;
	if (!pindma_dmabuf_is_aligned(sgt)) {
		pindma_dmabuf_unmap(d);
		return pindma_refuse(mr->pd, "IMPORT_DMABUF: the dma-buf is not of whole pages");
	}
	return 0;
}

static void pindma_dmabuf_put(struct pindma_mr *mr)
{
	pindma_dmabuf_unmap(to_dmabuf(mr));
}

static const struct pindma_mr_ops pindma_dmabuf_ops = {
	.ioctl	= "IMPORT_DMABUF",
	.size	= sizeof(struct pindma_dmabuf),
	.flags	= PINDMA_MR_READONLY,
	.get	= pindma_dmabuf_get,
	.put	= pindma_dmabuf_put,
	/* What pages there are, if any, is the exporter's business. */
};

/* The caller holds gone_sem. */
struct pindma_mr *pindma_dmabuf_import(struct pindma_dev *pd, u32 domain,
				       const struct pindma_import_dmabuf *arg)
{
	struct dma_buf *buf;
	struct pindma_mr *mr;
	int ret;

	if (arg->mr)
		return ERR_PTR(pindma_refuse(pd, "IMPORT_DMABUF: mr 0x%x must be 0",
					     arg->mr));
	buf = dma_buf_get(arg->fd);
	if (buf == ERR_PTR(-EINVAL))
		return ERR_PTR(pindma_refuse(pd, "IMPORT_DMABUF: fd %d is not a dma-buf",
					     arg->fd));
	if (IS_ERR(buf))
		return ERR_CAST(buf);
	mr = pindma_mr_alloc(pd, domain, &pindma_dmabuf_ops, 0, arg->flags,
			     arg->offset, arg->len);
	if (!IS_ERR(mr)) {
		to_dmabuf(mr)->buf = buf;
		ret = pindma_mr_enter(mr);
		if (ret)
			mr = ERR_PTR(ret);
	}
	dma_buf_put(buf);	/* the mr has its own */
	return mr;
}

PINDMA_IMPORT_DMA_BUF;
