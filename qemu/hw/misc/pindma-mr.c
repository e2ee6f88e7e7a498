/*
 * pindma: memory regions
 *
 * An mr is a list of pages under a key, in a protection domain.  Every access
 * of an op to an mr is checked anew, page by page: it may have gone in between.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-internal.h"

QEMU_BUILD_BUG_ON(PINDMA_MAX_MRS & (PINDMA_MAX_MRS - 1));

static PinDMAMR *pindma_mr_slot(PinDMAState *s, uint32_t key)
{
    return &s->mrs[key & (PINDMA_MAX_MRS - 1)];
}

PinDMAMR *pindma_mr_find(PinDMAState *s, uint32_t key)
{
    PinDMAMR *mr = pindma_mr_slot(s, key);

    return mr->access && mr->key == key ? mr : NULL;
}

/* Status of an access of op; *mrp is the mr if it is OK. */
int pindma_mr_check(PinDMAState *s, const PinDMAOp *op, uint32_t key,
                    uint64_t offset, uint64_t len, uint8_t access,
                    PinDMAMR **mrp)
{
    PinDMAMR *mr = pindma_mr_find(s, key);

    if (!mr || mr->pd != op->sqe.pd) {
        return PINDMA_ST_BAD_KEY;
    }
    if (offset > mr->len || len > mr->len - offset) {
        return PINDMA_ST_BOUNDS;
    }
    if ((mr->access & access) != access) {
        return PINDMA_ST_ACCESS;
    }
    *mrp = mr;
    return PINDMA_ST_OK;
}

/*
 * Bus address of a byte of an mr.  PINDMA_WAIT: its page is absent, and the op
 * waits until the driver has answered a request for it.
 */
int pindma_mr_locate(PinDMAState *s, PinDMAOp *op, const PinDMAMR *mr,
                     uint64_t offset, uint64_t *addr)
{
    uint64_t pos = mr->first_offset + offset;
    uint64_t page = mr->pages[pos >> PINDMA_PAGE_SHIFT];

    *addr = page + (pos & (PINDMA_PAGE_SIZE - 1));
    if (likely(page != PINDMA_PAGE_ABSENT)) {
        return PINDMA_ST_OK;
    }
    op->state = PINDMA_OP_PAGING;
    op->page_key = mr->key;
    op->page = pos >> PINDMA_PAGE_SHIFT;
    op->requested = false;
    s->page_requests = true;
    pindma_kick(s, PINDMA_QUEUE_ADMIN);
    return PINDMA_WAIT;
}

/* Bytes from offset to the end of its page */
uint32_t pindma_mr_room(const PinDMAMR *mr, uint64_t offset)
{
    return PINDMA_PAGE_SIZE -
           ((mr->first_offset + offset) & (PINDMA_PAGE_SIZE - 1));
}

/* An access that a fault may hit.  Not a status: the op has to wait. */
int pindma_mr_dma(PinDMAState *s, uint8_t kind, int queue, PinDMAOp *op,
                  const PinDMAMR *mr, uint64_t offset, void *buf, uint32_t len)
{
    struct pindma_journal_entry e = {
        .kind = kind,
        .queue = queue,
        .key = mr->key,
        .offset = offset,
        .len = len,
    };
    int status = pindma_mr_locate(s, op, mr, offset, &e.addr);

    if (unlikely(status != PINDMA_ST_OK)) {
        return status;
    }
    if (unlikely(s->fault || s->queues[queue].later.fault)) {
        return pindma_fault_access(s, &e, op, buf);
    }
    return pindma_dma(s, e, op, buf) ? PINDMA_ST_OK : PINDMA_ST_DMA_ERROR;
}

/* ------------------------------------------------------------- quarantine */

static void pindma_mr_drop_oldest(PinDMAState *s)
{
    PinDMAOldMR *old = QTAILQ_FIRST(&s->old_mrs);

    QTAILQ_REMOVE(&s->old_mrs, old, next);
    s->num_old_mrs--;
    s->num_old_pages -= old->mr.num_pages;
    g_free(old->mr.pages);
    g_free(old);
}

/* Remember the pages of an mr that is gone, for as long as there is room. */
static void pindma_mr_quarantine(PinDMAState *s, PinDMAMR *mr)
{
    PinDMAOldMR *old = g_new0(PinDMAOldMR, 1);

    old->mr = *mr;
    s->num_pages -= mr->num_pages;
    memset(mr, 0, sizeof(*mr));
    QTAILQ_INSERT_TAIL(&s->old_mrs, old, next);
    s->num_old_mrs++;
    s->num_old_pages += old->mr.num_pages;
    while (s->num_old_mrs > PINDMA_MAX_OLD_MRS ||
           s->num_old_pages > PINDMA_MAX_PAGES) {
        pindma_mr_drop_oldest(s);
    }
}

