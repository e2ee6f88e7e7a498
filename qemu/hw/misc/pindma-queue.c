/*
 * pindma: queues, from sqe to cqe
 *
 * An op has its turn when all before it have ended, and blocks the queue until
 * it ends itself; but hammers, and ops that have to wait, go beside the queue.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-internal.h"

QEMU_BUILD_BUG_ON(sizeof(struct pindma_sqe) != 128);
QEMU_BUILD_BUG_ON(sizeof(struct pindma_cqe) != 32);
QEMU_BUILD_BUG_ON(sizeof(struct pindma_sge) != 24);
QEMU_BUILD_BUG_ON(sizeof(struct pindma_journal_entry) != 64);

void pindma_queue_clear(PinDMAState *s, int qn)
{
    PinDMAQueue *q = &s->queues[qn];
    int i;

    if (qn == PINDMA_QUEUE_ADMIN) {
        pindma_mr_cancel(s);
    }
    q->op.state = PINDMA_OP_FREE;
    for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
        q->beside[i].state = PINDMA_OP_FREE;
    }
    q->beside_mask = 0;
    q->later.fault = PINDMA_FAULT_NONE;
    q->ghost.fault = PINDMA_FAULT_NONE;
    q->enabled = false;
    q->asleep = false;
    q->shadow_seen = 0;
    q->hung = false;
    q->cancel = false;
    q->sq_head = q->sq_tail = 0;
    q->cq_head = q->cq_tail = 0;
    q->phase = true;
}

/*
 * A ring, or the shadow, cannot be accessed: there is nobody left to tell but
 * STATUS.
 */
static void pindma_queue_fail(PinDMAState *s, int qn)
{
    pindma_guest_error(s, "queue %d: ring or shadow not accessible, disabled",
                       qn);
    pindma_queue_clear(s, qn);
    s->queue_error = true;
}

bool pindma_queue_busy(const PinDMAQueue *q)
{
    return q->op.state != PINDMA_OP_FREE || q->beside_mask ||
           (q->enabled && q->sq_head != q->sq_tail);
}

/* -------------------------------------------------------------------- ends */

/* Slots of the completion ring that are neither unread nor promised to an op */
static uint32_t pindma_cq_room(const PinDMAQueue *q)
{
    uint32_t used = (q->cq_tail - q->cq_head) & (q->entries - 1);

    return q->entries - 1 - used - (q->op.state != PINDMA_OP_FREE) -
           ctpop32(q->beside_mask);
}

/* What an op that ends with status tells in its cqe */
static uint64_t pindma_op_result(const PinDMAOp *op, uint16_t status)
{
    bool reads = op->sqe.opcode == PINDMA_OP_READ ||
                 op->sqe.opcode == PINDMA_OP_FETCH_ADD ||
                 op->sqe.opcode == PINDMA_OP_CMP_SWAP;

    return (status == PINDMA_ST_OK && reads) || status == PINDMA_ST_MISCOMPARE ?
           op->result : op->done;
}

/*
 * There is room: every op has been promised a slot.  op is for the journal.
 * The queue fails if its ring cannot be accessed.
 */
static bool pindma_queue_write_cqe(PinDMAState *s, int qn, PinDMAOp *op,
                                   uint64_t tag, uint64_t result,
                                   uint16_t status)
{
    PinDMAQueue *q = &s->queues[qn];
    struct pindma_cqe cqe = {
        .tag = cpu_to_le64(tag),
        .result = cpu_to_le64(result),
        .seq = cpu_to_le64(op->seq),
        .status = cpu_to_le16(status),
        .sq_head = cpu_to_le16(q->sq_head),
        .phase = cpu_to_le16(q->phase),
    };
    const size_t tail = offsetof(struct pindma_cqe, status);
    struct pindma_journal_entry e = {
        .kind = PINDMA_JOURNAL_CQE,
        .queue = qn,
        .addr = q->cq_addr + q->cq_tail * sizeof(cqe),
        .len = tail,
    };

    bool ok = pindma_dma(s, e, op, &cqe);

    if (ok) {
        e.addr += tail;
        e.offset = tail;
        e.len = sizeof(cqe) - tail;
        ok = pindma_dma(s, e, op, (uint8_t *)&cqe + tail);
    }
    if (!ok) {
        pindma_queue_fail(s, qn);
        return false;
    }
    q->cq_tail = (q->cq_tail + 1) & (q->entries - 1);
    if (!q->cq_tail) {
        q->phase = !q->phase;
    }
    return true;
}

