/*
 * pindma: a PCI device that masters the bus whenever it likes
 *
 * Hardware in the manner of an RDMA adapter, for testing how an operating
 * system treats memory that a device may access at any time: memory regions
 * (mrs) are registered as lists of pages, requests (ops) come in through
 * rings, and a thread of its own, the engine, reads and writes the pages.  A
 * hammer is an op that goes on writing until it is stopped.  The journal is
 * the device's own record of every access.
 *
 *     -device pindma                  on PCI Express (FLR) or plain PCI
 *
 * Locking.  The engine holds the BQL for a batch of at most PINDMA_BATCH steps,
 * each of them an access to a page or the end of an op, and keeps nothing in
 * local variables across batches.  vCPUs run guest code without the BQL, so DMA
 * is concurrent with all guest loads and stores, but whatever a device must be
 * ordered against (registers, bus mastering, reset, FLR, the MSI-X table,
 * invalidations of a vIOMMU, vm_stop, unplug) happens under the BQL and so
 * between two batches.
 *
 * Only RAM is accessed: a guest must not be able to reach a register of this or
 * another device, config space or a slot's power switch from inside a batch.
 * MSIs can be aimed anywhere, even there, so they are sent between two batches,
 * and the engine is prepared to find the device gone after one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <zlib.h>
#include "pindma-compat.h"
#include "hw/misc/pindma_regs.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qemu/host-utils.h"
#include "qemu/log.h"
#include "qemu/module.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "trace.h"

#define TYPE_PINDMA "pindma"
OBJECT_DECLARE_SIMPLE_TYPE(PinDMAState, PINDMA)

#define PINDMA_MAX_MRS          1024
#define PINDMA_MAX_PAGES        (256 * KiB)     /* 1 GiB in all mrs */
#define PINDMA_JOURNAL_ENTRIES  (16 * KiB)
#define PINDMA_BATCH            64              /* steps per lock hold */
#define PINDMA_MAX_LAG_NS       (10 * SCALE_MS) /* a late hammer skips more */

QEMU_BUILD_BUG_ON(sizeof(struct pindma_sqe) != 64);
QEMU_BUILD_BUG_ON(sizeof(struct pindma_cqe) != 32);
QEMU_BUILD_BUG_ON(sizeof(struct pindma_journal_entry) != 64);
QEMU_BUILD_BUG_ON(PINDMA_MAX_MRS & (PINDMA_MAX_MRS - 1));

typedef struct PinDMAMR {
    uint32_t key;
    uint8_t access;             /* PINDMA_ACCESS_*, 0: slot is free */
    uint32_t first_offset;      /* where the mr begins in its first page */
    uint64_t len;
    uint32_t num_pages;
    uint64_t *pages;            /* bus addresses */
} PinDMAMR;

typedef struct PinDMAOp {
    struct pindma_sqe sqe;      /* a copy, in host byte order */
    uint64_t done;              /* bytes, or stamps */
    uint64_t seq;               /* newest journal entry of this op */
    uint64_t result;            /* READ */
    uint64_t rng;               /* HAMMER in random order */
    int64_t start_ns;           /* HAMMER with a rate: stamp 0 is due */
    PinDMAMR mr;                /* REG_MR: the mr in the making */
} PinDMAOp;

typedef struct PinDMAQueue {
    uint64_t sq_addr, cq_addr;
    uint32_t entries;
    bool enabled;
    uint32_t sq_head, sq_tail;
    uint32_t cq_head, cq_tail;
    bool phase;
    bool busy;                  /* op is valid */
    PinDMAOp op;                /* the op whose turn it is */
    unsigned int num_hammers;
    PinDMAOp hammers[PINDMA_MAX_HAMMERS];
} PinDMAQueue;

struct PinDMAState {
    PCIDevice parent_obj;

    MemoryRegion regs;
    MemoryRegion journal;
    struct pindma_journal_entry *journal_ram;
    uint64_t journal_seq;

    PinDMAMR mrs[PINDMA_MAX_MRS];
    uint32_t num_pages;         /* in all mrs, and in those in the making */
    PinDMAQueue queues[PINDMA_NUM_QUEUES];
    bool queue_error;
    uint64_t mark_high;         /* of a PINDMA_REG_MARK written in halves */

    VMChangeStateEntry *vm_state;
    struct PinDMAEngine *engine;
    int64_t now;                /* QEMU_CLOCK_VIRTUAL of this batch */
    int64_t wake_ns;            /* next stamp of a paced hammer, or INT64_MAX */
    uint32_t notify;            /* vectors to be sent after the batch */
};

/*
 * What the engine thread holds on to.  The thread is not joined: exit may run
 * in that very thread, when a guest has aimed an MSI at the power switch of the
 * device's own slot.
 */
typedef struct PinDMAEngine {
    PinDMAState *s;             /* with the BQL: NULL once the device is gone */
    QemuCond kick;              /* with the BQL: there may be work */
} PinDMAEngine;

