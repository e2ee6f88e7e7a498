// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own tests, with the device as the one who reads.
 *
 * tools/testing/selftests/mm/cow.c and gup_longterm.c pin memory through
 * /sys/kernel/debug/gup_test, which mm/gup_test.c offers where CONFIG_GUP_TEST is
 * set, and no stock kernel has that. This module offers the three ioctls that
 * they use:
 *
 *	PIN_LONGTERM_TEST_START	pin a range: the driver registers it as an mr,
 *				which the device may write to if the caller asks
 *				for FOLL_WRITE. EINVAL: this file has one already;
 *				addr or size is not a multiple of the page size, or
 *				size is 0; an unknown flag.
 *	PIN_LONGTERM_TEST_READ	what is in the pinned pages goes to the caller's
 *				buffer: by a COPY of the device, from mr to mr. No
 *				CPU looks at the pages. EINVAL: nothing is pinned.
 *	PIN_LONGTERM_TEST_STOP	unpin it, if there is something. close() does, too.
 *
 * Besides there are the errors of PINDMA_IOC_REG_MR and, from READ, EIO: the device
 * could not copy. A range belongs to the open file, not, as there, to the whole
 * system. Its other ioctls, all benchmarks and dumps, are not here: EINVAL.
 *
 * It is a user of /dev/pindma0 as every process is, and the driver knows nothing of
 * it. As the driver looks for arguments in its caller's memory, a page of that is
 * borrowed for the time of a call.
 *
 * To see that the tests can fail: hold the pages by PINDMA_PIN_GET, as
 * tests/mutants/get-for-gup-test.patch does, or leave out the COPY.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pindma.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#define DEVICE	"/dev/pindma0"

/* From mm/gup_test.h, which no package of headers has */
struct pin_longterm_test {
	__u64 addr;
	__u64 size;
	__u32 flags;
};

#define PIN_LONGTERM_TEST_START	_IOW('g', 7, struct pin_longterm_test)
#define PIN_LONGTERM_TEST_STOP	_IO('g', 8)
#define PIN_LONGTERM_TEST_READ	_IOW('g', 9, __u64)

#define PIN_LONGTERM_TEST_FLAG_USE_WRITE	1
#define PIN_LONGTERM_TEST_FLAG_USE_FAST		2

/* An open file */
struct gup_test {
	struct mutex lock;	/* all below */
	struct file *dev;	/* owns the mr; NULL: nothing is pinned */
	u32 mr;
	u64 size;
};

/* What is borrowed of the caller's memory */
struct scratch {
	union {
		struct pindma_reg_mr reg;
		struct pindma_dereg_mr dereg;
		struct pindma_post post;
		struct pindma_reap reap;
	} arg;
	struct pindma_op op;
	struct pindma_completion completion;
};

/* Shared, as it then stays a vma of its own beside those that are tested. */
static struct scratch __user *scratch_map(void)
{
	return (struct scratch __user *)
		vm_mmap(NULL, 0, sizeof(struct scratch), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, 0);
}

static void scratch_unmap(struct scratch __user *scratch)
{
	vm_munmap((unsigned long)scratch, sizeof(*scratch));
}

/* An ioctl of the driver; arg is what its number says, in and out. */
static long dev_ioctl(struct file *dev, unsigned int cmd, void *arg,
		      struct scratch __user *scratch)
{
	long ret;

	if (copy_to_user(&scratch->arg, arg, _IOC_SIZE(cmd)))
		return -EFAULT;
	ret = dev->f_op->unlocked_ioctl(dev, cmd, (unsigned long)&scratch->arg);
	if (!ret && copy_from_user(arg, &scratch->arg, _IOC_SIZE(cmd)))
		return -EFAULT;
	return ret;
}

/* With the file its mr goes, before the caller is back in user space. */
static void gup_test_stop(struct gup_test *gt)
{
	if (gt->dev)
		filp_close(gt->dev, NULL);
	gt->dev = NULL;
}

static long gup_test_start(struct gup_test *gt,
			   const struct pin_longterm_test __user *user)
{
	struct pindma_reg_mr reg = {
		.size	  = sizeof(reg),
		.pin_mode = PINDMA_PIN_LONGTERM,
	};
	struct scratch __user *scratch;
	struct pin_longterm_test args;
	struct file *dev;
	long ret;

	if (gt->dev)
		return -EINVAL;
	if (copy_from_user(&args, user, sizeof(args)))
		return -EFAULT;
	if (args.flags & ~(PIN_LONGTERM_TEST_FLAG_USE_WRITE |
			   PIN_LONGTERM_TEST_FLAG_USE_FAST) ||
	    !IS_ALIGNED(args.addr | args.size, PAGE_SIZE) || !args.size)
		return -EINVAL;
	reg.addr = args.addr;
	reg.len = args.size;
	if (!(args.flags & PIN_LONGTERM_TEST_FLAG_USE_WRITE))
		reg.flags |= PINDMA_MR_READONLY;
	if (args.flags & PIN_LONGTERM_TEST_FLAG_USE_FAST)
		reg.flags |= PINDMA_MR_FAST;

	dev = filp_open(DEVICE, O_RDWR, 0);
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	scratch = scratch_map();
	ret = PTR_ERR_OR_ZERO(scratch);
	if (ret)
		goto err_close;
	ret = dev->f_op->unlocked_ioctl ?
	      dev_ioctl(dev, PINDMA_IOC_REG_MR, &reg, scratch) : -ENOTTY;
	scratch_unmap(scratch);
	if (ret)
		goto err_close;
	gt->dev = dev;
	gt->mr = reg.mr;
	gt->size = args.size;
	return 0;

err_close:
	filp_close(dev, NULL);
	return ret;
}