/* The op, if it has not gone with its queue, ends. */
void pindma_queue_end(PinDMAState *s, int qn, PinDMAOp *op, uint16_t status)
{
    PinDMAQueue *q = &s->queues[qn];
    bool early = op->ended;

    if (op->state == PINDMA_OP_FREE) {
        return;
    }
    pindma_fault_accessed(s, qn, op);
    if (early) {
        status = op->status;
    } else if (pindma_fault_hits(s, qn, PINDMA_FAULT_EARLY_MSI)) {
        op->ended = true;
        op->status = status;
        op->state = PINDMA_OP_TIMED;
        op->due_ns = s->now + s->fault_delay;
        s->notify |= 1u << qn;
        return;
    }
    trace_pindma_complete(qn, op->sqe.opcode, op->sqe.tag, status,
                          pindma_op_result(op, status));
    op->state = PINDMA_OP_FREE;
    if (op == &q->op) {
        q->cancel = op->sqe.flags & PINDMA_SQE_LINK && status != PINDMA_ST_OK;
    } else {
        q->beside_mask &= ~(1u << (op - q->beside));
    }
    if (pindma_queue_write_cqe(s, qn, op, op->sqe.tag,
                               pindma_op_result(op, status), status) &&
        !early && !pindma_fault_hits(s, qn, PINDMA_FAULT_LOST_MSI)) {
        s->notify |= 1u << qn;
    }
}

static void pindma_queue_abort_op(PinDMAState *s, int qn, PinDMAOp *op,
                                  uint32_t key)
{
    if (pindma_op_uses(op, key)) {
        pindma_fault_stopped(s, qn, op);
        pindma_queue_end(s, qn, op, PINDMA_ST_ABORTED);
    }
}

/* No op may access the mr from now on. */
void pindma_queue_abort(PinDMAState *s, uint32_t key)
{
    int qn, i;

    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        pindma_queue_abort_op(s, qn, &s->queues[qn].op, key);
        for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
            pindma_queue_abort_op(s, qn, &s->queues[qn].beside[i], key);
        }
        pindma_kick(s, qn);     /* there may be something for it to do now */
    }
}

static void pindma_queue_paged_op(PinDMAState *s, int qn, PinDMAOp *op,
                                  uint32_t key, uint64_t first, uint64_t num,
                                  bool refused)
{
    if (op->state != PINDMA_OP_PAGING || op->page_key != key ||
        op->page - first >= num) {
        return;
    }
    op->state = PINDMA_OP_RUNNING;
    if (refused) {
        pindma_queue_end(s, qn, op, PINDMA_ST_DMA_ERROR);
    }
    pindma_kick(s, qn);
}

/* The driver has answered requests for these pages. */
void pindma_queue_paged(PinDMAState *s, uint32_t key, uint64_t first,
                        uint64_t num, bool refused)
{
    int qn, i;

    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        PinDMAQueue *q = &s->queues[qn];

        pindma_queue_paged_op(s, qn, &q->op, key, first, num, refused);
        for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
            pindma_queue_paged_op(s, qn, &q->beside[i], key, first, num,
                                  refused);
        }
    }
}

int pindma_op_stop(PinDMAState *s, int qn, PinDMAOp *op)
{
    PinDMAQueue *q = &s->queues[qn];
    int i;

    for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
        PinDMAOp *target = &q->beside[i];
        bool begun = target->sqe.opcode == PINDMA_OP_HAMMER && target->rng;

        if (target == op || target->state == PINDMA_OP_FREE ||
            target->sqe.tag != op->sqe.value) {
            continue;
        }
        pindma_fault_stopped(s, qn, target);
        pindma_queue_end(s, qn, target,
                         begun ? PINDMA_ST_OK : PINDMA_ST_CANCELED);
        return PINDMA_ST_OK;
    }
    return PINDMA_ST_NOT_FOUND;
}

