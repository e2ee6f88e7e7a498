/*
 * pindma: the ops of the channels
 *
 * A step of an op is one access to a page, or to a list; the functions here
 * return PINDMA_MORE or PINDMA_WAIT, or the status with which the op ends.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <zlib.h>
#include "pindma-internal.h"

/* ------------------------------------------------------------------ checks */

bool pindma_op_is_known(int qn, uint8_t opcode)
{
    switch (opcode) {
    case PINDMA_OP_NOP:
        return true;
    case PINDMA_OP_REG_MR:
    case PINDMA_OP_DEREG_MR:
    case PINDMA_OP_UPDATE_MR:
        return qn == PINDMA_QUEUE_ADMIN;
    case PINDMA_OP_WRITE:
    case PINDMA_OP_READ:
    case PINDMA_OP_FILL:
    case PINDMA_OP_COPY:
    case PINDMA_OP_HAMMER:
    case PINDMA_OP_STOP:
    case PINDMA_OP_COMPARE:
    case PINDMA_OP_FETCH_ADD:
    case PINDMA_OP_CMP_SWAP:
        return qn != PINDMA_QUEUE_ADMIN;
    }
    return false;
}

/* Ops on bytes, which may be scattered, but for one that writes stamps */
static bool pindma_op_is_bytes(const struct pindma_sqe *sqe)
{
    switch (sqe->opcode) {
    case PINDMA_OP_WRITE:
        return sqe->mode != PINDMA_WRITE_STAMP;
    case PINDMA_OP_READ:
    case PINDMA_OP_FILL:
    case PINDMA_OP_COPY:
    case PINDMA_OP_COMPARE:
        return true;
    }
    return false;
}

static bool pindma_op_has_source(const struct pindma_sqe *sqe)
{
    return sqe->opcode == PINDMA_OP_COPY ||
           (sqe->opcode == PINDMA_OP_COMPARE &&
            sqe->mode == PINDMA_COMPARE_MR);
}

static bool pindma_op_is_atomic(const struct pindma_sqe *sqe)
{
    return sqe->opcode == PINDMA_OP_FETCH_ADD ||
           sqe->opcode == PINDMA_OP_CMP_SWAP;
}

static bool pindma_op_is_admin(const struct pindma_sqe *sqe)
{
    return sqe->opcode == PINDMA_OP_REG_MR ||
           sqe->opcode == PINDMA_OP_DEREG_MR ||
           sqe->opcode == PINDMA_OP_UPDATE_MR;
}

static bool pindma_flags_are_clean(const struct pindma_sqe *sqe)
{
    uint16_t known = PINDMA_SQE_LINK | PINDMA_SQE_FENCE |
                     PINDMA_SQE_NOT_BEFORE | PINDMA_SQE_ON_MARK |
                     PINDMA_SQE_SG | PINDMA_SQE_SRC_SG;
    uint16_t when = PINDMA_SQE_NOT_BEFORE | PINDMA_SQE_ON_MARK;

    if (sqe->flags & ~known || (sqe->flags & when) == when ||
        (sqe->when && !(sqe->flags & when))) {
        return false;
    }
    if (sqe->flags & PINDMA_SQE_LINK && sqe->opcode == PINDMA_OP_HAMMER) {
        return false;
    }
    if (sqe->flags & PINDMA_SQE_SG && !pindma_op_is_bytes(sqe)) {
        return false;
    }
    return !(sqe->flags & PINDMA_SQE_SRC_SG) || pindma_op_has_source(sqe);
}

/*
 * Fields that an op does not name must be 0, and modes are those that it has:
 * they may mean something later.  The op is known.
 */
