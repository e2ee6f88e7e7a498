// SPDX-License-Identifier: GPL-2.0-only
/*
 * The character device: <linux/pindma.h> says what its ioctls promise. Each
 * argument is copied once, then checked, then used.
 */
#include <linux/capability.h>
#include <linux/dma-buf.h>
#include <linux/eventfd.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "pindma_drv.h"

#define PINDMA_PAGES_BATCH	16	/* of PINDMA_IOC_PAGES, on the stack */

/*
 * Say which value of a system call is wrong: EINVAL alone leaves whoever writes a
 * program guessing. Users are not trusted: the log must not grow with what they do.
 */
int pindma_refuse(struct pindma_dev *pd, const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	if (!__ratelimit(&pd->refusals))
		return -EINVAL;
	va_start(args, fmt);
	vaf.va = &args;
	/* Not dev_info(): there is a file for longer than a device. */
	pr_info("%s: %s[%d]: %pV\n", pd->misc.name, current->comm,
		task_pid_nr(current), &vaf);
	va_end(args);
	return -EINVAL;
}

/* From here to pindma_leave() the device does not go, and no user memory is touched. */
static int pindma_enter(struct pindma_ctx *ctx)
{
	int ret;

	down_read(&ctx->pd->gone_sem);
	ret = pindma_dev_status(ctx->pd);
	if (ret)
		up_read(&ctx->pd->gone_sem);
	return ret;
}

static void pindma_leave(struct pindma_ctx *ctx)
{
	up_read(&ctx->pd->gone_sem);
}

static int pindma_ioctl_info(struct pindma_ctx *ctx, void *arg)
{
	struct pindma_info *info = arg;
	struct pindma_dev *pd = ctx->pd;

	*info = (struct pindma_info) {
		.size		 = info->size,
		.uapi_version	 = PINDMA_UAPI_VERSION,
		.device_version	 = pd->version,
		.device_caps	 = pd->caps,
		.max_mrs	 = pd->max_mrs,
		.max_pages	 = pd->max_pages,
		.max_ops	 = PINDMA_MAX_OPS,
		.max_chain	 = PINDMA_BATCH,
		.num_channels	 = PINDMA_CHANNELS,
		.journal_entries = pd->journal_entries,
		.dma_bits	 = pd->dma_bits,
		.irq_mode	 = pd->irq_mode,
		.fault		 = readl(pd->regs + PINDMA_REG_FAULT),
		.fault_hits	 = pindma_dev_read64(pd, PINDMA_REG_FAULT_HITS),
		.time		 = pindma_dev_read64(pd, PINDMA_REG_TIME),
		.journal_lost	 = pindma_dev_read64(pd,
						     PINDMA_REG_JOURNAL_LOST),
		.stale		 = pindma_dev_read64(pd, PINDMA_REG_STALE),
	};
	if (capable(CAP_SYS_ADMIN))
		info->stale_addr = pindma_dev_read64(pd, PINDMA_REG_STALE_ADDR);
	return 0;
}

static int pindma_ctx_add_mr(struct pindma_ctx *ctx, struct pindma_mr *mr,
			     u32 *name)
{
	int ret;

	if (IS_ERR(mr))
		return PTR_ERR(mr);
	/* Once it is in the table another thread may free it. */
	*name = mr->key;
	ret = xa_insert(&ctx->mrs, *name, mr, GFP_KERNEL);
	if (ret)
		pindma_mr_destroy(mr);
	return ret;
}

static int pindma_ioctl_reg_mr(struct pindma_ctx *ctx, void *arg)
{
	struct pindma_reg_mr *reg = arg;
	struct pindma_mr *mr;
	int ret = pindma_dev_status(ctx->pd);

	if (ret)
		return ret;
	mr = pindma_mr_create(ctx->pd, ctx->domain, reg);
	if (IS_ERR(mr))
		return PTR_ERR(mr);
	ret = pindma_enter(ctx);
	if (ret) {
		pindma_mr_free(mr);
		return ret;
	}
	ret = pindma_mr_enter(mr);
	if (!ret)
		ret = pindma_ctx_add_mr(ctx, mr, &reg->mr);
	pindma_leave(ctx);
	return ret;
}