/* ------------------------------------------------------------------- turns */

/* Let the op go beside the queue.  NULL: no room there, and it has ended. */
static PinDMAOp *pindma_queue_put_beside(PinDMAState *s, int qn)
{
    PinDMAQueue *q = &s->queues[qn];
    uint32_t num = ctpop32(q->beside_mask);
    int i = ctz32(~q->beside_mask);

    /* A slot of the completion ring must stay free, or STOP gets no turn. */
    if (num == PINDMA_MAX_BESIDE || num + 3 > q->entries) {
        pindma_queue_end(s, qn, &q->op, PINDMA_ST_NO_SPACE);
        return NULL;
    }
    q->beside[i] = q->op;
    q->beside_mask |= 1u << i;
    q->op.state = PINDMA_OP_FREE;
    q->cancel = false;
    return &q->beside[i];
}

/* Its turn has come: what does it have to wait for? */
static void pindma_queue_start(PinDMAState *s, int qn)
{
    PinDMAOp *op = &s->queues[qn].op;
    const struct pindma_sqe *sqe = &op->sqe;

    op->state = PINDMA_OP_RUNNING;
    op->due_ns = s->now;
    if (sqe->flags & PINDMA_SQE_NOT_BEFORE) {
        op->due_ns = MAX(s->now, MIN(sqe->when, INT64_MAX / 2));
    }
    op->due_ns += sqe->delay;
    if (sqe->flags & PINDMA_SQE_ON_MARK) {
        op->state = PINDMA_OP_MARKED;
    } else if (op->due_ns > s->now) {
        op->state = PINDMA_OP_TIMED;
    }
    if (op->state == PINDMA_OP_RUNNING) {
        return;
    }
    if (!pindma_op_has_mrs(s, op)) {
        /* Nothing would ever end it if its requester went away. */
        pindma_queue_end(s, qn, op, PINDMA_ST_BAD_KEY);
    } else if (!(sqe->flags & PINDMA_SQE_LINK)) {
        pindma_queue_put_beside(s, qn);
    }
}

/* Are there ops before a fence? */
static bool pindma_queue_fenced(const PinDMAQueue *q)
{
    int i;

    for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
        if (q->beside[i].state != PINDMA_OP_FREE &&
            q->beside[i].sqe.opcode != PINDMA_OP_HAMMER) {
            return true;
        }
    }
    return false;
}

/* One step of an op, if it wants one */
static bool pindma_queue_run(PinDMAState *s, int qn, PinDMAOp *op)
{
    PinDMAQueue *q = &s->queues[qn];
    int status;

    switch (op->state) {
    case PINDMA_OP_FREE:
    case PINDMA_OP_MARKED:
    case PINDMA_OP_PAGING:
        return false;
    case PINDMA_OP_FENCED:
        if (pindma_queue_fenced(q)) {
            return false;
        }
        pindma_queue_start(s, qn);
        return true;
    case PINDMA_OP_TIMED:
        if (op->due_ns > s->now) {
            s->wake_ns = MIN(s->wake_ns, op->due_ns);
            return false;
        }
        op->state = PINDMA_OP_RUNNING;
        if (op->ended) {
            pindma_queue_end(s, qn, op, op->status);
            return true;
        }
        break;
    }
    if (!op->delayed && op->sqe.len && qn != PINDMA_QUEUE_ADMIN &&
        pindma_fault_hits(s, qn, PINDMA_FAULT_DELAY)) {
        op->delayed = true;
        op->state = PINDMA_OP_TIMED;
        op->due_ns = s->now + s->fault_delay;
        return true;
    }
    op->delayed = false;
    if (op == &q->op && op->sqe.opcode == PINDMA_OP_HAMMER) {
        op = pindma_queue_put_beside(s, qn);
        if (!op) {
            return true;
        }
    }
    status = pindma_op_step(s, qn, op);
    if (status >= 0) {
        pindma_queue_end(s, qn, op, status);
    }
    return status != PINDMA_WAIT;
}

