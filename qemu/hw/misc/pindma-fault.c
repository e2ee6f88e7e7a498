/*
 * pindma: hardware that misbehaves on request
 *
 * What goes wrong with accesses to mrs is here; what goes wrong with ops and
 * interrupts is where those are, and asks pindma_fault_hits().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-internal.h"

const char *const pindma_fault_names[PINDMA_NUM_FAULTS] = {
    [PINDMA_FAULT_NONE] = "none",
    [PINDMA_FAULT_DROP] = "drop",
    [PINDMA_FAULT_DUPLICATE] = "duplicate",
    [PINDMA_FAULT_DELAY] = "delay",
    [PINDMA_FAULT_TORN] = "torn",
    [PINDMA_FAULT_BIT_FLIP] = "bit-flip",
    [PINDMA_FAULT_REORDER] = "reorder",
    [PINDMA_FAULT_LOST_MSI] = "lost-msi",
    [PINDMA_FAULT_SPURIOUS_MSI] = "spurious-msi",
    [PINDMA_FAULT_EARLY_MSI] = "early-msi",
    [PINDMA_FAULT_EARLY_CQE] = "early-cqe",
    [PINDMA_FAULT_UNSUPPORTED] = "unsupported",
    [PINDMA_FAULT_HANG] = "hang",
    [PINDMA_FAULT_AFTER_STOP] = "after-stop",
    [PINDMA_FAULT_STALE_ATC] = "stale-atc",
};

void pindma_fault_arm(PinDMAState *s, uint8_t fault)
{
    trace_pindma_fault_arm(pindma_fault_names[fault], s->fault_queues,
                           s->fault_skip, s->fault_count, s->fault_arg,
                           s->fault_delay);
    s->fault = fault;
    s->fault_passed = 0;
    s->fault_hits = 0;
}

/* Something has come that this fault could hit.  Does it? */
bool pindma_fault_hits(PinDMAState *s, int qn, uint8_t fault)
{
    if (likely(s->fault != fault) || !(s->fault_queues & (1u << qn))) {
        return false;
    }
    if (s->fault_passed < s->fault_skip) {
        s->fault_passed++;
        return false;
    }
    s->fault_hits++;
    trace_pindma_fault_hit(pindma_fault_names[fault], qn, s->fault_hits);
    if (s->fault_hits == s->fault_count) {
        s->fault = PINDMA_FAULT_NONE;
    }
    return true;
}

/* ------------------------------------------------------------------- later */

static void pindma_fault_put_off(PinDMAState *s, uint8_t fault,
                                 const struct pindma_journal_entry *e,
                                 const PinDMAOp *op, const uint8_t *buf,
                                 uint32_t from)
{
    PinDMALater *later = &s->queues[e->queue].later;

    later->fault = fault;
    /* A page that is reordered waits for another access, not for a time. */
    later->due_ns = fault == PINDMA_FAULT_REORDER ? INT64_MAX :
                    s->now + s->fault_delay;
    later->op = *op;
    later->key = e->key;
    later->offset = e->offset + from;
    later->addr = e->addr + from;
    later->len = e->len - from;
    memcpy(later->data, buf + from, later->len);
}

static void pindma_fault_catch_up(PinDMAState *s, int qn)
{
    PinDMALater *later = &s->queues[qn].later;
    struct pindma_journal_entry e = {
        .kind = PINDMA_JOURNAL_WRITE,
        .queue = qn,
        .fault = later->fault,
        .key = later->key,
        .offset = later->offset,
        .addr = later->addr,
        .len = later->len,
    };

    later->fault = PINDMA_FAULT_NONE;
    pindma_dma(s, e, &later->op, later->data);
}

/* The mr is gone, and with it what was to be done to it later. */
void pindma_fault_forget(PinDMAState *s, uint32_t key)
{
    int qn;

    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        if (s->queues[qn].later.key == key) {
            s->queues[qn].later.fault = PINDMA_FAULT_NONE;
        }
    }
}

/* The op has made an access, or ends: what was to come after that, comes. */
void pindma_fault_accessed(PinDMAState *s, int qn, const PinDMAOp *op)
{
    PinDMALater *later = &s->queues[qn].later;

    if (later->fault == PINDMA_FAULT_REORDER &&
        later->op.sqe.tag == op->sqe.tag) {
        pindma_fault_catch_up(s, qn);
    }
}