/* A mistake of the guest: say so, go on. */
#define pindma_guest_error(s, fmt, ...)                                     \
    do {                                                                    \
        trace_pindma_guest_error((s)->parent_obj.name);                     \
        qemu_log_mask(LOG_GUEST_ERROR, "pindma: " fmt "\n", ## __VA_ARGS__); \
    } while (0)

/* ---------------------------------------------------------------- journal */

static uint64_t pindma_journal(PinDMAState *s, uint8_t kind, int queue,
                               const PinDMAOp *op, uint32_t key,
                               uint64_t offset, uint64_t addr, uint32_t len,
                               uint64_t value, uint16_t status)
{
    uint64_t seq = ++s->journal_seq;
    struct pindma_journal_entry *e =
        &s->journal_ram[seq % PINDMA_JOURNAL_ENTRIES];

    qatomic_set(&e->seq, 0);
    smp_wmb();  /* a reader who sees anything new sees 0 or the new seq */
    e->time = cpu_to_le64(s->now);
    e->addr = cpu_to_le64(addr);
    e->value = cpu_to_le64(value);
    e->tag = cpu_to_le64(op ? op->sqe.tag : 0);
    e->offset = cpu_to_le64(offset);
    e->len = cpu_to_le32(len);
    e->key = cpu_to_le32(key);
    e->kind = kind;
    e->queue = queue;
    e->status = cpu_to_le16(status);
    smp_wmb();  /* a reader who sees the new seq sees all the rest */
    qatomic_set(&e->seq, cpu_to_le64(seq));
    return seq;
}

/* -------------------------------------------------------------------- DMA */

static bool pindma_can_dma(PinDMAState *s)
{
    PCIDevice *pdev = PCI_DEVICE(s);

    return runstate_is_running() &&
           pci_get_word(pdev->config + PCI_COMMAND) & PCI_COMMAND_MASTER;
}

/*
 * Access a naturally aligned 4- or 8-byte word at once, so that no CPU sees half
 * of it.  pci_dma_rw() does not promise that; address_space_*_le() does, but
 * would reach MMIO as well.
 */
static MemTxResult pindma_dma_word(PinDMAState *s, uint64_t addr,
                                   uint64_t *val, unsigned int size, bool write)
{
    AddressSpace *as = pci_get_address_space(PCI_DEVICE(s));
    MemTxAttrs attrs = MEMTXATTRS_UNSPECIFIED;
    hwaddr xlat, len = size;
    MemTxResult r;

    RCU_READ_LOCK_GUARD();
    if (!memory_region_is_ram(address_space_translate(as, addr, &xlat, &len,
                                                      write, attrs)) ||
        len < size) {
        return MEMTX_ACCESS_ERROR;
    }
    smp_mb();   /* as dma_barrier(): after what the engine did before */
    if (write && size == 8) {
        address_space_stq_le(as, addr, *val, attrs, &r);
    } else if (write) {
        address_space_stl_le(as, addr, *val, attrs, &r);
    } else if (size == 8) {
        *val = address_space_ldq_le(as, addr, attrs, &r);
    } else {
        *val = address_space_ldl_le(as, addr, attrs, &r);
    }
    return r;
}

/* Every access of the engine goes through here.  It stays within a page. */
static bool pindma_dma(PinDMAState *s, uint8_t kind, int queue, PinDMAOp *op,
                       uint32_t key, uint64_t offset, uint64_t addr,
                       void *buf, uint32_t len)
{
    static const MemTxAttrs ram_only = { .memory = 1 };
    bool write = kind == PINDMA_JOURNAL_WRITE || kind == PINDMA_JOURNAL_CQE;
    uint64_t val = 0;
    MemTxResult r;
    uint64_t seq;

    assert(len && len <= PINDMA_PAGE_SIZE -
                         (addr & (PINDMA_PAGE_SIZE - 1)));
    if ((len == 4 || len == 8) && QEMU_IS_ALIGNED(addr, len)) {
        val = ldn_le_p(buf, len);
        r = pindma_dma_word(s, addr, &val, len, write);
        stn_le_p(buf, len, val);
    } else {
        r = pci_dma_rw(PCI_DEVICE(s), addr, buf, len,
                       write ? DMA_DIRECTION_FROM_DEVICE
                             : DMA_DIRECTION_TO_DEVICE, ram_only);
        memcpy(&val, buf, MIN(len, sizeof(val)));
        val = le64_to_cpu(val);
    }
    if (r != MEMTX_OK && !write) {
        val = 0;    /* buf may be as it was, and that is not for the guest */
    }
    seq = pindma_journal(s, kind, queue, op, key, offset, addr, len, val,
                         r == MEMTX_OK ? PINDMA_ST_OK : PINDMA_ST_DMA_ERROR);
    if (op) {
        op->seq = seq;
    }
    if (r != MEMTX_OK) {
        trace_pindma_dma_error(kind, addr, len, r);
    }
    return r == MEMTX_OK;
}

/* -------------------------------------------------------------------- mrs */

static PinDMAMR *pindma_mr_slot(PinDMAState *s, uint32_t key)
{
    return &s->mrs[key & (PINDMA_MAX_MRS - 1)];
}

static PinDMAMR *pindma_mr_find(PinDMAState *s, uint32_t key)
{
    PinDMAMR *mr = pindma_mr_slot(s, key);

    return mr->access && mr->key == key ? mr : NULL;
}

static void pindma_mr_free(PinDMAState *s, PinDMAMR *mr)
{
    s->num_pages -= mr->num_pages;
    g_free(mr->pages);
    memset(mr, 0, sizeof(*mr));
}

/* Status of an access of len bytes at offset; *mrp is the mr if it is OK. */
static uint16_t pindma_mr_check(PinDMAState *s, uint32_t key, uint64_t offset,
                                uint64_t len, uint8_t access, PinDMAMR **mrp)
{
    PinDMAMR *mr = pindma_mr_find(s, key);

    if (!mr) {
        return PINDMA_ST_BAD_KEY;
    }
    if (offset > mr->len || len > mr->len - offset) {
        return PINDMA_ST_BOUNDS;
    }
    if (!(mr->access & access)) {
        return PINDMA_ST_ACCESS;
    }
    *mrp = mr;
    return PINDMA_ST_OK;
}

static uint64_t pindma_mr_addr(const PinDMAMR *mr, uint64_t offset)
{
    uint64_t pos = mr->first_offset + offset;

    return mr->pages[pos >> PINDMA_PAGE_SHIFT] +
           (pos & (PINDMA_PAGE_SIZE - 1));
}

/* Bytes from offset to the end of its page. */
static uint32_t pindma_mr_room(const PinDMAMR *mr, uint64_t offset)
{
    return PINDMA_PAGE_SIZE -
           ((mr->first_offset + offset) & (PINDMA_PAGE_SIZE - 1));
}

static bool pindma_mr_dma(PinDMAState *s, uint8_t kind, int queue,
                          PinDMAOp *op, const PinDMAMR *mr, uint64_t offset,
                          void *buf, uint32_t len)
{
    return pindma_dma(s, kind, queue, op, mr->key, offset,
                      pindma_mr_addr(mr, offset), buf, len);
}

/* ------------------------------------------------------------ completions */

static void pindma_queue_clear(PinDMAState *s, PinDMAQueue *q)
{
    if (q->busy) {
        pindma_mr_free(s, &q->op.mr);
    }
    q->busy = false;
    q->num_hammers = 0;
    q->enabled = false;
    q->sq_head = q->sq_tail = 0;
    q->cq_head = q->cq_tail = 0;
    q->phase = true;
}

/* A ring cannot be accessed: there is nobody left to tell but STATUS. */
static void pindma_queue_fail(PinDMAState *s, int qn)
{
    pindma_guest_error(s, "queue %d: ring not accessible, disabled", qn);
    pindma_queue_clear(s, &s->queues[qn]);
    s->queue_error = true;
}

/* Slots of the completion ring that are neither unread nor promised to an op */
static uint32_t pindma_cq_room(const PinDMAQueue *q)
{
    uint32_t used = (q->cq_tail - q->cq_head) & (q->entries - 1);

    return q->entries - 1 - used - q->busy - q->num_hammers;
}

/* Write the cqe of op; the caller has checked that there is room. */
static void pindma_complete(PinDMAState *s, int qn, PinDMAOp *op,
                            uint16_t status, uint64_t result)
{
    PinDMAQueue *q = &s->queues[qn];
    uint64_t addr = q->cq_addr + q->cq_tail * sizeof(struct pindma_cqe);
    struct pindma_cqe cqe = {
        .tag = cpu_to_le64(op->sqe.tag),
        .result = cpu_to_le64(result),
        .seq = cpu_to_le64(op->seq),
        .status = cpu_to_le16(status),
        .sq_head = cpu_to_le16(q->sq_head),
        .phase = cpu_to_le16(q->phase),
    };
    const size_t tail = offsetof(struct pindma_cqe, status);

    trace_pindma_complete(qn, op->sqe.opcode, op->sqe.tag, status, result);
    if (!pindma_dma(s, PINDMA_JOURNAL_CQE, qn, op, 0, 0, addr, &cqe, tail) ||
        !pindma_dma(s, PINDMA_JOURNAL_CQE, qn, op, 0, tail, addr + tail,
                    (uint8_t *)&cqe + tail, sizeof(cqe) - tail)) {
        pindma_queue_fail(s, qn);
        return;
    }
    q->cq_tail = (q->cq_tail + 1) & (q->entries - 1);
    if (!q->cq_tail) {
        q->phase = !q->phase;
    }
    s->notify |= 1u << qn;
}

static void pindma_complete_current(PinDMAState *s, int qn, uint16_t status,
                                    uint64_t result)
{
    PinDMAQueue *q = &s->queues[qn];

    pindma_mr_free(s, &q->op.mr);
    q->busy = false;
    pindma_complete(s, qn, &q->op, status, result);
}

static void pindma_complete_hammer(PinDMAState *s, int qn, unsigned int n,
                                   uint16_t status)
{
    PinDMAQueue *q = &s->queues[qn];
    PinDMAOp op = q->hammers[n];

    q->hammers[n] = q->hammers[--q->num_hammers];
    pindma_complete(s, qn, &op, status, op.done);
}

/* -------------------------------------------------------------- admin ops */

static void pindma_op_reg_mr(PinDMAState *s, int qn)
{
    PinDMAOp *op = &s->queues[qn].op;
    const struct pindma_sqe *sqe = &op->sqe;
    PinDMAMR *mr = &op->mr;
    PinDMAMR *slot = pindma_mr_slot(s, sqe->key);
    uint64_t list = sqe->value + op->done * 8;
    uint32_t i, n;

    if (!mr->pages) {
        if (!sqe->key || !sqe->mode ||
            sqe->mode & ~(PINDMA_ACCESS_READ | PINDMA_ACCESS_WRITE) ||
            sqe->offset >= PINDMA_PAGE_SIZE || !sqe->len ||
            !QEMU_IS_ALIGNED(sqe->value, 8)) {
            pindma_complete_current(s, qn, PINDMA_ST_BAD_FIELD, 0);
            return;
        }
        if (slot->access) {
            pindma_complete_current(s, qn, PINDMA_ST_BAD_KEY, 0);
            return;
        }
        if (sqe->len > (uint64_t)PINDMA_MAX_PAGES * PINDMA_PAGE_SIZE ||
            DIV_ROUND_UP(sqe->offset + sqe->len, PINDMA_PAGE_SIZE) >
            PINDMA_MAX_PAGES - s->num_pages) {
            pindma_complete_current(s, qn, PINDMA_ST_NO_SPACE, 0);
            return;
        }
        mr->key = sqe->key;
        mr->access = sqe->mode;
        mr->first_offset = sqe->offset;
        mr->len = sqe->len;
        mr->num_pages = DIV_ROUND_UP(sqe->offset + sqe->len, PINDMA_PAGE_SIZE);
        mr->pages = g_new(uint64_t, mr->num_pages);
        s->num_pages += mr->num_pages;
    }

    /* One access: the part of the list that lies in one page. */
    n = MIN(mr->num_pages - op->done,
            (PINDMA_PAGE_SIZE - (list & (PINDMA_PAGE_SIZE - 1))) / 8);
    if (!pindma_dma(s, PINDMA_JOURNAL_FETCH, qn, op, sqe->key, op->done * 8,
                    list, &mr->pages[op->done], n * 8)) {
        pindma_complete_current(s, qn, PINDMA_ST_DMA_ERROR, op->done * 8);
        return;
    }
    for (i = op->done; i < op->done + n; i++) {
        le64_to_cpus(&mr->pages[i]);
        if (!QEMU_IS_ALIGNED(mr->pages[i], PINDMA_PAGE_SIZE)) {
            pindma_guest_error(s, "mr 0x%x: page %u at 0x%" PRIx64
                               " is not aligned", sqe->key, i, mr->pages[i]);
            pindma_complete_current(s, qn, PINDMA_ST_BAD_FIELD, i * 8);
            return;
        }
    }
    op->done += n;
    if (op->done < mr->num_pages) {
        return;
    }
    op->seq = pindma_journal(s, PINDMA_JOURNAL_REG_MR, qn, op, mr->key, 0,
                             mr->pages[0] + mr->first_offset, mr->num_pages,
                             mr->len, PINDMA_ST_OK);
    trace_pindma_reg_mr(mr->key, mr->access, mr->len, mr->num_pages);
    *slot = *mr;
    memset(mr, 0, sizeof(*mr));
    pindma_complete_current(s, qn, PINDMA_ST_OK, op->done * 8);
}

static bool pindma_op_uses(const PinDMAOp *op, uint32_t key)
{
    switch (op->sqe.opcode) {
    case PINDMA_OP_WRITE:
    case PINDMA_OP_READ:
    case PINDMA_OP_FILL:
    case PINDMA_OP_HAMMER:
        return op->sqe.key == key;
    case PINDMA_OP_COPY:
        return op->sqe.key == key || op->sqe.src_key == key;
    default:
        return false;
    }
}

static void pindma_op_dereg_mr(PinDMAState *s, int qn)
{
    PinDMAOp *op = &s->queues[qn].op;
    uint32_t key = op->sqe.key;
    PinDMAMR *mr = pindma_mr_find(s, key);
    int i, n;

    if (!mr) {
        pindma_complete_current(s, qn, PINDMA_ST_BAD_KEY, 0);
        return;
    }
    op->seq = pindma_journal(s, PINDMA_JOURNAL_DEREG_MR, qn, op, key, 0,
                             mr->pages[0] + mr->first_offset, mr->num_pages,
                             mr->len, PINDMA_ST_OK);
    trace_pindma_dereg_mr(key);
    pindma_mr_free(s, mr);
    for (i = 0; i < PINDMA_NUM_QUEUES; i++) {
        PinDMAQueue *q = &s->queues[i];

        if (q->busy && pindma_op_uses(&q->op, key)) {
            pindma_complete_current(s, i, PINDMA_ST_ABORTED, q->op.done);
        }
        for (n = q->num_hammers - 1; n >= 0 && q->enabled; n--) {
            if (pindma_op_uses(&q->hammers[n], key)) {
                pindma_complete_hammer(s, i, n, PINDMA_ST_ABORTED);
            }
        }
    }
    if (s->queues[qn].busy) {
        pindma_complete_current(s, qn, PINDMA_ST_OK, 0);
    }
}

/* --------------------------------------------------------------- data ops */

static uint64_t pindma_pattern(uint64_t seed, uint64_t offset)
{
    return seed + (offset / 8) * PINDMA_PATTERN_STEP;
}

/* Bytes done to done + len of the op's pattern; done may be anything. */
static void pindma_fill_pattern(uint8_t *buf, uint64_t seed, uint64_t done,
                                uint32_t len)
{
    uint32_t i;

    for (i = 0; i < len; i++) {
        uint64_t pos = done + i;

        if (QEMU_IS_ALIGNED(pos, 8) && len - i >= 8) {
            stq_le_p(buf + i, pindma_pattern(seed, pos));
            i += 7;
        } else {
            buf[i] = pindma_pattern(seed, pos) >> (pos % 8 * 8);
        }
    }
}

/* WRITE (immediate, pattern), READ, FILL and COPY: one page at the most. */
static void pindma_op_bytes(PinDMAState *s, int qn)
{
    PinDMAOp *op = &s->queues[qn].op;
    const struct pindma_sqe *sqe = &op->sqe;
    bool reads = sqe->opcode == PINDMA_OP_READ;
    bool word = (sqe->opcode == PINDMA_OP_WRITE &&
                 sqe->mode == PINDMA_WRITE_IMMEDIATE) ||
                (reads && sqe->mode == PINDMA_READ_VALUE);
    uint64_t offset = sqe->offset + op->done;
    uint64_t src_offset = sqe->src_offset + op->done;
    uint8_t buf[PINDMA_PAGE_SIZE] QEMU_ALIGNED(8);
    PinDMAMR *mr, *src = NULL;
    uint16_t status;
    uint32_t n;

    if (word && (!sqe->len || sqe->len > 8)) {
        pindma_complete_current(s, qn, PINDMA_ST_BAD_FIELD, 0);
        return;
    }
    /* Checked for each page anew: the mr may have gone in between. */
    status = pindma_mr_check(s, sqe->key, sqe->offset, sqe->len,
                             reads ? PINDMA_ACCESS_READ : PINDMA_ACCESS_WRITE,
                             &mr);
    if (status == PINDMA_ST_OK && sqe->opcode == PINDMA_OP_COPY) {
        status = pindma_mr_check(s, sqe->src_key, sqe->src_offset, sqe->len,
                                 PINDMA_ACCESS_READ, &src);
    }
    if (status != PINDMA_ST_OK || op->done == sqe->len) {
        pindma_complete_current(s, qn, status, op->done);
        return;
    }

    n = MIN(sqe->len - op->done, pindma_mr_room(mr, offset));
    if (src) {
        n = MIN(n, pindma_mr_room(src, src_offset));
    }
    switch (sqe->opcode) {
    case PINDMA_OP_FILL:
        memset(buf, sqe->value & 0xff, n);
        break;
    case PINDMA_OP_WRITE:
        if (word) {
            uint64_t val = cpu_to_le64(sqe->value);

            memcpy(buf, (uint8_t *)&val + op->done, n);
        } else {
            pindma_fill_pattern(buf, sqe->value, op->done, n);
        }
        break;
    }
    if (src && !pindma_mr_dma(s, PINDMA_JOURNAL_READ, qn, op, src, src_offset,
                              buf, n)) {
        status = PINDMA_ST_DMA_ERROR;
    } else if (!pindma_mr_dma(s, reads ? PINDMA_JOURNAL_READ
                                       : PINDMA_JOURNAL_WRITE,
                              qn, op, mr, offset, buf, n)) {
        status = PINDMA_ST_DMA_ERROR;
    }
    if (status != PINDMA_ST_OK) {
        pindma_complete_current(s, qn, status, op->done);
        return;
    }
    if (word && reads) {
        uint64_t val = 0;

        memcpy((uint8_t *)&val + op->done, buf, n);
        op->result |= le64_to_cpu(val);
    } else if (reads) {
        op->result = crc32(op->result, buf, n);
    }
    op->done += n;
    if (op->done == sqe->len) {
        pindma_complete_current(s, qn, PINDMA_ST_OK,
                                reads ? op->result : op->done);
    }
}

static uint64_t pindma_num_stamps(const struct pindma_sqe *sqe)
{
    return DIV_ROUND_UP(sqe->len, PINDMA_PAGE_SIZE);
}

static uint16_t pindma_stamp_check(PinDMAState *s, const struct pindma_sqe *sqe,
                                   PinDMAMR **mrp)
{
    uint64_t last;
    uint16_t status = pindma_mr_check(s, sqe->key, sqe->offset, sqe->len,
                                      PINDMA_ACCESS_WRITE, mrp);

    if (status != PINDMA_ST_OK) {
        return status;
    }
    if (!sqe->len || !QEMU_IS_ALIGNED((*mrp)->first_offset + sqe->offset, 8)) {
        return PINDMA_ST_BAD_FIELD;
    }
    last = sqe->offset + (pindma_num_stamps(sqe) - 1) * PINDMA_PAGE_SIZE;
    return (*mrp)->len - last < 8 ? PINDMA_ST_BOUNDS : PINDMA_ST_OK;
}

static bool pindma_stamp(PinDMAState *s, int qn, PinDMAOp *op,
                         const PinDMAMR *mr, uint64_t n)
{
    uint64_t val = cpu_to_le64(op->sqe.value + op->done);

    if (!pindma_mr_dma(s, PINDMA_JOURNAL_WRITE, qn, op, mr,
                       op->sqe.offset + n * PINDMA_PAGE_SIZE, &val, 8)) {
        return false;
    }
    op->done++;
    return true;
}

static void pindma_op_write_stamps(PinDMAState *s, int qn)
{
    PinDMAOp *op = &s->queues[qn].op;
    PinDMAMR *mr;
    uint16_t status = pindma_stamp_check(s, &op->sqe, &mr);

    if (status == PINDMA_ST_OK && !pindma_stamp(s, qn, op, mr, op->done)) {
        status = PINDMA_ST_DMA_ERROR;
    }
    if (status != PINDMA_ST_OK || op->done == pindma_num_stamps(&op->sqe)) {
        pindma_complete_current(s, qn, status, op->done);
    }
}

/* The turn of a HAMMER has come: from now on it runs beside the queue. */
static void pindma_op_hammer(PinDMAState *s, int qn)
{
    PinDMAQueue *q = &s->queues[qn];
    PinDMAMR *mr;
    uint16_t status = pindma_stamp_check(s, &q->op.sqe, &mr);

    /* A slot of the completion ring must stay free, or STOP gets no turn. */
    if (status == PINDMA_ST_OK && (q->num_hammers == PINDMA_MAX_HAMMERS ||
                                   q->num_hammers + 3 > q->entries)) {
        status = PINDMA_ST_NO_SPACE;
    }
    if (status != PINDMA_ST_OK) {
        pindma_complete_current(s, qn, status, 0);
        return;
    }
    q->op.start_ns = s->now;
    q->op.rng = q->op.sqe.seed ?: 1;
    q->hammers[q->num_hammers++] = q->op;
    q->busy = false;
}

static void pindma_op_stop(PinDMAState *s, int qn)
{
    PinDMAQueue *q = &s->queues[qn];
    unsigned int n;

    for (n = 0; n < q->num_hammers; n++) {
        if (q->hammers[n].sqe.tag == q->op.sqe.value) {
            pindma_complete_hammer(s, qn, n, PINDMA_ST_OK);
            if (q->busy) {
                pindma_complete_current(s, qn, PINDMA_ST_OK, 0);
            }
            return;
        }
    }
    pindma_complete_current(s, qn, PINDMA_ST_NOT_FOUND, 0);
}

/* ----------------------------------------------------------------- engine */

/*
 * One stamp of hammer n of a queue.  False: its next stamp is not due yet, and
 * s->wake_ns knows when it will be.
 */
static bool pindma_hammer_step(PinDMAState *s, int qn, unsigned int n)
{
    PinDMAOp *op = &s->queues[qn].hammers[n];
    uint64_t pages = pindma_num_stamps(&op->sqe);
    uint64_t page = op->done % pages;
    PinDMAMR *mr = pindma_mr_find(s, op->sqe.key);

    if (op->sqe.rate) {
        int64_t due = op->start_ns + muldiv64(op->done, NANOSECONDS_PER_SECOND,
                                              op->sqe.rate);

        if (due > s->now) {
            s->wake_ns = MIN(s->wake_ns, due);
            return false;
        }
        if (s->now - due > PINDMA_MAX_LAG_NS) {
            op->start_ns += s->now - due;
        }
    }
    switch (op->sqe.mode) {
    case PINDMA_ORDER_DOWN:
        page = pages - 1 - page;
        break;
    case PINDMA_ORDER_RANDOM:
        op->rng ^= op->rng << 13;
        op->rng ^= op->rng >> 7;
        op->rng ^= op->rng << 17;
        page = op->rng % pages;
        break;
    }
    if (!pindma_stamp(s, qn, op, mr, page)) {
        pindma_complete_hammer(s, qn, n, PINDMA_ST_DMA_ERROR);
    }
    return true;
}

/*
 * Fields that an op does not name must be 0, and modes are those that it has:
 * they may mean something later.
 */
static bool pindma_sqe_is_clean(const struct pindma_sqe *sqe)
{
    bool data = sqe->opcode == PINDMA_OP_WRITE ||
                sqe->opcode == PINDMA_OP_READ ||
                sqe->opcode == PINDMA_OP_FILL ||
                sqe->opcode == PINDMA_OP_COPY ||
                sqe->opcode == PINDMA_OP_HAMMER ||
                sqe->opcode == PINDMA_OP_REG_MR;

    if (sqe->reserved0 ||
        ((sqe->src_key || sqe->src_offset) && sqe->opcode != PINDMA_OP_COPY) ||
        ((sqe->rate || sqe->seed) && sqe->opcode != PINDMA_OP_HAMMER) ||
        ((sqe->offset || sqe->len) && !data) ||
        (sqe->key && !data && sqe->opcode != PINDMA_OP_DEREG_MR)) {
        return false;
    }
    switch (sqe->opcode) {
    case PINDMA_OP_NOP:
    case PINDMA_OP_DEREG_MR:
    case PINDMA_OP_COPY:
        return !sqe->mode && !sqe->value;
    case PINDMA_OP_WRITE:
        return sqe->mode <= PINDMA_WRITE_STAMP;
    case PINDMA_OP_READ:
        return sqe->mode <= PINDMA_READ_CRC32 && !sqe->value;
    case PINDMA_OP_HAMMER:
        return sqe->mode <= PINDMA_ORDER_RANDOM;
    case PINDMA_OP_FILL:
        return !sqe->mode && sqe->value <= 0xff;
    case PINDMA_OP_STOP:
        return !sqe->mode;
    default:
        return true;
    }
}

static bool pindma_op_known(int qn, uint8_t opcode)
{
    switch (opcode) {
    case PINDMA_OP_NOP:
        return true;
    case PINDMA_OP_REG_MR:
    case PINDMA_OP_DEREG_MR:
        return qn == PINDMA_QUEUE_ADMIN;
    case PINDMA_OP_WRITE:
    case PINDMA_OP_READ:
    case PINDMA_OP_FILL:
    case PINDMA_OP_COPY:
    case PINDMA_OP_HAMMER:
    case PINDMA_OP_STOP:
        return qn == PINDMA_QUEUE_IO;
    }
    return false;
}

/* One step of the op whose turn it is: at most one page, or a completion. */
static void pindma_op_step(PinDMAState *s, int qn)
{
    const struct pindma_sqe *sqe = &s->queues[qn].op.sqe;

    if (!pindma_op_known(qn, sqe->opcode)) {
        pindma_complete_current(s, qn, PINDMA_ST_BAD_OPCODE, 0);
        return;
    }
    if (!pindma_sqe_is_clean(sqe)) {
        pindma_complete_current(s, qn, PINDMA_ST_BAD_FIELD, 0);
        return;
    }
    switch (sqe->opcode) {
    case PINDMA_OP_NOP:
        pindma_complete_current(s, qn, PINDMA_ST_OK, 0);
        break;
    case PINDMA_OP_WRITE:
        if (sqe->mode == PINDMA_WRITE_STAMP) {
            pindma_op_write_stamps(s, qn);
            break;
        }
        /* fall through */
    case PINDMA_OP_READ:
    case PINDMA_OP_FILL:
    case PINDMA_OP_COPY:
        pindma_op_bytes(s, qn);
        break;
    case PINDMA_OP_HAMMER:
        pindma_op_hammer(s, qn);
        break;
    case PINDMA_OP_STOP:
        pindma_op_stop(s, qn);
        break;
    case PINDMA_OP_REG_MR:
        pindma_op_reg_mr(s, qn);
        break;
    case PINDMA_OP_DEREG_MR:
        pindma_op_dereg_mr(s, qn);
        break;
    }
}

/* Fetch the next sqe, if there is one and room for its cqe. */
static bool pindma_queue_fetch(PinDMAState *s, int qn)
{
    PinDMAQueue *q = &s->queues[qn];
    struct pindma_sqe *sqe = &q->op.sqe;

    if (!q->enabled || q->sq_head == q->sq_tail || !pindma_cq_room(q)) {
        return false;
    }
    memset(&q->op, 0, sizeof(q->op));
    if (!pindma_dma(s, PINDMA_JOURNAL_FETCH, qn, NULL, 0, 0,
                    q->sq_addr + q->sq_head * sizeof(*sqe), sqe,
                    sizeof(*sqe))) {
        pindma_queue_fail(s, qn);
        return false;
    }
    le16_to_cpus(&sqe->reserved0);
    le32_to_cpus(&sqe->key);
    le64_to_cpus(&sqe->tag);
    le64_to_cpus(&sqe->offset);
    le64_to_cpus(&sqe->len);
    le64_to_cpus(&sqe->value);
    le32_to_cpus(&sqe->src_key);
    le32_to_cpus(&sqe->rate);
    le64_to_cpus(&sqe->src_offset);
    le64_to_cpus(&sqe->seed);
    q->sq_head = (q->sq_head + 1) & (q->entries - 1);
    q->busy = true;
    trace_pindma_op(qn, sqe->opcode, sqe->tag, sqe->key, sqe->offset, sqe->len);
    return true;
}

/* One turn for everything that wants to run.  False: nothing wanted to. */
static bool pindma_engine_turn(PinDMAState *s, unsigned int *budget)
{
    bool progress = false;
    unsigned int n;
    int i;

    for (i = 0; i < PINDMA_NUM_QUEUES; i++) {
        PinDMAQueue *q = &s->queues[i];

        if (*budget && (q->busy || pindma_queue_fetch(s, i))) {
            pindma_op_step(s, i);
            progress = true;
            --*budget;
        }
        for (n = 0; n < q->num_hammers && *budget; n++) {
            if (pindma_hammer_step(s, i, n)) {
                progress = true;
                --*budget;
            }
        }
    }
    return progress;
}

/*
 * Returns how long there will be nothing to do, ns: 0 for not at all.  The
 * device may be gone then.
 */
static int64_t pindma_engine_batch(PinDMAEngine *engine)
{
    PinDMAState *s = engine->s;
    unsigned int budget = PINDMA_BATCH;
    int64_t idle_ns = INT64_MAX;
    uint32_t notify;
    int i;

    if (!pindma_can_dma(s)) {
        return INT64_MAX;
    }
    s->now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    s->wake_ns = INT64_MAX;
    while (budget && pindma_engine_turn(s, &budget)) {
        /* the budget bounds it */
    }
    if (!budget) {
        idle_ns = 0;
    } else if (s->wake_ns != INT64_MAX) {
        idle_ns = s->wake_ns - s->now;
    }
    notify = s->notify;
    s->notify = 0;
    object_ref(OBJECT(s));
    for (i = 0; i < PINDMA_NUM_QUEUES && engine->s; i++) {
        if (notify & (1u << i)) {
            msix_notify(PCI_DEVICE(s), i);
        }
    }
    object_unref(OBJECT(s));
    return idle_ns;
}

static void *pindma_engine_thread(void *opaque)
{
    PinDMAEngine *engine = opaque;

    rcu_register_thread();
    bql_lock();
    while (engine->s) {
        int64_t idle_ns = pindma_engine_batch(engine);

        if (!engine->s) {
            break;
        }
        if (idle_ns == INT64_MAX) {
            qemu_cond_wait_bql(&engine->kick);
        } else if (idle_ns >= SCALE_MS) {
            qemu_cond_timedwait_bql(&engine->kick, 1);
        } else {
            bql_unlock();
            if (idle_ns) {
                g_usleep(DIV_ROUND_UP(idle_ns, SCALE_US));
            }
            bql_lock();
        }
    }
    bql_unlock();
    rcu_unregister_thread();
    qemu_cond_destroy(&engine->kick);
    g_free(engine);
    return NULL;
}

static void pindma_engine_start(PinDMAState *s)
{
    QemuThread thread;

    s->engine = g_new0(PinDMAEngine, 1);
    s->engine->s = s;
    qemu_cond_init(&s->engine->kick);
    qemu_thread_create(&thread, "pindma", pindma_engine_thread, s->engine,
                       QEMU_THREAD_DETACHED);
}

/* No batch runs now, as the BQL is held, and none will follow. */
static void pindma_engine_stop(PinDMAState *s)
{
    s->engine->s = NULL;
    qemu_cond_signal(&s->engine->kick);
    s->engine = NULL;
}

static void pindma_kick(PinDMAState *s)
{
    if (s->engine) {
        qemu_cond_signal(&s->engine->kick);
    }
}

static void pindma_vm_state_change(void *opaque, bool running, RunState state)
{
    if (running) {
        pindma_kick(opaque);
    }
}

static void pindma_reset(PinDMAState *s)
{
    int i;

    trace_pindma_reset();
    for (i = 0; i < PINDMA_NUM_QUEUES; i++) {
        pindma_queue_clear(s, &s->queues[i]);
        s->queues[i].sq_addr = 0;
        s->queues[i].cq_addr = 0;
        s->queues[i].entries = 0;
    }
    for (i = 0; i < PINDMA_MAX_MRS; i++) {
        pindma_mr_free(s, &s->mrs[i]);
    }
    s->queue_error = false;
    s->mark_high = 0;
    s->notify = 0;
    s->now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    pindma_journal(s, PINDMA_JOURNAL_RESET, 0, NULL, 0, 0, 0, 0, 0,
                   PINDMA_ST_OK);
}

/* -------------------------------------------------------------- registers */

static uint32_t pindma_status(PinDMAState *s)
{
    uint32_t status = s->queue_error ? PINDMA_STATUS_QUEUE_ERROR : 0;
    int i;

    for (i = 0; i < PINDMA_NUM_QUEUES; i++) {
        PinDMAQueue *q = &s->queues[i];

        if (q->busy || q->num_hammers ||
            (q->enabled && q->sq_head != q->sq_tail)) {
            status |= PINDMA_STATUS_BUSY;
        }
    }
    return status;
}

/* The register at addr, which is 8-byte aligned if the register has 8 bytes */
static uint64_t pindma_reg_get(PinDMAState *s, hwaddr addr)
{
    unsigned int qn = (addr - PINDMA_QUEUE_REGS(0)) / PINDMA_QUEUE_STRIDE;
    PinDMAQueue *q;

    switch (addr) {
    case PINDMA_REG_MAGIC:
        return PINDMA_MAGIC;
    case PINDMA_REG_VERSION:
        return PINDMA_VERSION_MAJOR << 16 | PINDMA_VERSION_MINOR;
    case PINDMA_REG_CAPS:
        return PINDMA_CAP_THREAD;
    case PINDMA_REG_STATUS:
        return pindma_status(s);
    case PINDMA_REG_MAX_MRS:
        return PINDMA_MAX_MRS;
    case PINDMA_REG_MAX_PAGES:
        return PINDMA_MAX_PAGES;
    case PINDMA_REG_JOURNAL_ENTRIES:
        return PINDMA_JOURNAL_ENTRIES;
    case PINDMA_REG_JOURNAL_SEQ:
        return s->journal_seq;
    }
    if (addr < PINDMA_QUEUE_REGS(0) || qn >= PINDMA_NUM_QUEUES) {
        return 0;
    }
    q = &s->queues[qn];
    switch (addr - PINDMA_QUEUE_REGS(qn)) {
    case PINDMA_QUEUE_SQ_ADDR:
        return q->sq_addr;
    case PINDMA_QUEUE_CQ_ADDR:
        return q->cq_addr;
    case PINDMA_QUEUE_ENTRIES:
        return q->entries;
    case PINDMA_QUEUE_ENABLE:
        return q->enabled;
    case PINDMA_QUEUE_SQ_HEAD:
        return q->sq_head;
    case PINDMA_QUEUE_CQ_TAIL:
        return q->cq_tail;
    }
    return 0;
}

static bool pindma_reg_is_8(hwaddr addr)
{
    if (addr < PINDMA_QUEUE_REGS(0)) {
        return addr == PINDMA_REG_JOURNAL_SEQ || addr == PINDMA_REG_MARK;
    }
    addr = (addr - PINDMA_QUEUE_REGS(0)) % PINDMA_QUEUE_STRIDE;
    return addr == PINDMA_QUEUE_SQ_ADDR || addr == PINDMA_QUEUE_CQ_ADDR;
}

static uint64_t pindma_mmio_read(void *opaque, hwaddr addr, unsigned int size)
{
    PinDMAState *s = opaque;
    hwaddr reg = QEMU_ALIGN_DOWN(addr, 8);
    uint64_t val;

    if (size == 8 && !pindma_reg_is_8(addr)) {
        pindma_guest_error(s, "8-byte read of 0x%" HWADDR_PRIx, addr);
        val = 0;
    } else if (pindma_reg_is_8(reg)) {
        val = pindma_reg_get(s, reg) >> (addr - reg) * 8;
    } else {
        val = pindma_reg_get(s, addr);
    }
    if (size == 4) {
        val = (uint32_t)val;
    }
    trace_pindma_mmio_read(addr, size, val);
    return val;
}

static void pindma_queue_enable(PinDMAState *s, unsigned int qn, bool enable)
{
    PinDMAQueue *q = &s->queues[qn];

    pindma_queue_clear(s, q);
    if (!enable) {
        return;
    }
    if (!is_power_of_2(q->entries) || q->entries < PINDMA_QUEUE_MIN_ENTRIES ||
        q->entries > PINDMA_QUEUE_MAX_ENTRIES ||
        !QEMU_IS_ALIGNED(q->sq_addr | q->cq_addr, PINDMA_PAGE_SIZE)) {
        pindma_guest_error(s, "queue %u: %u entries at 0x%" PRIx64 " and 0x%"
                           PRIx64 " refused", qn, q->entries, q->sq_addr,
                           q->cq_addr);
        return;
    }
    q->enabled = true;
}

static void pindma_queue_write(PinDMAState *s, unsigned int qn, hwaddr reg,
                               uint64_t val)
{
    PinDMAQueue *q = &s->queues[qn];
    bool setup = reg < PINDMA_QUEUE_ENABLE ||
                 (reg == PINDMA_QUEUE_ENABLE && val & 1);

    if (setup && q->enabled) {
        pindma_guest_error(s, "queue %u: set up while enabled", qn);
        return;
    }
    switch (reg) {
    case PINDMA_QUEUE_SQ_ADDR:
        q->sq_addr = val;
        return;
    case PINDMA_QUEUE_CQ_ADDR:
        q->cq_addr = val;
        return;
    case PINDMA_QUEUE_ENTRIES:
        q->entries = val;
        return;
    case PINDMA_QUEUE_ENABLE:
        pindma_queue_enable(s, qn, val & 1);
        return;
    case PINDMA_QUEUE_SQ_TAIL:
        if (!q->enabled || val >= q->entries) {
            break;
        }
        q->sq_tail = val;
        pindma_kick(s);
        return;
    case PINDMA_QUEUE_CQ_HEAD:
        /* The head moves forward, over slots that have been written. */
        if (!q->enabled || val >= q->entries ||
            ((val - q->cq_head) & (q->entries - 1)) >
            ((q->cq_tail - q->cq_head) & (q->entries - 1))) {
            break;
        }
        q->cq_head = val;
        pindma_kick(s);
        return;
    }
    pindma_guest_error(s, "queue %u: write of 0x%" PRIx64 " to +0x%"
                       HWADDR_PRIx " ignored", qn, val, reg);
}

static void pindma_reg_set(PinDMAState *s, hwaddr addr, uint64_t val)
{
    unsigned int qn = (addr - PINDMA_QUEUE_REGS(0)) / PINDMA_QUEUE_STRIDE;

    if (addr >= PINDMA_QUEUE_REGS(0) && qn < PINDMA_NUM_QUEUES) {
        pindma_queue_write(s, qn, addr - PINDMA_QUEUE_REGS(qn), val);
        return;
    }
    switch (addr) {
    case PINDMA_REG_CTRL:
        if (val & PINDMA_CTRL_RESET) {
            pindma_reset(s);
        }
        return;
    case PINDMA_REG_MARK:
        s->now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
        pindma_journal(s, PINDMA_JOURNAL_MARK, 0, NULL, 0, 0, 0, 0, val,
                       PINDMA_ST_OK);
        return;
    }
    pindma_guest_error(s, "write of 0x%" PRIx64 " to 0x%" HWADDR_PRIx
                       " ignored", val, addr);
}

static void pindma_mmio_write(void *opaque, hwaddr addr, uint64_t val,
                              unsigned int size)
{
    PinDMAState *s = opaque;
    hwaddr reg = QEMU_ALIGN_DOWN(addr, 8);

    trace_pindma_mmio_write(addr, size, val);
    if (size == 8 && !pindma_reg_is_8(addr)) {
        pindma_guest_error(s, "8-byte write to 0x%" HWADDR_PRIx, addr);
        return;
    }
    if (size == 4 && reg == PINDMA_REG_MARK) {
        if (addr != reg) {
            s->mark_high = val << 32;
            return;
        }
        val |= s->mark_high;
    } else if (size == 4 && pindma_reg_is_8(reg)) {
        val = deposit64(pindma_reg_get(s, reg), (addr - reg) * 8, 32, val);
        addr = reg;
    }
    pindma_reg_set(s, addr, val);
}

static const MemoryRegionOps pindma_mmio_ops = {
    .read = pindma_mmio_read,
    .write = pindma_mmio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 4,
        .max_access_size = 8,
    },
    .impl = {
        .min_access_size = 4,
        .max_access_size = 8,
    },
};