/* An sqe is there: is it sound? */
static void pindma_queue_begin(PinDMAState *s, int qn)
{
    PinDMAQueue *q = &s->queues[qn];
    PinDMAOp *op = &q->op;
    struct pindma_sqe *sqe = &op->sqe;

    op->state = PINDMA_OP_RUNNING;
    if (q->cancel) {
        pindma_queue_end(s, qn, op, PINDMA_ST_CANCELED);
    } else if (!pindma_op_is_known(qn, sqe->opcode)) {
        pindma_queue_end(s, qn, op, PINDMA_ST_BAD_OPCODE);
    } else if (!pindma_op_is_clean(sqe) || (q->pd && sqe->pd)) {
        pindma_queue_end(s, qn, op, PINDMA_ST_BAD_FIELD);
    } else {
        sqe->pd = q->pd ?: sqe->pd;
        pindma_op_prepare(s, op);
        if (sqe->flags & PINDMA_SQE_FENCE) {
            op->state = PINDMA_OP_FENCED;
        } else {
            pindma_queue_start(s, qn);
        }
    }
}

static void pindma_sqe_to_cpu(struct pindma_sqe *sqe)
{
    int i;

    le16_to_cpus(&sqe->flags);
    le32_to_cpus(&sqe->key);
    le64_to_cpus(&sqe->tag);
    le64_to_cpus(&sqe->offset);
    le64_to_cpus(&sqe->len);
    le64_to_cpus(&sqe->value);
    le64_to_cpus(&sqe->compare);
    le32_to_cpus(&sqe->src_key);
    le32_to_cpus(&sqe->rate);
    le64_to_cpus(&sqe->src_offset);
    le64_to_cpus(&sqe->seed);
    le64_to_cpus(&sqe->when);
    le32_to_cpus(&sqe->delay);
    le32_to_cpus(&sqe->pd);
    for (i = 0; i < ARRAY_SIZE(sqe->reserved); i++) {
        le64_to_cpus(&sqe->reserved[i]);
    }
}

/* ----------------------------------------------------------------- shadows */

/* The tail can be anywhere. */
static bool pindma_queue_set_tail(PinDMAQueue *q, uint64_t val)
{
    if (val >= q->entries) {
        return false;
    }
    q->sq_tail = val;
    return true;
}

/* The head moves forward, over slots that have been written. */
static bool pindma_queue_set_head(PinDMAQueue *q, uint64_t val)
{
    if (val >= q->entries || ((val - q->cq_head) & (q->entries - 1)) >
                             ((q->cq_tail - q->cq_head) & (q->entries - 1))) {
        return false;
    }
    q->cq_head = val;
    return true;
}

static bool pindma_queue_shadow(PinDMAState *s, int qn, size_t offset,
                                uint64_t *val, unsigned int size, bool write)
{
    if (pindma_dma_shadow(s, qn, s->queues[qn].shadow + offset, val, size,
                          write)) {
        return true;
    }
    pindma_queue_fail(s, qn);
    return false;
}

/*
 * Has the driver stored something new?  Both at once: a guest may change them
 * between the check and the use, but not what was read.
 */
static bool pindma_queue_look(PinDMAState *s, int qn)
{
    PinDMAQueue *q = &s->queues[qn];
    bool tail, head;
    uint64_t word;

    QEMU_BUILD_BUG_ON(offsetof(struct pindma_shadow, sq_tail) != 0);
    QEMU_BUILD_BUG_ON(offsetof(struct pindma_shadow, cq_head) != 4);
    if (!pindma_queue_shadow(s, qn, 0, &word, 8, false) ||
        word == q->shadow_seen) {
        return false;
    }
    q->shadow_seen = word;
    tail = pindma_queue_set_tail(q, (uint32_t)word);
    head = pindma_queue_set_head(q, word >> 32);
    if (!tail || !head) {
        pindma_guest_error(s, "queue %d: shadow 0x%" PRIx64 " ignored", qn,
                           word);
    }
    return true;
}

/* Is there a shadow, and may it be accessed? */
static bool pindma_queue_looks(PinDMAState *s, const PinDMAQueue *q)
{
    return q->shadow && q->enabled && !q->hung && pindma_can_dma(s);
}

