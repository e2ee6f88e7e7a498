// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory regions: pages of a process that the device may access.
 *
 * On the way in: check, charge, pin, map, register. On the way out, in mirror
 * order: deregister (from here on the device does not access the pages),
 * unmap, unpin, uncharge. drivers/infiniband/core/umem.c has the same shape.
 */
#include <linux/dma-mapping.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "pindma_compat.h"
#include "pindma_drv.h"
#include "pindma_trace.h"

/* Pages that are pinned at a time: what a page full of pointers can hold */
#define PINDMA_PIN_BATCH	(PAGE_SIZE / sizeof(struct page *))

/* Pinned memory counts against RLIMIT_MEMLOCK of the process that pins. */
static int pindma_mr_charge(struct pindma_mr *mr)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	u64 pinned;

	mr->mm = current->mm;
	pinned = atomic64_add_return(mr->npages, &mr->mm->pinned_vm);
	if (pinned > limit && !capable(CAP_IPC_LOCK)) {
		atomic64_sub(mr->npages, &mr->mm->pinned_vm);
		return -ENOMEM;
	}
	/* So that the charge finds back to whoever paid, even after exit. */
	mmgrab(mr->mm);
	return 0;
}

static void pindma_mr_uncharge(struct pindma_mr *mr)
{
	atomic64_sub(mr->npages, &mr->mm->pinned_vm);
	mmdrop(mr->mm);
}

/* One batch, by the call that the mode and flags ask for. */
static long pindma_mr_pin_batch(struct pindma_mr *mr, unsigned long addr,
				unsigned long n, struct page **pages)
{
	unsigned int flags = mr->flags & PINDMA_MR_READONLY ? 0 : FOLL_WRITE;
	bool get = mr->pin_mode == PINDMA_PIN_GET;
	long ret;

	if (mr->pin_mode == PINDMA_PIN_LONGTERM)
		flags |= FOLL_LONGTERM;
	if (mr->flags & PINDMA_MR_FAST)
		return get ? get_user_pages_fast(addr, n, flags, pages) :
			     pin_user_pages_fast(addr, n, flags, pages);
	mmap_read_lock(current->mm);
	ret = get ? get_user_pages(addr, n, flags, pages) :
		    pin_user_pages(addr, n, flags, pages);
	mmap_read_unlock(current->mm);
	return ret;
}

static void pindma_mr_unpin(struct pindma_mr *mr)
{
	bool dirty = !(mr->flags & (PINDMA_MR_READONLY | PINDMA_MR_NODIRTY));
	unsigned long i;

	trace_pindma_unpin(mr);
	if (mr->pin_mode != PINDMA_PIN_GET) {
		unpin_user_pages_dirty_lock(mr->pages, mr->npinned, dirty);
	} else {
		for (i = 0; i < mr->npinned; i++) {
			if (dirty)
				set_page_dirty_lock(mr->pages[i]);
			put_page(mr->pages[i]);
			cond_resched();
		}
	}
	mr->npinned = 0;
}

static int pindma_mr_pin(struct pindma_mr *mr)
{
	unsigned long start = mr->addr & PAGE_MASK;
	long n;

	while (mr->npinned < mr->npages) {
		if (fatal_signal_pending(current)) {
			n = -EINTR;
			goto err_unpin;
		}
		cond_resched();
		n = min(mr->npages - mr->npinned, PINDMA_PIN_BATCH);
		n = pindma_mr_pin_batch(mr, start + mr->npinned * PAGE_SIZE, n,
					mr->pages + mr->npinned);
		if (n <= 0) {
			n = n ?: -EFAULT;
			goto err_unpin;
		}
		mr->npinned += n;
	}
	trace_pindma_pin(mr);
	return 0;

err_unpin:
	/* The device has not seen them: nothing to dirty, nothing to mark. */
	mr->flags |= PINDMA_MR_NODIRTY;
	pindma_mr_unpin(mr);
	return n;
}

static int pindma_mr_map(struct pindma_mr *mr)
{
	int ret;

	/* Whole pages; where the mr begins in the first one the device knows. */
	ret = sg_alloc_table_from_pages(&mr->sgt, mr->pages, mr->npages, 0,
					(u64)mr->npages << PAGE_SHIFT,
					GFP_KERNEL);
	if (ret)
		return ret;
	mr->dir = mr->flags & PINDMA_MR_READONLY ? DMA_TO_DEVICE :
						   DMA_BIDIRECTIONAL;
	ret = dma_map_sgtable(&mr->pd->pdev->dev, &mr->sgt, mr->dir, 0);
	if (ret)
		sg_free_table(&mr->sgt);
	else
		trace_pindma_map(mr);
	return ret;
}