/* ----------------------------------------------------------------- device */

static void pindma_config_write(PCIDevice *pdev, uint32_t addr, uint32_t val,
                                int len)
{
    pci_default_write_config(pdev, addr, val, len);
    if (pci_is_express(pdev)) {
        pcie_cap_flr_write_config(pdev, addr, val, len);
    }
    pindma_kick(PINDMA(pdev));  /* bus mastering may be on again */
}

static void pindma_device_reset(DeviceState *dev)
{
    pindma_reset(PINDMA(dev));
}

static void pindma_realize(PCIDevice *pdev, Error **errp)
{
    ERRP_GUARD();
    PinDMAState *s = PINDMA(pdev);

    memory_region_init_rom(&s->journal, OBJECT(s), "pindma-journal",
                           PINDMA_JOURNAL_ENTRIES * sizeof(*s->journal_ram),
                           errp);
    if (*errp) {
        return;
    }
    s->journal_ram = memory_region_get_ram_ptr(&s->journal);
    memory_region_init_io(&s->regs, OBJECT(s), &pindma_mmio_ops, s,
                          "pindma-regs", PINDMA_BAR_REGS_SIZE);
    pci_register_bar(pdev, PINDMA_BAR_REGS, PCI_BASE_ADDRESS_SPACE_MEMORY,
                     &s->regs);
    pci_register_bar(pdev, PINDMA_BAR_JOURNAL,
                     PCI_BASE_ADDRESS_SPACE_MEMORY |
                     PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &s->journal);
    if (msix_init_exclusive_bar(pdev, PINDMA_NUM_QUEUES, PINDMA_BAR_MSIX,
                                errp)) {
        return;
    }
    for (int i = 0; i < PINDMA_NUM_QUEUES; i++) {
        msix_vector_use(pdev, i);
    }
    if (!pci_bus_is_express(pci_get_bus(pdev))) {
        pdev->cap_present &= ~QEMU_PCI_CAP_EXPRESS;
    } else if (pcie_endpoint_cap_init(pdev, 0) < 0) {
        error_setg(errp, "pindma: no room for the PCI Express capability");
        msix_uninit_exclusive_bar(pdev);
        return;
    } else {
        pcie_cap_flr_init(pdev);
    }
    s->vm_state = qdev_add_vm_change_state_handler(DEVICE(s),
                                                   pindma_vm_state_change, s);
    pindma_engine_start(s);
}