/* Where a change says that there is something to look at; NULL: nowhere. */
const uint64_t *pindma_queue_peek(PinDMAState *s, int qn)
{
    PinDMAQueue *q = &s->queues[qn];

    if (!pindma_queue_looks(s, q)) {
        return NULL;
    }
    pindma_dma_forget(s);
    return pindma_dma_peek(s, q->shadow);
}

static void pindma_queue_say(PinDMAState *s, int qn, bool asleep)
{
    uint64_t val = asleep;

    s->queues[qn].asleep = asleep;
    pindma_queue_shadow(s, qn, offsetof(struct pindma_shadow, asleep), &val, 4,
                        true);
}

/* A batch begins: what the driver stores from now on is seen without a word. */
void pindma_queue_wake(PinDMAState *s, int qn)
{
    s->looked = false;
    if (s->queues[qn].asleep) {
        pindma_queue_say(s, qn, false);
    }
}

/*
 * The engine is about to sleep: the driver has to ring from now on.  True: it
 * already had something to say, and may not have.
 */
bool pindma_queue_doze(PinDMAState *s, int qn)
{
    PinDMAQueue *q = &s->queues[qn];
    bool news = false;

    if (!pindma_queue_looks(s, q)) {
        return false;
    }
    pindma_dma_forget(s);
    WITH_RCU_READ_LOCK_GUARD() {
        pindma_queue_say(s, qn, true);
        news = q->enabled && pindma_queue_look(s, qn);
    }
    pindma_journal_flush(s);
    return news;
}

/* The cqes are in memory: whose driver wants to hear of them? */
void pindma_queue_notify(PinDMAState *s)
{
    uint32_t mask;

    for (mask = s->notify; mask; mask &= mask - 1) {
        int qn = ctz32(mask);
        uint64_t armed = true;

        if (s->queues[qn].shadow && s->queues[qn].enabled) {
            pindma_queue_shadow(s, qn, offsetof(struct pindma_shadow, armed),
                                &armed, 4, false);
        }
        if (!armed) {
            s->notify &= ~(1u << qn);
        }
    }
}

/* ----------------------------------------------------------------- fetching */

/* Is there an sqe, and room for its cqe? */
static bool pindma_queue_has_sqe(const PinDMAQueue *q)
{
    return q->sq_head != q->sq_tail && pindma_cq_room(q);
}

/* The same, and if there is none known perhaps the shadow has one. */
static bool pindma_queue_find_sqe(PinDMAState *s, int qn)
{
    PinDMAQueue *q = &s->queues[qn];

    if (pindma_queue_has_sqe(q)) {
        return true;
    }
    if (!q->shadow || s->looked) {
        return false;
    }
    s->looked = !pindma_queue_look(s, qn);
    return !s->looked && pindma_queue_has_sqe(q);
}

/* The next sqe, if there is one and room for its cqe */
static bool pindma_queue_fetch(PinDMAState *s, int qn)
{
    PinDMAQueue *q = &s->queues[qn];
    struct pindma_sqe *sqe = &q->op.sqe;
    struct pindma_journal_entry e = {
        .kind = PINDMA_JOURNAL_FETCH,
        .queue = qn,
        .addr = q->sq_addr + q->sq_head * sizeof(*sqe),
        .len = sizeof(*sqe),
    };

    if (!pindma_queue_find_sqe(s, qn)) {
        return false;
    }
    if (pindma_fault_hits(s, qn, PINDMA_FAULT_HANG)) {
        q->hung = true;
        return false;
    }
    memset(&q->op, 0, sizeof(q->op));
    if (!pindma_dma(s, e, NULL, sqe)) {
        pindma_queue_fail(s, qn);
        return false;
    }
    pindma_sqe_to_cpu(sqe);
    q->sq_head = (q->sq_head + 1) & (q->entries - 1);
    trace_pindma_op(qn, sqe->opcode, sqe->flags, sqe->tag, sqe->key,
                    sqe->offset, sqe->len);
    pindma_queue_begin(s, qn);
    if (q->op.state == PINDMA_OP_RUNNING &&
        pindma_fault_hits(s, qn, PINDMA_FAULT_SPURIOUS_MSI)) {
        /* Wait, or it could not be told from the one that the op deserves. */
        s->notify |= 1u << qn;
        q->op.state = PINDMA_OP_TIMED;
        q->op.due_ns = s->now + MAX(1, s->fault_delay);
    }
    return true;
}

