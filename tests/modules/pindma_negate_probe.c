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
 *	widen-fork-race		fork() of the writer lingers before it write-protects
 *				a page, so that others may pin it just then
 *	widen-unmap		reclaim (MADV_PAGEOUT), a split or a migration that the
 *				writer asks for lingers before pages are unmapped, and
 *				before they are mapped again
 *	ignore-fork-race	the same as widen-fork-race, and pin_user_pages_fast()
 *				does not notice that a fork() is under way: Linux
 *				before 5.11 (57efa1fe5957)
 *
 * Errors: EINVAL unknown command, EBUSY another one holds, ENOENT this kernel does
 * not have the function, EOPNOTSUPP it would notice and stop (CONFIG_DEBUG_VM).
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/miscdevice.h>
#include <linux/mm_types.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched.h>
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

/*
 * fork() asks whether a page is pinned, then write-protects it. A pin that is made
 * in between would be lost; mm->write_protect_seq, which copy_page_range() makes
 * odd in the meantime, tells pin_user_pages_fast() of it.
 */
#define MAX_PROTECTS	16
#define LINGER_US	300

static struct kprobe protects[MAX_PROTECTS];
static unsigned int nr_protects;
static struct mm_struct *writer;	/* only compared, never followed */
static bool ignore_race;

static int linger(struct kprobe *p, struct pt_regs *regs)
{
	if (current->mm == writer)
		udelay(LINGER_US);
	return 0;
}

/*
 * Once before copy_page_range() increments it, and once after it did so for the
 * second time: meanwhile it is as even as before, and in the end the same again.
 */
static int shift_sequence(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	if (ignore_race && current->mm == writer)
		current->mm->write_protect_seq.sequence--;
	return 0;
}

static struct kretprobe copy_range;

/* clear_bit(_PAGE_BIT_RW), since 6.12 a loop around cmpxchg(): both have LOCK. */
static bool is_write_protect(const u8 *insn)
{
	int i;

	if (*insn++ != 0xf0)
		return false;
	if ((*insn & 0xf0) == 0x40)	/* REX */
		insn++;
	if (insn[0] == 0x0f && insn[1] == 0xb1)
		return true;
	if (insn[0] != 0x80 || (insn[1] & 0x38) != 0x20)
		return false;
	for (i = 2; i < 8; i++)		/* the immediate is behind the address */
		if (insn[i] == 0xfd)
			return true;
	return false;
}

static void stop_fork(void)
{
	while (nr_protects)
		unregister_kprobe(&protects[--nr_protects]);
	unregister_kretprobe(&copy_range);
}

/* What looks like the instruction but begins within another one is refused. */
static int find_protects(const u8 *start, unsigned long size)
{
	const u8 *insn;

	for (insn = start; insn + 16 < start + size; insn++) {
		if (!is_write_protect(insn) || nr_protects == MAX_PROTECTS)
			continue;
		protects[nr_protects] = (struct kprobe){
			.addr = (kprobe_opcode_t *)insn, .pre_handler = linger,
		};
		if (!register_kprobe(&protects[nr_protects]))
			nr_protects++;
	}
	pr_info("pindma_negate_probe: %u probes in copy_page_range()\n",
		nr_protects);
	return nr_protects ? 0 : -ENOENT;
}

static int start_fork(void)
{
	char text[KSYM_SYMBOL_LEN];
	unsigned long offset, size;
	int ret;

	writer = current->mm;
	copy_range = (struct kretprobe){
		.kp.symbol_name = "copy_page_range", .maxactive = 64,
		.entry_handler = shift_sequence, .handler = shift_sequence,
	};
	ret = register_kretprobe(&copy_range);
	if (ret)
		return ret;
	sprint_symbol(text, (unsigned long)copy_range.kp.addr);
	if (sscanf(text, "copy_page_range+0x%lx/0x%lx", &offset, &size) != 2)
		ret = -ENOENT;
	else
		ret = find_protects((u8 *)copy_range.kp.addr - offset, size);
	if (ret)
		stop_fork();
	return ret;
}

static int start_widen(void)
{
	ignore_race = false;
	return start_fork();
}

/* CONFIG_DEBUG_VM asserts of a page that is unpinned what is lost then. */
static int start_ignore(void)
{
	if (IS_ENABLED(CONFIG_DEBUG_VM))
		return -EOPNOTSUPP;
	ignore_race = true;
	return start_fork();
}

/* Who has looked at the references now unmaps, or could not move them and remaps. */
static struct kprobe unmaps[3];
static int nr_unmaps;

static void stop_unmap(void)
{
	while (nr_unmaps)
		unregister_kprobe(&unmaps[--nr_unmaps]);
}

/* try_to_migrate() was a part of try_to_unmap() before 5.14. */
static int start_unmap(void)
{
	static const char *const names[] = {
		"try_to_unmap", "try_to_migrate", "remove_migration_ptes",
	};
	int i, ret = 0;

	writer = current->mm;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		unmaps[nr_unmaps] = (struct kprobe){
			.symbol_name = names[i], .pre_handler = linger,
		};
		ret = register_kprobe(&unmaps[nr_unmaps]);
		if (!ret)
			nr_unmaps++;
	}
	return nr_unmaps ? 0 : ret;
}

static const struct negation {
	const char *name;
	int (*start)(void);
	void (*stop)(void);
} negations[] = {
	{ "skip-page-cleaning", start_skip, stop_skip },
	{ "allow-longterm-file", start_allow, stop_allow },
	{ "widen-fork-race", start_widen, stop_fork },
	{ "ignore-fork-race", start_ignore, stop_fork },
	{ "widen-unmap", start_unmap, stop_unmap },
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
