// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ops: from the caller into a submission ring, from the completion ring to
 * whoever waits. Queue 0 has the admin commands of the driver itself, the others
 * are channels with the ops of all files.
 */
#include <linux/dma-mapping.h>
#include <linux/eventfd.h>

#include "pindma_compat.h"
#include "pindma_drv.h"
#include "pindma_trace.h"

/*
 * How long an admin command may take, in tries. The device needs microseconds;
 * the rest is for a host that does not let QEMU run.
 */
#define PINDMA_ADMIN_TRIES	10
#define PINDMA_ADMIN_TRY	HZ

/* Flags and fields that make an op wait */
#define PINDMA_WAITS		(PINDMA_SQE_NOT_BEFORE | PINDMA_SQE_ON_MARK)

static void pindma_queue_write64(struct pindma_queue *q, u32 reg, u64 value)
{
	pindma_dev_write64(q->pd, q->regs - q->pd->regs + reg, value);
}

/*
 * Shadow 0: doorbells are registers. Domain 0: each sqe says which one it belongs
 * to.
 */
void pindma_queue_enable(struct pindma_queue *q, dma_addr_t sq, dma_addr_t cq,
			 dma_addr_t shadow, u32 entries, u32 domain)
{
	pindma_queue_write64(q, PINDMA_QUEUE_SQ_ADDR, sq);
	pindma_queue_write64(q, PINDMA_QUEUE_CQ_ADDR, cq);
	pindma_queue_write64(q, PINDMA_QUEUE_SHADOW, shadow);
	writel(entries, q->regs + PINDMA_QUEUE_ENTRIES);
	writel(domain, q->regs + PINDMA_QUEUE_PD);
	writel(1, q->regs + PINDMA_QUEUE_ENABLE);
}

/* Its ops are gone, and its rings not accessed any more, when this returns. */
void pindma_queue_disable(struct pindma_queue *q)
{
	writel(0, q->regs + PINDMA_QUEUE_ENABLE);
	readl(q->regs + PINDMA_QUEUE_ENABLE);	/* flushes the posted write */
}

int pindma_queue_init(struct pindma_dev *pd, int nr)
{
	struct pindma_queue *q = &pd->queues[nr];
	struct device *dev = &pd->pdev->dev;

	BUILD_BUG_ON(sizeof(*q->sq) != 128 || sizeof(*q->cq) != 32);
	q->pd = pd;
	q->nr = nr;
	q->regs = pd->regs + PINDMA_QUEUE_REGS(nr);
	q->db = pd->regs + PINDMA_DB(nr);
	q->phase = 1;
	spin_lock_init(&q->lock);
	for (q->num_free = 0; q->num_free < PINDMA_MAX_REQS; q->num_free++)
		q->free[q->num_free] = q->num_free;
	/* Page aligned: dma_alloc_coherent() never gives less than a page. */
	q->sq = dma_alloc_coherent(dev, PINDMA_ENTRIES * sizeof(*q->sq),
				   &q->sq_dma, GFP_KERNEL);
	q->cq = dma_alloc_coherent(dev, PINDMA_ENTRIES * sizeof(*q->cq),
				   &q->cq_dma, GFP_KERNEL);
	if (!q->sq || !q->cq) {
		pindma_queue_free(q);
		return -ENOMEM;
	}
	pindma_queue_enable(q, q->sq_dma, q->cq_dma, 0, PINDMA_ENTRIES, 0);
	return 0;
}

/*
 * A channel on which nobody has anything on its way becomes that of one file,
 * and is disabled. Posting to it fails from now on.
 */
int pindma_queue_give(struct pindma_queue *q, struct pindma_userq *userq)
{
	int ret = -EBUSY;

	spin_lock_irq(&q->lock);
	if (!q->userq && q->num_free == PINDMA_MAX_REQS) {
		q->userq = userq;
		ret = 0;
	}
	spin_unlock_irq(&q->lock);
	if (!ret)
		pindma_queue_disable(q);
	return ret;
}

/* The driver's own rings, from the beginning */
static void pindma_queue_begin(struct pindma_queue *q)
{
	lockdep_assert_held(&q->lock);
	/* What is left there has the phase of what is to come. */
	memset(q->cq, 0, PINDMA_ENTRIES * sizeof(*q->cq));
	q->sq_tail = 0;
	q->cq_head = 0;
	q->phase = 1;
	pindma_queue_enable(q, q->sq_dma, q->cq_dma, 0, PINDMA_ENTRIES, 0);
}

/* The channel is disabled, and becomes again one that all files share. */
void pindma_queue_take_back(struct pindma_queue *q)
{
	spin_lock_irq(&q->lock);
	/* Else it begins when the device is back, or was freed. */
	if (pindma_dev_reachable(q->pd))
		pindma_queue_begin(q);
	q->userq = NULL;
	spin_unlock_irq(&q->lock);
}

