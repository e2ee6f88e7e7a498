/*
 * pindma: what the files of the device share
 *
 *     pindma.c           the PCI device: registers, interrupts, properties
 *     pindma-engine.c    who does the work, and when: threads or timers
 *     pindma-queue.c     rings: from sqe to cqe, and what runs beside a queue
 *     pindma-op.c        the ops of the channels
 *     pindma-mr.c        memory regions, registration, quarantine
 *     pindma-dma.c       every access to guest memory
 *     pindma-fault.c     misbehaviour on request
 *     pindma-journal.c   the record of every access
 *     pindma-vmstate.c   migration
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MISC_PINDMA_INTERNAL_H
#define HW_MISC_PINDMA_INTERNAL_H

#include "pindma-compat.h"
#include "hw/misc/pindma_regs.h"
#include "qemu/host-utils.h"
#include "qemu/log.h"
#include "qemu/queue.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "trace.h"

#define TYPE_PINDMA "pindma"
OBJECT_DECLARE_SIMPLE_TYPE(PinDMAState, PINDMA)

#define PINDMA_MAX_MRS          1024
#define PINDMA_MAX_PAGES        (256 * KiB)     /* 1 GiB in all mrs */
#define PINDMA_MAX_OLD_MRS      64              /* in quarantine: searched */
#define PINDMA_JOURNAL_ENTRIES  (16 * KiB)
#define PINDMA_BATCH            64              /* steps per lock hold */
#define PINDMA_MAX_LAG_NS       (10 * SCALE_MS) /* a late hammer skips more */
#define PINDMA_GHOST_PAGES      64              /* see PinDMAGhost */
#define PINDMA_MAX_FAULT_DELAY  (3600ull * NANOSECONDS_PER_SECOND)

/* What a step of an op returns if not the status with which the op ends */
enum {
    PINDMA_MORE = -1,           /* something was done */
    PINDMA_WAIT = -2,           /* it is not time yet, see wake_ns */
};

typedef struct PinDMAMR {
    uint32_t key;
    uint32_t pd;
    uint8_t access;             /* PINDMA_ACCESS_*, 0: slot is free */
    uint32_t first_offset;      /* where the mr begins in its first page */
    uint64_t len;
    uint32_t num_pages;
    uint64_t *pages;            /* bus addresses */
} PinDMAMR;

typedef struct PinDMAOldMR {
    PinDMAMR mr;
    QTAILQ_ENTRY(PinDMAOldMR) next;
} PinDMAOldMR;

/* Where the next byte of an op is, perhaps by way of a list */
typedef struct PinDMACursor {
    uint32_t key;
    uint64_t offset;
    uint64_t left;              /* bytes until the next element of the list */
    uint64_t list_offset;       /* of the next element */
} PinDMACursor;

typedef enum PinDMAOpState {
    PINDMA_OP_FREE,             /* no op */
    PINDMA_OP_FENCED,           /* waits until it is alone */
    PINDMA_OP_MARKED,           /* waits for a mark */
    PINDMA_OP_PAGING,           /* waits for a page of an mr */
    PINDMA_OP_TIMED,            /* waits until due_ns */
    PINDMA_OP_RUNNING,
} PinDMAOpState;

typedef struct PinDMAOp {
    uint8_t state;              /* PinDMAOpState */
    struct pindma_sqe sqe;      /* a copy, in host byte order */
    uint64_t done;              /* bytes, or stamps */
    uint64_t seq;               /* newest journal entry of this op */
    uint64_t result;            /* what was read */
    uint64_t rng;               /* HAMMER in random order */
    int64_t start_ns;           /* HAMMER with a rate: stamp 0 is due */
    int64_t due_ns;             /* PINDMA_OP_TIMED */
    PinDMACursor to, from;
    uint32_t page_key;          /* PINDMA_OP_PAGING: the mr */
    uint64_t page;              /* and the number of the page in it */
    bool requested;             /* and the driver knows it */
    bool delayed;               /* fault DELAY has hit its next access */
    bool ended;                 /* fault EARLY_MSI: only its cqe is missing */
    uint16_t status;            /* then, the status in it */
} PinDMAOp;

/* An access that a fault has put off */
typedef struct PinDMALater {
    uint8_t fault;              /* PINDMA_FAULT_*, 0: there is none */
    int64_t due_ns;
    PinDMAOp op;                /* for the journal */
    uint32_t key;
    uint64_t offset;
    uint64_t addr;
    uint32_t len;
    uint8_t data[PINDMA_PAGE_SIZE];
} PinDMALater;

/* A hammer that does not stop when it should */
typedef struct PinDMAGhost {
    uint8_t fault;              /* PINDMA_FAULT_*, 0: there is none */
    uint64_t left;              /* stamps */
    int64_t due_ns;
    PinDMAOp op;
    uint32_t num_pages;         /* STALE_ATC: where the IOMMU led to */
    hwaddr pages[PINDMA_GHOST_PAGES];
} PinDMAGhost;