bool pindma_op_is_clean(const struct pindma_sqe *sqe)
{
    bool range = pindma_op_is_bytes(sqe) || pindma_op_is_atomic(sqe) ||
                 sqe->opcode == PINDMA_OP_WRITE ||
                 sqe->opcode == PINDMA_OP_HAMMER ||
                 sqe->opcode == PINDMA_OP_REG_MR ||
                 sqe->opcode == PINDMA_OP_UPDATE_MR;
    int i;

    for (i = 0; i < ARRAY_SIZE(sqe->reserved); i++) {
        if (sqe->reserved[i]) {
            return false;
        }
    }
    if (!pindma_flags_are_clean(sqe) ||
        ((sqe->flags || sqe->delay) && pindma_op_is_admin(sqe)) ||
        (sqe->pd && (sqe->opcode == PINDMA_OP_DEREG_MR ||
                     sqe->opcode == PINDMA_OP_UPDATE_MR)) ||
        ((sqe->src_key || sqe->src_offset) && !pindma_op_has_source(sqe)) ||
        ((sqe->rate || sqe->seed) && sqe->opcode != PINDMA_OP_HAMMER) ||
        (sqe->compare && sqe->opcode != PINDMA_OP_CMP_SWAP) ||
        ((sqe->offset || sqe->len) && !range) ||
        (sqe->key && !range && sqe->opcode != PINDMA_OP_DEREG_MR)) {
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
        return sqe->mode <= PINDMA_READ_SUM && !sqe->value;
    case PINDMA_OP_HAMMER:
        return sqe->mode <= PINDMA_ORDER_HOT;
    case PINDMA_OP_COMPARE:
        return sqe->mode == PINDMA_COMPARE_PATTERN ||
               (sqe->mode == PINDMA_COMPARE_MR && !sqe->value);
    case PINDMA_OP_FILL:
        return !sqe->mode && sqe->value <= 0xff;
    case PINDMA_OP_UPDATE_MR:
        return sqe->mode == PINDMA_UPDATE_MAP ||
               (sqe->mode <= PINDMA_UPDATE_REFUSE && !sqe->value);
    case PINDMA_OP_STOP:
    case PINDMA_OP_FETCH_ADD:
    case PINDMA_OP_CMP_SWAP:
        return !sqe->mode;
    default:
        return true;
    }
}

/* Are the mrs there that the op names? */
bool pindma_op_has_mrs(PinDMAState *s, const PinDMAOp *op)
{
    const struct pindma_sqe *sqe = &op->sqe;
    PinDMAMR *mr;

    return (!sqe->key ||
            pindma_mr_check(s, op, sqe->key, 0, 0, 0, &mr) == PINDMA_ST_OK) &&
           (!sqe->src_key ||
            pindma_mr_check(s, op, sqe->src_key, 0, 0, 0, &mr) == PINDMA_ST_OK);
}

/* Does a channel's op, in the state it is in, use the mr? */
bool pindma_op_uses(const PinDMAOp *op, uint32_t key)
{
    if (op->state == PINDMA_OP_FREE || pindma_op_is_admin(&op->sqe)) {
        return false;
    }
    return key == op->sqe.key || key == op->sqe.src_key ||
           (op->to.left && key == op->to.key) ||
           (op->from.left && key == op->from.key);
}

/* Would an access to len more bytes be the last of the op? */
bool pindma_op_is_last(const PinDMAOp *op, uint32_t len)
{
    switch (op->sqe.opcode) {
    case PINDMA_OP_HAMMER:
        return false;
    case PINDMA_OP_WRITE:
        if (op->sqe.mode == PINDMA_WRITE_STAMP) {
            return op->done + 1 == pindma_op_stamps(&op->sqe);
        }
        break;
    }
    return op->done + len == op->sqe.len;
}

/* ------------------------------------------------------------------- bytes */

/* Bytes done to done + len of a pattern; done may be anything. */
static void pindma_pattern(uint8_t *buf, uint64_t seed, uint64_t done,
                           uint32_t len)
{
    uint64_t word = seed + done / 8 * PINDMA_PATTERN_STEP;
    uint32_t i = 0;

    while (i < len && !QEMU_IS_ALIGNED(done + i, 8)) {
        buf[i] = word >> (done + i) % 8 * 8;
        i++;
    }
    if (i) {
        word += PINDMA_PATTERN_STEP;
    }
    for (; i + 32 <= len; i += 32) {
        /* Not one word after the other: a compiler can do these at once. */
        stq_le_p(buf + i, word);
        stq_le_p(buf + i + 8, word + PINDMA_PATTERN_STEP);
        stq_le_p(buf + i + 16, word + 2 * PINDMA_PATTERN_STEP);
        stq_le_p(buf + i + 24, word + 3 * PINDMA_PATTERN_STEP);
        word += 4 * PINDMA_PATTERN_STEP;
    }
    for (; i + 8 <= len; i += 8) {
        stq_le_p(buf + i, word);
        word += PINDMA_PATTERN_STEP;
    }
    for (; i < len; i++) {
        buf[i] = word >> (done + i) % 8 * 8;
    }
}

