// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is pinned for as long as the mr lives.
 *
 * On the way in: charge, pin, map. On the way out, in mirror order, and when the
 * device does not access the pages any more: unmap, unpin, uncharge. The last two
 * wait for the dma-buf, if the mr was exported as one: pindma_export.c.
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
	struct pindma_pinned *pinned;
	struct sg_table sgt;
};

static struct pindma_pin *to_pin(struct pindma_mr *mr)
{
	return container_of(mr, struct pindma_pin, mr);
}

/* Pinned memory counts against RLIMIT_MEMLOCK of the process that pins. */
static int pindma_pin_charge(struct pindma_pinned *p)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	u64 pinned;

	p->mm = current->mm;
	pinned = atomic64_add_return(p->npages, &p->mm->pinned_vm);
	if (pinned > limit && !capable(CAP_IPC_LOCK)) {
		atomic64_sub(p->npages, &p->mm->pinned_vm);
		return -ENOMEM;
	}
	/* So that the charge finds back to whoever paid, even after exit. */
	mmgrab(p->mm);
	return 0;
}

static void pindma_pin_uncharge(struct pindma_pinned *p)
{
	atomic64_sub(p->npages, &p->mm->pinned_vm);
	mmdrop(p->mm);
}

/* One batch, by the call that the mode and flags ask for. */
static long pindma_pin_batch(struct pindma_pinned *p, unsigned long addr,
			     unsigned long n, struct page **pages)
{
	unsigned int flags = 0;
	bool get = p->pin_mode == PINDMA_PIN_GET;
	long ret;

	if (!(p->flags & PINDMA_MR_READONLY))
		flags |= FOLL_WRITE;
	if (p->flags & PINDMA_MR_FORCE)
		flags |= FOLL_WRITE | FOLL_FORCE;
	if (p->pin_mode == PINDMA_PIN_LONGTERM)
		flags |= FOLL_LONGTERM;
	if (p->flags & PINDMA_MR_FAST)
		return get ? get_user_pages_fast(addr, n, flags, pages) :
			     pin_user_pages_fast(addr, n, flags, pages);
	mmap_read_lock(current->mm);
	ret = get ? get_user_pages(addr, n, flags, pages) :
		    pin_user_pages(addr, n, flags, pages);
	mmap_read_unlock(current->mm);
	return ret;
}

static void pindma_pin_unpin(struct pindma_pinned *p)
{
	bool dirty = !(p->flags & (PINDMA_MR_READONLY | PINDMA_MR_NODIRTY));
	unsigned long i;

	trace_pindma_unpin(p);
	if (p->pin_mode != PINDMA_PIN_GET) {
		unpin_user_pages_dirty_lock(p->pages, p->npinned, dirty);
	} else {
		for (i = 0; i < p->npinned; i++) {
			if (dirty)
				set_page_dirty_lock(p->pages[i]);
			put_page(p->pages[i]);
			cond_resched();
		}
	}
	p->npinned = 0;
}

static int pindma_pin_pin(struct pindma_pinned *p, unsigned long start)
{
	long n;

	while (p->npinned < p->npages) {
		if (fatal_signal_pending(current)) {
			n = -EINTR;
			goto err_unpin;
		}
		cond_resched();
		n = min(p->npages - p->npinned, PINDMA_PIN_BATCH);
		n = pindma_pin_batch(p, start + p->npinned * PAGE_SIZE, n,
				     p->pages + p->npinned);
		if (n <= 0) {
			n = n ?: -EFAULT;
			goto err_unpin;
		}
		p->npinned += n;
	}
	return 0;

err_unpin:
	/* The device has not seen them: nothing to dirty, nothing to mark. */
	p->flags |= PINDMA_MR_NODIRTY;
	pindma_pin_unpin(p);
	return n;
}

static struct pindma_pinned *pindma_pinned_create(struct pindma_mr *mr)
{
	struct pindma_pinned *p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	int ret = -ENOMEM;

