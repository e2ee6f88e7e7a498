/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pindma driver: what its files share
 *
 *	pindma_drv.c	the PCI device: probe, remove, registers
 *	pindma_reset.c	what stops the device for a while: resets, errors, sleep
 *	pindma_irq.c	interrupts: MSI-X, MSI or INTx
 *	pindma_queue.c	ops: submission, completion, admin commands
 *	pindma_mr.c	memory regions: register, and back
 *	pindma_pin.c	their pages: pin, map, and back
 *	pindma_demand.c	or else: fault, map when the device asks, and back
 *	pindma_dmabuf.c	or else: a dma-buf
 *	pindma_export.c	pinned pages as a dma-buf, for other devices
 *	pindma_userq.c	queues that are mapped into a process
 *	pindma_uapi.c	the character device
 *	pindma_trace.h	tracepoints
 *	pindma_debugfs.c	counters
 *
 * Locks, outermost first: post_lock and reap_lock of a file; gone_sem, ctx_lock,
 * mr_lock, mmap_lock, the lock of an mr on demand, admin_lock; the lock of a
 * queue, the lock of a file. userq_lock is inside gone_sem, ctx_lock and
 * mmap_lock, and outside the lock of an mr and that of a queue. Memory reclaim
 * takes the lock of an mr, and all that is inside it.
 */
#ifndef PINDMA_DRV_H
#define PINDMA_DRV_H

#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/idr.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/ratelimit.h>
#include <linux/rwsem.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/xarray.h>
#include <linux/pindma.h>

#define PINDMA_ENTRIES	512	/* slots of each ring */
#define PINDMA_MAX_REQS	(PINDMA_ENTRIES - 1)	/* a full ring has a gap */
#define PINDMA_MAX_OPS	256	/* of one file, from post to reap */
#define PINDMA_BATCH	32	/* ops that are copied, or linked, at a time */
#define PINDMA_CHANNELS	(PINDMA_NUM_QUEUES - PINDMA_QUEUE_IO)
#define PINDMA_SHARED	4	/* channels that no file can have for itself */

struct dma_buf;
struct eventfd_ctx;
struct pindma_ctx;
struct pindma_mr;
struct pindma_userq;

/* An op on its way */
struct pindma_req {
	u64 tag;			/* 0: nothing is on its way here */
	u64 user_data;
	struct pindma_ctx *ctx;		/* NULL: nobody is interested any more */
};

struct pindma_queue {
	struct pindma_dev *pd;
	int nr;
	void __iomem *regs;
	void __iomem *db;		/* doorbells */
	spinlock_t lock;		/* all below */
	struct pindma_userq *userq;	/* it belongs to a file; and userq_lock */
	struct pindma_sqe *sq;
	struct pindma_cqe *cq;
	dma_addr_t sq_dma, cq_dma;
	u32 sq_tail;
	u32 cq_head;
	u16 phase;
	u64 generation;			/* of tags: how many were posted */
	/*
	 * Posted and not completed. There is one less than a ring has slots, so
	 * neither ring can overflow.
	 */
	struct pindma_req reqs[PINDMA_MAX_REQS];
	u16 free[PINDMA_MAX_REQS];	/* a stack of unused ones */
	unsigned int num_free;
};

/* Those behind PINDMA_UP have in common that the device was reset. */
enum pindma_state {
	PINDMA_UP,
	PINDMA_FAILED,	/* it did not answer to a command */
	PINDMA_AWAY,	/* others reset it, or it sleeps: hands off its registers */
	PINDMA_GONE,	/* removed, for good */
};

struct pindma_dev {
	struct kref ref;		/* one for probe, one for each open file */
	struct pci_dev *pdev;
	struct miscdevice misc;
	int id;
	void __iomem *regs;
	void __iomem *journal;
	u32 version, caps, max_mrs, max_pages, journal_entries, dma_bits;
	u32 irq_mode;			/* PINDMA_IRQ_* */

	struct ida mr_ida;		/* slots of the device's mr table */
	struct xarray demands;		/* mrs on demand, by key */
	struct workqueue_struct *demand_wq;
	atomic_t mr_generation;
	struct mutex admin_lock;	/* one admin command at a time: */
	struct completion admin_done;
	u16 admin_status;
	struct mutex fault_lock;	/* the registers of faults */
	struct ratelimit_state refusals;
	struct pindma_queue queues[PINDMA_NUM_QUEUES];
	struct mutex userq_lock;	/* userq of all queues */

