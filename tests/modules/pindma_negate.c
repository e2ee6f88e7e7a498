// SPDX-License-Identifier: GPL-2.0-only
/*
 * Take a fix away from a stock kernel, for a moment and for one process.
 *
 * A test that says "the data is there" proves something only if it says "the
 * data is lost" when the fix is gone. Commands are written to
 * /dev/pindma-negate, one per write(), and act on the writer. ADDR and LEN name
 * memory that it has pinned; where nothing is said of them they mean nothing.
 *
 *	clear-has-pinned [ADDR LEN]
 *				forget that this mm ever pinned a page, so that
 *				fork() does not copy pinned pages early. This is
 *				Linux before 5.9 (008cfe4418b3, 70e806e4e645).
 *				The next pin sets it again.
 *	uncount ADDR LEN	let the pages count their pin as one reference,
 *				which is what get_user_pages() would have left:
 *				all that asks page_maybe_dma_pinned() is blind
 *	clear-exclusive ADDR LEN
 *				forget that the pages belong to this process
 *				alone: Linux before 5.19 (6c287605fd56), where
 *				any reference made do_wp_page() copy
 *	make-plain ADDR LEN	uncount, and clear-exclusive where there is that
 *	saturate ADDR LEN	count MAX_PINS - 2 pins more of each page
 *	lock-exclusive ADDR LEN	make the pages exclusive to a device, and keep
 *				their folios locked, as a driver may do that has
 *				not yet told its device
 *	restore			count the pins as they are again, unlock folios.
 *				This must come before the unpin, which would
 *				otherwise free the pages.
 *	warn			WARN(): a test of the test rig
 *
 * Errors: EINVAL unknown command; EFAULT no page there; EOPNOTSUPP this kernel has
 * nothing of the kind, or would notice and stop, as CONFIG_DEBUG_VM has it do.
 */
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/sched.h>
#include <linux/sched/coredump.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/version.h>

static int negate_clear_has_pinned(unsigned long addr, unsigned long len)
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

/* Where a page's pins are counted apart from its references, or NULL. */
static atomic_t *negate_pincount(struct page *page)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
	struct folio *folio = page_folio(page);

	return folio_test_large(folio) ? &folio->_pincount : NULL;
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(5, 18, 0)
	struct folio *folio = page_folio(page);

	return folio_test_large(folio) ? folio_pincount_ptr(folio) : NULL;
#else
	page = compound_head(page);
	return hpage_pincount_available(page) ? compound_pincount_ptr(page) :
						NULL;
#endif
}

static void negate_count(struct page *page, int pins)
{
	atomic_t *pincount = negate_pincount(page);

	if (pincount)
		atomic_add(pins, pincount);
	else
		page_ref_add(page, pins * (GUP_PIN_COUNTING_BIAS - 1));
}

struct negate_page {
	struct list_head list;
	struct page *page;
	void (*restore)(struct page *page);
};

static LIST_HEAD(negate_changed);
static DEFINE_MUTEX(negate_lock);

/* Change a page, and remember how it was. */
static int negate_change(struct page *page, void (*change)(struct page *page),
			 void (*restore)(struct page *page))
{
	struct negate_page *np = kmalloc(sizeof(*np), GFP_KERNEL);

	if (!np)
		return -ENOMEM;
	np->page = page;
	np->restore = restore;
	mutex_lock(&negate_lock);
	list_add(&np->list, &negate_changed);
	change(page);
	mutex_unlock(&negate_lock);
	return 0;
}

static void negate_uncount_pin(struct page *page)
{
	negate_count(page, -1);
}

static void negate_count_pin(struct page *page)
{
	negate_count(page, 1);
}

static int negate_uncount_page(struct page *page)
{
	return negate_change(page, negate_uncount_pin, negate_count_pin);
}

/* So often can a small page be pinned before its references are below zero. */
#define MAX_PINS	(1 << (31 - 10))
#define MANY_REFERENCES	((MAX_PINS - 2) * GUP_PIN_COUNTING_BIAS)

static void negate_saturate_count(struct page *page)
{
	page_ref_add(page, MANY_REFERENCES);
}

static void negate_relieve_count(struct page *page)
{
	page_ref_sub(page, MANY_REFERENCES);
}

static int negate_saturate_page(struct page *page)
{
	if (PageCompound(page))
		return -EINVAL;
	return negate_change(page, negate_saturate_count, negate_relieve_count);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0) && defined(CONFIG_DEVICE_PRIVATE)
static void negate_keep(struct page *page)
{
}