PinDMAMR *pindma_mr_find_old(PinDMAState *s, uint32_t key)
{
    PinDMAOldMR *old;

    QTAILQ_FOREACH_REVERSE(old, &s->old_mrs, next) {
        if (old->mr.key == key) {
            return &old->mr;
        }
    }
    return NULL;
}

/* ----------------------------------------------------------- registration */

static void pindma_mr_free(PinDMAState *s, PinDMAMR *mr)
{
    s->num_pages -= mr->num_pages;
    g_free(mr->pages);
    memset(mr, 0, sizeof(*mr));
}

/* The mr in the making is not wanted any more. */
void pindma_mr_cancel(PinDMAState *s)
{
    pindma_mr_free(s, &s->new_mr);
}

static int pindma_mr_new(PinDMAState *s, const struct pindma_sqe *sqe)
{
    PinDMAMR *mr = &s->new_mr;

    if (!sqe->key || !sqe->mode ||
        sqe->mode & ~(PINDMA_ACCESS_READ | PINDMA_ACCESS_WRITE) ||
        sqe->offset >= PINDMA_PAGE_SIZE || !sqe->len ||
        !QEMU_IS_ALIGNED(sqe->value, 8)) {
        return PINDMA_ST_BAD_FIELD;
    }
    if (pindma_mr_slot(s, sqe->key)->access) {
        return PINDMA_ST_BAD_KEY;
    }
    if (sqe->len > (uint64_t)PINDMA_MAX_PAGES * PINDMA_PAGE_SIZE ||
        DIV_ROUND_UP(sqe->offset + sqe->len, PINDMA_PAGE_SIZE) >
        PINDMA_MAX_PAGES - s->num_pages) {
        return PINDMA_ST_NO_SPACE;
    }
    mr->key = sqe->key;
    mr->pd = sqe->pd;
    mr->access = sqe->mode;
    mr->first_offset = sqe->offset;
    mr->len = sqe->len;
    mr->num_pages = DIV_ROUND_UP(sqe->offset + sqe->len, PINDMA_PAGE_SIZE);
    mr->pages = g_new(uint64_t, mr->num_pages);
    s->num_pages += mr->num_pages;
    return PINDMA_ST_OK;
}

static void pindma_mr_journal(PinDMAState *s, uint8_t kind, int qn,
                              PinDMAOp *op, const PinDMAMR *mr)
{
    struct pindma_journal_entry e = {
        .kind = kind,
        .queue = qn,
        .key = mr->key,
        .len = mr->num_pages,
        .value = mr->len,
    };

    if (mr->pages[0] != PINDMA_PAGE_ABSENT) {
        e.addr = mr->pages[0] + mr->first_offset;
    }
    op->seq = pindma_journal(s, e, op);
}

static bool pindma_page_is_sound(uint64_t page)
{
    return page == PINDMA_PAGE_ABSENT ||
           QEMU_IS_ALIGNED(page, PINDMA_PAGE_SIZE);
}

/*
 * One access to a page list: the part of it that lies in one page.  num entries
 * are wanted; those there are go to pages, unless one of them is not sound.
 */
static int pindma_mr_read_list(PinDMAState *s, int qn, PinDMAOp *op,
                               uint64_t num, uint64_t *pages)
{
    uint64_t list[PINDMA_PAGE_SIZE / 8];
    uint64_t first = op->done / 8;
    struct pindma_journal_entry e = {
        .kind = PINDMA_JOURNAL_FETCH,
        .queue = qn,
        .key = op->sqe.key,
        .offset = op->done,
        .addr = op->sqe.value + op->done,
    };
    uint32_t i, n;

    n = MIN(num - first,
            (PINDMA_PAGE_SIZE - (e.addr & (PINDMA_PAGE_SIZE - 1))) / 8);
    e.len = n * 8;
    if (!pindma_dma(s, e, op, list)) {
        return PINDMA_ST_DMA_ERROR;
    }
    for (i = 0; i < n; i++) {
        uint64_t page = le64_to_cpu(list[i]);

        if (!pindma_page_is_sound(page)) {
            pindma_guest_error(s, "mr 0x%x: page %" PRIu64 " at 0x%" PRIx64
                               " is not aligned", e.key, first + i, page);
            op->done += i * 8;
            return PINDMA_ST_BAD_FIELD;
        }
        pages[first + i] = page;
    }
    op->done += e.len;
    return first + n < num ? PINDMA_MORE : PINDMA_ST_OK;
}