/* ----------------------------------------------------------- page requests */

/* False: there is no room for it yet. */
static bool pindma_queue_request(PinDMAState *s, int qn, PinDMAOp *op)
{
    PinDMAQueue *admin = &s->queues[PINDMA_QUEUE_ADMIN];
    struct pindma_journal_entry e = {
        .kind = PINDMA_JOURNAL_PAGE_REQUEST,
        .queue = qn,
        .key = op->page_key,
        .offset = op->page * PINDMA_PAGE_SIZE,
    };

    if (op->state != PINDMA_OP_PAGING || op->requested) {
        return true;
    }
    if (!pindma_cq_room(admin)) {
        return false;
    }
    trace_pindma_page_request(qn, op->sqe.tag, op->page_key, op->page);
    op->requested = true;
    op->seq = pindma_journal(s, e, op);
    if (pindma_queue_write_cqe(s, PINDMA_QUEUE_ADMIN, op, op->page_key,
                               op->page, PINDMA_ST_PAGE_REQUEST)) {
        s->notify |= 1u << PINDMA_QUEUE_ADMIN;
    }
    return admin->enabled;
}

/* Tell the driver of pages that ops wait for. */
static void pindma_queue_request_pages(PinDMAState *s)
{
    int qn, i;

    s->page_requests = false;
    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        PinDMAQueue *q = &s->queues[qn];

        if (!pindma_queue_request(s, qn, &q->op)) {
            s->page_requests = true;
            return;
        }
        for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
            if (!pindma_queue_request(s, qn, &q->beside[i])) {
                s->page_requests = true;
                return;
            }
        }
    }
}

/* One turn for everything that wants to run.  False: nothing wanted to. */
bool pindma_queue_turn(PinDMAState *s, int qn, unsigned int *budget)
{
    PinDMAQueue *q = &s->queues[qn];
    bool progress = false;
    uint32_t mask;

    if (!q->enabled || q->hung) {
        return false;
    }
    if (qn == PINDMA_QUEUE_ADMIN && s->page_requests) {
        pindma_queue_request_pages(s);
    }
    if (unlikely(q->later.fault || q->ghost.fault) &&
        pindma_fault_turn(s, qn)) {
        progress = true;
        --*budget;
    }
    if (*budget && ((q->op.state == PINDMA_OP_FREE && pindma_queue_fetch(s, qn))
                    || pindma_queue_run(s, qn, &q->op))) {
        progress = true;
        --*budget;
    }
    for (mask = q->beside_mask; mask && *budget; mask &= mask - 1) {
        if (pindma_queue_run(s, qn, &q->beside[ctz32(mask)])) {
            progress = true;
            --*budget;
        }
    }
    return progress;
}

/* -------------------------------------------------------------------- marks */

/* Perform an op that waited for the mark, or let it wait for its delay. */
static void pindma_queue_release(PinDMAState *s, int qn, PinDMAOp *op,
                                 uint64_t value, unsigned int *budget)
{
    if (op->state != PINDMA_OP_MARKED || op->sqe.when != value) {
        return;
    }
    op->state = PINDMA_OP_TIMED;
    op->due_ns = s->now + op->sqe.delay;
    if (op->sqe.delay || s->queues[qn].hung || !pindma_can_dma(s)) {
        return;
    }
    while (*budget && pindma_queue_run(s, qn, op)) {
        --*budget;
    }
}

/* In a store of a CPU, which waits for all this */
void pindma_queue_mark(PinDMAState *s, int qn, uint64_t value)
{
    PinDMAQueue *q = &s->queues[qn];
    unsigned int budget = PINDMA_BATCH;
    struct pindma_journal_entry e = {
        .kind = PINDMA_JOURNAL_MARK,
        .queue = qn,
        .value = value,
    };
    int i;

    s->now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    s->wake_ns = INT64_MAX;
    pindma_dma_forget(s);
    pindma_journal(s, e, NULL);
    WITH_RCU_READ_LOCK_GUARD() {
        pindma_queue_release(s, qn, &q->op, value, &budget);
        for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
            pindma_queue_release(s, qn, &q->beside[i], value, &budget);
        }
    }
    pindma_journal_flush(s);
    pindma_kick(s, qn);     /* to send interrupts, and for what is left */
}