static int pindma_ioctl_import_dmabuf(struct pindma_ctx *ctx, void *arg)
{
	struct pindma_import_dmabuf *import = arg;

	if (!IS_ENABLED(CONFIG_DMA_SHARED_BUFFER))
		return -EOPNOTSUPP;
	return pindma_ctx_add_mr(ctx, pindma_dmabuf_import(ctx->pd, ctx->domain,
							   import),
				 &import->mr);
}

static int pindma_ioctl_export_dmabuf(struct pindma_ctx *ctx, void *arg)
{
	struct pindma_export_dmabuf *export = arg;
	struct dma_buf *buf = ERR_PTR(-ENOENT);
	struct pindma_mr *mr;

	if (!IS_ENABLED(CONFIG_DMA_SHARED_BUFFER))
		return -EOPNOTSUPP;
	if (export->flags || export->fd)
		return pindma_refuse(ctx->pd, "EXPORT_DMABUF: flags 0x%x and fd %d must be 0",
				     export->flags, export->fd);
	mutex_lock(&ctx->mr_lock);
	mr = xa_load(&ctx->mrs, export->mr);
	if (mr)
		buf = pindma_export(mr);
	mutex_unlock(&ctx->mr_lock);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	export->fd = dma_buf_fd(buf, O_CLOEXEC);
	if (export->fd < 0) {
		dma_buf_put(buf);
		return export->fd;
	}
	return 0;
}

static int pindma_ioctl_dereg_mr(struct pindma_ctx *ctx, void *arg)
{
	struct pindma_dereg_mr *dereg = arg;
	struct pindma_mr *mr;

	mutex_lock(&ctx->mr_lock);
	mr = xa_erase(&ctx->mrs, dereg->mr);
	mutex_unlock(&ctx->mr_lock);
	if (!mr)
		return -ENOENT;
	pindma_mr_destroy(mr);
	return 0;
}

/* NULL: there is no such channel. */
static struct pindma_queue *pindma_channel(struct pindma_ctx *ctx, u32 channel)
{
	if (channel >= PINDMA_CHANNELS)
		return NULL;
	channel = array_index_nospec(channel, PINDMA_CHANNELS);
	return &ctx->pd->queues[PINDMA_QUEUE_IO + channel];
}

static int pindma_ioctl_post(struct pindma_ctx *ctx, void *arg)
{
	struct pindma_post *post = arg;
	struct pindma_queue *q = pindma_channel(ctx, post->channel);
	struct pindma_op __user *ops = u64_to_user_ptr(post->ops);
	u32 nr, n = 0;
	int ret = 0;

	if (!q || post->reserved)
		return pindma_refuse(ctx->pd, "POST: channel %u of %d, reserved 0x%x",
				     post->channel, PINDMA_CHANNELS,
				     post->reserved);
	mutex_lock(&ctx->post_lock);
	do {
		nr = min_t(u32, post->nr - n, PINDMA_BATCH);
		ret = -EFAULT;
		if (copy_from_user(ctx->ops, &ops[n], nr * sizeof(*ops)))
			break;
		ret = pindma_enter(ctx);
		if (ret)
			break;
		/* A chain that does not end in this batch begins the next. */
		ret = pindma_queue_post(q, ctx, ctx->ops, nr);
		pindma_leave(ctx);
		if (ret == -EINVAL && !n)
			pindma_queue_refuse(q, ctx->ops, nr);
		if (ret <= 0)
			break;
		n += ret;
	} while (n < post->nr);
	mutex_unlock(&ctx->post_lock);
	post->nr = n;
	return n ? 0 : ret;
}

/* Copy out what stands in the ring of completions, without a turn of it. */
static int pindma_reap_some(struct pindma_ctx *ctx,
			    struct pindma_completion __user *to, u32 nr)
{
	u32 first = ctx->reaped % PINDMA_MAX_OPS, n;
	size_t left;

