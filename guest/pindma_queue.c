// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ops: from the caller into the submission ring, from the completion ring to
 * whoever waits. Queue 0 has the admin commands of the driver itself, queue 1
 * the ops of all files.
 */
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/slab.h>

#include "pindma_compat.h"
#include "pindma_drv.h"

/*
 * How long an admin command may take. The device needs microseconds; the rest
 * is for a host that does not let QEMU run.
 */
#define PINDMA_ADMIN_TIMEOUT	(10 * HZ)

static void pindma_queue_write_addr(struct pindma_queue *q, u32 reg, u64 addr)
{
	writel(lower_32_bits(addr), q->regs + reg);
	writel(upper_32_bits(addr), q->regs + reg + 4);
}

int pindma_queue_init(struct pindma_dev *pd, int nr)
{
	struct pindma_queue *q = &pd->queues[nr];
	struct device *dev = &pd->pdev->dev;

	BUILD_BUG_ON(sizeof(*q->sq) != 64 || sizeof(*q->cq) != 32);
	q->pd = pd;
	q->nr = nr;
	q->regs = pd->regs + PINDMA_QUEUE_REGS(nr);
	q->phase = 1;
	spin_lock_init(&q->lock);
	/* Page aligned: dma_alloc_coherent() never gives less than a page. */
	q->sq = dma_alloc_coherent(dev, PINDMA_ENTRIES * sizeof(*q->sq),
				   &q->sq_dma, GFP_KERNEL);
	q->cq = dma_alloc_coherent(dev, PINDMA_ENTRIES * sizeof(*q->cq),
				   &q->cq_dma, GFP_KERNEL);
	if (!q->sq || !q->cq) {
		pindma_queue_free(q);
		return -ENOMEM;
	}
	pindma_queue_write_addr(q, PINDMA_QUEUE_SQ_ADDR, q->sq_dma);
	pindma_queue_write_addr(q, PINDMA_QUEUE_CQ_ADDR, q->cq_dma);
	writel(PINDMA_ENTRIES, q->regs + PINDMA_QUEUE_ENTRIES);
	writel(1, q->regs + PINDMA_QUEUE_ENABLE);
	return 0;
}

/* The device must have been reset, or else never have seen the rings. */
void pindma_queue_free(struct pindma_queue *q)
{
	struct device *dev = &q->pd->pdev->dev;

	if (q->cq)
		dma_free_coherent(dev, PINDMA_ENTRIES * sizeof(*q->cq), q->cq,
				  q->cq_dma);
	if (q->sq)
		dma_free_coherent(dev, PINDMA_ENTRIES * sizeof(*q->sq), q->sq,
				  q->sq_dma);
	q->sq = NULL;
	q->cq = NULL;
}

/* Put an sqe into the ring. -EAGAIN: too many on their way. */
static int pindma_queue_push(struct pindma_queue *q, struct pindma_req *req,
			     struct pindma_sqe *sqe)
{
	unsigned int slot = 0;

	lockdep_assert_held(&q->lock);
	if (READ_ONCE(q->pd->failed))
		return -EIO;
	if (q->num_reqs == PINDMA_ENTRIES - 1)
		return -EAGAIN;
	while (q->reqs[slot])
		slot++;
	q->reqs[slot] = req;
	q->num_reqs++;

	/* The tag finds the slot again and still is unique for ages. */
	req->result.tag = ++q->next_tag * PINDMA_ENTRIES + slot;
	req->opcode = sqe->opcode;
	sqe->tag = cpu_to_le64(req->result.tag);
	q->sq[q->sq_tail] = *sqe;
	q->sq_tail = (q->sq_tail + 1) % PINDMA_ENTRIES;
	dma_wmb();	/* the device must see the sqe before the doorbell */
	writel(q->sq_tail, q->regs + PINDMA_QUEUE_SQ_TAIL);
	return 0;
}

/* Hand the result to whoever posted the op. */
static void pindma_queue_finish(struct pindma_queue *q, unsigned int slot)
{
	struct pindma_req *req = q->reqs[slot];
	struct pindma_ctx *ctx = req->ctx;

	lockdep_assert_held(&q->lock);
	q->reqs[slot] = NULL;
	q->num_reqs--;
	if (req->done) {
		complete(req->done);
	} else if (!ctx) {
		kfree(req);
	} else {
		list_move_tail(&req->list, &ctx->completed);
		wake_up_interruptible(&ctx->wait);
		if (ctx->eventfd)
			eventfd_signal(ctx->eventfd);
	}
}

/* After a reset: nothing that is on its way will be completed any more. */
void pindma_queue_flush(struct pindma_queue *q)
{
	unsigned long flags;
	unsigned int slot;

	spin_lock_irqsave(&q->lock, flags);
	for (slot = 0; slot < PINDMA_ENTRIES; slot++) {
		if (!q->reqs[slot])
			continue;
		q->reqs[slot]->result.status = PINDMA_ST_ABORTED;
		pindma_queue_finish(q, slot);
	}
	spin_unlock_irqrestore(&q->lock, flags);
}

