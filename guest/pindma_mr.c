// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory regions: memory that the device may access.
 *
 * On the way in: check, get hold of the memory, map, register. On the way out, in
 * mirror order: deregister (from here on the device does not access the memory),
 * unmap, put it back. What there is to get and to put differs by kind of mr:
 *
 *	pindma_pin.c	pages of a process, pinned
 *	pindma_demand.c	pages of a process, as it has them
 *	pindma_dmabuf.c	a dma-buf
 */
#include <linux/dma-mapping.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "pindma_compat.h"
#include "pindma_drv.h"
#include "pindma_trace.h"

/*
 * Tell the device, for the first time or again after a reset. It copies the list
 * of pages, so that is freed at once. What is not mapped by now is absent: the
 * device will ask for it.
 */
int pindma_mr_register(struct pindma_mr *mr)
{
	struct device *dev = &mr->pd->pdev->dev;
	size_t size = mr->npages * sizeof(__le64);
	struct pindma_sqe sqe = {
		.opcode	= PINDMA_OP_REG_MR,
		.mode	= mr->flags & PINDMA_MR_READONLY ?
			  PINDMA_ACCESS_READ :
			  PINDMA_ACCESS_READ | PINDMA_ACCESS_WRITE,
		.key	= cpu_to_le32(mr->key),
		.offset	= cpu_to_le64(offset_in_page(mr->addr)),
		.len	= cpu_to_le64(mr->len),
		.pd	= cpu_to_le32(mr->domain),
	};
	struct sg_dma_page_iter iter;
	unsigned long n = 0;
	dma_addr_t list_dma;
	__le64 *list;
	int ret;

	BUILD_BUG_ON(PAGE_SIZE != PINDMA_PAGE_SIZE);
	list = dma_alloc_coherent(dev, size, &list_dma, GFP_KERNEL);
	if (!list)
		return -ENOMEM;
	if (mr->sgt)
		for_each_sgtable_dma_page(mr->sgt, &iter, mr->sgt_first) {
			if (n == mr->npages)
				break;
			list[n++] = cpu_to_le64(sg_page_iter_dma_address(&iter));
		}
	else
		while (n < mr->npages)
			list[n++] = cpu_to_le64(PINDMA_PAGE_ABSENT);
	sqe.value = cpu_to_le64(list_dma);
	ret = WARN_ON(n != mr->npages) ? -EIO :
					 pindma_queue_admin(mr->pd, &sqe);
	dma_free_coherent(dev, size, list, list_dma);
	if (!ret)
		trace_pindma_register(mr);
	return ret;
}

/*
 * A command that takes memory away from the device, and so must succeed: when
 * this returns the device does not access it any more. Nor does it if it does
 * not know the mr.
 */
void pindma_mr_revoke(struct pindma_mr *mr, struct pindma_sqe *sqe)
{
	int ret;

	sqe->key = cpu_to_le32(mr->key);
	/* After a reset, or when it is not there, the device knows no mr. */
	if (pindma_dev_status(mr->pd))
		return;
	ret = pindma_queue_admin(mr->pd, sqe);
	if (ret && ret != -ENOENT && !pindma_dev_status(mr->pd))
		pindma_dev_fail(mr->pd, "memory could not be taken back");
}

static void pindma_mr_deregister(struct pindma_mr *mr)
{
	struct pindma_sqe sqe = { .opcode = PINDMA_OP_DEREG_MR };

	pindma_mr_revoke(mr, &sqe);
}

static int pindma_mr_get_key(struct pindma_mr *mr)
{
	struct pindma_dev *pd = mr->pd;
	int slot = ida_alloc_max(&pd->mr_ida, pd->max_mrs - 1, GFP_KERNEL);
	u32 gen;

	if (slot < 0)
		return slot;
	/* A slot's next key differs from the last, and no key is 0. */
	do {
		gen = (u32)atomic_inc_return(&pd->mr_generation) * pd->max_mrs;
	} while (!gen);
	mr->key = gen | slot;
	return 0;
}

static void pindma_mr_put_key(struct pindma_mr *mr)
{
	ida_free(&mr->pd->mr_ida, mr->key & (mr->pd->max_mrs - 1));
}

/* The kind of mr that has this mode */
static const struct pindma_mr_ops *pindma_mr_kind(struct pindma_dev *pd,
						  u32 pin_mode)
{
	switch (pin_mode) {
	case PINDMA_PIN_GET:
	case PINDMA_PIN_PIN:
	case PINDMA_PIN_LONGTERM:
		return &pindma_pin_ops;
	case PINDMA_PIN_ON_DEMAND:
		if (!IS_ENABLED(CONFIG_HMM_MIRROR))
			return ERR_PTR(-EOPNOTSUPP);
		return &pindma_demand_ops;
	case PINDMA_PIN_EXCLUSIVE:
		if (!IS_ENABLED(CONFIG_HMM_MIRROR) || !PINDMA_HAS_EXCLUSIVE)
			return ERR_PTR(-EOPNOTSUPP);
		return &pindma_exclusive_ops;
	default:
		return ERR_PTR(pindma_refuse(pd, "REG_MR: pin_mode %u is not known",
					     pin_mode));
	}
}