	if (!p)
		return ERR_PTR(-ENOMEM);
	kref_init(&p->ref);
	p->dev = mr->pd->id;
	p->key = mr->key;
	p->pin_mode = mr->pin_mode;
	p->flags = mr->flags;
	p->npages = mr->npages;
	p->pages = kvmalloc_array(p->npages, sizeof(*p->pages),
				  GFP_KERNEL_ACCOUNT);
	if (!p->pages)
		goto err_free;
	ret = pindma_pin_charge(p);
	if (ret)
		goto err_pages;
	ret = pindma_pin_pin(p, mr->addr & PAGE_MASK);
	if (ret)
		goto err_uncharge;
	trace_pindma_pin(mr);
	return p;

err_uncharge:
	pindma_pin_uncharge(p);
err_pages:
	kvfree(p->pages);
err_free:
	kfree(p);
	return ERR_PTR(ret);
}

static void pindma_pinned_release(struct kref *ref)
{
	struct pindma_pinned *p = container_of(ref, struct pindma_pinned, ref);

	pindma_pin_unpin(p);
	pindma_pin_uncharge(p);
	kvfree(p->pages);
	kfree(p);
}

/* The last one, the mr or its dma-buf, unpins. */
void pindma_pinned_put(struct pindma_pinned *p)
{
	kref_put(&p->ref, pindma_pinned_release);
}

/* What an mr that pins has pinned, for others to hold as well */
struct pindma_pinned *pindma_pinned_get(struct pindma_mr *mr)
{
	struct pindma_pinned *p = to_pin(mr)->pinned;

	kref_get(&p->ref);
	return p;
}

static int pindma_pin_map(struct pindma_mr *mr)
{
	struct pindma_pin *pin = to_pin(mr);
	int ret;

	/* Whole pages; where the mr begins in the first one the device knows. */
	ret = sg_alloc_table_from_pages(&pin->sgt, pin->pinned->pages,
					mr->npages, 0,
					(u64)mr->npages << PAGE_SHIFT,
					GFP_KERNEL);
	if (ret)
		return ret;
	ret = dma_map_sgtable(&mr->pd->pdev->dev, &pin->sgt, mr->dir,
			      PINDMA_DMA_ATTRS);
	if (ret) {
		sg_free_table(&pin->sgt);
		return ret;
	}
	mr->sgt = &pin->sgt;
	trace_pindma_map(mr);
	return 0;
}

static void pindma_pin_unmap(struct pindma_mr *mr)
{
	struct pindma_pin *pin = to_pin(mr);

	dma_unmap_sgtable(&mr->pd->pdev->dev, &pin->sgt, mr->dir,
			  PINDMA_DMA_ATTRS);
	sg_free_table(&pin->sgt);
}

static int pindma_pin_hold(struct pindma_mr *mr)
{
	struct pindma_pin *pin = to_pin(mr);

	pin->pinned = pindma_pinned_create(mr);
	return PTR_ERR_OR_ZERO(pin->pinned);
}

static void pindma_pin_drop(struct pindma_mr *mr)
{
	pindma_pinned_put(to_pin(mr)->pinned);
}

static void pindma_pin_page_info(struct pindma_mr *mr, unsigned long n,
				 struct pindma_page *info)
{
	pindma_page_info(to_pin(mr)->pinned->pages[n], info);
}

const struct pindma_mr_ops pindma_pin_ops = {
	.ioctl		= "REG_MR",
	.size		= sizeof(struct pindma_pin),
	.flags		= PINDMA_MR_FAST | PINDMA_MR_READONLY |
			  PINDMA_MR_NODIRTY | PINDMA_MR_FORCE,
	.hold		= pindma_pin_hold,
	.drop		= pindma_pin_drop,
	.get		= pindma_pin_map,
	.put		= pindma_pin_unmap,
	.page_info	= pindma_pin_page_info,
};