	/* Pairs with pindma_queue_finish(). */
	n = smp_load_acquire(&ctx->completed) - ctx->reaped;
	n = min3(n, nr, PINDMA_MAX_OPS - first);
	if (!n)
		return 0;
	left = copy_to_user(to, &ctx->completions[first], n * sizeof(*to));
	/* What did not get there entirely stays here. */
	n -= DIV_ROUND_UP(left, sizeof(*to));
	/* Pairs with pindma_queue_post(): they may be overwritten now. */
	smp_store_release(&ctx->reaped, ctx->reaped + n);
	return n ?: -EFAULT;
}

static int pindma_ioctl_reap(struct pindma_ctx *ctx, void *arg)
{
	struct pindma_reap *reap = arg;
	struct pindma_completion __user *to = u64_to_user_ptr(reap->completions);
	u32 n = 0;
	int ret;

	mutex_lock(&ctx->reap_lock);
	do {
		ret = pindma_reap_some(ctx, to + n, reap->nr - n);
		if (ret > 0)
			n += ret;
	} while (ret > 0);
	mutex_unlock(&ctx->reap_lock);
	reap->nr = n;
	if (n)
		return 0;
	/* What there is can still be had from a device that is dead: no enter. */
	return ret ?: pindma_dev_status(ctx->pd);
}

static int pindma_ioctl_eventfd(struct pindma_ctx *ctx, void *arg)
{
	struct pindma_eventfd *efd = arg;
	struct eventfd_ctx *new = NULL;

	if (efd->fd < -1)
		return -EBADF;
	if (efd->fd != -1) {
		new = eventfd_ctx_fdget(efd->fd);
		if (new == ERR_PTR(-EINVAL))
			return pindma_refuse(ctx->pd, "EVENTFD: fd %d is not an eventfd",
					     efd->fd);
		if (IS_ERR(new))
			return PTR_ERR(new);
	}
	spin_lock_irq(&ctx->lock);
	swap(ctx->eventfd, new);
	spin_unlock_irq(&ctx->lock);
	if (new)
		eventfd_ctx_put(new);
	return 0;
}

/* Facts about nr pages from first on; returns how many there are. */
static int pindma_get_pages(struct pindma_ctx *ctx, u32 key, u32 first, u32 nr,
			    struct pindma_page *info)
{
	struct pindma_mr *mr;
	int ret, n = 0;

	ret = pindma_enter(ctx);
	if (ret)
		return ret;
	mutex_lock(&ctx->mr_lock);
	mr = xa_load(&ctx->mrs, key);
	if (!mr)
		ret = -ENOENT;
	else if (!mr->ops->page_info)
		ret = -EOPNOTSUPP;
	else
		for (; n < nr && (u64)first + n < mr->npages; n++)
			mr->ops->page_info(mr, first + n, &info[n]);
	mutex_unlock(&ctx->mr_lock);
	pindma_leave(ctx);
	return ret ?: n;
}

static int pindma_ioctl_pages(struct pindma_ctx *ctx, void *arg)
{
	struct pindma_pages *pages = arg;
	struct pindma_page __user *to = u64_to_user_ptr(pages->pages);
	struct pindma_page info[PINDMA_PAGES_BATCH];
	u32 n = 0, nr;
	int ret;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	do {
		if (fatal_signal_pending(current))
			return -EINTR;
		memset(info, 0, sizeof(info));
		nr = min_t(u32, pages->nr - n, PINDMA_PAGES_BATCH);
		ret = pindma_get_pages(ctx, pages->mr, pages->first + n, nr,
				       info);
		if (ret < 0)
			return ret;
		if (!n && !ret && nr)
			return pindma_refuse(ctx->pd, "PAGES: first %u is beyond the pages of mr 0x%x",
					     pages->first, pages->mr);
		if (copy_to_user(&to[n], info, ret * sizeof(*info)))
			return -EFAULT;
		n += ret;
		cond_resched();
	} while (ret == PINDMA_PAGES_BATCH && n < pages->nr);
	pages->nr = n;
	return 0;
}