/*
 * What the thread of a queue holds on to.  The thread is not joined: exit may
 * run in that very thread, when a guest has aimed an MSI at the power switch of
 * the device's own slot.
 */
typedef struct PinDMAEngine {
    PinDMAState *s;             /* with the BQL: NULL once the device is gone */
    int queue;
    bool kicked;                /* set with the BQL: there may be work */
    int64_t worked_ns;          /* host time of the last batch with any */
    QemuCond kick;              /* engine=thread */
    QEMUTimer *timer;           /* engine=timer, and so are the following */
    uint64_t rng;
    bool busy;                  /* a batch is on */
} PinDMAEngine;

typedef struct PinDMAQueue {
    uint64_t sq_addr, cq_addr;
    uint64_t shadow;            /* struct pindma_shadow, 0: none */
    uint64_t shadow_seen;       /* sq_tail and cq_head there, the last time */
    uint32_t entries;
    uint32_t pd;
    bool enabled;
    bool asleep;                /* and the shadow says so */
    uint32_t sq_head, sq_tail;
    uint32_t cq_head, cq_tail;
    bool phase;
    bool hung;                  /* fault HANG */
    bool cancel;                /* the op before it, linked to it, failed */
    uint32_t mark_high;         /* of a mark that is written in halves */
    PinDMAOp op;                /* the op whose turn it is */
    uint32_t beside_mask;       /* those below that are not free */
    PinDMAOp beside[PINDMA_MAX_BESIDE];
    PinDMALater later;
    PinDMAGhost ghost;
    PinDMAEngine *engine;
} PinDMAQueue;

struct PinDMAState {
    PCIDevice parent_obj;

    MemoryRegion regs;
    MemoryRegion journal;
    struct pindma_journal_entry *journal_ram;
    uint64_t journal_seq;
    uint64_t journal_flushed;   /* entries up to here are known to others */
    uint64_t journal_lost;
    bool journal_broken;        /* the stream ends in the middle of an entry */

    PinDMAMR mrs[PINDMA_MAX_MRS];
    PinDMAMR new_mr;            /* REG_MR: in the making */
    uint32_t num_pages;         /* in all mrs, and in the one in the making */
    bool page_requests;         /* perhaps there are some that nobody knows */
    QTAILQ_HEAD(, PinDMAOldMR) old_mrs;
    uint32_t num_old_mrs, num_old_pages;
    uint64_t stale;             /* accesses to old mrs */
    uint64_t stale_addr;

    PinDMAQueue queues[PINDMA_NUM_QUEUES];
    bool queue_error;
    uint32_t intr;              /* PINDMA_REG_INTR */
    uint32_t notify;            /* queues to be interrupted after the batch */

    uint8_t fault;              /* PINDMA_FAULT_* */
    uint32_t fault_queues;
    uint32_t fault_skip;
    uint32_t fault_count;
    uint64_t fault_arg;
    uint64_t fault_delay;
    uint64_t fault_passed;
    uint64_t fault_hits;

    /* Of the batch that holds the BQL */
    int64_t now;                /* QEMU_CLOCK_VIRTUAL */
    int64_t wake_ns;            /* when something is due, or INT64_MAX */
    bool looked;                /* at the shadow, and nothing was new */
    uint64_t ram_start[2];      /* known to be RAM for reads, for writes */
    uint64_t ram_len[2];

    VMChangeStateEntry *vm_state;

    /* Properties */
    char *engine;
    bool timer;
    uint64_t seed;
    CharFrontend chr;
    bool journal_crc;
    bool msix;
    bool msi;
    bool ats;
    uint32_t dma_bits;
};