	/*
	 * Read: while a system call is about the hardware, and not while it
	 * touches memory of the user, which may take for ever. Written: by whoever
	 * takes the device away, so that afterwards nobody touches the hardware,
	 * or brings it back.
	 */
	struct rw_semaphore gone_sem;
	enum pindma_state state;	/* behind PINDMA_UP no op will come back */
	wait_queue_head_t dead_wait;	/* for that */

	atomic_t num_mrs;		/* counters, for debugfs alone */
	atomic_long_t num_pages;
	atomic_long_t interrupts;
	atomic_t resets;
	struct dentry *debugfs;

	struct mutex ctx_lock;
	struct xarray ctxs;		/* open files, by protection domain */
	u32 next_domain;
};

/* An open file */
struct pindma_ctx {
	struct pindma_dev *pd;
	u32 domain;			/* protection domain, never 0 */
	struct address_space *mapping;	/* where its mappings are found */
	struct xarray mrs;		/* struct pindma_mr, by key */
	struct mutex mr_lock;		/* dereg against use of an mr */

	struct mutex post_lock;		/* posted, ops */
	struct mutex reap_lock;		/* reaped */
	spinlock_t lock;		/* completed, eventfd; inside a queue's */
	struct eventfd_ctx *eventfd;
	wait_queue_head_t wait;
	/*
	 * Each only grows, and none overtakes the one before. Completions from
	 * reaped to completed stand in a ring; as no more than PINDMA_MAX_OPS
	 * are posted and not reaped, it cannot overflow.
	 */
	u32 posted, completed, reaped;
	struct pindma_completion completions[PINDMA_MAX_OPS];
	atomic_t num_userqs;
	struct pindma_op ops[PINDMA_BATCH];	/* copied, to be posted */
};

/* A kind of mr: where its memory comes from */
struct pindma_mr_ops {
	const char *ioctl;		/* that makes one */
	size_t size;			/* of the structure that begins with mr */
	u32 flags;			/* PINDMA_MR_* that mean something */
	/*
	 * Get hold of the memory. The only one of these that touches it, and so
	 * may wait for the user: without gone_sem. NULL: that comes with get.
	 */
	int (*hold)(struct pindma_mr *mr);
	void (*drop)(struct pindma_mr *mr);
	/* Set sgt unless the memory is had on demand. */
	int (*get)(struct pindma_mr *mr);
	/* The device does not access it any more, or never did. */
	void (*put)(struct pindma_mr *mr);
	/* A reset has taken all of it from the device. NULL: it gets it again. */
	void (*lost)(struct pindma_mr *mr);
	/* NULL: that is not for us to know. */
	void (*page_info)(struct pindma_mr *mr, unsigned long n,
			  struct pindma_page *info);
};

/*
 * mrs may overlap, and the device and CPUs use the same memory at the same time, so
 * that there is no moment at which it would be one's or the other's. The machine
 * has to be coherent, as for RDMA, and dma-debug need not complain.
 */
#define PINDMA_DMA_ATTRS	DMA_ATTR_SKIP_CPU_SYNC

struct pindma_mr {
	const struct pindma_mr_ops *ops;
	struct pindma_dev *pd;
	u32 key;
	u32 domain;
	u32 pin_mode;			/* PINDMA_PIN_* */
	u32 flags;			/* PINDMA_MR_* */
	unsigned long addr;
	u64 len;
	unsigned long npages;
	enum dma_data_direction dir;
	struct sg_table *sgt;		/* mapped for the device: */
	unsigned long sgt_first;	/* the first of npages pages in it */
};

/* Pages of a process that are pinned, and paid for, until the last one lets go */
struct pindma_pinned {
	struct kref ref;
	struct mm_struct *mm;		/* who was charged */
	int dev;			/* of the mr, for the trace, and so is: */
	u32 key;
	u32 pin_mode;			/* PINDMA_PIN_* */
	u32 flags;			/* PINDMA_MR_* */
	unsigned long npages, npinned;
	struct page **pages;
};

/* pindma_drv.c */
void pindma_dev_put(struct pindma_dev *pd);
void pindma_dev_reset(struct pindma_dev *pd);
void pindma_dev_halt(struct pindma_dev *pd);
void pindma_dev_fail(struct pindma_dev *pd, const char *why);
int pindma_dev_status(struct pindma_dev *pd);
bool pindma_dev_reachable(struct pindma_dev *pd);
u64 pindma_dev_read64(struct pindma_dev *pd, u32 reg);
void pindma_dev_write64(struct pindma_dev *pd, u32 reg, u64 value);

