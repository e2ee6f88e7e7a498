// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the device has on demand: nothing is pinned. It asks for a page
 * when it needs it, and gets what the process has there by then; the kernel
 * may change its mind at any time, and takes the page back.
 *
 * On the way in: fault (no lock, may sleep), then with the lock: has anything
 * changed meanwhile? map, tell the device. On the way out, with the lock: tell
 * the device, unmap, dirty. See Documentation/mm/hmm.rst.
 *
 * Exclusive memory is that, and no CPU maps a page as long as the device has it:
 * a CPU that comes to it faults, and takes it back.
 *
 * The kernel takes pages back in reclaim, too: with the lock held, nothing may
 * be allocated that would wait for memory.
 */
#include <linux/bitmap.h>
#include <linux/dma-mapping.h>
#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "pindma_compat.h"
#include "pindma_drv.h"
#include "pindma_trace.h"

/* A page that the device has */
struct pindma_lent {
	struct page *page;		/* NULL: it has none; no reference */
	dma_addr_t dma;
};

struct pindma_demand {
	struct pindma_mr mr;
	struct mmu_interval_notifier notifier;
	/* What the process has at page n, and since when the notifier counts */
	int (*fault)(struct pindma_demand *d, unsigned long n,
		     unsigned long *seq, struct page **page);
	struct work_struct work;	/* answers to requests */
	unsigned long *wanted;		/* a bit for each page, see work */
	struct mutex lock;		/* all below; inside mmap_lock */
	struct pindma_lent *lent;	/* for each page */
	__le64 *list;			/* a list of one page */
	dma_addr_t list_dma;
};

static struct pindma_demand *to_demand(struct pindma_mr *mr)
{
	return container_of(mr, struct pindma_demand, mr);
}

/* The address of page n in the process */
static unsigned long pindma_demand_addr(struct pindma_demand *d, unsigned long n)
{
	return (d->mr.addr & PAGE_MASK) + n * PAGE_SIZE;
}

/* --------------------------------------------------------------- taken back */

static void pindma_demand_unmap(struct pindma_demand *d, unsigned long n)
{
	struct pindma_lent *lent = &d->lent[n];
	struct pindma_mr *mr = &d->mr;

	dma_unmap_page_attrs(&mr->pd->pdev->dev, lent->dma, PAGE_SIZE, mr->dir,
			     PINDMA_DMA_ATTRS);
	/*
	 * Whoever takes it back may have locked it. That the lock is not ours is
	 * all right: it is still in the page table, and so in its file.
	 */
	if (!(mr->flags & (PINDMA_MR_READONLY | PINDMA_MR_NODIRTY)))
		set_page_dirty(lent->page);
	lent->page = NULL;
}

/* The device does not access the pages from first to before end any more. */
static void pindma_demand_unmap_all(struct pindma_demand *d, unsigned long first,
				    unsigned long end)
{
	lockdep_assert_held(&d->lock);
	for (; first < end; first++)
		if (d->lent[first].page)
			pindma_demand_unmap(d, first);
}

static void pindma_demand_take_back(struct pindma_demand *d, unsigned long first,
				    unsigned long end)
{
	struct pindma_sqe sqe = {
		.opcode	= PINDMA_OP_UPDATE_MR,
		.mode	= PINDMA_UPDATE_UNMAP,
	};

	lockdep_assert_held(&d->lock);
	while (first < end && !d->lent[first].page)
		first++;
	while (first < end && !d->lent[end - 1].page)
		end--;
	if (first == end)
		return;
	sqe.offset = cpu_to_le64(first);
	sqe.len = cpu_to_le64(end - first);
	pindma_mr_revoke(&d->mr, &sqe);
	pindma_demand_unmap_all(d, first, end);
}

/* What the process has there changes when this returns. */
static bool pindma_demand_invalidate(struct mmu_interval_notifier *notifier,
				     const struct mmu_notifier_range *range,
				     unsigned long seq)
{
	struct pindma_demand *d = container_of(notifier, struct pindma_demand,
					       notifier);
	unsigned long base = pindma_demand_addr(d, 0);
	unsigned long start = max(range->start, base) - base;
	unsigned long end = min(range->end - base, d->mr.npages * PAGE_SIZE);

	if (pindma_made_exclusive(range, d))
		return true;
	/* The OOM killer does not wait for a device: it must do without. */
	if (!mmu_notifier_range_blockable(range))
		return false;
	trace_pindma_invalidate(&d->mr, range->start, range->end);
	mutex_lock(&d->lock);
	mmu_interval_set_seq(notifier, seq);
	pindma_demand_take_back(d, start >> PAGE_SHIFT,
				DIV_ROUND_UP(end, PAGE_SIZE));
	mutex_unlock(&d->lock);
	return true;
}