/* The device copies what is pinned to another mr. */
static long gup_test_copy(struct gup_test *gt, u32 to,
			  struct scratch __user *scratch)
{
	struct pindma_op op = {
		.opcode	= PINDMA_OP_COPY,
		.mr	= to,
		.len	= gt->size,
		.src_mr	= gt->mr,
	};
	struct pindma_post post = {
		.size	= sizeof(post),
		.nr	= 1,
		.ops	= (uintptr_t)&scratch->op,
	};
	struct pindma_reap reap = {
		.size	= sizeof(reap),
		.completions = (uintptr_t)&scratch->completion,
	};
	u32 status;
	long ret;

	if (copy_to_user(&scratch->op, &op, sizeof(op)))
		return -EFAULT;
	ret = dev_ioctl(gt->dev, PINDMA_IOC_POST, &post, scratch);
	while (!ret) {
		reap.nr = 1;
		ret = dev_ioctl(gt->dev, PINDMA_IOC_REAP, &reap, scratch);
		if (ret || reap.nr)
			break;
		if (fatal_signal_pending(current))
			return -EINTR;
		usleep_range(20, 100);
	}
	if (!ret && get_user(status, &scratch->completion.status))
		return -EFAULT;
	return ret ?: status == PINDMA_ST_OK ? 0 : -EIO;
}

static long gup_test_read(struct gup_test *gt, const __u64 __user *user)
{
	struct pindma_reg_mr reg = {
		.size	  = sizeof(reg),
		.pin_mode = PINDMA_PIN_PIN,
		.flags	  = PINDMA_MR_FAST,
		.len	  = gt->size,
	};
	struct pindma_dereg_mr dereg = { .size = sizeof(dereg) };
	struct scratch __user *scratch;
	long ret;

	if (!gt->dev)
		return -EINVAL;
	if (copy_from_user(&reg.addr, user, sizeof(reg.addr)))
		return -EFAULT;
	scratch = scratch_map();
	if (IS_ERR(scratch))
		return PTR_ERR(scratch);
	ret = dev_ioctl(gt->dev, PINDMA_IOC_REG_MR, &reg, scratch);
	if (!ret) {
		ret = gup_test_copy(gt, reg.mr, scratch);
		dereg.mr = reg.mr;
		dev_ioctl(gt->dev, PINDMA_IOC_DEREG_MR, &dereg, scratch);
		/* The op may still be on its way, and its completion to come. */
		if (ret)
			gup_test_stop(gt);
	}
	scratch_unmap(scratch);
	return ret;
}

static long gup_test_ioctl(struct file *file, unsigned int cmd,
			   unsigned long arg)
{
	struct gup_test *gt = file->private_data;
	long ret = -EINVAL;

	if (mutex_lock_killable(&gt->lock))
		return -EINTR;
	switch (cmd) {
	case PIN_LONGTERM_TEST_START:
		ret = gup_test_start(gt, (void __user *)arg);
		break;
	case PIN_LONGTERM_TEST_STOP:
		gup_test_stop(gt);
		ret = 0;
		break;
	case PIN_LONGTERM_TEST_READ:
		ret = gup_test_read(gt, (void __user *)arg);
		break;
	}
	mutex_unlock(&gt->lock);
	return ret;
}

static int gup_test_open(struct inode *inode, struct file *file)
{
	struct gup_test *gt = kzalloc(sizeof(*gt), GFP_KERNEL_ACCOUNT);

	if (!gt)
		return -ENOMEM;
	mutex_init(&gt->lock);
	file->private_data = gt;
	return nonseekable_open(inode, file);
}

/* Nobody else has the file any more: no lock. */
static int gup_test_release(struct inode *inode, struct file *file)
{
	struct gup_test *gt = file->private_data;

	gup_test_stop(gt);
	kfree(gt);
	return 0;
}

static const struct file_operations gup_test_fops = {
	.owner		= THIS_MODULE,
	.open		= gup_test_open,
	.unlocked_ioctl	= gup_test_ioctl,
	.release	= gup_test_release,
};

static struct dentry *gup_test_file;

static int __init gup_test_init(void)
{
	if (IS_ENABLED(CONFIG_GUP_TEST)) {
		pr_err("pindma_gup_test: this kernel has a gup_test of its own (CONFIG_GUP_TEST)\n");
		return -EEXIST;
	}
	gup_test_file = debugfs_create_file("gup_test", 0600, NULL, NULL,
					    &gup_test_fops);
	return PTR_ERR_OR_ZERO(gup_test_file);
}

static void __exit gup_test_exit(void)
{
	debugfs_remove(gup_test_file);
}

module_init(gup_test_init);
module_exit(gup_test_exit);

MODULE_DESCRIPTION("gup_test for the kernel's own tests, read by the pindma device");
MODULE_SOFTDEP("pre: pindma");
MODULE_LICENSE("GPL");
