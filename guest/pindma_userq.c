// SPDX-License-Identifier: GPL-2.0-only
/*
 * Channels of which the rings and the doorbells are mapped into a process: it
 * posts and reaps without us, as with an RDMA adapter.
 *
 * What is in the rings is the process's business. The device checks each sqe,
 * and finds no mrs but those of the file's domain; what it finds in the shadow it
 * checks as it does a doorbell. The driver looks at one field of the completion
 * ring, for poll(), and believes it as far as this file is concerned.
 *
 * What is mapped must not outlive the queue: rings are freed, and a doorbell is
 * the next owner's. So pages are mapped when they are touched, by a fault handler
 * that looks whether the queue is still there; and whoever takes the queue away
 * zaps what was mapped before. mmap() itself could not do it: until it has
 * returned, zapping does not find its mapping.
 */
#include <linux/dma-mapping.h>
#include <linux/eventfd.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>

#include "pindma_compat.h"
#include "pindma_drv.h"

/*
 * Offsets for mmap(): each channel has its own, because the files of a device,
 * which all have the same inode, are zapped by offset.
 */
#define PINDMA_MMAP_SHIFT	21
#define PINDMA_MMAP_DOORBELL	BIT(PINDMA_MMAP_SHIFT - 1)

/* In the page of the word, and of a cache line of its own */
#define PINDMA_SHADOW_OFFSET	64

struct pindma_userq {
	struct pindma_ctx *ctx;
	struct pindma_queue *q;
	u32 entries;
	void *rings;		/* sqes, cqes; the process's word, the shadow */
	dma_addr_t dma;
	u32 cq, head, size;	/* offsets, each of a page; and their end */
	u32 shadow;
	bool cut_off;		/* by a reset of the device */
	unsigned long pfns[];	/* of the rings */
};

static u64 pindma_userq_offset(const struct pindma_userq *uq)
{
	return (u64)(uq->q->nr - PINDMA_QUEUE_IO) << PINDMA_MMAP_SHIFT;
}

/* ------------------------------------------------------------------- memory */

/* The pages behind coherent memory, wherever it comes from */
static int pindma_userq_get_pfns(struct device *dev, struct pindma_userq *uq)
{
	struct sg_page_iter iter;
	struct sg_table sgt;
	unsigned long n = 0;
	int ret;

	ret = dma_get_sgtable(dev, &sgt, uq->rings, uq->dma, uq->size);
	if (ret)
		return ret;
	for_each_sgtable_page(&sgt, &iter, 0) {
		if (n < uq->size >> PAGE_SHIFT)
			uq->pfns[n++] = page_to_pfn(sg_page_iter_page(&iter));
	}
	sg_free_table(&sgt);
	return WARN_ON(n != uq->size >> PAGE_SHIFT) ? -EIO : 0;
}

static struct pindma_userq *pindma_userq_alloc(struct pindma_ctx *ctx,
					       u32 entries)
{
	struct device *dev = &ctx->pd->pdev->dev;
	u32 cq = PAGE_ALIGN(entries * sizeof(struct pindma_sqe));
	u32 head = cq + PAGE_ALIGN(entries * sizeof(struct pindma_cqe));
	u32 size = head + PAGE_SIZE;
	struct pindma_userq *uq;
	int ret = -ENOMEM;

	BUILD_BUG_ON(PINDMA_QUEUE_MAX_ENTRIES * (sizeof(struct pindma_sqe) +
		     sizeof(struct pindma_cqe)) + PAGE_SIZE >
		     PINDMA_MMAP_DOORBELL);
	uq = kzalloc(struct_size(uq, pfns, size >> PAGE_SHIFT),
		     GFP_KERNEL_ACCOUNT);
	if (!uq)
		return ERR_PTR(-ENOMEM);
	uq->ctx = ctx;
	uq->entries = entries;
	uq->cq = cq;
	uq->head = head;
	uq->shadow = head + PINDMA_SHADOW_OFFSET;
	uq->size = size;
	/* It is zeroed: nothing of others is shown. */
	uq->rings = dma_alloc_coherent(dev, size, &uq->dma,
				       GFP_KERNEL | __GFP_NOWARN);
	if (!uq->rings)
		goto err_free;
	ret = pindma_userq_get_pfns(dev, uq);
	if (ret)
		goto err_rings;
	return uq;

err_rings:
	dma_free_coherent(dev, size, uq->rings, uq->dma);
err_free:
	kfree(uq);
	return ERR_PTR(ret);
}

