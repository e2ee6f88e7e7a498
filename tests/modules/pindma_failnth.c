// SPDX-License-Identifier: GPL-2.0-only
/*
 * Have the nth allocation of a task, or copy from or to the user, fail: what
 * /proc/PID/fail-nth of a kernel with CONFIG_FAULT_INJECTION does, for stock
 * kernels, by stepping into the functions for as long as a file is open.
 *
 * A number is written to /dev/pindma-failnth: so many calls from now on the writer
 * has one that fails. 0: none. A read tells how many are left: 0 means that it has
 * come. One file can be open at a time (EBUSY). ENOENT: this kernel does not have
 * the functions.
 */
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

static atomic_t busy = ATOMIC_INIT(0);
static struct task_struct *victim;
static unsigned int left;

/* They run in place of a function, and return to its caller. */
static noinline notrace void *no_memory(void)
{
	return NULL;
}

static noinline notrace unsigned long nothing_copied(void *to, const void *from,
						     unsigned long n)
{
	return n;
}

/* Is it this call that fails? */
static bool failnth_now(void)
{
	return READ_ONCE(victim) == current && in_task() && left && !--left;
}

static int fail_allocation(struct pt_regs *regs, gfp_t gfp)
{
	if (gfp & __GFP_NOFAIL || !failnth_now())
		return 0;
	regs->ip = (unsigned long)no_memory;
	return 1;
}

/* The flags are the first, second or third argument. */
static int fail_gfp0(struct kprobe *p, struct pt_regs *regs)
{
	return fail_allocation(regs, (__force gfp_t)regs->di);
}

static int fail_gfp1(struct kprobe *p, struct pt_regs *regs)
{
	return fail_allocation(regs, (__force gfp_t)regs->si);
}

static int fail_gfp2(struct kprobe *p, struct pt_regs *regs)
{
	return fail_allocation(regs, (__force gfp_t)regs->dx);
}

static int fail_copy(struct kprobe *p, struct pt_regs *regs)
{
	if (!failnth_now())
		return 0;
	regs->ip = (unsigned long)nothing_copied;
	return 1;
}

/* A probe without it may not change regs->ip (IPMODIFY, kernel/kprobes.c). */
static void after_step(struct kprobe *p, struct pt_regs *regs,
		       unsigned long flags)
{
}

/* 6.11: mm/slab.h, DECL_BUCKET_PARAMS */
#ifdef CONFIG_SLAB_BUCKETS
#define fail_gfp_node fail_gfp2
#else
#define fail_gfp_node fail_gfp1
#endif

#define PROBE(name, handler) \
	{ .symbol_name = name, .pre_handler = handler, .post_handler = after_step }

/* _noprof: since 6.10 */
static struct kprobe probes[] = {
	PROBE("__kmalloc", fail_gfp1),
	PROBE("__kmalloc_noprof", fail_gfp1),
	PROBE("kmalloc_trace", fail_gfp1),
	PROBE("__kmalloc_cache_noprof", fail_gfp1),
	PROBE("kvmalloc_node", fail_gfp1),
	PROBE("__kvmalloc_node_noprof", fail_gfp_node),
	PROBE("kmem_cache_alloc", fail_gfp1),
	PROBE("kmem_cache_alloc_noprof", fail_gfp1),
	PROBE("kmem_cache_alloc_lru", fail_gfp2),
	PROBE("kmem_cache_alloc_lru_noprof", fail_gfp2),
	PROBE("__alloc_pages", fail_gfp0),
	PROBE("__alloc_pages_noprof", fail_gfp0),
	PROBE("_copy_from_user", fail_copy),
	PROBE("_copy_to_user", fail_copy),
};

static bool registered[ARRAY_SIZE(probes)];

static void failnth_stop(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++)
		if (registered[i])
			unregister_kprobe(&probes[i]);
	victim = NULL;
}

/* Those that this kernel has */
static int failnth_start(void)
{
	int i, nr = 0;

	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		probes[i].addr = NULL;
		probes[i].flags = 0;
		registered[i] = !register_kprobe(&probes[i]);
		nr += registered[i];
	}
	return nr ? 0 : -ENOENT;
}

static int failnth_open(struct inode *inode, struct file *file)
{
	int ret;

	if (atomic_cmpxchg(&busy, 0, 1))
		return -EBUSY;
	ret = failnth_start();
	if (ret)
		atomic_set(&busy, 0);
	return ret;
}

static int failnth_release(struct inode *inode, struct file *file)
{
	failnth_stop();
	atomic_set(&busy, 0);
	return 0;
}

static ssize_t failnth_write(struct file *file, const char __user *buf,
			     size_t len, loff_t *pos)
{
	unsigned int nth;
	int ret = kstrtouint_from_user(buf, len, 0, &nth);

	if (ret)
		return ret;
	left = nth;
	WRITE_ONCE(victim, current);
	return len;
}

static ssize_t failnth_read(struct file *file, char __user *buf, size_t len,
			    loff_t *pos)
{
	char text[16];

	return simple_read_from_buffer(buf, len, pos, text,
				       scnprintf(text, sizeof(text), "%u\n",
						 left));
}

static const struct file_operations failnth_fops = {
	.owner		= THIS_MODULE,
	.open		= failnth_open,
	.read		= failnth_read,
	.write		= failnth_write,
	.release	= failnth_release,
};

static struct miscdevice failnth_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "pindma-failnth",
	.fops	= &failnth_fops,
	.mode	= 0600,
};
module_misc_device(failnth_misc);

MODULE_DESCRIPTION("Failures on request for the pindma tests: never load this elsewhere");
MODULE_LICENSE("GPL");