irqreturn_t pindma_queue_irq(int irq, void *data)
{
	struct pindma_queue *q = data;
	irqreturn_t ret = IRQ_NONE;
	struct pindma_cqe *cqe;
	struct pindma_req *req;
	unsigned int slot;
	u64 tag;

	spin_lock(&q->lock);
	for (;;) {
		cqe = &q->cq[q->cq_head];
		if (le16_to_cpu(READ_ONCE(cqe->phase)) != q->phase)
			break;
		dma_rmb();	/* the phase first, then the rest */
		tag = le64_to_cpu(cqe->tag);
		slot = tag % PINDMA_ENTRIES;
		req = q->reqs[slot];
		if (req && req->result.tag == tag) {
			req->result.result = le64_to_cpu(cqe->result);
			req->result.seq = le64_to_cpu(cqe->seq);
			req->result.status = le16_to_cpu(cqe->status);
			pindma_queue_finish(q, slot);
		} else {
			dev_err_ratelimited(&q->pd->pdev->dev,
					    "queue %d: completion of unknown op 0x%llx\n",
					    q->nr, tag);
		}
		q->cq_head = (q->cq_head + 1) % PINDMA_ENTRIES;
		if (!q->cq_head)
			q->phase ^= 1;
		ret = IRQ_HANDLED;
	}
	if (ret == IRQ_HANDLED)
		writel(q->cq_head, q->regs + PINDMA_QUEUE_CQ_HEAD);
	spin_unlock(&q->lock);
	return ret;
}

/* STOP names a hammer by its user_data; the device wants its tag. */
static int pindma_queue_find_hammer(struct pindma_ctx *ctx, u64 user_data,
				    u64 *tag)
{
	struct pindma_req *req;

	list_for_each_entry(req, &ctx->pending, list) {
		if (req->opcode == PINDMA_OP_HAMMER &&
		    req->result.user_data == user_data) {
			*tag = req->result.tag;
			return 0;
		}
	}
	return -ENOENT;
}

/*
 * Post an op of a file. The caller has checked that the mrs are the file's
 * own; should they go away before the device gets there, it says BAD_KEY.
 */
int pindma_queue_post(struct pindma_ctx *ctx, const struct pindma_op *op)
{
	struct pindma_queue *q = &ctx->pd->queues[PINDMA_QUEUE_IO];
	struct pindma_sqe sqe = {
		.opcode		= op->opcode,
		.mode		= op->mode,
		.key		= cpu_to_le32(op->mr),
		.offset		= cpu_to_le64(op->offset),
		.len		= cpu_to_le64(op->len),
		.value		= cpu_to_le64(op->value),
		.src_key	= cpu_to_le32(op->src_mr),
		.rate		= cpu_to_le32(op->rate),
		.src_offset	= cpu_to_le64(op->src_offset),
		.seed		= cpu_to_le64(op->seed),
	};
	struct pindma_req *req = kzalloc(sizeof(*req), GFP_KERNEL_ACCOUNT);
	int ret = 0;
	u64 tag;

	if (!req)
		return -ENOMEM;
	req->ctx = ctx;
	req->result.user_data = op->user_data;

	spin_lock_irq(&q->lock);
	if (op->opcode == PINDMA_OP_STOP) {
		ret = pindma_queue_find_hammer(ctx, op->value, &tag);
		if (!ret)
			sqe.value = cpu_to_le64(tag);
	}
	if (!ret && ctx->num_ops >= PINDMA_MAX_OPS)
		ret = -EAGAIN;
	if (!ret)
		ret = pindma_queue_push(q, req, &sqe);
	if (!ret) {
		list_add_tail(&req->list, &ctx->pending);
		ctx->num_ops++;
	}
	spin_unlock_irq(&q->lock);
	if (ret)
		kfree(req);
	return ret;
}

/* The file is going away: forget its completions, now and to come. */
void pindma_queue_disown(struct pindma_ctx *ctx)
{
	struct pindma_queue *q = &ctx->pd->queues[PINDMA_QUEUE_IO];
	struct pindma_req *req, *next;
	LIST_HEAD(dead);

	spin_lock_irq(&q->lock);
	list_for_each_entry_safe(req, next, &ctx->pending, list) {
		list_del_init(&req->list);
		req->ctx = NULL;
	}
	list_splice_init(&ctx->completed, &dead);
	spin_unlock_irq(&q->lock);
	list_for_each_entry_safe(req, next, &dead, list)
		kfree(req);
}

/*
 * Run an admin command. 0 or the device's refusal as an error. If there is no
 * answer in time the device is reset, which does what any command could have
 * done for the safety of memory: -EIO.
 */
int pindma_queue_admin(struct pindma_dev *pd, struct pindma_sqe *sqe)
{
	struct pindma_queue *q = &pd->queues[PINDMA_QUEUE_ADMIN];
	DECLARE_COMPLETION_ONSTACK(done);
	struct pindma_req req = { .done = &done };
	int ret;

	mutex_lock(&pd->admin_lock);
	spin_lock_irq(&q->lock);
	ret = pindma_queue_push(q, &req, sqe);
	spin_unlock_irq(&q->lock);
	if (!ret && !wait_for_completion_timeout(&done, PINDMA_ADMIN_TIMEOUT)) {
		pindma_dev_fail(pd, "an admin command got no answer");
		/* The flush, or a late interrupt before it, completed @done. */
		wait_for_completion(&done);
	}
	mutex_unlock(&pd->admin_lock);
	if (ret)
		return ret;

	switch (req.result.status) {
	case PINDMA_ST_OK:
		return 0;
	case PINDMA_ST_NO_SPACE:
		return -ENOSPC;
	case PINDMA_ST_BAD_KEY:
		return -ENOENT;
	default:
		return -EIO;
	}
}