static void pindma_userq_free(struct pindma_userq *uq)
{
	dma_free_coherent(&uq->ctx->pd->pdev->dev, uq->size, uq->rings,
			  uq->dma);
	kfree(uq);
}

/* ------------------------------------------------------------- life and end */

/* The last channels first: the first ones are the ones that people use. */
static int pindma_userq_get_channel(struct pindma_userq *uq)
{
	struct pindma_dev *pd = uq->ctx->pd;
	int nr;

	lockdep_assert_held(&pd->userq_lock);
	for (nr = PINDMA_NUM_QUEUES - 1;
	     nr >= PINDMA_QUEUE_IO + PINDMA_SHARED; nr--) {
		uq->q = &pd->queues[nr];
		if (!pindma_queue_give(uq->q, uq))
			return 0;
	}
	return -EBUSY;
}

/* The caller holds gone_sem, and has found that the device is there. */
int pindma_userq_create(struct pindma_ctx *ctx,
			struct pindma_create_queue *arg)
{
	struct pindma_dev *pd = ctx->pd;
	struct pindma_shadow *shadow;
	struct pindma_userq *uq;
	int ret;

	if (arg->flags)
		return pindma_refuse(pd, "CREATE_QUEUE: flags 0x%x must be 0",
				     arg->flags);
	if (!is_power_of_2(arg->entries) ||
	    arg->entries < PINDMA_QUEUE_MIN_ENTRIES ||
	    arg->entries > PINDMA_QUEUE_MAX_ENTRIES)
		return pindma_refuse(pd, "CREATE_QUEUE: %u entries are no power of two from %d to %d",
				     arg->entries, PINDMA_QUEUE_MIN_ENTRIES,
				     PINDMA_QUEUE_MAX_ENTRIES);
	uq = pindma_userq_alloc(ctx, arg->entries);
	if (IS_ERR(uq))
		return PTR_ERR(uq);
	/* A process that has said nothing is told of completions. */
	shadow = uq->rings + uq->shadow;
	shadow->armed = cpu_to_le32(1);
	mutex_lock(&pd->userq_lock);
	ret = pindma_userq_get_channel(uq);
	if (!ret) {
		spin_lock_irq(&uq->q->lock);
		/* The flush comes after this is set, and takes the lock. */
		if (!pindma_dev_status(pd))
			pindma_queue_enable(uq->q, uq->dma, uq->dma + uq->cq,
					    uq->dma + uq->shadow, uq->entries,
					    ctx->domain);
		spin_unlock_irq(&uq->q->lock);
		atomic_inc(&ctx->num_userqs);
		arg->channel = uq->q->nr - PINDMA_QUEUE_IO;
		arg->rings_offset = pindma_userq_offset(uq);
		arg->rings_size = uq->size;
		arg->cq = uq->cq;
		arg->head = uq->head;
		arg->shadow = uq->shadow;
		arg->doorbell_offset = pindma_userq_offset(uq) +
				       PINDMA_MMAP_DOORBELL;
	}
	mutex_unlock(&pd->userq_lock);
	if (ret)
		pindma_userq_free(uq);
	return ret;
}

/*
 * The device first, then the mappings, then the memory. The mutex keeps the
 * fault handler out until there is no queue any more.
 */
static void pindma_userq_end(struct pindma_userq *uq)
{
	struct pindma_ctx *ctx = uq->ctx;

	lockdep_assert_held(&ctx->pd->userq_lock);
	/* Else it was reset, and has forgotten the rings. */
	if (pindma_dev_reachable(ctx->pd))
		pindma_queue_disable(uq->q);
	unmap_mapping_range(ctx->mapping, pindma_userq_offset(uq),
			    BIT(PINDMA_MMAP_SHIFT), 1);
	pindma_queue_take_back(uq->q);
	atomic_dec(&ctx->num_userqs);
	pindma_userq_free(uq);
}