int pindma_op_reg_mr(PinDMAState *s, int qn, PinDMAOp *op)
{
    PinDMAMR *mr = &s->new_mr;
    int status;

    if (!op->done) {
        status = pindma_mr_new(s, &op->sqe);
        if (status != PINDMA_ST_OK) {
            return status;
        }
    }
    status = pindma_mr_read_list(s, qn, op, mr->num_pages, mr->pages);
    if (status != PINDMA_ST_OK) {
        if (status != PINDMA_MORE) {
            pindma_mr_cancel(s);
        }
        return status;
    }
    pindma_mr_journal(s, PINDMA_JOURNAL_REG_MR, qn, op, mr);
    trace_pindma_reg_mr(mr->key, mr->pd, mr->access, mr->len, mr->num_pages);
    *pindma_mr_slot(s, mr->key) = *mr;
    memset(mr, 0, sizeof(*mr));
    return PINDMA_ST_OK;
}

static int pindma_mr_unmap(PinDMAMR *mr, PinDMAOp *op)
{
    uint64_t first = op->sqe.offset, num = op->sqe.len;
    uint64_t n, done = op->done / 8;

    for (n = 0; n < PINDMA_PAGE_SIZE / 8 && done < num; n++, done++) {
        mr->pages[first + done] = PINDMA_PAGE_ABSENT;
    }
    op->done = done * 8;
    return done < num ? PINDMA_MORE : PINDMA_ST_OK;
}

/* A page list for some pages of an mr, or what is to be had instead of one */
int pindma_op_update_mr(PinDMAState *s, int qn, PinDMAOp *op)
{
    const struct pindma_sqe *sqe = &op->sqe;
    PinDMAMR *mr = pindma_mr_find(s, sqe->key);
    struct pindma_journal_entry e = {
        .kind = sqe->mode == PINDMA_UPDATE_UNMAP ? PINDMA_JOURNAL_UNMAP
                                                 : PINDMA_JOURNAL_MAP,
        .queue = qn,
        .key = sqe->key,
        .offset = sqe->offset * PINDMA_PAGE_SIZE,
        .len = sqe->len,
    };
    int status = PINDMA_ST_OK;

    if (!mr) {
        return PINDMA_ST_BAD_KEY;
    }
    if (sqe->offset > mr->num_pages ||
        sqe->len > mr->num_pages - sqe->offset) {
        return PINDMA_ST_BOUNDS;
    }
    if (!sqe->len || !QEMU_IS_ALIGNED(sqe->value, 8)) {
        return PINDMA_ST_BAD_FIELD;
    }
    switch (sqe->mode) {
    case PINDMA_UPDATE_MAP:
        status = pindma_mr_read_list(s, qn, op, sqe->len,
                                     mr->pages + sqe->offset);
        break;
    case PINDMA_UPDATE_UNMAP:
        status = pindma_mr_unmap(mr, op);
        break;
    }
    if (status != PINDMA_ST_OK) {
        return status;
    }
    trace_pindma_update_mr(sqe->key, sqe->mode, sqe->offset, sqe->len);
    if (sqe->mode == PINDMA_UPDATE_UNMAP) {
        pindma_fault_forget(s, sqe->key);
    }
    if (sqe->mode != PINDMA_UPDATE_REFUSE) {
        op->seq = pindma_journal(s, e, op);
    }
    if (sqe->mode != PINDMA_UPDATE_UNMAP) {
        pindma_queue_paged(s, sqe->key, sqe->offset, sqe->len,
                           sqe->mode == PINDMA_UPDATE_REFUSE);
    }
    return PINDMA_ST_OK;
}

int pindma_op_dereg_mr(PinDMAState *s, int qn, PinDMAOp *op)
{
    uint32_t key = op->sqe.key;
    PinDMAMR *mr = pindma_mr_find(s, key);

    if (!mr) {
        return PINDMA_ST_BAD_KEY;
    }
    pindma_mr_journal(s, PINDMA_JOURNAL_DEREG_MR, qn, op, mr);
    trace_pindma_dereg_mr(key);
    pindma_queue_abort(s, key);
    pindma_fault_forget(s, key);
    pindma_mr_quarantine(s, mr);
    return PINDMA_ST_OK;
}

void pindma_mr_reset(PinDMAState *s)
{
    int i;

    pindma_mr_cancel(s);
    for (i = 0; i < PINDMA_MAX_MRS; i++) {
        pindma_mr_free(s, &s->mrs[i]);
    }
    while (!QTAILQ_EMPTY(&s->old_mrs)) {
        pindma_mr_drop_oldest(s);
    }
}