/* Of bytes done to done + len, what they add to a sum of words */
static uint64_t pindma_sum(const uint8_t *buf, uint64_t done, uint32_t len)
{
    uint64_t sum[4] = { 0 };
    uint32_t i = 0;

    while (i < len && !QEMU_IS_ALIGNED(done + i, 8)) {
        sum[0] += (uint64_t)buf[i] << (done + i) % 8 * 8;
        i++;
    }
    for (; i + 32 <= len; i += 32) {
        /* None of them waits for another: a CPU can do these at once. */
        sum[0] += ldq_le_p(buf + i);
        sum[1] += ldq_le_p(buf + i + 8);
        sum[2] += ldq_le_p(buf + i + 16);
        sum[3] += ldq_le_p(buf + i + 24);
    }
    for (; i < len; i++) {
        sum[0] += (uint64_t)buf[i] << (done + i) % 8 * 8;
    }
    return sum[0] + sum[1] + sum[2] + sum[3];
}

/*
 * Make sure that the cursor stands on a byte: of the op's range, or of an
 * element of its list, which may have to be read first.
 */
static int pindma_cursor_fill(PinDMAState *s, int qn, PinDMAOp *op,
                              PinDMACursor *c, bool list, uint32_t list_key,
                              uint8_t access, PinDMAMR **mrp)
{
    struct pindma_sge sge;
    uint32_t n, done = 0;
    PinDMAMR *mr;
    int status;

    if (!list || c->left) {
        return pindma_mr_check(s, op, c->key, c->offset, c->left, access, mrp);
    }
    status = pindma_mr_check(s, op, list_key, c->list_offset, sizeof(sge),
                             PINDMA_ACCESS_READ, &mr);
    if (status != PINDMA_ST_OK) {
        return status;
    }
    while (done < sizeof(sge)) {
        uint64_t offset = c->list_offset + done;

        n = MIN(sizeof(sge) - done, pindma_mr_room(mr, offset));
        status = pindma_mr_dma(s, PINDMA_JOURNAL_FETCH, qn, op, mr, offset,
                               (uint8_t *)&sge + done, n);
        if (status != PINDMA_ST_OK) {
            return status;
        }
        done += n;
    }
    if (sge.reserved) {
        return PINDMA_ST_BAD_FIELD;
    }
    c->key = le32_to_cpu(sge.key);
    c->offset = le64_to_cpu(sge.offset);
    c->left = MIN(le64_to_cpu(sge.len), op->sqe.len - op->done);
    c->list_offset += sizeof(sge);
    return PINDMA_MORE;
}

static void pindma_cursor_advance(PinDMACursor *c, uint32_t n)
{
    c->offset += n;
    c->left -= n;
}

/* What an op that writes wants to have in n bytes of buf */
static int pindma_bytes_make(PinDMAState *s, int qn, PinDMAOp *op,
                             const PinDMAMR *src, uint8_t *buf, uint32_t n)
{
    const struct pindma_sqe *sqe = &op->sqe;

    switch (sqe->opcode) {
    case PINDMA_OP_FILL:
        memset(buf, sqe->value, n);
        return PINDMA_ST_OK;
    case PINDMA_OP_COPY:
        return pindma_mr_dma(s, PINDMA_JOURNAL_READ, qn, op, src,
                             op->from.offset, buf, n);
    }
    if (sqe->mode == PINDMA_WRITE_IMMEDIATE) {
        uint64_t val = cpu_to_le64(sqe->value);

        memcpy(buf, (uint8_t *)&val + op->done, n);
    } else {
        pindma_pattern(buf, sqe->value, op->done, n);
    }
    return PINDMA_ST_OK;
}