static const struct mmu_interval_notifier_ops pindma_demand_notifier_ops = {
	.invalidate = pindma_demand_invalidate,
};

/* ------------------------------------------------------------------- lent */

/* An interrupt: the device needs a page. With the admin queue's lock. */
void pindma_demand_request(struct pindma_dev *pd, u32 key, u64 page)
{
	struct pindma_demand *d;

	xa_lock(&pd->demands);
	d = xa_load(&pd->demands, key);
	/* If it is not there it is on its way out, and its ops end. */
	if (d && page < d->mr.npages) {
		set_bit(page, d->wanted);
		queue_work(pd->demand_wq, &d->work);
	}
	xa_unlock(&pd->demands);
}

/* What the process has there now. It may have changed when this returns. */
static int pindma_demand_fault(struct pindma_demand *d, unsigned long n,
			       unsigned long *seq, struct page **page)
{
	struct mm_struct *mm = d->notifier.mm;
	unsigned long pfn = 0;
	struct hmm_range range = {
		.notifier	= &d->notifier,
		.notifier_seq	= mmu_interval_read_begin(&d->notifier),
		.start		= pindma_demand_addr(d, n),
		.end		= pindma_demand_addr(d, n + 1),
		.hmm_pfns	= &pfn,
		.default_flags	= HMM_PFN_REQ_FAULT,
	};
	int ret;

	if (!(d->mr.flags & PINDMA_MR_READONLY))
		range.default_flags |= HMM_PFN_REQ_WRITE;
	mmap_read_lock(mm);
	ret = hmm_range_fault(&range);
	mmap_read_unlock(mm);
	*seq = range.notifier_seq;
	if (!ret)
		*page = hmm_pfn_to_page(pfn);
	return ret;
}

/*
 * To take a page from CPUs, for the device alone. Whatever it takes to have it
 * there and writable, or to undo the last time, is done, and notified of, before
 * the notifier counts.
 */
static int pindma_exclusive_fault(struct pindma_demand *d, unsigned long n,
				  unsigned long *seq, struct page **page)
{
	struct mm_struct *mm = d->notifier.mm;
	int ret = pindma_demand_fault(d, n, seq, page);

	if (ret)
		return ret;
	*seq = mmu_interval_read_begin(&d->notifier);
	mmap_read_lock(mm);
	*page = pindma_make_exclusive(mm, pindma_demand_addr(d, n), d);
	mmap_read_unlock(mm);
	return PTR_ERR_OR_ZERO(*page);
}

static int pindma_demand_update(struct pindma_demand *d, u8 mode,
				unsigned long n)
{
	struct pindma_sqe sqe = {
		.opcode	= PINDMA_OP_UPDATE_MR,
		.mode	= mode,
		.key	= cpu_to_le32(d->mr.key),
		.offset	= cpu_to_le64(n),
		.len	= cpu_to_le64(1),
	};

	if (mode == PINDMA_UPDATE_MAP)
		sqe.value = cpu_to_le64(d->list_dma);
	return pindma_queue_admin(d->mr.pd, &sqe);
}

static int pindma_demand_lend(struct pindma_demand *d, unsigned long n,
			      struct page *page)
{
	struct device *dev = &d->mr.pd->pdev->dev;
	struct pindma_lent *lent = &d->lent[n];
	int ret;

	lockdep_assert_held(&d->lock);
	lent->dma = dma_map_page_attrs(dev, page, 0, PAGE_SIZE, d->mr.dir,
				       PINDMA_DMA_ATTRS);
	if (dma_mapping_error(dev, lent->dma))
		return -ENOMEM;
	*d->list = cpu_to_le64(lent->dma);
	ret = pindma_demand_update(d, PINDMA_UPDATE_MAP, n);
	if (ret)
		dma_unmap_page_attrs(dev, lent->dma, PAGE_SIZE, d->mr.dir,
				     PINDMA_DMA_ATTRS);
	else
		lent->page = page;
	return ret;
}

/* -EBUSY: the page was taken back before the device had it. */
static int pindma_demand_answer(struct pindma_demand *d, unsigned long n)
{
	struct page *page;
	unsigned long seq;
	int ret;

	/* Another op may have asked for it, too. Only we lend pages. */
	mutex_lock(&d->lock);
	page = d->lent[n].page;
	mutex_unlock(&d->lock);
	if (page)
		return 0;
	ret = d->fault(d, n, &seq, &page);
	if (ret)
		return ret;
	mutex_lock(&d->lock);
	if (mmu_interval_read_retry(&d->notifier, seq))
		ret = -EBUSY;
	else
		ret = pindma_demand_lend(d, n, page);
	mutex_unlock(&d->lock);
	return ret;
}