static void pindma_exit(PCIDevice *pdev)
{
    PinDMAState *s = PINDMA(pdev);

    pindma_engine_stop(s);
    qemu_del_vm_change_state_handler(s->vm_state);
    pindma_reset(s);
    if (pci_is_express(pdev)) {
        pcie_cap_exit(pdev);
    }
    msix_uninit_exclusive_bar(pdev);
}

/* The config space is made before realize, which knows the bus: make it big. */
static void pindma_instance_init(Object *obj)
{
    PCI_DEVICE(obj)->cap_present |= QEMU_PCI_CAP_EXPRESS;
}

static const VMStateDescription pindma_vmstate = {
    .name = TYPE_PINDMA,
    .unmigratable = 1,
};

static void pindma_class_init(ObjectClass *klass, PinDMAClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);

    k->realize = pindma_realize;
    k->exit = pindma_exit;
    k->config_write = pindma_config_write;
    k->vendor_id = PINDMA_VENDOR_ID;
    k->device_id = PINDMA_DEVICE_ID;
    k->subsystem_vendor_id = PINDMA_SUBSYSTEM_VENDOR_ID;
    k->subsystem_id = PINDMA_SUBSYSTEM_ID;
    k->revision = PINDMA_VERSION_MAJOR;
    k->class_id = PCI_CLASS_OTHERS;
    dc->desc = "Pinned-page DMA test device";
    dc->vmsd = &pindma_vmstate;
    device_class_set_legacy_reset(dc, pindma_device_reset);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo pindma_types[] = {
    {
        .name = TYPE_PINDMA,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(PinDMAState),
        .instance_init = pindma_instance_init,
        .class_init = pindma_class_init,
        .interfaces = (PinDMAInterfaceInfo[]) {
            { INTERFACE_PCIE_DEVICE },
            { INTERFACE_CONVENTIONAL_PCI_DEVICE },
            { },
        },
    },
};

DEFINE_TYPES(pindma_types)