static void negate_unlock(struct page *page)
{
	folio_unlock(page_folio(page));
	folio_put(page_folio(page));
}

static int negate_lock_exclusive(unsigned long addr, unsigned long len)
{
	struct folio *folio;
	struct page *page;
	int ret = 0;

	for (; len && !ret; addr += PAGE_SIZE, len -= PAGE_SIZE) {
		if (offset_in_page(addr) || offset_in_page(len))
			return -EINVAL;
		mmap_read_lock(current->mm);
		page = make_device_exclusive(current->mm, addr, THIS_MODULE,
					     &folio);
		mmap_read_unlock(current->mm);
		if (IS_ERR(page))
			return PTR_ERR(page);
		ret = negate_change(page, negate_keep, negate_unlock);
		if (ret)
			negate_unlock(page);
	}
	return ret;
}
#else
static int negate_lock_exclusive(unsigned long addr, unsigned long len)
{
	return -EOPNOTSUPP;
}
#endif

static int negate_restore(unsigned long addr, unsigned long len)
{
	struct negate_page *np, *next;

	mutex_lock(&negate_lock);
	list_for_each_entry_safe(np, next, &negate_changed, list) {
		np->restore(np->page);
		list_del(&np->list);
		kfree(np);
	}
	mutex_unlock(&negate_lock);
	return 0;
}

/* A huge page that is mapped as such has one mark, in its first page. */
static int negate_clear_exclusive_page(struct page *page)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 19, 0)
	if (PageAnon(page)) {
		if (PageTransCompound(page) || PageHuge(page))
			ClearPageAnonExclusive(compound_head(page));
		if (!PageHuge(page))
			ClearPageAnonExclusive(page);
	}
	return 0;
#else
	return -EOPNOTSUPP;
#endif
}

static int negate_make_plain_page(struct page *page)
{
	int ret = negate_uncount_page(page);

	if (!ret)
		negate_clear_exclusive_page(page);
	return ret;
}

/* The pages are pinned, so a moment's reference is enough to find them. */
static int negate_each_page(unsigned long addr, unsigned long len,
			    int (*fn)(struct page *page))
{
	struct page *page;
	int ret = 0;

	for (; len && !ret; addr += PAGE_SIZE, len -= PAGE_SIZE) {
		if (offset_in_page(addr) || offset_in_page(len))
			return -EINVAL;
		ret = get_user_pages_fast(addr, 1, 0, &page);
		if (ret != 1)
			return ret ?: -EFAULT;
		ret = fn(page);
		put_page(page);
	}
	return ret;
}

static int negate_uncount(unsigned long addr, unsigned long len)
{
	return negate_each_page(addr, len, negate_uncount_page);
}

static int negate_saturate(unsigned long addr, unsigned long len)
{
	return negate_each_page(addr, len, negate_saturate_page);
}

static int negate_clear_exclusive(unsigned long addr, unsigned long len)
{
	return negate_each_page(addr, len, negate_clear_exclusive_page);
}

static int negate_make_plain(unsigned long addr, unsigned long len)
{
	return negate_each_page(addr, len, negate_make_plain_page);
}

static int negate_warn(unsigned long addr, unsigned long len)
{
	WARN(1, "pindma_negate: asked for by a test\n");
	return 0;
}

static const struct {
	const char *name;
	int (*fn)(unsigned long addr, unsigned long len);
	bool asserted;	/* CONFIG_DEBUG_VM: sanity_check_pinned_pages() */
} negate_commands[] = {
	{ "clear-has-pinned", negate_clear_has_pinned, true },
	{ "uncount", negate_uncount, true },
	{ "clear-exclusive", negate_clear_exclusive, true },
	{ "make-plain", negate_make_plain, true },
	{ "saturate", negate_saturate },
	{ "lock-exclusive", negate_lock_exclusive },
	{ "restore", negate_restore },
	{ "warn", negate_warn },
};

static ssize_t negate_write(struct file *file, const char __user *buf,
			    size_t len, loff_t *pos)
{
	unsigned long addr = 0, length = 0;
	char text[80], cmd[32];
	int i, ret;

	if (len >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buf, len))
		return -EFAULT;
	text[len] = '\0';
	if (sscanf(text, "%31s %lx %lx", cmd, &addr, &length) < 1)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(negate_commands); i++) {
		if (!strcmp(cmd, negate_commands[i].name)) {
			if (IS_ENABLED(CONFIG_DEBUG_VM) &&
			    negate_commands[i].asserted)
				return -EOPNOTSUPP;
			ret = negate_commands[i].fn(addr, length);
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