/* What an op that reads does with n bytes of buf */
static int pindma_bytes_take(PinDMAState *s, int qn, PinDMAOp *op,
                             const PinDMAMR *src, const uint8_t *buf,
                             uint32_t n)
{
    const struct pindma_sqe *sqe = &op->sqe;
    uint8_t want[PINDMA_PAGE_SIZE];
    uint32_t i;
    int status;

    if (sqe->opcode == PINDMA_OP_READ && sqe->mode == PINDMA_READ_VALUE) {
        uint64_t val = 0;

        memcpy((uint8_t *)&val + op->done, buf, n);
        op->result |= le64_to_cpu(val);
        return PINDMA_ST_OK;
    }
    if (sqe->opcode == PINDMA_OP_READ && sqe->mode == PINDMA_READ_CRC32) {
        op->result = crc32(op->result, buf, n);
        return PINDMA_ST_OK;
    }
    if (sqe->opcode == PINDMA_OP_READ) {
        op->result += pindma_sum(buf, op->done, n);
        return PINDMA_ST_OK;
    }
    if (src) {
        status = pindma_mr_dma(s, PINDMA_JOURNAL_READ, qn, op, src,
                               op->from.offset, want, n);
        if (status != PINDMA_ST_OK) {
            return status;
        }
    } else {
        pindma_pattern(want, sqe->value, op->done, n);
    }
    for (i = 0; i < n; i++) {
        if (buf[i] != want[i]) {
            op->result = op->done + i;
            return PINDMA_ST_MISCOMPARE;
        }
    }
    return PINDMA_ST_OK;
}

/*
 * The guest's page itself, if it may be used and that is worth the while; what
 * goes wrong with accesses, and their CRC, needs a copy.
 */
static void *pindma_bytes_map(PinDMAState *s, int qn, uint64_t addr, uint32_t n,
                              bool write)
{
    if (n <= 8 || s->fault || s->queues[qn].later.fault || s->journal_crc) {
        return NULL;
    }
    return pindma_dma_map(s, addr, n, write);
}

static void pindma_bytes_unmap(PinDMAState *s, uint8_t kind, int qn,
                               PinDMAOp *op, const PinDMAMR *mr,
                               uint64_t offset, uint64_t addr, void *p,
                               uint32_t n, uint64_t value)
{
    struct pindma_journal_entry e = {
        .kind = kind,
        .queue = qn,
        .key = mr->key,
        .offset = offset,
        .addr = addr,
        .len = n,
        .value = value,
    };

    pindma_dma_unmap(s, p, n, kind == PINDMA_JOURNAL_WRITE);
    op->seq = pindma_journal(s, e, op);
}

static int pindma_bytes_write(PinDMAState *s, int qn, PinDMAOp *op,
                              const PinDMAMR *mr, const PinDMAMR *src,
                              uint32_t n)
{
    uint8_t copy[PINDMA_PAGE_SIZE] QEMU_ALIGNED(8);
    uint8_t *p = NULL;
    uint64_t addr;
    int status = pindma_mr_locate(s, op, mr, op->to.offset, &addr);

    if (status != PINDMA_ST_OK) {
        return status;
    }
    if (!src) {
        p = pindma_bytes_map(s, qn, addr, n, true);
    }
    status = pindma_bytes_make(s, qn, op, src, copy, p ? 8 : n);
    if (status != PINDMA_ST_OK) {
        return status;
    }
    if (!p) {
        return pindma_mr_dma(s, PINDMA_JOURNAL_WRITE, qn, op, mr,
                             op->to.offset, copy, n);
    }
    /* The journal gets its value from the copy: in p a CPU may have written. */
    pindma_bytes_make(s, qn, op, src, p, n);
    pindma_bytes_unmap(s, PINDMA_JOURNAL_WRITE, qn, op, mr, op->to.offset, addr,
                       p, n, ldq_le_p(copy));
    return PINDMA_ST_OK;
}

/* From page to page, if both may be used. */
static bool pindma_bytes_copy(PinDMAState *s, int qn, PinDMAOp *op,
                              const PinDMAMR *mr, const PinDMAMR *src,
                              uint32_t n)
{
    uint64_t to_addr, from_addr, first;
    uint8_t *to, *from;

    if (pindma_mr_locate(s, op, src, op->from.offset, &from_addr) < 0 ||
        pindma_mr_locate(s, op, mr, op->to.offset, &to_addr) < 0) {
        return false;
    }
    from = pindma_bytes_map(s, qn, from_addr, n, false);
    to = from ? pindma_bytes_map(s, qn, to_addr, n, true) : NULL;
    if (!to) {
        if (from) {
            pindma_dma_unmap(s, from, 0, false);
        }
        return false;
    }
    /* The journal's value is what was copied, even if a CPU writes there. */
    memcpy(&first, from, sizeof(first));
    memcpy(to, &first, sizeof(first));
    memmove(to + sizeof(first), from + sizeof(first), n - sizeof(first));
    le64_to_cpus(&first);
    pindma_bytes_unmap(s, PINDMA_JOURNAL_READ, qn, op, src, op->from.offset,
                       from_addr, from, n, first);
    pindma_bytes_unmap(s, PINDMA_JOURNAL_WRITE, qn, op, mr, op->to.offset,
                       to_addr, to, n, first);
    return true;
}

