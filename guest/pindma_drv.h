/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pindma driver: what its files share
 *
 *	pindma_drv.c	the PCI device: probe, remove, registers
 *	pindma_queue.c	ops: submission, completion, admin commands
 *	pindma_mr.c	memory regions: pin, map, register, and back
 *	pindma_uapi.c	the character device
 */
#ifndef PINDMA_DRV_H
#define PINDMA_DRV_H

#include <linux/completion.h>
#include <linux/idr.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/xarray.h>
#include <linux/pindma.h>

#define PINDMA_ENTRIES	256	/* slots of each ring */
#define PINDMA_MAX_OPS	128	/* of one file, from post to reap */

struct eventfd_ctx;
struct pindma_ctx;

/* An op on its way. Admin commands have a @done, ops of a file a @ctx. */
struct pindma_req {
	struct list_head list;		/* in ctx->pending or ctx->completed */
	struct pindma_ctx *ctx;		/* NULL: nobody is interested any more */
	struct completion *done;
	u8 opcode;
	struct pindma_completion result;
};

struct pindma_queue {
	struct pindma_dev *pd;
	int nr;
	void __iomem *regs;
	spinlock_t lock;		/* all below, and the lists of files */
	struct pindma_sqe *sq;
	struct pindma_cqe *cq;
	dma_addr_t sq_dma, cq_dma;
	u32 sq_tail;
	u32 cq_head;
	u16 phase;
	u64 next_tag;
	/*
	 * Posted and not completed. As at most PINDMA_ENTRIES - 1 of these are
	 * in use, neither ring can overflow.
	 */
	struct pindma_req *reqs[PINDMA_ENTRIES];
	unsigned int num_reqs;
};

struct pindma_dev {
	struct kref ref;		/* one for probe, one for each open file */
	struct pci_dev *pdev;
	struct miscdevice misc;
	int id;
	void __iomem *regs;
	void __iomem *journal;
	u32 version, caps, max_mrs, max_pages, journal_entries;

	struct ida mr_ida;		/* slots of the device's mr table */
	atomic_t mr_generation;
	struct mutex admin_lock;	/* one admin command at a time */
	struct pindma_queue queues[PINDMA_NUM_QUEUES];

	/*
	 * Read: for the time of a system call. Written: by remove, so that
	 * afterwards nobody touches the hardware.
	 */
	struct rw_semaphore gone_sem;
	bool gone;
	bool failed;			/* reset after a time-out */
	wait_queue_head_t dead_wait;	/* gone or failed: no op will come back */

	struct mutex ctx_lock;
	struct list_head ctxs;
};

/* An open file */
struct pindma_ctx {
	struct pindma_dev *pd;
	struct list_head list;		/* in pd->ctxs */
	struct xarray mrs;		/* struct pindma_mr, by key */
	struct mutex mr_lock;		/* dereg against use of an mr */
	/* Under the lock of the I/O queue: */
	struct list_head pending;	/* posted */
	struct list_head completed;	/* to be reaped */
	unsigned int num_ops;		/* on both lists */
	struct eventfd_ctx *eventfd;
	wait_queue_head_t wait;
};

struct pindma_mr {
	struct pindma_dev *pd;
	u32 key;
	u32 pin_mode;			/* PINDMA_PIN_* */
	u32 flags;			/* PINDMA_MR_* */
	unsigned long addr;
	u64 len;
	struct mm_struct *mm;		/* who was charged */
	unsigned long npages;
	unsigned long npinned;
	struct page **pages;
	struct sg_table sgt;
	enum dma_data_direction dir;
};

/* pindma_drv.c */
void pindma_dev_put(struct pindma_dev *pd);
void pindma_dev_fail(struct pindma_dev *pd, const char *why);
int pindma_dev_status(struct pindma_dev *pd);
void pindma_dev_mark(struct pindma_dev *pd, u64 value);

/* pindma_queue.c */
int pindma_queue_init(struct pindma_dev *pd, int nr);
void pindma_queue_free(struct pindma_queue *q);
void pindma_queue_flush(struct pindma_queue *q);
irqreturn_t pindma_queue_irq(int irq, void *data);
int pindma_queue_post(struct pindma_ctx *ctx, const struct pindma_op *op);
void pindma_queue_disown(struct pindma_ctx *ctx);
int pindma_queue_admin(struct pindma_dev *pd, struct pindma_sqe *sqe);

/* pindma_mr.c */
struct pindma_mr *pindma_mr_create(struct pindma_dev *pd,
				   const struct pindma_reg_mr *arg);
void pindma_mr_destroy(struct pindma_mr *mr);
void pindma_mr_page_info(struct pindma_mr *mr, unsigned long n,
			 struct pindma_page *info);

/* pindma_uapi.c */
extern const struct file_operations pindma_fops;
void pindma_ctx_release_mrs(struct pindma_ctx *ctx);

#endif /* PINDMA_DRV_H */