static void pindma_demand_work(struct work_struct *work)
{
	struct pindma_demand *d = container_of(work, struct pindma_demand, work);
	struct mm_struct *mm = d->notifier.mm;
	bool alive = mmget_not_zero(mm);
	unsigned long n;
	int ret;

	for_each_set_bit(n, d->wanted, d->mr.npages) {
		clear_bit(n, d->wanted);
		ret = alive ? pindma_demand_answer(d, n) : -EFAULT;
		if (ret == -EBUSY) {
			/* Not here in a loop: put() would have to wait for it. */
			set_bit(n, d->wanted);
			queue_work(d->mr.pd->demand_wq, work);
		} else if (ret) {
			pindma_demand_update(d, PINDMA_UPDATE_REFUSE, n);
		}
		cond_resched();
	}
	if (alive)
		mmput(mm);
}

/* ----------------------------------------------------------- in and out again */

static void pindma_demand_free(struct pindma_demand *d)
{
	if (d->list)
		dma_free_coherent(&d->mr.pd->pdev->dev, sizeof(*d->list),
				  d->list, d->list_dma);
	bitmap_free(d->wanted);
	kvfree(d->lent);
}

static int pindma_demand_init(struct pindma_demand *d)
{
	struct pindma_mr *mr = &d->mr;
	int ret = -ENOMEM;

	INIT_WORK(&d->work, pindma_demand_work);
	mutex_init(&d->lock);
	d->lent = kvcalloc(mr->npages, sizeof(*d->lent), GFP_KERNEL_ACCOUNT);
	d->wanted = bitmap_zalloc(mr->npages, GFP_KERNEL_ACCOUNT);
	d->list = dma_alloc_coherent(&mr->pd->pdev->dev, sizeof(*d->list),
				     &d->list_dma, GFP_KERNEL);
	if (!d->lent || !d->wanted || !d->list)
		goto err_free;
	ret = mmu_interval_notifier_insert(&d->notifier, current->mm,
					   pindma_demand_addr(d, 0),
					   mr->npages * PAGE_SIZE,
					   &pindma_demand_notifier_ops);
	if (ret)
		goto err_free;
	/* From here on requests for it are answered. */
	ret = xa_err(xa_store_irq(&mr->pd->demands, mr->key, d, GFP_KERNEL));
	if (ret)
		goto err_notifier;
	return 0;

err_notifier:
	mmu_interval_notifier_remove(&d->notifier);
err_free:
	pindma_demand_free(d);
	return ret;
}

static int pindma_demand_get(struct pindma_mr *mr)
{
	to_demand(mr)->fault = pindma_demand_fault;
	return pindma_demand_init(to_demand(mr));
}

static int pindma_exclusive_get(struct pindma_mr *mr)
{
	to_demand(mr)->fault = pindma_exclusive_fault;
	return pindma_demand_init(to_demand(mr));
}

static void pindma_demand_put(struct pindma_mr *mr)
{
	struct pindma_demand *d = to_demand(mr);

	xa_erase_irq(&mr->pd->demands, mr->key);
	cancel_work_sync(&d->work);
	mutex_lock(&d->lock);
	pindma_demand_unmap_all(d, 0, mr->npages);
	mutex_unlock(&d->lock);
	mmu_interval_notifier_remove(&d->notifier);
	pindma_demand_free(d);
}

/* It will ask for what it needs of it. */
static void pindma_demand_lost(struct pindma_mr *mr)
{
	struct pindma_demand *d = to_demand(mr);

	mutex_lock(&d->lock);
	pindma_demand_unmap_all(d, 0, mr->npages);
	mutex_unlock(&d->lock);
}

static void pindma_demand_page_info(struct pindma_mr *mr, unsigned long n,
				    struct pindma_page *info)
{
	struct pindma_demand *d = to_demand(mr);

	mutex_lock(&d->lock);
	if (d->lent[n].page)
		pindma_page_info(d->lent[n].page, info);
	mutex_unlock(&d->lock);
}

const struct pindma_mr_ops pindma_demand_ops = {
	.ioctl		= "REG_MR",
	.size		= sizeof(struct pindma_demand),
	.flags		= PINDMA_MR_READONLY | PINDMA_MR_NODIRTY,
	.get		= pindma_demand_get,
	.put		= pindma_demand_put,
	.lost		= pindma_demand_lost,
	.page_info	= pindma_demand_page_info,
};

const struct pindma_mr_ops pindma_exclusive_ops = {
	.ioctl		= "REG_MR",
	.size		= sizeof(struct pindma_demand),
	.flags		= PINDMA_MR_NODIRTY,
	.get		= pindma_exclusive_get,
	.put		= pindma_demand_put,
	.lost		= pindma_demand_lost,
	.page_info	= pindma_demand_page_info,
};