static int pindma_bytes_read(PinDMAState *s, int qn, PinDMAOp *op,
                             const PinDMAMR *mr, const PinDMAMR *src,
                             uint32_t n)
{
    uint8_t copy[PINDMA_PAGE_SIZE] QEMU_ALIGNED(8);
    uint64_t addr, value;
    uint8_t *p;
    int status = pindma_mr_locate(s, op, mr, op->to.offset, &addr);

    if (status != PINDMA_ST_OK) {
        return status;
    }
    p = pindma_bytes_map(s, qn, addr, n, false);
    if (!p) {
        status = pindma_mr_dma(s, PINDMA_JOURNAL_READ, qn, op, mr,
                               op->to.offset, copy, n);
        return status != PINDMA_ST_OK ? status :
               pindma_bytes_take(s, qn, op, src, copy, n);
    }
    value = ldq_le_p(p);
    status = pindma_bytes_take(s, qn, op, src, p, n);
    pindma_bytes_unmap(s, PINDMA_JOURNAL_READ, qn, op, mr, op->to.offset, addr,
                       p, n, value);
    return status;
}

/* WRITE (immediate, pattern), READ, FILL, COPY, COMPARE */
static int pindma_op_bytes(PinDMAState *s, int qn, PinDMAOp *op)
{
    const struct pindma_sqe *sqe = &op->sqe;
    bool reads = sqe->opcode == PINDMA_OP_READ ||
                 sqe->opcode == PINDMA_OP_COMPARE;
    bool word = (sqe->opcode == PINDMA_OP_WRITE &&
                 sqe->mode == PINDMA_WRITE_IMMEDIATE) ||
                (sqe->opcode == PINDMA_OP_READ &&
                 sqe->mode == PINDMA_READ_VALUE);
    PinDMAMR *mr, *src = NULL;
    uint32_t n;
    int status;

    if (word && (!sqe->len || sqe->len > 8)) {
        return PINDMA_ST_BAD_FIELD;
    }
    if (!sqe->len && sqe->flags & PINDMA_SQE_SG) {
        return PINDMA_ST_OK;
    }
    status = pindma_cursor_fill(s, qn, op, &op->to, sqe->flags & PINDMA_SQE_SG,
                                sqe->key, reads ? PINDMA_ACCESS_READ
                                                : PINDMA_ACCESS_WRITE, &mr);
    if (status == PINDMA_ST_OK && pindma_op_has_source(sqe)) {
        status = pindma_cursor_fill(s, qn, op, &op->from,
                                    sqe->flags & PINDMA_SQE_SRC_SG,
                                    sqe->src_key, PINDMA_ACCESS_READ, &src);
    }
    if (status != PINDMA_ST_OK || !sqe->len) {
        return status;
    }

    n = MIN(op->to.left, pindma_mr_room(mr, op->to.offset));
    if (src) {
        n = MIN(n, MIN(op->from.left, pindma_mr_room(src, op->from.offset)));
    }
    if (reads) {
        status = pindma_bytes_read(s, qn, op, mr, src, n);
    } else if (!src || !pindma_bytes_copy(s, qn, op, mr, src, n)) {
        status = pindma_bytes_write(s, qn, op, mr, src, n);
    }
    if (status != PINDMA_ST_OK) {
        return status;
    }
    op->done += n;
    pindma_cursor_advance(&op->to, n);
    if (src) {
        pindma_cursor_advance(&op->from, n);
    }
    return op->done == sqe->len ? PINDMA_ST_OK : PINDMA_MORE;
}

/* ------------------------------------------------------------------ stamps */

uint64_t pindma_op_stamps(const struct pindma_sqe *sqe)
{
    return DIV_ROUND_UP(sqe->len, PINDMA_PAGE_SIZE);
}