/* Copy an entry that the device may be overwriting. False: it is gone. */
static bool pindma_journal_get(struct pindma_dev *pd, u64 seq,
			       struct pindma_journal_entry *entry)
{
	void __iomem *from = pd->journal +
			     (seq % pd->journal_entries) * sizeof(*entry);
	__le64 again;

	memcpy_fromio(entry, from, sizeof(*entry));
	rmb();	/* seq again, after all the rest */
	memcpy_fromio(&again, from, sizeof(again));
	return le64_to_cpu(entry->seq) == seq && le64_to_cpu(again) == seq;
}

static int pindma_ioctl_journal(struct pindma_ctx *ctx, void *arg)
{
	struct pindma_journal *j = arg;
	struct pindma_journal_entry __user *to = u64_to_user_ptr(j->entries);
	struct pindma_journal_entry entry;
	struct pindma_dev *pd = ctx->pd;
	u64 seq, oldest = 1;
	u32 n = 0;
	bool got;
	int ret;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	ret = pindma_enter(ctx);
	if (ret)
		return ret;
	j->newest = pindma_dev_read64(pd, PINDMA_REG_JOURNAL_SEQ);
	pindma_leave(ctx);
	if (j->newest > pd->journal_entries)
		oldest = j->newest - pd->journal_entries + 1;
	seq = max(j->first, oldest);
	j->first = seq;
	for (; n < j->nr && seq <= j->newest; seq++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = pindma_enter(ctx);
		if (ret)
			return ret;
		got = pindma_journal_get(pd, seq, &entry);
		pindma_leave(ctx);
		if (!got) {
			/* Overwritten meanwhile, and so is all before it. */
			n = 0;
			j->first = seq + 1;
			continue;
		}
		if (copy_to_user(&to[n], &entry, sizeof(entry)))
			return -EFAULT;
		n++;
		cond_resched();
	}
	j->nr = n;
	return 0;
}

static int pindma_ioctl_mark(struct pindma_ctx *ctx, void *arg)
{
	struct pindma_mark *mark = arg;
	struct pindma_queue *q = pindma_channel(ctx, mark->channel);

	if (!q || mark->value >= PINDMA_MARK_UNPIN)
		return pindma_refuse(ctx->pd, "MARK: channel %u of %d, value 0x%llx",
				     mark->channel, PINDMA_CHANNELS,
				     mark->value);
	return pindma_queue_mark(q, mark->value);
}

static int pindma_ioctl_fault(struct pindma_ctx *ctx, void *arg)
{
	struct pindma_fault *fault = arg;
	struct pindma_dev *pd = ctx->pd;

	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	if (fault->kind >= PINDMA_NUM_FAULTS || fault->reserved ||
	    fault->queues >> PINDMA_NUM_QUEUES ||
	    (fault->kind != PINDMA_FAULT_NONE && !fault->queues))
		return pindma_refuse(ctx->pd, "FAULT: kind %u of %d, queues 0x%x of %d, reserved 0x%x",
				     fault->kind, PINDMA_NUM_FAULTS,
				     fault->queues, PINDMA_NUM_QUEUES,
				     fault->reserved);
	mutex_lock(&pd->fault_lock);
	writel(fault->queues, pd->regs + PINDMA_REG_FAULT_QUEUES);
	writel(fault->skip, pd->regs + PINDMA_REG_FAULT_SKIP);
	writel(fault->count, pd->regs + PINDMA_REG_FAULT_COUNT);
	pindma_dev_write64(pd, PINDMA_REG_FAULT_ARG, fault->arg);
	pindma_dev_write64(pd, PINDMA_REG_FAULT_DELAY, fault->delay);
	writel(fault->kind, pd->regs + PINDMA_REG_FAULT);	/* arms it */
	mutex_unlock(&pd->fault_lock);
	return 0;
}

static int pindma_ioctl_create_queue(struct pindma_ctx *ctx, void *arg)
{
	return pindma_userq_create(ctx, arg);
}