/* The device was reset, and the queue flushed. What a file has stays as it is. */
void pindma_queue_restart(struct pindma_queue *q)
{
	spin_lock_irq(&q->lock);
	if (!q->userq)
		pindma_queue_begin(q);
	spin_unlock_irq(&q->lock);
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

/* ---------------------------------------------------------- to the device */

/* Put an sqe into the ring, where room is. Ring the doorbell afterwards. */
static void pindma_queue_push(struct pindma_queue *q, struct pindma_ctx *ctx,
			      u64 user_data, struct pindma_sqe *sqe)
{
	unsigned int slot = q->free[--q->num_free];

	lockdep_assert_held(&q->lock);
	/* The tag finds the slot again, is never 0, and unique for ages. */
	q->reqs[slot] = (struct pindma_req) {
		.tag = ++q->generation * PINDMA_ENTRIES + slot,
		.user_data = user_data,
		.ctx = ctx,
	};
	sqe->tag = cpu_to_le64(q->reqs[slot].tag);
	q->sq[q->sq_tail] = *sqe;
	q->sq_tail = (q->sq_tail + 1) % PINDMA_ENTRIES;
	trace_pindma_submit(q, sqe);
}

static void pindma_queue_ring(struct pindma_queue *q)
{
	dma_wmb();	/* the device must see the sqes before the doorbell */
	writel(q->sq_tail, q->db + PINDMA_DB_SQ_TAIL);
}

/*
 * STOP names an op by its user_data; the device wants its tag. If there is none
 * the device says so: no op has the tag 0.
 */
static u64 pindma_queue_find(struct pindma_queue *q, struct pindma_ctx *ctx,
			     u64 user_data)
{
	unsigned int slot;

	for (slot = 0; slot < PINDMA_MAX_REQS; slot++)
		if (q->reqs[slot].tag && q->reqs[slot].ctx == ctx &&
		    q->reqs[slot].user_data == user_data)
			return q->reqs[slot].tag;
	return 0;
}

/* What is wrong with an op? NULL: nothing that we could know. */
static const char *pindma_op_wrong(const struct pindma_op *op)
{
	if (op->opcode > PINDMA_OP_CMP_SWAP)
		return "it is not an op of a channel";
	if (op->reserved0 || memchr_inv(op->reserved, 0, sizeof(op->reserved)))
		return "reserved fields must be 0";
	/*
	 * The end of a file ends what uses its mrs, and nothing else. The
	 * device sees to it that there is an mr of this name.
	 */
	if (!op->mr && (op->flags & PINDMA_WAITS || op->delay))
		return "an op that waits needs an mr";
	return NULL;
}

static void pindma_queue_push_op(struct pindma_queue *q, struct pindma_ctx *ctx,
				 const struct pindma_op *op)
{
	u64 value = op->opcode == PINDMA_OP_STOP ?
		    pindma_queue_find(q, ctx, op->value) : op->value;
	struct pindma_sqe sqe = {
		.opcode		= op->opcode,
		.mode		= op->mode,
		.flags		= cpu_to_le16(op->flags),
		.key		= cpu_to_le32(op->mr),
		.offset		= cpu_to_le64(op->offset),
		.len		= cpu_to_le64(op->len),
		.value		= cpu_to_le64(value),
		.compare	= cpu_to_le64(op->compare),
		.src_key	= cpu_to_le32(op->src_mr),
		.rate		= cpu_to_le32(op->rate),
		.src_offset	= cpu_to_le64(op->src_offset),
		.seed		= cpu_to_le64(op->seed),
		.when		= cpu_to_le64(op->when),
		.delay		= cpu_to_le32(op->delay),
		.pd		= cpu_to_le32(ctx->domain),
	};

	pindma_queue_push(q, ctx, op->user_data, &sqe);
}

/*
 * How many ops from the first on are linked to each other, and all right? 0: they
 * are not. The last one has no link: another file's op would hang on it.
 */
static unsigned int pindma_chain(const struct pindma_op *ops, unsigned int nr)
{
	unsigned int n;

	for (n = 0; n < nr && !pindma_op_wrong(&ops[n]); n++)
		if (!(ops[n].flags & PINDMA_SQE_LINK))
			return n + 1;
	return 0;
}

/* Say why pindma_queue_post() refused the first of these with EINVAL. */
int pindma_queue_refuse(struct pindma_queue *q, const struct pindma_op *ops,
			unsigned int nr)
{
	unsigned int n;

	for (n = 0; n < nr; n++)
		if (pindma_op_wrong(&ops[n]))
			return pindma_refuse(q->pd, "POST: op %u, opcode 0x%x, flags 0x%x, mr 0x%x: %s",
					     n, ops[n].opcode, ops[n].flags,
					     ops[n].mr,
					     pindma_op_wrong(&ops[n]));
	return pindma_refuse(q->pd, "POST: a chain does not end within %u ops, of at most %d",
			     nr, PINDMA_BATCH);
}

/*
 * Post ops of a file, whole chains only. Returns how many, or else the error of
 * the first. The device checks whether the mrs are the file's own. The caller
 * holds post_lock.
 */
int pindma_queue_post(struct pindma_queue *q, struct pindma_ctx *ctx,
		      const struct pindma_op *ops, unsigned int nr)
{
	unsigned int n = 0, room, chain;
	int ret = 0;

	/* Pairs with REAP: what it has made room for is copied out. */
	room = smp_load_acquire(&ctx->reaped) + PINDMA_MAX_OPS - ctx->posted;
	spin_lock_irq(&q->lock);
	room = min(room, q->num_free);
	/* The flush comes after this is set, and takes the lock. */
	if (READ_ONCE(q->pd->state) != PINDMA_UP)
		ret = -EIO;
	else if (q->userq)
		ret = -EBUSY;
	while (n < nr && !ret) {
		chain = pindma_chain(ops + n, nr - n);
		if (!chain)
			ret = -EINVAL;
		else if (n + chain > room)
			ret = -EAGAIN;
		else
			while (chain--)
				pindma_queue_push_op(q, ctx, &ops[n++]);
	}
	if (n)
		pindma_queue_ring(q);
	spin_unlock_irq(&q->lock);
	ctx->posted += n;
	return n ? n : ret;
}

/*
 * Write a mark into the journal. Ops that wait for it are performed meanwhile,
 * by the store. A file's own channel is not for others. Besides, the lock is for
 * 32-bit kernels: two marks must not mix.
 */
int pindma_queue_mark(struct pindma_queue *q, u64 value)
{
	unsigned long flags;
	int ret = 0;

	spin_lock_irqsave(&q->lock, flags);
	if (q->userq)
		ret = -EBUSY;
	else
		pindma_dev_write64(q->pd, PINDMA_DB(q->nr) + PINDMA_DB_MARK,
				   value);
	spin_unlock_irqrestore(&q->lock, flags);
	return ret;
}

/* -------------------------------------------------------- from the device */

/* Hand the result to whoever posted the op. */
static void pindma_queue_finish(struct pindma_queue *q, unsigned int slot,
				u64 result, u64 seq, u16 status)
{
	struct pindma_req *req = &q->reqs[slot];
	struct pindma_ctx *ctx = req->ctx;

	lockdep_assert_held(&q->lock);
	trace_pindma_complete(q, req->tag, status, result);
	if (q->nr == PINDMA_QUEUE_ADMIN) {
		q->pd->admin_status = status;
		complete(&q->pd->admin_done);
	} else if (ctx) {
		spin_lock(&ctx->lock);
		ctx->completions[ctx->completed % PINDMA_MAX_OPS] =
			(struct pindma_completion) {
				.user_data = req->user_data,
				.result = result,
				.seq = seq,
				.tag = req->tag,
				.status = status,
				.channel = q->nr - PINDMA_QUEUE_IO,
			};
		/* Pairs with REAP and poll(): first what it says, then it. */
		smp_store_release(&ctx->completed, ctx->completed + 1);
		if (ctx->eventfd)
			eventfd_signal(ctx->eventfd);
		spin_unlock(&ctx->lock);
		if (wq_has_sleeper(&ctx->wait))
			wake_up_interruptible(&ctx->wait);
	}
	req->tag = 0;
	q->free[q->num_free++] = slot;
}

/* A cqe that belongs to an op, or should. With the lock. */
static void pindma_queue_complete(struct pindma_queue *q,
				  const struct pindma_cqe *cqe)
{
	u64 tag = le64_to_cpu(cqe->tag);
	unsigned int slot = tag % PINDMA_ENTRIES;

	if (slot < PINDMA_MAX_REQS && q->reqs[slot].tag == tag && tag)
		pindma_queue_finish(q, slot, le64_to_cpu(cqe->result),
				    le64_to_cpu(cqe->seq),
				    le16_to_cpu(cqe->status));
	else
		dev_err_ratelimited(&q->pd->pdev->dev,
				    "queue %d: completion of unknown op 0x%llx\n",
				    q->nr, tag);
}

/* Fetch what the device has completed, or asks for, if anything. */
void pindma_queue_scan(struct pindma_queue *q)
{
	u32 head;
	unsigned long flags;
	struct pindma_cqe *cqe;

	spin_lock_irqsave(&q->lock, flags);
	if (q->userq) {
		pindma_userq_interrupt(q->userq);
		spin_unlock_irqrestore(&q->lock, flags);
		return;
	}
	/* What a reset has left in the ring was flushed, or will be. */
	if (READ_ONCE(q->pd->state) != PINDMA_UP) {
		spin_unlock_irqrestore(&q->lock, flags);
		return;
	}
	head = q->cq_head;
	for (;;) {
		cqe = &q->cq[q->cq_head];
		if (le16_to_cpu(READ_ONCE(cqe->phase)) != q->phase)
			break;
		dma_rmb();	/* the phase first, then the rest */
		if (IS_ENABLED(CONFIG_HMM_MIRROR) &&
		    q->nr == PINDMA_QUEUE_ADMIN &&
		    le16_to_cpu(cqe->status) == PINDMA_ST_PAGE_REQUEST)
			pindma_demand_request(q->pd, le64_to_cpu(cqe->tag),
					      le64_to_cpu(cqe->result));
		else
			pindma_queue_complete(q, cqe);
		q->cq_head = (q->cq_head + 1) % PINDMA_ENTRIES;
		if (!q->cq_head)
			q->phase ^= 1;
	}
	/* Under the lock: the room in the ring is given before it is used. */
	if (q->cq_head != head)
		writel(q->cq_head, q->db + PINDMA_DB_CQ_HEAD);
	spin_unlock_irqrestore(&q->lock, flags);
}

/* After a reset: nothing that is on its way will be completed any more. */
void pindma_queue_flush(struct pindma_queue *q)
{
	unsigned long flags;
	unsigned int slot;

	spin_lock_irqsave(&q->lock, flags);
	/* A reset in the middle of its setting up leaves half of that. */
	if (q->userq && pindma_dev_reachable(q->pd))
		pindma_queue_disable(q);
	for (slot = 0; slot < PINDMA_MAX_REQS; slot++)
		if (q->reqs[slot].tag)
			pindma_queue_finish(q, slot, 0, 0, PINDMA_ST_ABORTED);
	spin_unlock_irqrestore(&q->lock, flags);
}

/* The file is going away: forget its completions to come. */
void pindma_queue_disown(struct pindma_queue *q, struct pindma_ctx *ctx)
{
	unsigned int slot;

	spin_lock_irq(&q->lock);
	for (slot = 0; slot < PINDMA_MAX_REQS; slot++)
		if (q->reqs[slot].ctx == ctx)
			q->reqs[slot].ctx = NULL;
	spin_unlock_irq(&q->lock);
}

/* --------------------------------------------------------- admin commands */

/* Its interrupt may be lost: then the ring has the answer. */
static bool pindma_admin_wait(struct pindma_queue *q)
{
	unsigned int tries = PINDMA_ADMIN_TRIES;

	while (tries--) {
		if (wait_for_completion_timeout(&q->pd->admin_done,
						PINDMA_ADMIN_TRY))
			return true;
		pindma_queue_scan(q);
		if (!try_wait_for_completion(&q->pd->admin_done))
			continue;
		dev_warn_ratelimited(&q->pd->pdev->dev,
				     "an admin command was completed without an interrupt\n");
		return true;
	}
	return false;
}

/*
 * Run an admin command. 0 or the device's refusal as an error. If there is no
 * answer in time the device is reset, which does what any command could have
 * done for the safety of memory: -EIO.
 *
 * This needs no gone_sem: remove waits for the command that is on its way, and
 * after it there is none. Memory reclaim may wait for admin_lock, so nothing is
 * allocated with it held.
 */
int pindma_queue_admin(struct pindma_dev *pd, struct pindma_sqe *sqe)
{
	struct pindma_queue *q = &pd->queues[PINDMA_QUEUE_ADMIN];
	u16 status;
	int ret;

	mutex_lock(&pd->admin_lock);
	reinit_completion(&pd->admin_done);
	spin_lock_irq(&q->lock);
	/* The flush comes after this is set, and takes the lock. */
	ret = pindma_dev_status(pd);
	if (!ret) {
		pindma_queue_push(q, NULL, 0, sqe);
		pindma_queue_ring(q);
	}
	spin_unlock_irq(&q->lock);
	if (!ret && !pindma_admin_wait(q)) {
		pindma_dev_fail(pd, "an admin command got no answer");
		/* The flush, or a late interrupt before it, completed it. */
		wait_for_completion(&pd->admin_done);
	}
	status = pd->admin_status;
	mutex_unlock(&pd->admin_lock);
	if (ret)
		return ret;

	switch (status) {
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
