// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is pinned for as long as the mr lives.
 *
 * On the way in: charge, pin, map. On the way out, in mirror order, and when the
 * device does not access the pages any more: unmap, unpin, uncharge.
 * drivers/infiniband/core/umem.c has the same shape.
 */
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "pindma_compat.h"
#include "pindma_drv.h"
#include "pindma_trace.h"

/* Pages that are pinned at a time: what a page full of pointers can hold */
#define PINDMA_PIN_BATCH	(PAGE_SIZE / sizeof(struct page *))

struct pindma_pin {
	struct pindma_mr mr;
	struct mm_struct *mm;		/* who was charged */
	unsigned long npinned;
	struct page **pages;
	struct sg_table sgt;
};

static struct pindma_pin *to_pin(struct pindma_mr *mr)
{
	return container_of(mr, struct pindma_pin, mr);
}

/* Pinned memory counts against RLIMIT_MEMLOCK of the process that pins. */
static int pindma_pin_charge(struct pindma_pin *pin)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	u64 pinned;

	pin->mm = current->mm;
	pinned = atomic64_add_return(pin->mr.npages, &pin->mm->pinned_vm);
	if (pinned > limit && !capable(CAP_IPC_LOCK)) {
		atomic64_sub(pin->mr.npages, &pin->mm->pinned_vm);
		return -ENOMEM;
	}
	/* So that the charge finds back to whoever paid, even after exit. */
	mmgrab(pin->mm);
	return 0;
}

static void pindma_pin_uncharge(struct pindma_pin *pin)
{
	atomic64_sub(pin->mr.npages, &pin->mm->pinned_vm);
	mmdrop(pin->mm);
}

/* One batch, by the call that the mode and flags ask for. */
static long pindma_pin_batch(struct pindma_mr *mr, unsigned long addr,
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

static void pindma_pin_unpin(struct pindma_pin *pin)
{
	bool dirty = !(pin->mr.flags & (PINDMA_MR_READONLY | PINDMA_MR_NODIRTY));
	unsigned long i;

	trace_pindma_unpin(&pin->mr, pin->npinned);
	if (pin->mr.pin_mode != PINDMA_PIN_GET) {
		unpin_user_pages_dirty_lock(pin->pages, pin->npinned, dirty);
	} else {
		for (i = 0; i < pin->npinned; i++) {
			if (dirty)
				set_page_dirty_lock(pin->pages[i]);
			put_page(pin->pages[i]);
			cond_resched();
		}
	}
	pin->npinned = 0;
}

static int pindma_pin_pin(struct pindma_pin *pin)
{
	unsigned long start = pin->mr.addr & PAGE_MASK;
	long n;

	while (pin->npinned < pin->mr.npages) {
		if (fatal_signal_pending(current)) {
			n = -EINTR;
			goto err_unpin;
		}
		cond_resched();
		n = min(pin->mr.npages - pin->npinned, PINDMA_PIN_BATCH);
		n = pindma_pin_batch(&pin->mr, start + pin->npinned * PAGE_SIZE,
				     n, pin->pages + pin->npinned);
		if (n <= 0) {
			n = n ?: -EFAULT;
			goto err_unpin;
		}
		pin->npinned += n;
	}
	trace_pindma_pin(&pin->mr);
	return 0;

err_unpin:
	/* The device has not seen them: nothing to dirty, nothing to mark. */
	pin->mr.flags |= PINDMA_MR_NODIRTY;
	pindma_pin_unpin(pin);
	return n;
}

static int pindma_pin_map(struct pindma_pin *pin)
{
	struct pindma_mr *mr = &pin->mr;
	int ret;

	/* Whole pages; where the mr begins in the first one the device knows. */
	ret = sg_alloc_table_from_pages(&pin->sgt, pin->pages, mr->npages, 0,
					(u64)mr->npages << PAGE_SHIFT,
					GFP_KERNEL);
	if (ret)
		return ret;
	ret = dma_map_sgtable(&mr->pd->pdev->dev, &pin->sgt, mr->dir, 0);
	if (ret) {
		sg_free_table(&pin->sgt);
		return ret;
	}
	mr->sgt = &pin->sgt;
	trace_pindma_map(mr);
	return 0;
}

static void pindma_pin_unmap(struct pindma_pin *pin)
{
	dma_unmap_sgtable(&pin->mr.pd->pdev->dev, &pin->sgt, pin->mr.dir, 0);
	sg_free_table(&pin->sgt);
}

static int pindma_pin_get(struct pindma_mr *mr)
{
	struct pindma_pin *pin = to_pin(mr);
	int ret;

	pin->pages = kvmalloc_array(mr->npages, sizeof(*pin->pages),
				    GFP_KERNEL_ACCOUNT);
	if (!pin->pages)
		return -ENOMEM;
	ret = pindma_pin_charge(pin);
	if (ret)
		goto err_pages;
	ret = pindma_pin_pin(pin);
	if (ret)
		goto err_uncharge;
	ret = pindma_pin_map(pin);
	if (ret)
		goto err_unpin;
	return 0;

err_unpin:
	pindma_pin_unpin(pin);
err_uncharge:
	pindma_pin_uncharge(pin);
err_pages:
	kvfree(pin->pages);
	return ret;
}

static void pindma_pin_put(struct pindma_mr *mr)
{
	struct pindma_pin *pin = to_pin(mr);

	pindma_pin_unmap(pin);
	pindma_pin_unpin(pin);
	pindma_pin_uncharge(pin);
	kvfree(pin->pages);
}

static void pindma_pin_page_info(struct pindma_mr *mr, unsigned long n,
				 struct pindma_page *info)
{
	pindma_page_info(to_pin(mr)->pages[n], info);
}

const struct pindma_mr_ops pindma_pin_ops = {
	.size		= sizeof(struct pindma_pin),
	.flags		= PINDMA_MR_FAST | PINDMA_MR_READONLY | PINDMA_MR_NODIRTY,
	.get		= pindma_pin_get,
	.put		= pindma_pin_put,
	.page_info	= pindma_pin_page_info,
};