int pindma_userq_destroy(struct pindma_ctx *ctx, u32 channel)
{
	struct pindma_dev *pd = ctx->pd;
	struct pindma_userq *uq;
	int ret = -ENOENT;

	if (channel >= PINDMA_CHANNELS)
		return -ENOENT;
	channel = array_index_nospec(channel, PINDMA_CHANNELS);
	mutex_lock(&pd->userq_lock);
	uq = pd->queues[PINDMA_QUEUE_IO + channel].userq;
	if (uq && uq->ctx == ctx) {
		pindma_userq_end(uq);
		ret = 0;
	}
	mutex_unlock(&pd->userq_lock);
	return ret;
}

/* All that the file has. Whoever else does it at the same time waits here. */
void pindma_userq_release(struct pindma_ctx *ctx)
{
	struct pindma_dev *pd = ctx->pd;
	struct pindma_userq *uq;
	int nr;

	mutex_lock(&pd->userq_lock);
	for (nr = PINDMA_QUEUE_IO; nr < PINDMA_NUM_QUEUES; nr++) {
		uq = pd->queues[nr].userq;
		if (uq && uq->ctx == ctx)
			pindma_userq_end(uq);
	}
	mutex_unlock(&pd->userq_lock);
}

/*
 * The device was reset: it has forgotten where in the rings it was, which only the
 * process knows besides. So they stay as they are, and have no device any more:
 * a store to the doorbells goes nowhere.
 */
void pindma_userq_cut_off(struct pindma_dev *pd)
{
	struct pindma_queue *q;
	int nr;

	mutex_lock(&pd->userq_lock);
	for (nr = PINDMA_QUEUE_IO; nr < PINDMA_NUM_QUEUES; nr++) {
		q = &pd->queues[nr];
		spin_lock_irq(&q->lock);
		if (q->userq) {
			WRITE_ONCE(q->userq->cut_off, true);
			/* Whoever waits for its eventfd is to look, too. */
			pindma_userq_interrupt(q->userq);
		}
		spin_unlock_irq(&q->lock);
	}
	mutex_unlock(&pd->userq_lock);
}

/* ------------------------------------------------------------------ waiting */

/* With the lock of the queue */
void pindma_userq_interrupt(struct pindma_userq *uq)
{
	struct pindma_ctx *ctx = uq->ctx;

	spin_lock(&ctx->lock);
	if (ctx->eventfd)
		eventfd_signal(ctx->eventfd);
	spin_unlock(&ctx->lock);
	if (wq_has_sleeper(&ctx->wait))
		wake_up_interruptible(&ctx->wait);
}

/*
 * Is there a cqe behind those that the process says it has read? It may lie
 * about either, to itself.
 */
static bool pindma_userq_has_cqe(struct pindma_userq *uq)
{
	u32 head = READ_ONCE(*(u32 *)(uq->rings + uq->head));
	struct pindma_cqe *cqe = uq->rings + uq->cq;
	u16 phase = !(head & uq->entries);

	cqe += head & (uq->entries - 1);
	return le16_to_cpu(READ_ONCE(cqe->phase)) == phase;
}

/* For poll() */
bool pindma_userq_readable(struct pindma_ctx *ctx)
{
	struct pindma_queue *q;
	bool readable = false;
	int nr;

	if (!atomic_read(&ctx->num_userqs))
		return false;
	for (nr = PINDMA_QUEUE_IO; nr < PINDMA_NUM_QUEUES && !readable; nr++) {
		q = &ctx->pd->queues[nr];
		spin_lock_irq(&q->lock);
		if (q->userq && q->userq->ctx == ctx)
			readable = pindma_userq_has_cqe(q->userq);
		spin_unlock_irq(&q->lock);
	}
	return readable;
}