static int pindma_stamp_check(PinDMAState *s, const PinDMAOp *op,
                              PinDMAMR **mrp)
{
    const struct pindma_sqe *sqe = &op->sqe;
    uint64_t last;
    int status = pindma_mr_check(s, op, sqe->key, sqe->offset, sqe->len,
                                 PINDMA_ACCESS_WRITE, mrp);

    if (status != PINDMA_ST_OK) {
        return status;
    }
    if (!sqe->len || !QEMU_IS_ALIGNED((*mrp)->first_offset + sqe->offset, 8)) {
        return PINDMA_ST_BAD_FIELD;
    }
    last = sqe->offset + (pindma_op_stamps(sqe) - 1) * PINDMA_PAGE_SIZE;
    return (*mrp)->len - last < 8 ? PINDMA_ST_BOUNDS : PINDMA_ST_OK;
}

static int pindma_stamp(PinDMAState *s, int qn, PinDMAOp *op,
                        const PinDMAMR *mr, uint64_t page)
{
    uint64_t val = cpu_to_le64(op->sqe.value + op->done);
    int status = pindma_mr_dma(s, PINDMA_JOURNAL_WRITE, qn, op, mr,
                               op->sqe.offset + page * PINDMA_PAGE_SIZE,
                               &val, 8);

    if (status == PINDMA_ST_OK) {
        op->done++;
    }
    return status;
}

static int pindma_op_write_stamps(PinDMAState *s, int qn, PinDMAOp *op)
{
    PinDMAMR *mr;
    int status = pindma_stamp_check(s, op, &mr);

    if (status == PINDMA_ST_OK) {
        status = pindma_stamp(s, qn, op, mr, op->done);
    }
    if (status != PINDMA_ST_OK) {
        return status;
    }
    return op->done == pindma_op_stamps(&op->sqe) ? PINDMA_ST_OK : PINDMA_MORE;
}

/* Page of the next stamp */
static uint64_t pindma_hammer_page(PinDMAOp *op)
{
    uint64_t pages = pindma_op_stamps(&op->sqe);
    uint64_t page = op->done % pages;

    switch (op->sqe.mode) {
    case PINDMA_ORDER_DOWN:
        return pages - 1 - page;
    case PINDMA_ORDER_RANDOM:
        return pindma_xorshift(&op->rng) % pages;
    case PINDMA_ORDER_HOT:
        return op->done % 2 ? op->done / 2 % pages : op->sqe.seed % pages;
    }
    return page;
}

/* One stamp, if it is due.  Without the mr, once checked, there is no op. */
static int pindma_op_hammer(PinDMAState *s, int qn, PinDMAOp *op)
{
    PinDMAMR *mr;
    int status;

    if (!op->rng) {
        status = pindma_stamp_check(s, op, &mr);
        if (status != PINDMA_ST_OK) {
            return status;
        }
        op->start_ns = s->now;
        op->rng = op->sqe.seed ?: 1;
    }
    mr = pindma_mr_find(s, op->sqe.key);
    if (op->sqe.rate) {
        int64_t due = op->start_ns + muldiv64(op->done, NANOSECONDS_PER_SECOND,
                                              op->sqe.rate);

        if (due > s->now) {
            s->wake_ns = MIN(s->wake_ns, due);
            return PINDMA_WAIT;
        }
        if (s->now - due > PINDMA_MAX_LAG_NS) {
            op->start_ns += s->now - due;
        }
    }
    status = pindma_stamp(s, qn, op, mr, pindma_hammer_page(op));
    return status == PINDMA_ST_OK ? PINDMA_MORE : status;
}

/* ----------------------------------------------------------------- atomics */

static int pindma_op_atomic(PinDMAState *s, int qn, PinDMAOp *op)
{
    const struct pindma_sqe *sqe = &op->sqe;
    PinDMAMR *mr;
    int status = pindma_mr_check(s, op, sqe->key, sqe->offset, sqe->len,
                                 PINDMA_ACCESS_READ | PINDMA_ACCESS_WRITE, &mr);
    struct pindma_journal_entry e = {
        .kind = PINDMA_JOURNAL_ATOMIC,
        .queue = qn,
        .key = sqe->key,
        .offset = sqe->offset,
        .len = sqe->len,
    };

    if (status != PINDMA_ST_OK) {
        return status;
    }
    if ((sqe->len != 4 && sqe->len != 8) ||
        !QEMU_IS_ALIGNED(mr->first_offset + sqe->offset, sqe->len) ||
        (sqe->len == 4 && (sqe->compare | sqe->value) >> 32)) {
        return PINDMA_ST_BAD_FIELD;
    }
    status = pindma_mr_locate(s, op, mr, sqe->offset, &e.addr);
    if (status != PINDMA_ST_OK) {
        return status;
    }
    if (unlikely(s->fault)) {
        status = pindma_fault_access(s, &e, op, NULL);
    } else if (!pindma_dma_atomic(s, e, op)) {
        status = PINDMA_ST_DMA_ERROR;
    }
    if (status == PINDMA_ST_OK) {
        op->done = sqe->len;
    }
    return status;
}

