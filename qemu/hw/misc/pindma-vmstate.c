/*
 * pindma: migration
 *
 * The VM is stopped, so no batch runs; the journal is RAM and goes by itself.
 * Not taken along: mrs in quarantine, and what an injected fault had put off.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "pindma-internal.h"

/* Before they are allocated */
static bool pindma_pages_are_few(void *opaque, int version_id)
{
    PinDMAMR *mr = opaque;

    return mr->num_pages <= PINDMA_MAX_PAGES;
}

static const VMStateDescription pindma_vmstate_mr = {
    .name = "pindma/mr",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (PinDMAVMStateField[]) {
        VMSTATE_UINT32(key, PinDMAMR),
        VMSTATE_UINT32(pd, PinDMAMR),
        VMSTATE_UINT8(access, PinDMAMR),
        VMSTATE_UINT32(first_offset, PinDMAMR),
        VMSTATE_UINT64(len, PinDMAMR),
        VMSTATE_UINT32(num_pages, PinDMAMR),
        VMSTATE_VALIDATE("few pages", pindma_pages_are_few),
        VMSTATE_VARRAY_UINT32_ALLOC(pages, PinDMAMR, num_pages, 0,
                                    vmstate_info_uint64, uint64_t),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription pindma_vmstate_sqe = {
    .name = "pindma/sqe",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (PinDMAVMStateField[]) {
        VMSTATE_UINT8(opcode, struct pindma_sqe),
        VMSTATE_UINT8(mode, struct pindma_sqe),
        VMSTATE_UINT16(flags, struct pindma_sqe),
        VMSTATE_UINT32(key, struct pindma_sqe),
        VMSTATE_UINT64(tag, struct pindma_sqe),
        VMSTATE_UINT64(offset, struct pindma_sqe),
        VMSTATE_UINT64(len, struct pindma_sqe),
        VMSTATE_UINT64(value, struct pindma_sqe),
        VMSTATE_UINT64(compare, struct pindma_sqe),
        VMSTATE_UINT32(src_key, struct pindma_sqe),
        VMSTATE_UINT32(rate, struct pindma_sqe),
        VMSTATE_UINT64(src_offset, struct pindma_sqe),
        VMSTATE_UINT64(seed, struct pindma_sqe),
        VMSTATE_UINT64(when, struct pindma_sqe),
        VMSTATE_UINT32(delay, struct pindma_sqe),
        VMSTATE_UINT32(pd, struct pindma_sqe),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription pindma_vmstate_cursor = {
    .name = "pindma/cursor",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (PinDMAVMStateField[]) {
        VMSTATE_UINT32(key, PinDMACursor),
        VMSTATE_UINT64(offset, PinDMACursor),
        VMSTATE_UINT64(left, PinDMACursor),
        VMSTATE_UINT64(list_offset, PinDMACursor),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription pindma_vmstate_op = {
    .name = "pindma/op",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (PinDMAVMStateField[]) {
        VMSTATE_UINT8(state, PinDMAOp),
        VMSTATE_STRUCT(sqe, PinDMAOp, 1, pindma_vmstate_sqe,
                       struct pindma_sqe),
        VMSTATE_UINT64(done, PinDMAOp),
        VMSTATE_UINT64(seq, PinDMAOp),
        VMSTATE_UINT64(result, PinDMAOp),
        VMSTATE_UINT64(rng, PinDMAOp),
        VMSTATE_INT64(start_ns, PinDMAOp),
        VMSTATE_INT64(due_ns, PinDMAOp),
        VMSTATE_STRUCT(to, PinDMAOp, 1, pindma_vmstate_cursor, PinDMACursor),
        VMSTATE_STRUCT(from, PinDMAOp, 1, pindma_vmstate_cursor, PinDMACursor),
        VMSTATE_UINT32(page_key, PinDMAOp),
        VMSTATE_UINT64(page, PinDMAOp),
        VMSTATE_BOOL(requested, PinDMAOp),
        VMSTATE_BOOL(delayed, PinDMAOp),
        VMSTATE_BOOL(ended, PinDMAOp),
        VMSTATE_UINT16(status, PinDMAOp),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription pindma_vmstate_queue = {
    .name = "pindma/queue",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (PinDMAVMStateField[]) {
        VMSTATE_UINT64(sq_addr, PinDMAQueue),
        VMSTATE_UINT64(cq_addr, PinDMAQueue),
        VMSTATE_UINT32(entries, PinDMAQueue),
        VMSTATE_UINT32(pd, PinDMAQueue),
        VMSTATE_BOOL(enabled, PinDMAQueue),
        VMSTATE_UINT32(sq_head, PinDMAQueue),
        VMSTATE_UINT32(sq_tail, PinDMAQueue),
        VMSTATE_UINT32(cq_head, PinDMAQueue),
        VMSTATE_UINT32(cq_tail, PinDMAQueue),
        VMSTATE_BOOL(phase, PinDMAQueue),
        VMSTATE_BOOL(hung, PinDMAQueue),
        VMSTATE_BOOL(cancel, PinDMAQueue),
        VMSTATE_UINT32(mark_high, PinDMAQueue),
        VMSTATE_UINT64(shadow, PinDMAQueue),
        VMSTATE_UINT64(shadow_seen, PinDMAQueue),
        VMSTATE_BOOL(asleep, PinDMAQueue),
        VMSTATE_STRUCT(op, PinDMAQueue, 1, pindma_vmstate_op, PinDMAOp),
        VMSTATE_STRUCT_ARRAY(beside, PinDMAQueue, PINDMA_MAX_BESIDE, 1,
                             pindma_vmstate_op, PinDMAOp),
        VMSTATE_END_OF_LIST()
    }
};

/* A stream may be damaged: nothing in it may lead beyond an array. */
static bool pindma_mr_is_sound(PinDMAState *s, const PinDMAMR *mr, int slot)
{
    uint32_t i;

    if (!mr->access) {
        return !mr->num_pages;
    }
    if ((mr->key & (PINDMA_MAX_MRS - 1)) != slot || !mr->len ||
        mr->first_offset >= PINDMA_PAGE_SIZE ||
        mr->len > (uint64_t)PINDMA_MAX_PAGES * PINDMA_PAGE_SIZE ||
        DIV_ROUND_UP(mr->first_offset + mr->len, PINDMA_PAGE_SIZE) !=
        mr->num_pages || mr->num_pages > PINDMA_MAX_PAGES - s->num_pages) {
        return false;
    }
    for (i = 0; i < mr->num_pages; i++) {
        if (mr->pages[i] != PINDMA_PAGE_ABSENT &&
            !QEMU_IS_ALIGNED(mr->pages[i], PINDMA_PAGE_SIZE)) {
            return false;
        }
    }
    s->num_pages += mr->num_pages;
    return true;
}

static bool pindma_queue_is_sound(PinDMAState *s, int qn)
{
    PinDMAQueue *q = &s->queues[qn];
    int i;

    q->beside_mask = 0;
    if (!pindma_op_is_sound(s, qn, &q->op)) {
        return false;
    }
    for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
        if (!pindma_op_is_sound(s, qn, &q->beside[i])) {
            return false;
        }
        if (q->beside[i].state != PINDMA_OP_FREE) {
            q->beside_mask |= 1u << i;
        }
    }
    if (!q->enabled) {
        return q->op.state == PINDMA_OP_FREE && !q->beside_mask;
    }
    return is_power_of_2(q->entries) &&
           q->entries >= PINDMA_QUEUE_MIN_ENTRIES &&
           q->entries <= PINDMA_QUEUE_MAX_ENTRIES &&
           QEMU_IS_ALIGNED(q->sq_addr | q->cq_addr, PINDMA_PAGE_SIZE) &&
           QEMU_IS_ALIGNED(q->shadow, sizeof(struct pindma_shadow)) &&
           MAX(MAX(q->sq_head, q->sq_tail), MAX(q->cq_head, q->cq_tail)) <
           q->entries;
}

/* An mr in the making, or what is made of one, is made anew later. */
static int pindma_pre_save(void *opaque)
{
    PinDMAState *s = opaque;

    pindma_mr_cancel(s);
    s->queues[PINDMA_QUEUE_ADMIN].op.done = 0;
    return 0;
}

/* What is there is forgotten; the arrays of pages would leak. */
static int pindma_pre_load(void *opaque)
{
    int i;

    for (i = 0; i < PINDMA_NUM_QUEUES; i++) {
        pindma_queue_clear(opaque, i);
    }
    pindma_mr_reset(opaque);
    return 0;
}

static int pindma_post_load(void *opaque, int version_id)
{
    PinDMAState *s = opaque;
    int i;

    s->num_pages = 0;
    for (i = 0; i < PINDMA_MAX_MRS; i++) {
        if (!pindma_mr_is_sound(s, &s->mrs[i], i)) {
            error_report("pindma: mr 0x%x of the stream is not sound",
                         s->mrs[i].key);
            return -EINVAL;
        }
    }
    for (i = 0; i < PINDMA_NUM_QUEUES; i++) {
        if (!pindma_queue_is_sound(s, i)) {
            error_report("pindma: queue %d of the stream is not sound", i);
            return -EINVAL;
        }
    }
    if (s->fault >= PINDMA_NUM_FAULTS) {
        error_report("pindma: fault %u of the stream is not known", s->fault);
        return -EINVAL;
    }
    s->journal_flushed = s->journal_seq;
    s->page_requests = true;
    pindma_intr_update(s);
    pindma_kick_all(s);
    return 0;
}

const VMStateDescription pindma_vmstate = {
    .name = TYPE_PINDMA,
    .version_id = 2,
    .minimum_version_id = 2,
    .pre_save = pindma_pre_save,
    .pre_load = pindma_pre_load,
    .post_load = pindma_post_load,
    .fields = (PinDMAVMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, PinDMAState),
        VMSTATE_MSIX(parent_obj, PinDMAState),
        VMSTATE_UINT64(journal_seq, PinDMAState),
        VMSTATE_STRUCT_ARRAY(mrs, PinDMAState, PINDMA_MAX_MRS, 1,
                             pindma_vmstate_mr, PinDMAMR),
        VMSTATE_STRUCT_ARRAY(queues, PinDMAState, PINDMA_NUM_QUEUES, 1,
                             pindma_vmstate_queue, PinDMAQueue),
        VMSTATE_UINT64(stale, PinDMAState),
        VMSTATE_UINT64(stale_addr, PinDMAState),
        VMSTATE_BOOL(queue_error, PinDMAState),
        VMSTATE_UINT32(intr, PinDMAState),
        VMSTATE_UINT32(notify, PinDMAState),
        VMSTATE_UINT8(fault, PinDMAState),
        VMSTATE_UINT32(fault_queues, PinDMAState),
        VMSTATE_UINT32(fault_skip, PinDMAState),
        VMSTATE_UINT32(fault_count, PinDMAState),
        VMSTATE_UINT64(fault_arg, PinDMAState),
        VMSTATE_UINT64(fault_delay, PinDMAState),
        VMSTATE_UINT64(fault_passed, PinDMAState),
        VMSTATE_UINT64(fault_hits, PinDMAState),
        VMSTATE_END_OF_LIST()
    }
};