static int pindma_ioctl_destroy_queue(struct pindma_ctx *ctx, void *arg)
{
	struct pindma_destroy_queue *destroy = arg;

	return pindma_userq_destroy(ctx, destroy->channel);
}

static const struct pindma_ioctl {
	unsigned int cmd;
	int (*fn)(struct pindma_ctx *ctx, void *arg);
	bool enters;	/* by itself, as it touches memory of the user */
} pindma_ioctls[] = {
	/* In the order of their numbers */
	{ PINDMA_IOC_INFO, pindma_ioctl_info },
	{ PINDMA_IOC_REG_MR, pindma_ioctl_reg_mr, true },
	{ PINDMA_IOC_DEREG_MR, pindma_ioctl_dereg_mr },
	{ PINDMA_IOC_POST, pindma_ioctl_post, true },
	{ PINDMA_IOC_REAP, pindma_ioctl_reap, true },
	{ PINDMA_IOC_EVENTFD, pindma_ioctl_eventfd },
	{ PINDMA_IOC_PAGES, pindma_ioctl_pages, true },
	{ PINDMA_IOC_JOURNAL, pindma_ioctl_journal, true },
	{ PINDMA_IOC_MARK, pindma_ioctl_mark },
	{ PINDMA_IOC_FAULT, pindma_ioctl_fault },
	{ PINDMA_IOC_CREATE_QUEUE, pindma_ioctl_create_queue },
	{ PINDMA_IOC_DESTROY_QUEUE, pindma_ioctl_destroy_queue },
	{ PINDMA_IOC_IMPORT_DMABUF, pindma_ioctl_import_dmabuf },
	{ PINDMA_IOC_EXPORT_DMABUF, pindma_ioctl_export_dmabuf },
};

union pindma_arg {
	u32 size;
	struct pindma_info info;
	struct pindma_reg_mr reg_mr;
	struct pindma_dereg_mr dereg_mr;
	struct pindma_post post;
	struct pindma_reap reap;
	struct pindma_eventfd eventfd;
	struct pindma_pages pages;
	struct pindma_journal journal;
	struct pindma_mark mark;
	struct pindma_fault fault;
	struct pindma_create_queue create_queue;
	struct pindma_destroy_queue destroy_queue;
	struct pindma_import_dmabuf import_dmabuf;
	struct pindma_export_dmabuf export_dmabuf;
};

static long pindma_ioctl(struct file *file, unsigned int cmd,
			 unsigned long uarg)
{
	struct pindma_ctx *ctx = file->private_data;
	void __user *user = (void __user *)uarg;
	const struct pindma_ioctl *ioctl;
	union pindma_arg arg;
	u32 size, known;
	int ret;

	/* The number counts, not the size in it: structures may grow. */
	if (_IOC_TYPE(cmd) != PINDMA_IOC_TYPE ||
	    _IOC_NR(cmd) >= ARRAY_SIZE(pindma_ioctls))
		return -ENOTTY;
	ioctl = &pindma_ioctls[array_index_nospec(_IOC_NR(cmd),
						  ARRAY_SIZE(pindma_ioctls))];
	if (_IOC_DIR(cmd) != _IOC_DIR(ioctl->cmd))
		return -ENOTTY;
	known = _IOC_SIZE(ioctl->cmd);
	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	if (size < known || size > PAGE_SIZE)
		return pindma_refuse(ctx->pd, "ioctl 0x%x: size %u is not %u to %lu",
				     cmd, size, known, PAGE_SIZE);
	/* A newer user's structure is fine while its new fields are 0. */
	ret = copy_struct_from_user(&arg, known, user, size);
	if (ret == -E2BIG)
		return pindma_refuse(ctx->pd, "ioctl 0x%x: of %u bytes those behind %u must be 0",
				     cmd, size, known);
	if (ret)
		return ret;
	arg.size = size;
	/* Nothing is done of which the caller could not be told. */
	if (_IOC_DIR(cmd) & _IOC_READ && copy_to_user(user, &arg, known))
		return -EFAULT;

	if (!ioctl->enters) {
		ret = pindma_enter(ctx);
		if (ret)
			return ret;
	}
	ret = ioctl->fn(ctx, &arg);
	if (!ioctl->enters)
		pindma_leave(ctx);
	if (!ret && _IOC_DIR(cmd) & _IOC_READ && copy_to_user(user, &arg, known))
		ret = -EFAULT;
	return ret;
}