/* For poll(), too: has the file a queue on which nothing will come any more? */
bool pindma_userq_is_cut_off(struct pindma_ctx *ctx)
{
	struct pindma_queue *q;
	bool cut_off = false;
	int nr;

	if (!atomic_read(&ctx->num_userqs))
		return false;
	for (nr = PINDMA_QUEUE_IO; nr < PINDMA_NUM_QUEUES && !cut_off; nr++) {
		q = &ctx->pd->queues[nr];
		spin_lock_irq(&q->lock);
		cut_off = q->userq && q->userq->ctx == ctx &&
			  READ_ONCE(q->userq->cut_off);
		spin_unlock_irq(&q->lock);
	}
	return cut_off;
}

/* ------------------------------------------------------------------ mappings */

#define PINDMA_MMAP_PAGES	BIT(PINDMA_MMAP_SHIFT - PAGE_SHIFT)
#define PINDMA_DOORBELL_PAGE	(PINDMA_MMAP_DOORBELL >> PAGE_SHIFT)

/* With userq_lock: the frame of a page that the file may map, or 0 */
static unsigned long pindma_userq_pfn(struct pindma_ctx *ctx,
				      unsigned long pgoff)
{
	struct pindma_dev *pd = ctx->pd;
	unsigned long channel = pgoff / PINDMA_MMAP_PAGES;
	unsigned long page = pgoff % PINDMA_MMAP_PAGES;
	struct pindma_queue *q;
	struct pindma_userq *uq;

	lockdep_assert_held(&pd->userq_lock);
	if (channel >= PINDMA_CHANNELS)
		return 0;
	channel = array_index_nospec(channel, PINDMA_CHANNELS);
	q = &pd->queues[PINDMA_QUEUE_IO + channel];
	uq = q->userq;
	if (!uq || uq->ctx != ctx)
		return 0;
	if (page == PINDMA_DOORBELL_PAGE)
		return (pci_resource_start(pd->pdev, PINDMA_BAR_REGS) +
			PINDMA_DB(q->nr)) >> PAGE_SHIFT;
	if (page >= uq->size >> PAGE_SHIFT)
		return 0;
	return uq->pfns[array_index_nospec(page, uq->size >> PAGE_SHIFT)];
}

static vm_fault_t pindma_userq_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct pindma_ctx *ctx = vma->vm_file->private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	unsigned long pfn;

	mutex_lock(&ctx->pd->userq_lock);
	pfn = pindma_userq_pfn(ctx, vmf->pgoff);
	if (pfn)
		ret = vmf_insert_pfn(vma, vmf->address, pfn);
	mutex_unlock(&ctx->pd->userq_lock);
	return ret;
}

static const struct vm_operations_struct pindma_userq_vm_ops = {
	.fault	= pindma_userq_fault,
};

/*
 * Rings stay cached: that is what coherent memory is where PCI is coherent, and
 * the driver is for nothing else. VM_PFNMAP: they cannot be pinned and be an mr.
 */
int pindma_userq_mmap(struct pindma_ctx *ctx, struct vm_area_struct *vma)
{
	unsigned long first = vma->vm_pgoff;
	unsigned long last = first + vma_pages(vma) - 1;
	bool doorbell = first % PINDMA_MMAP_PAGES == PINDMA_DOORBELL_PAGE;
	bool ok;

	/* Either the page of doorbells, or some of the rings of a channel */
	if (doorbell ? first != last : last / PINDMA_DOORBELL_PAGE !=
				       first / PINDMA_DOORBELL_PAGE)
		return pindma_refuse(ctx->pd, "mmap: pages 0x%lx to 0x%lx are neither rings nor doorbells",
				     first, last);
	if (!(vma->vm_flags & VM_SHARED) || vma->vm_flags & VM_EXEC)
		return pindma_refuse(ctx->pd, "mmap: not MAP_SHARED, or PROT_EXEC");
	mutex_lock(&ctx->pd->userq_lock);
	ok = pindma_userq_pfn(ctx, first) && pindma_userq_pfn(ctx, last);
	mutex_unlock(&ctx->pd->userq_lock);
	if (!ok)
		return pindma_refuse(ctx->pd, "mmap: pages 0x%lx to 0x%lx are of no queue of this file",
				     first, last);
	if (doorbell)
		vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	vm_flags_clear(vma, VM_MAYEXEC);
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTCOPY |
			  VM_DONTDUMP);
	vma->vm_ops = &pindma_userq_vm_ops;
	return 0;
}