static void pindma_mr_unmap(struct pindma_mr *mr)
{
	dma_unmap_sgtable(&mr->pd->pdev->dev, &mr->sgt, mr->dir, 0);
	sg_free_table(&mr->sgt);
}

/*
 * Tell the device, for the first time or again after a reset. It copies the list
 * of pages, so that is freed at once.
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
	for_each_sgtable_dma_page(&mr->sgt, &iter, 0)
		list[n++] = cpu_to_le64(sg_page_iter_dma_address(&iter));
	sqe.value = cpu_to_le64(list_dma);
	ret = WARN_ON(n != mr->npages) ? -EIO :
					 pindma_queue_admin(mr->pd, &sqe);
	dma_free_coherent(dev, size, list, list_dma);
	if (!ret)
		trace_pindma_register(mr);
	return ret;
}

/* When this returns, the device will not access the mr any more. */
static void pindma_mr_deregister(struct pindma_mr *mr)
{
	struct pindma_sqe sqe = {
		.opcode	= PINDMA_OP_DEREG_MR,
		.key	= cpu_to_le32(mr->key),
	};
	int ret;

	/* After a reset, or when it is not there, the device knows no mr. */
	if (pindma_dev_status(mr->pd))
		return;
	ret = pindma_queue_admin(mr->pd, &sqe);
	if (ret && !pindma_dev_status(mr->pd))
		pindma_dev_fail(mr->pd, "an mr could not be deregistered");
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

/* The caller has checked the flags and holds gone_sem. */
struct pindma_mr *pindma_mr_create(struct pindma_dev *pd, u32 domain,
				   const struct pindma_reg_mr *arg)
{
	struct pindma_mr *mr;
	u64 end;
	int ret;

	if (!arg->len || check_add_overflow(arg->addr, arg->len, &end) ||
	    end > ULONG_MAX - PAGE_SIZE)
		return ERR_PTR(pindma_refuse(pd, "REG_MR: no memory has 0x%llx bytes at 0x%llx",
					     arg->len, arg->addr));
	mr = kzalloc(sizeof(*mr), GFP_KERNEL_ACCOUNT);
	if (!mr)
		return ERR_PTR(-ENOMEM);
	mr->pd = pd;
	mr->domain = domain;
	mr->pin_mode = arg->pin_mode;
	mr->flags = arg->flags;
	mr->addr = arg->addr;
	mr->len = arg->len;
	mr->npages = (PAGE_ALIGN(end) - (arg->addr & PAGE_MASK)) >> PAGE_SHIFT;
	ret = -ENOSPC;
	if (mr->npages > pd->max_pages)
		goto err_free;
	ret = pindma_mr_get_key(mr);
	if (ret)
		goto err_free;
	ret = -ENOMEM;
	mr->pages = kvmalloc_array(mr->npages, sizeof(*mr->pages),
				   GFP_KERNEL_ACCOUNT);
	if (!mr->pages)
		goto err_key;
	ret = pindma_mr_charge(mr);
	if (ret)
		goto err_pages;
	ret = pindma_mr_pin(mr);
	if (ret)
		goto err_uncharge;
	ret = pindma_mr_map(mr);
	if (ret)
		goto err_unpin;
	ret = pindma_mr_register(mr);
	if (ret)
		goto err_unmap;
	atomic_inc(&pd->num_mrs);
	atomic_long_add(mr->npages, &pd->num_pages);
	return mr;

err_unmap:
	pindma_mr_unmap(mr);
err_unpin:
	pindma_mr_unpin(mr);
err_uncharge:
	pindma_mr_uncharge(mr);
err_pages:
	kvfree(mr->pages);
err_key:
	pindma_mr_put_key(mr);
err_free:
	kfree(mr);
	return ERR_PTR(ret);
}

void pindma_mr_destroy(struct pindma_mr *mr)
{
	pindma_mr_deregister(mr);
	/* Remove comes here while the registers are still mapped. */
	if (READ_ONCE(mr->pd->state) != PINDMA_AWAY)
		pindma_queue_mark(&mr->pd->queues[PINDMA_QUEUE_ADMIN],
				  PINDMA_MARK_UNPIN | mr->key);
	pindma_mr_unmap(mr);
	atomic_long_sub(mr->npages, &mr->pd->num_pages);
	atomic_dec(&mr->pd->num_mrs);
	pindma_mr_unpin(mr);
	pindma_mr_uncharge(mr);
	kvfree(mr->pages);
	pindma_mr_put_key(mr);
	kfree(mr);
}

void pindma_mr_page_info(struct pindma_mr *mr, unsigned long n,
			 struct pindma_page *info)
{
	struct page *page = mr->pages[n];

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