/* ---------------------------------------------------------------- registers */

uint64_t pindma_queue_get(PinDMAState *s, int qn, hwaddr reg)
{
    PinDMAQueue *q = &s->queues[qn];

    switch (reg) {
    case PINDMA_QUEUE_SQ_ADDR:
        return q->sq_addr;
    case PINDMA_QUEUE_CQ_ADDR:
        return q->cq_addr;
    case PINDMA_QUEUE_ENTRIES:
        return q->entries;
    case PINDMA_QUEUE_ENABLE:
        return q->enabled;
    case PINDMA_QUEUE_PD:
        return q->pd;
    case PINDMA_QUEUE_SHADOW:
        return q->shadow;
    case PINDMA_QUEUE_SQ_HEAD:
        return q->sq_head;
    case PINDMA_QUEUE_CQ_TAIL:
        return q->cq_tail;
    }
    return 0;
}

static void pindma_queue_enable(PinDMAState *s, int qn, bool enable)
{
    PinDMAQueue *q = &s->queues[qn];

    pindma_queue_clear(s, qn);
    if (!enable) {
        return;
    }
    if (!is_power_of_2(q->entries) || q->entries < PINDMA_QUEUE_MIN_ENTRIES ||
        q->entries > PINDMA_QUEUE_MAX_ENTRIES ||
        !QEMU_IS_ALIGNED(q->sq_addr | q->cq_addr, PINDMA_PAGE_SIZE) ||
        !QEMU_IS_ALIGNED(q->shadow, sizeof(struct pindma_shadow))) {
        pindma_guest_error(s, "queue %d: %u entries at 0x%" PRIx64 " and 0x%"
                           PRIx64 ", shadow 0x%" PRIx64 " refused", qn,
                           q->entries, q->sq_addr, q->cq_addr, q->shadow);
        return;
    }
    q->enabled = true;
    if (q->shadow) {
        pindma_kick(s, qn);     /* it is awake, until it says something else */
    }
    trace_pindma_queue_enable(qn, q->entries, q->sq_addr, q->cq_addr, q->pd);
}

void pindma_queue_set(PinDMAState *s, int qn, hwaddr reg, uint64_t val)
{
    PinDMAQueue *q = &s->queues[qn];

    if (q->enabled && (reg != PINDMA_QUEUE_ENABLE || val & 1)) {
        pindma_guest_error(s, "queue %d: write of 0x%" PRIx64 " to +0x%"
                           HWADDR_PRIx " while enabled", qn, val, reg);
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
    case PINDMA_QUEUE_PD:
        q->pd = val;
        return;
    case PINDMA_QUEUE_SHADOW:
        q->shadow = val;
        return;
    }
    pindma_guest_error(s, "queue %d: write of 0x%" PRIx64 " to +0x%"
                       HWADDR_PRIx " ignored", qn, val, reg);
}

void pindma_queue_doorbell(PinDMAState *s, int qn, hwaddr reg, uint64_t val)
{
    PinDMAQueue *q = &s->queues[qn];
    bool full;

    switch (reg) {
    case PINDMA_DB_SQ_TAIL:
        if (!q->enabled || (!q->shadow && !pindma_queue_set_tail(q, val))) {
            break;
        }
        pindma_kick(s, qn);
        return;
    case PINDMA_DB_CQ_HEAD:
        if (!q->enabled) {
            break;
        }
        full = q->shadow || !pindma_cq_room(q);
        if (!q->shadow && !pindma_queue_set_head(q, val)) {
            break;
        }
        if (full) {
            pindma_kick(s, qn);
        }
        return;
    case PINDMA_DB_MARK:
        pindma_queue_mark(s, qn, val);
        return;
    }
    pindma_guest_error(s, "queue %d: doorbell +0x%" HWADDR_PRIx
                       ": 0x%" PRIx64 " ignored", qn, reg, val);
}
