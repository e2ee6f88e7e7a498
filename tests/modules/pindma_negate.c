// SPDX-License-Identifier: GPL-2.0-only
/*
 * Take a fix away from a stock kernel, for a moment and for one process.
 *
 * A test that says "the data is there" proves something only if it says "the
 * data is lost" when the fix is gone. Commands are written to
 * /dev/pindma-negate, one per write(), and act on the writer:
 *
 *	clear-has-pinned	forget that this mm ever pinned a page, so that
 *				fork() does not copy pinned pages early. This is
 *				Linux before 5.9 (008cfe4418b3, 70e806e4e645).
 *				The next pin sets it again.
 *	warn			WARN(): a test of the test rig
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/coredump.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/version.h>

static int negate_clear_has_pinned(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
	mm_flags_clear(MMF_HAS_PINNED, current->mm);
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(5, 14, 0)
	clear_bit(MMF_HAS_PINNED, &current->mm->flags);
#else
	atomic_set(&current->mm->has_pinned, 0);
#endif
	return 0;
}

static int negate_warn(void)
{
	WARN(1, "pindma_negate: asked for by a test\n");
	return 0;
}

static const struct {
	const char *name;
	int (*fn)(void);
} negate_commands[] = {
	{ "clear-has-pinned", negate_clear_has_pinned },
	{ "warn", negate_warn },
};

static ssize_t negate_write(struct file *file, const char __user *buf,
			    size_t len, loff_t *pos)
{
	char cmd[32];
	int i, ret;

	if (len >= sizeof(cmd))
		return -EINVAL;
	if (copy_from_user(cmd, buf, len))
		return -EFAULT;
	cmd[len] = '\0';
	for (i = 0; i < ARRAY_SIZE(negate_commands); i++) {
		if (sysfs_streq(cmd, negate_commands[i].name)) {
			ret = negate_commands[i].fn();
			return ret ?: len;
		}
	}
	return -EINVAL;
}

static const struct file_operations negate_fops = {
	.owner	= THIS_MODULE,
	.write	= negate_write,
};

static struct miscdevice negate_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "pindma-negate",
	.fops	= &negate_fops,
	.mode	= 0200,
};
module_misc_device(negate_misc);

MODULE_DESCRIPTION("Positive controls for the pindma tests: never load this elsewhere");
MODULE_LICENSE("GPL");