/* pindma_reset.c */
extern const struct pci_error_handlers pindma_error_handlers;
extern const struct dev_pm_ops pindma_pm_ops;

/* pindma_irq.c */
int pindma_irq_init(struct pindma_dev *pd);
void pindma_irq_free(struct pindma_dev *pd);

/* pindma_queue.c */
int pindma_queue_init(struct pindma_dev *pd, int nr);
void pindma_queue_free(struct pindma_queue *q);
void pindma_queue_enable(struct pindma_queue *q, dma_addr_t sq, dma_addr_t cq,
			 dma_addr_t shadow, u32 entries, u32 domain);
void pindma_queue_disable(struct pindma_queue *q);
int pindma_queue_give(struct pindma_queue *q, struct pindma_userq *userq);
void pindma_queue_take_back(struct pindma_queue *q);
void pindma_queue_restart(struct pindma_queue *q);
void pindma_queue_flush(struct pindma_queue *q);
void pindma_queue_scan(struct pindma_queue *q);
int pindma_queue_post(struct pindma_queue *q, struct pindma_ctx *ctx,
		      const struct pindma_op *ops, unsigned int nr);
int pindma_queue_refuse(struct pindma_queue *q, const struct pindma_op *ops,
			unsigned int nr);
void pindma_queue_disown(struct pindma_queue *q, struct pindma_ctx *ctx);
int pindma_queue_mark(struct pindma_queue *q, u64 value);
int pindma_queue_admin(struct pindma_dev *pd, struct pindma_sqe *sqe);

/* pindma_mr.c */
struct pindma_mr *pindma_mr_alloc(struct pindma_dev *pd, u32 domain,
				  const struct pindma_mr_ops *ops, u32 pin_mode,
				  u32 flags, u64 addr, u64 len);
int pindma_mr_enter(struct pindma_mr *mr);
void pindma_mr_free(struct pindma_mr *mr);
struct pindma_mr *pindma_mr_create(struct pindma_dev *pd, u32 domain,
				   const struct pindma_reg_mr *arg);
void pindma_mr_destroy(struct pindma_mr *mr);
int pindma_mr_register(struct pindma_mr *mr);
void pindma_mr_revoke(struct pindma_mr *mr, struct pindma_sqe *sqe);
void pindma_page_info(struct page *page, struct pindma_page *info);

/* pindma_pin.c */
extern const struct pindma_mr_ops pindma_pin_ops;
struct pindma_pinned *pindma_pinned_get(struct pindma_mr *mr);
void pindma_pinned_put(struct pindma_pinned *p);

/* pindma_demand.c, with CONFIG_HMM_MIRROR */
extern const struct pindma_mr_ops pindma_demand_ops;
extern const struct pindma_mr_ops pindma_exclusive_ops;
void pindma_demand_request(struct pindma_dev *pd, u32 key, u64 page);

/* pindma_dmabuf.c, with CONFIG_DMA_SHARED_BUFFER */
struct pindma_mr *pindma_dmabuf_import(struct pindma_dev *pd, u32 domain,
				       const struct pindma_import_dmabuf *arg);

/* pindma_export.c, with CONFIG_DMA_SHARED_BUFFER */
struct dma_buf *pindma_export(struct pindma_mr *mr);

/* pindma_userq.c */
int pindma_userq_create(struct pindma_ctx *ctx,
			struct pindma_create_queue *arg);
int pindma_userq_destroy(struct pindma_ctx *ctx, u32 channel);
void pindma_userq_release(struct pindma_ctx *ctx);
void pindma_userq_cut_off(struct pindma_dev *pd);
bool pindma_userq_is_cut_off(struct pindma_ctx *ctx);
void pindma_userq_interrupt(struct pindma_userq *uq);
bool pindma_userq_readable(struct pindma_ctx *ctx);
int pindma_userq_mmap(struct pindma_ctx *ctx, struct vm_area_struct *vma);

/* pindma_debugfs.c */
void pindma_debugfs_add(struct pindma_dev *pd);
void pindma_debugfs_remove(struct pindma_dev *pd);
void pindma_debugfs_init(void);
void pindma_debugfs_exit(void);

/* pindma_uapi.c */
__printf(2, 3) int pindma_refuse(struct pindma_dev *pd, const char *fmt, ...);
extern const struct file_operations pindma_fops;
void pindma_ctx_release_mrs(struct pindma_ctx *ctx);

#endif /* PINDMA_DRV_H */
