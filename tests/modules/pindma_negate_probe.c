// SPDX-License-Identifier: GPL-2.0-only
/*
 * Take a fix away from a stock kernel by stepping into one of its functions, for
 * as long as a file is open.
 *
 * One command is written to /dev/pindma-negate-probe, and holds for the whole
 * system until the file is closed: a test that dies takes its negation along.
 *
 *	skip-page-cleaning	folio_mkclean() does nothing: writeback does not
 *				write-protect pages, and does not see what is
 *				written to them after that
 *	allow-longterm-file	no mapping needs dirty tracking, so that files can
 *				be pinned for long: Linux before 6.5
 *				(8ac268436e6d, a6e79df92e4a)
 *
 * Errors: EINVAL unknown command, EBUSY another one holds, ENOENT this kernel does
 * not have the function.
 */
#include <linux/fs.h>
#include <linux/kprobes.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/string.h>
#include <linux/uaccess.h>

static DEFINE_MUTEX(lock);	/* of active */
static const struct negation *active;

/* Runs in place of the function: it finds the caller's address on the stack. */
static noinline notrace int nothing_to_clean(void)
{
	return 0;
}

static int skip_function(struct kprobe *p, struct pt_regs *regs)
{
	regs->ip = (unsigned long)nothing_to_clean;
	return 1;
}

/* A probe without it may not change regs->ip (IPMODIFY, kernel/kprobes.c). */
static void after_step(struct kprobe *p, struct pt_regs *regs,
		       unsigned long flags)
{
}

/* page_mkclean() became folio_mkclean() with 5.18. */
static struct kprobe mkclean = {
	.pre_handler = skip_function, .post_handler = after_step,
};

static int start_skip(void)
{
	static const char *const names[] = { "folio_mkclean", "page_mkclean" };
	int i, ret = -ENOENT;

	for (i = 0; i < ARRAY_SIZE(names) && ret == -ENOENT; i++) {
		mkclean.symbol_name = names[i];
		mkclean.addr = NULL;
		mkclean.flags = 0;
		ret = register_kprobe(&mkclean);
	}
	return ret;
}

static void stop_skip(void)
{
	unregister_kprobe(&mkclean);
}

static int return_false(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	regs->ax = 0;
	return 0;
}

static int return_true(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	regs->ax = 1;
	return 0;
}

static struct kretprobe needs_tracking, fast_allowed;

static int start_allow(void)
{
	int ret;

	needs_tracking = (struct kretprobe){
		.kp.symbol_name = "vma_needs_dirty_tracking",
		.handler = return_false, .maxactive = 64,
	};
	fast_allowed = (struct kretprobe){
		.kp.symbol_name = "gup_fast_folio_allowed",
		.handler = return_true, .maxactive = 64,
	};
	ret = register_kretprobe(&needs_tracking);
	if (ret)
		return ret;
	ret = register_kretprobe(&fast_allowed);
	if (ret)
		unregister_kretprobe(&needs_tracking);
	return ret;
}

static void stop_allow(void)
{
	unregister_kretprobe(&fast_allowed);
	unregister_kretprobe(&needs_tracking);
}

static const struct negation {
	const char *name;
	int (*start)(void);
	void (*stop)(void);
} negations[] = {
	{ "skip-page-cleaning", start_skip, stop_skip },
	{ "allow-longterm-file", start_allow, stop_allow },
};

static ssize_t probe_write(struct file *file, const char __user *buf,
			   size_t len, loff_t *pos)
{
	char cmd[32];
	int i, ret;

	if (len >= sizeof(cmd))
		return -EINVAL;
	if (copy_from_user(cmd, buf, len))
		return -EFAULT;
	cmd[len] = '\0';
	for (i = 0; i < ARRAY_SIZE(negations); i++)
		if (sysfs_streq(cmd, negations[i].name))
			break;
	if (i == ARRAY_SIZE(negations))
		return -EINVAL;
	mutex_lock(&lock);
	ret = active ? -EBUSY : negations[i].start();
	if (!ret) {
		active = &negations[i];
		file->private_data = (void *)active;
	}
	mutex_unlock(&lock);
	return ret ?: len;
}

static int probe_open(struct inode *inode, struct file *file)
{
	file->private_data = NULL;	/* misc_open() leaves the miscdevice there */
	return 0;
}

static int probe_release(struct inode *inode, struct file *file)
{
	const struct negation *n = file->private_data;

	if (n) {
		mutex_lock(&lock);
		n->stop();
		active = NULL;
		mutex_unlock(&lock);
	}
	return 0;
}

static const struct file_operations probe_fops = {
	.owner		= THIS_MODULE,
	.open		= probe_open,
	.write		= probe_write,
	.release	= probe_release,
};

static struct miscdevice probe_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "pindma-negate-probe",
	.fops	= &probe_fops,
	.mode	= 0200,
};
module_misc_device(probe_misc);

MODULE_DESCRIPTION("Positive controls for the pindma tests: never load this elsewhere");
MODULE_LICENSE("GPL");