/* ---------------------------------------------------------------- accesses */

/* Status of an access that was not made: the journal knows why. */
static int pindma_fault_no_access(PinDMAState *s,
                                  struct pindma_journal_entry *e, PinDMAOp *op,
                                  const uint8_t *buf, uint8_t fault, int status)
{
    uint64_t value = 0;

    if (buf && e->kind == PINDMA_JOURNAL_WRITE) {
        memcpy(&value, buf, MIN(e->len, sizeof(value)));
    }
    e->value = le64_to_cpu(value);
    e->fault = fault;
    e->status = status;
    op->seq = pindma_journal(s, *e, op);
    return status;
}

/* True: all of the write is put off. */
static bool pindma_fault_defer(PinDMAState *s, struct pindma_journal_entry *e,
                               PinDMAOp *op, const uint8_t *buf)
{
    int qn = e->queue;
    bool last = pindma_op_is_last(op, e->len);

    if (pindma_fault_hits(s, qn, PINDMA_FAULT_DUPLICATE)) {
        e->fault = PINDMA_FAULT_DUPLICATE;
        pindma_fault_put_off(s, e->fault, e, op, buf, 0);
        return false;
    }
    if (e->len > s->fault_arg && pindma_fault_hits(s, qn, PINDMA_FAULT_TORN)) {
        e->fault = PINDMA_FAULT_TORN;
        pindma_fault_put_off(s, e->fault, e, op, buf, s->fault_arg);
        e->len = s->fault_arg;
        return !e->len;
    }
    if (!last && pindma_fault_hits(s, qn, PINDMA_FAULT_REORDER)) {
        pindma_fault_put_off(s, PINDMA_FAULT_REORDER, e, op, buf, 0);
        return true;
    }
    if (last && pindma_fault_hits(s, qn, PINDMA_FAULT_EARLY_CQE)) {
        pindma_fault_put_off(s, PINDMA_FAULT_EARLY_CQE, e, op, buf, 0);
        return true;
    }
    return false;
}

/* Access an mr, as pindma_dma() or (buf is NULL) pindma_dma_atomic() do. */
int pindma_fault_access(PinDMAState *s, struct pindma_journal_entry *e,
                        PinDMAOp *op, void *buf)
{
    PCIDevice *pdev = PCI_DEVICE(s);
    int qn = e->queue;
    bool was_put_off = s->queues[qn].later.fault;
    bool ok;

    if (pindma_fault_hits(s, qn, PINDMA_FAULT_UNSUPPORTED)) {
        pci_word_test_and_set_mask(pdev->config + PCI_STATUS,
                                   PCI_STATUS_REC_MASTER_ABORT);
        return pindma_fault_no_access(s, e, op, buf, PINDMA_FAULT_UNSUPPORTED,
                                      PINDMA_ST_DMA_ERROR);
    }
    if (e->kind == PINDMA_JOURNAL_WRITE) {
        if (pindma_fault_hits(s, qn, PINDMA_FAULT_DROP)) {
            return pindma_fault_no_access(s, e, op, buf, PINDMA_FAULT_DROP,
                                          PINDMA_ST_OK);
        }
        if (pindma_fault_hits(s, qn, PINDMA_FAULT_BIT_FLIP)) {
            uint64_t bit = s->fault_arg % (e->len * 8);

            e->fault = PINDMA_FAULT_BIT_FLIP;
            ((uint8_t *)buf)[bit / 8] ^= 1 << bit % 8;
        }
        if (!was_put_off && pindma_fault_defer(s, e, op, buf)) {
            return PINDMA_ST_OK;
        }
    }
    ok = buf ? pindma_dma(s, *e, op, buf) : pindma_dma_atomic(s, *e, op);
    if (was_put_off) {
        pindma_fault_accessed(s, qn, op);
    }
    return ok ? PINDMA_ST_OK : PINDMA_ST_DMA_ERROR;
}

/* ------------------------------------------------------------------ ghosts */