static __poll_t pindma_poll(struct file *file, poll_table *wait)
{
	struct pindma_ctx *ctx = file->private_data;
	__poll_t events = 0;

	poll_wait(file, &ctx->wait, wait);
	poll_wait(file, &ctx->pd->dead_wait, wait);
	smp_mb();	/* pairs with wq_has_sleeper() */
	if (smp_load_acquire(&ctx->completed) != READ_ONCE(ctx->reaped) ||
	    pindma_userq_readable(ctx))
		events |= EPOLLIN | EPOLLRDNORM;
	if (pindma_dev_status(ctx->pd))
		events |= EPOLLERR | EPOLLHUP;
	if (pindma_userq_is_cut_off(ctx))
		events |= EPOLLERR;
	return events;
}

static int pindma_open(struct inode *inode, struct file *file)
{
	/* misc_open() has put it there, and the device cannot go meanwhile. */
	struct pindma_dev *pd = container_of(file->private_data,
					     struct pindma_dev, misc);
	struct pindma_ctx *ctx = kvzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!ctx)
		return -ENOMEM;
	ctx->pd = pd;
	xa_init(&ctx->mrs);
	mutex_init(&ctx->mr_lock);
	mutex_init(&ctx->post_lock);
	mutex_init(&ctx->reap_lock);
	spin_lock_init(&ctx->lock);
	init_waitqueue_head(&ctx->wait);
	/*
	 * The next number after the last one that is not in use: ops of a file
	 * that was just closed may still be on their way.
	 */
	ret = xa_alloc_cyclic(&pd->ctxs, &ctx->domain, ctx,
			      XA_LIMIT(1, U32_MAX), &pd->next_domain,
			      GFP_KERNEL);
	if (ret < 0) {
		kvfree(ctx);
		return ret;
	}
	kref_get(&pd->ref);
	ctx->mapping = file->f_mapping;
	file->private_data = ctx;
	return 0;
}

static int pindma_mmap(struct file *file, struct vm_area_struct *vma)
{
	return pindma_userq_mmap(file->private_data, vma);
}

void pindma_ctx_release_mrs(struct pindma_ctx *ctx)
{
	struct pindma_mr *mr;
	unsigned long key;

	mutex_lock(&ctx->mr_lock);
	xa_for_each(&ctx->mrs, key, mr) {
		xa_erase(&ctx->mrs, key);
		pindma_mr_destroy(mr);
	}
	mutex_unlock(&ctx->mr_lock);
}

/* The last user of the file is gone, by close(), exec(), exit() or a kill. */
static int pindma_release(struct inode *inode, struct file *file)
{
	struct pindma_ctx *ctx = file->private_data;
	struct pindma_dev *pd = ctx->pd;
	int nr;

	/* Not at the same time as remove, which does the same for all files. */
	down_read(&pd->gone_sem);
	pindma_userq_release(ctx);
	pindma_ctx_release_mrs(ctx);
	for (nr = PINDMA_QUEUE_IO; nr < PINDMA_NUM_QUEUES; nr++)
		pindma_queue_disown(&pd->queues[nr], ctx);
	up_read(&pd->gone_sem);
	mutex_lock(&pd->ctx_lock);
	xa_erase(&pd->ctxs, ctx->domain);
	mutex_unlock(&pd->ctx_lock);
	if (ctx->eventfd)
		eventfd_ctx_put(ctx->eventfd);
	xa_destroy(&ctx->mrs);
	kvfree(ctx);
	pindma_dev_put(pd);
	return 0;
}

const struct file_operations pindma_fops = {
	.owner		= THIS_MODULE,
	.open		= pindma_open,
	.release	= pindma_release,
	.unlocked_ioctl	= pindma_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.poll		= pindma_poll,
	.mmap		= pindma_mmap,
};
