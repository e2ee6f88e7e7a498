/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between kernel versions, and nothing else. The driver is written
 * for the newest one.
 */
#ifndef PINDMA_COMPAT_H
#define PINDMA_COMPAT_H

#include <linux/eventfd.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/pagemap.h>
#include <linux/pci.h>
#include <linux/pm.h>
#include <linux/rmap.h>
#include <linux/sched.h>
#include <linux/version.h>

/* 6.3: bc292ab00f6c, flags of a vma are set by functions */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define vm_flags_set(vma, flags) ((vma)->vm_flags |= (flags))
#define vm_flags_clear(vma, flags) ((vma)->vm_flags &= ~(flags))
#endif

/* 5.17; stable 5.10 has them, too, but what it defines is static */
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 17, 0)
#undef pm_sleep_ptr
#undef DEFINE_SIMPLE_DEV_PM_OPS
#define pm_sleep_ptr(ptr) (IS_ENABLED(CONFIG_PM_SLEEP) ? (ptr) : NULL)
#define DEFINE_SIMPLE_DEV_PM_OPS(name, sleep, wake) \
	const struct dev_pm_ops name = { \
		.suspend = sleep, .resume = wake, \
		.freeze = sleep, .thaw = wake, \
		.poweroff = sleep, .restore = wake, \
	}
#endif

/* It was called PCI_IRQ_LEGACY before. */
#ifndef PCI_IRQ_INTX
#define PCI_IRQ_INTX PCI_IRQ_LEGACY
#endif

/* 6.12; before, pci_request_regions() was managed, too */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
#define pcim_request_all_regions(pdev, name) pci_request_regions(pdev, name)
#endif

/* 6.5: 54d020692b34, get_user_pages() lost its vmas argument */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define get_user_pages(start, n, flags, pages) \
	get_user_pages(start, n, flags, pages, NULL)
#define pin_user_pages(start, n, flags, pages) \
	pin_user_pages(start, n, flags, pages, NULL)
#endif

/* 6.8: eventfd_signal() lost its count */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define eventfd_signal(ctx) eventfd_signal(ctx, 1)
#endif

/* 6.12: page_mapcount() and page_maybe_dma_pinned() are for folios only */
static inline int pindma_page_mapcount(struct page *page)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
	return page_mapcount(page);
#else
	return folio_mapcount(page_folio(page));
#endif
}

static inline bool pindma_page_maybe_pinned(struct page *page)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
	return page_maybe_dma_pinned(page);
#else
	return folio_maybe_dma_pinned(page_folio(page));
#endif
}

/* 5.19: PG_anon_exclusive */
static inline bool pindma_page_exclusive(struct page *page)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 19, 0)
	return false;
#else
	if (PageHuge(page))
		page = compound_head(page);
	return PageAnon(page) && PageAnonExclusive(page);
#endif
}

/* 6.2: before, whoever does not move its memory needed no lock */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define dma_buf_map_attachment_unlocked dma_buf_map_attachment
#define dma_buf_unmap_attachment_unlocked dma_buf_unmap_attachment
#endif

/* 6.13: cdd30ebb1b9f, the name of a symbol namespace is a string */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
#define PINDMA_IMPORT_DMA_BUF	MODULE_IMPORT_NS(DMA_BUF)
#else
#define PINDMA_IMPORT_DMA_BUF	MODULE_IMPORT_NS("DMA_BUF")
#endif

/*
 * 6.15: 599b684a7854, make_device_exclusive() for one page. The folio is unlocked
 * at once: while it is locked, and the entry is there, fork() fails. Before it a
 * range, of whose pages each may fail and does not say why: somebody has locked it
 * just now, or it cannot be had. No stock kernel of those has CONFIG_DEVICE_PRIVATE.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0) && \
	defined(CONFIG_DEVICE_PRIVATE) && defined(CONFIG_HMM_MIRROR)
#define PINDMA_HAS_EXCLUSIVE	1
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 15, 0)
static inline struct page *make_device_exclusive(struct mm_struct *mm,
						 unsigned long addr, void *owner,
						 struct folio **folio)
{
	struct page *page = NULL;
	int ret, tries = 100;

	do {
		ret = make_device_exclusive_range(mm, addr, addr + PAGE_SIZE,
						  &page, owner);
		if (ret < 0)
			return ERR_PTR(ret);
		cond_resched();
	} while (!page && --tries);
	if (!page)
		return ERR_PTR(-EOPNOTSUPP);
	*folio = page_folio(page);
	return page;
}
#endif

static inline struct page *pindma_make_exclusive(struct mm_struct *mm,
						 unsigned long addr, void *owner)
{
	struct folio *folio;
	struct page *page = make_device_exclusive(mm, addr, owner, &folio);

	if (!IS_ERR(page)) {
		folio_unlock(folio);
		folio_put(folio);
	}
	return page;
}

/* Does the notifier only tell owner of what it has done itself? */
static inline bool pindma_made_exclusive(const struct mmu_notifier_range *range,
					 void *owner)
{
	return range->event == MMU_NOTIFY_EXCLUSIVE && range->owner == owner;
}
#else
#define PINDMA_HAS_EXCLUSIVE	0
static inline struct page *pindma_make_exclusive(struct mm_struct *mm,
						 unsigned long addr, void *owner)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline bool pindma_made_exclusive(const struct mmu_notifier_range *range,
					 void *owner)
{
	return false;
}
#endif

#endif /* PINDMA_COMPAT_H */