/* Remember where the IOMMU leads to, while it still does. */
static void pindma_ghost_translate(PinDMAState *s, PinDMAGhost *ghost,
                                   const PinDMAMR *mr)
{
    AddressSpace *as = pci_get_address_space(PCI_DEVICE(s));
    uint64_t n = MIN(pindma_op_stamps(&ghost->op.sqe), PINDMA_GHOST_PAGES);
    uint64_t i;

    for (i = 0; i < n; i++) {
        uint64_t offset = ghost->op.sqe.offset + i * PINDMA_PAGE_SIZE;
        IOMMUTLBEntry entry;
        uint64_t addr;

        if (pindma_mr_locate(s, &ghost->op, mr, offset, &addr) < 0) {
            break;
        }
        entry = address_space_get_iotlb_entry(as, addr, true,
                                              MEMTXATTRS_UNSPECIFIED);
        if (!(entry.perm & IOMMU_WO)) {
            break;
        }
        ghost->pages[i] = (entry.translated_addr & ~entry.addr_mask) |
                          (addr & entry.addr_mask);
    }
    ghost->num_pages = i;
}

/* A hammer is about to be stopped, or to lose its mr. */
void pindma_fault_stopped(PinDMAState *s, int qn, const PinDMAOp *op)
{
    PinDMAGhost *ghost = &s->queues[qn].ghost;
    PinDMAMR *mr = pindma_mr_find(s, op->sqe.key);
    uint8_t fault = s->fault;

    if ((fault != PINDMA_FAULT_AFTER_STOP && fault != PINDMA_FAULT_STALE_ATC) ||
        op->sqe.opcode != PINDMA_OP_HAMMER || !op->rng || op->ended || !mr ||
        ghost->fault || !pindma_fault_hits(s, qn, fault)) {
        return;
    }
    ghost->fault = fault;
    ghost->left = s->fault_arg;
    ghost->due_ns = s->now + s->fault_delay;
    ghost->op = *op;
    ghost->num_pages = pindma_op_stamps(&op->sqe);
    if (fault == PINDMA_FAULT_STALE_ATC) {
        pindma_ghost_translate(s, ghost, mr);
    }
}

static void pindma_ghost_stamp(PinDMAState *s, int qn)
{
    PinDMAGhost *ghost = &s->queues[qn].ghost;
    PinDMAOp *op = &ghost->op;
    uint64_t val = op->sqe.value + op->done;
    PinDMAMR *old = NULL, *mr = pindma_mr_find(s, op->sqe.key);
    struct pindma_journal_entry e = {
        .kind = PINDMA_JOURNAL_WRITE,
        .queue = qn,
        .fault = ghost->fault,
        .key = op->sqe.key,
        .len = 8,
    };
    uint32_t page;

    if (!mr) {
        old = pindma_mr_find_old(s, op->sqe.key);
        mr = old;
    }
    if (!mr || !ghost->left || !ghost->num_pages) {
        ghost->fault = PINDMA_FAULT_NONE;
        return;
    }
    page = op->done % ghost->num_pages;
    e.offset = op->sqe.offset + (uint64_t)page * PINDMA_PAGE_SIZE;
    if (e.offset + 8 > mr->len ||
        !QEMU_IS_ALIGNED(mr->first_offset + e.offset, 8) ||
        pindma_mr_locate(s, op, mr, e.offset, &e.addr) < 0) {
        /* Another mr has that key now, or the page has gone. */
        ghost->fault = PINDMA_FAULT_NONE;
        return;
    }
    if (old) {
        e.status = PINDMA_ST_STALE;
        s->stale++;
        s->stale_addr = e.addr;
        trace_pindma_stale(old->key, e.addr, s->stale);
    }
    if (ghost->fault == PINDMA_FAULT_STALE_ATC) {
        pindma_dma_physical(s, e, op, ghost->pages[page], val);
    } else {
        val = cpu_to_le64(val);
        pindma_dma(s, e, op, &val);
    }
    op->done++;
    ghost->left--;
}

/* What faults have left to be done, if it is due */
bool pindma_fault_turn(PinDMAState *s, int qn)
{
    PinDMALater *later = &s->queues[qn].later;
    PinDMAGhost *ghost = &s->queues[qn].ghost;

    if (later->fault && later->due_ns <= s->now) {
        pindma_fault_catch_up(s, qn);
        return true;
    }
    if (ghost->fault && ghost->due_ns <= s->now) {
        pindma_ghost_stamp(s, qn);
        return true;
    }
    if (later->fault) {
        s->wake_ns = MIN(s->wake_ns, later->due_ns);
    }
    if (ghost->fault) {
        s->wake_ns = MIN(s->wake_ns, ghost->due_ns);
    }
    return false;
}