/* It is not known to the device, or not any more. */
void pindma_mr_free(struct pindma_mr *mr)
{
	if (mr->ops->drop)
		mr->ops->drop(mr);
	pindma_mr_put_key(mr);
	kfree(mr);
}

/* An mr that holds its memory, and is not known to anybody yet */
struct pindma_mr *pindma_mr_alloc(struct pindma_dev *pd, u32 domain,
				  const struct pindma_mr_ops *ops, u32 pin_mode,
				  u32 flags, u64 addr, u64 len)
{
	struct pindma_mr *mr;
	u64 end;
	int ret;

	if (flags & ~ops->flags)
		return ERR_PTR(pindma_refuse(pd, "%s: flags 0x%x are not all known, or not for this kind of mr",
					     ops->ioctl, flags));
	if (flags & PINDMA_MR_FORCE && !(flags & PINDMA_MR_READONLY))
		return ERR_PTR(pindma_refuse(pd, "%s: flags 0x%x have FORCE without READONLY",
					     ops->ioctl, flags));
	if (!len || check_add_overflow(addr, len, &end) ||
	    end > ULONG_MAX - PAGE_SIZE)
		return ERR_PTR(pindma_refuse(pd, "%s: no memory has 0x%llx bytes at 0x%llx",
					     ops->ioctl, len, addr));
	if ((PAGE_ALIGN(end) - (addr & PAGE_MASK)) >> PAGE_SHIFT > pd->max_pages)
		return ERR_PTR(-ENOSPC);
	mr = kzalloc(ops->size, GFP_KERNEL_ACCOUNT);
	if (!mr)
		return ERR_PTR(-ENOMEM);
	mr->ops = ops;
	mr->pd = pd;
	mr->domain = domain;
	mr->pin_mode = pin_mode;
	mr->flags = flags;
	mr->dir = flags & PINDMA_MR_READONLY ? DMA_TO_DEVICE : DMA_BIDIRECTIONAL;
	mr->addr = addr;
	mr->len = len;
	mr->npages = (PAGE_ALIGN(end) - (addr & PAGE_MASK)) >> PAGE_SHIFT;
	ret = pindma_mr_get_key(mr);
	if (ret)
		goto err_free;
	if (mr->ops->hold)
		ret = mr->ops->hold(mr);
	if (ret)
		goto err_key;
	return mr;

err_key:
	pindma_mr_put_key(mr);
err_free:
	kfree(mr);
	return ERR_PTR(ret);
}

/* The device gets to know it. If it does not, the mr is freed. With gone_sem. */
int pindma_mr_enter(struct pindma_mr *mr)
{
	int ret = mr->ops->get(mr);

	if (ret)
		goto err_free;
	ret = pindma_mr_register(mr);
	if (ret)
		goto err_put;
	atomic_inc(&mr->pd->num_mrs);
	atomic_long_add(mr->npages, &mr->pd->num_pages);
	return 0;

err_put:
	mr->ops->put(mr);
err_free:
	pindma_mr_free(mr);
	return ret;
}

struct pindma_mr *pindma_mr_create(struct pindma_dev *pd, u32 domain,
				   const struct pindma_reg_mr *arg)
{
	const struct pindma_mr_ops *ops = pindma_mr_kind(pd, arg->pin_mode);

	if (IS_ERR(ops))
		return ERR_CAST(ops);
	if (arg->mr)
		return ERR_PTR(pindma_refuse(pd, "REG_MR: mr 0x%x must be 0",
					     arg->mr));
	return pindma_mr_alloc(pd, domain, ops, arg->pin_mode, arg->flags,
			       arg->addr, arg->len);
}

void pindma_mr_destroy(struct pindma_mr *mr)
{
	pindma_mr_deregister(mr);
	/* Remove comes here while the registers are still mapped. */
	if (READ_ONCE(mr->pd->state) != PINDMA_AWAY)
		pindma_queue_mark(&mr->pd->queues[PINDMA_QUEUE_ADMIN],
				  PINDMA_MARK_UNPIN | mr->key);
	atomic_long_sub(mr->npages, &mr->pd->num_pages);
	atomic_dec(&mr->pd->num_mrs);
	mr->ops->put(mr);
	pindma_mr_free(mr);
}

void pindma_page_info(struct page *page, struct pindma_page *info)
{
	info->pfn = page_to_pfn(page);
	info->refcount = page_count(page);
	info->mapcount = pindma_page_mapcount(page);
	info->flags = (PageAnon(page) ? PINDMA_PAGE_ANON : 0) |
		      (pindma_page_exclusive(page) ? PINDMA_PAGE_EXCLUSIVE : 0) |
		      (PageDirty(page) ? PINDMA_PAGE_DIRTY : 0) |
		      (PageWriteback(page) ? PINDMA_PAGE_WRITEBACK : 0) |
		      (PageLRU(page) ? PINDMA_PAGE_LRU : 0) |
		      (PageCompound(page) ? PINDMA_PAGE_COMPOUND : 0) |
		      (PageHuge(page) ? PINDMA_PAGE_HUGETLB : 0) |
		      (pindma_page_maybe_pinned(page) ?
		       PINDMA_PAGE_MAYBE_PINNED : 0);
}