/* A mistake of the guest: say so, go on. */
#define pindma_guest_error(s, fmt, ...)                                     \
    do {                                                                    \
        trace_pindma_guest_error((s)->parent_obj.name);                     \
        qemu_log_mask(LOG_GUEST_ERROR, "pindma: " fmt "\n", ## __VA_ARGS__); \
    } while (0)

static inline uint64_t pindma_xorshift(uint64_t *rng)
{
    *rng ^= *rng << 13;
    *rng ^= *rng >> 7;
    *rng ^= *rng << 17;
    return *rng;
}

/* pindma-journal.c */
uint64_t pindma_journal(PinDMAState *s, struct pindma_journal_entry e,
                        const PinDMAOp *op);
void pindma_journal_flush(PinDMAState *s);

/* pindma-dma.c: an access stays within a page */
bool pindma_can_dma(PinDMAState *s);
void pindma_dma_forget(PinDMAState *s);
bool pindma_dma(PinDMAState *s, struct pindma_journal_entry e, PinDMAOp *op,
                void *buf);
void *pindma_dma_map(PinDMAState *s, uint64_t addr, uint32_t len, bool write);
void pindma_dma_unmap(PinDMAState *s, void *p, uint32_t len, bool write);
bool pindma_dma_atomic(PinDMAState *s, struct pindma_journal_entry e,
                       PinDMAOp *op);
bool pindma_dma_shadow(PinDMAState *s, int queue, uint64_t addr, uint64_t *val,
                       unsigned int size, bool write);
const uint64_t *pindma_dma_peek(PinDMAState *s, uint64_t addr);
bool pindma_dma_physical(PinDMAState *s, struct pindma_journal_entry e,
                         PinDMAOp *op, hwaddr addr, uint64_t val);

/* pindma-mr.c */
PinDMAMR *pindma_mr_find(PinDMAState *s, uint32_t key);
PinDMAMR *pindma_mr_find_old(PinDMAState *s, uint32_t key);
int pindma_mr_check(PinDMAState *s, const PinDMAOp *op, uint32_t key,
                    uint64_t offset, uint64_t len, uint8_t access,
                    PinDMAMR **mrp);
int pindma_mr_locate(PinDMAState *s, PinDMAOp *op, const PinDMAMR *mr,
                     uint64_t offset, uint64_t *addr);
uint32_t pindma_mr_room(const PinDMAMR *mr, uint64_t offset);
int pindma_mr_dma(PinDMAState *s, uint8_t kind, int queue, PinDMAOp *op,
                  const PinDMAMR *mr, uint64_t offset, void *buf, uint32_t len);
void pindma_mr_cancel(PinDMAState *s);
int pindma_op_reg_mr(PinDMAState *s, int qn, PinDMAOp *op);
int pindma_op_dereg_mr(PinDMAState *s, int qn, PinDMAOp *op);
int pindma_op_update_mr(PinDMAState *s, int qn, PinDMAOp *op);
void pindma_mr_reset(PinDMAState *s);

/* pindma-op.c */
bool pindma_op_is_known(int qn, uint8_t opcode);
bool pindma_op_is_clean(const struct pindma_sqe *sqe);
bool pindma_op_has_mrs(PinDMAState *s, const PinDMAOp *op);
bool pindma_op_uses(const PinDMAOp *op, uint32_t key);
bool pindma_op_is_last(const PinDMAOp *op, uint32_t len);
uint64_t pindma_op_stamps(const struct pindma_sqe *sqe);
bool pindma_op_is_sound(PinDMAState *s, int qn, const PinDMAOp *op);
void pindma_op_prepare(PinDMAState *s, PinDMAOp *op);
int pindma_op_step(PinDMAState *s, int qn, PinDMAOp *op);

/* pindma-queue.c */
bool pindma_queue_turn(PinDMAState *s, int qn, unsigned int *budget);
bool pindma_queue_busy(const PinDMAQueue *q);
void pindma_queue_end(PinDMAState *s, int qn, PinDMAOp *op, uint16_t status);
void pindma_queue_abort(PinDMAState *s, uint32_t key);
void pindma_queue_paged(PinDMAState *s, uint32_t key, uint64_t first,
                        uint64_t num, bool refused);
int pindma_op_stop(PinDMAState *s, int qn, PinDMAOp *op);
void pindma_queue_mark(PinDMAState *s, int qn, uint64_t value);
void pindma_queue_wake(PinDMAState *s, int qn);
bool pindma_queue_doze(PinDMAState *s, int qn);
const uint64_t *pindma_queue_peek(PinDMAState *s, int qn);
void pindma_queue_notify(PinDMAState *s);
void pindma_queue_clear(PinDMAState *s, int qn);
void pindma_queue_set(PinDMAState *s, int qn, hwaddr reg, uint64_t val);
uint64_t pindma_queue_get(PinDMAState *s, int qn, hwaddr reg);
void pindma_queue_doorbell(PinDMAState *s, int qn, hwaddr reg, uint64_t val);

/* pindma-fault.c */
extern const char *const pindma_fault_names[PINDMA_NUM_FAULTS];
void pindma_fault_arm(PinDMAState *s, uint8_t fault);
bool pindma_fault_hits(PinDMAState *s, int qn, uint8_t fault);
int pindma_fault_access(PinDMAState *s, struct pindma_journal_entry *e,
                        PinDMAOp *op, void *buf);
void pindma_fault_accessed(PinDMAState *s, int qn, const PinDMAOp *op);
bool pindma_fault_turn(PinDMAState *s, int qn);
void pindma_fault_stopped(PinDMAState *s, int qn, const PinDMAOp *op);
void pindma_fault_forget(PinDMAState *s, uint32_t key);

/* pindma-engine.c */
bool pindma_engine_check(PinDMAState *s, Error **errp);
void pindma_engine_start(PinDMAState *s);
void pindma_engine_stop(PinDMAState *s);
void pindma_kick(PinDMAState *s, int qn);
void pindma_kick_all(PinDMAState *s);

/* pindma.c */
void pindma_interrupt(PinDMAEngine *engine);
void pindma_intr_update(PinDMAState *s);

/* pindma-vmstate.c */
extern const VMStateDescription pindma_vmstate;

#endif /* HW_MISC_PINDMA_INTERNAL_H */