/* -------------------------------------------------------------------- steps */

static bool pindma_cursor_is_sound(const PinDMACursor *c, uint64_t left,
                                   bool list)
{
    return list ? c->left <= left : c->left == left;
}

/* Could an op that has been under way go on?  Not if its stream is damaged. */
bool pindma_op_is_sound(PinDMAState *s, int qn, const PinDMAOp *op)
{
    const struct pindma_sqe *sqe = &op->sqe;
    PinDMAMR *mr;

    if (op->state == PINDMA_OP_FREE || op->ended) {
        return op->state == PINDMA_OP_FREE || op->state == PINDMA_OP_TIMED;
    }
    if (op->state > PINDMA_OP_RUNNING || !pindma_op_is_known(qn, sqe->opcode) ||
        !pindma_op_is_clean(sqe)) {
        return false;
    }
    if (pindma_op_is_bytes(sqe)) {
        uint64_t left = sqe->len - op->done;

        return op->done < MAX(1, sqe->len) &&
               pindma_cursor_is_sound(&op->to, left,
                                      sqe->flags & PINDMA_SQE_SG) &&
               (!pindma_op_has_source(sqe) ||
                pindma_cursor_is_sound(&op->from, left,
                                       sqe->flags & PINDMA_SQE_SRC_SG));
    }
    if (sqe->opcode == PINDMA_OP_HAMMER) {
        return !op->rng || pindma_stamp_check(s, op, &mr) == PINDMA_ST_OK;
    }
    if (sqe->opcode == PINDMA_OP_WRITE) {
        return op->done < MAX(1, pindma_op_stamps(sqe));
    }
    /* Half a page list would have to be believed: it is read anew. */
    return !pindma_op_is_admin(sqe) || !op->done;
}

void pindma_op_prepare(PinDMAState *s, PinDMAOp *op)
{
    const struct pindma_sqe *sqe = &op->sqe;

    if (sqe->flags & PINDMA_SQE_SG) {
        op->to.list_offset = sqe->offset;
    } else {
        op->to = (PinDMACursor) { sqe->key, sqe->offset, sqe->len };
    }
    if (sqe->flags & PINDMA_SQE_SRC_SG) {
        op->from.list_offset = sqe->src_offset;
    } else {
        op->from = (PinDMACursor) { sqe->src_key, sqe->src_offset, sqe->len };
    }
}

int pindma_op_step(PinDMAState *s, int qn, PinDMAOp *op)
{
    switch (op->sqe.opcode) {
    case PINDMA_OP_NOP:
        return PINDMA_ST_OK;
    case PINDMA_OP_WRITE:
        if (op->sqe.mode == PINDMA_WRITE_STAMP) {
            return pindma_op_write_stamps(s, qn, op);
        }
        return pindma_op_bytes(s, qn, op);
    case PINDMA_OP_READ:
    case PINDMA_OP_FILL:
    case PINDMA_OP_COPY:
    case PINDMA_OP_COMPARE:
        return pindma_op_bytes(s, qn, op);
    case PINDMA_OP_HAMMER:
        return pindma_op_hammer(s, qn, op);
    case PINDMA_OP_STOP:
        return pindma_op_stop(s, qn, op);
    case PINDMA_OP_FETCH_ADD:
    case PINDMA_OP_CMP_SWAP:
        return pindma_op_atomic(s, qn, op);
    case PINDMA_OP_REG_MR:
        return pindma_op_reg_mr(s, qn, op);
    case PINDMA_OP_DEREG_MR:
        return pindma_op_dereg_mr(s, qn, op);
    case PINDMA_OP_UPDATE_MR:
        return pindma_op_update_mr(s, qn, op);
    }
    g_assert_not_reached();     /* the queue has asked pindma_op_is_known() */
}
