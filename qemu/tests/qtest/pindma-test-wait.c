/*
 * QTest testcase for the pindma device: ops that wait
 *
 * Most of these run with engine=timer.  The clock of a qtest stands still, so
 * the engine does nothing but when the test lets time pass: what is seen before
 * that has been done by the store itself.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-test.h"

#define LINK        PINDMA_SQE_LINK
#define FENCE       PINDMA_SQE_FENCE
#define NOT_BEFORE  PINDMA_SQE_NOT_BEFORE
#define ON_MARK     PINDMA_SQE_ON_MARK

/* Far more than the engine needs for what can be in the rings of a test */
#define TICKS       200

/* Let the timer engine work, for a time that is short against delays. */
static void tick(Rig *t)
{
    int i;

    for (i = 0; i < TICKS; i++) {
        qtest_clock_step(t->qts, 2500);
    }
}

static void pass(Rig *t, int64_t ns)
{
    qtest_clock_step(t->qts, ns);
    tick(t);
}

/* len bytes at offset of mr 1 */
#define FILL(at, val, ...) \
    OP(FILL, .key = 1, .offset = (at), .len = 8, .value = (val), ## __VA_ARGS__)

static bool filled(Rig *t, MR *mr, uint64_t offset, uint8_t val)
{
    return qtest_readq(t->qts, mr_addr(mr, offset)) ==
           val * 0x0101010101010101ull;
}

static void none_yet(Rig *t, int qn)
{
    struct pindma_cqe cqe;

    tick(t);
    g_assert_false(peek(t, qn, &cqe));
}

static Rig *rig_timer(void)
{
    return rig_new_with(true, ",engine=timer", "");
}

/* With this engine the helpers that wait would wait for ever. */
static MR *mr_timer(Rig *t, uint32_t key)
{
    MR *mr = g_new0(MR, 1);
    uint64_t page = ram_alloc(t, 1), tag;

    mr->key = key;
    mr->pages = 1;
    mr->len = PAGE;
    mr->span = page - PAGE;
    tag = start(t, ADMIN, OP(REG_MR, .key = key, .mode = RW, .len = PAGE,
                             .value = page_list(t, &page, 1)));
    tick(t);
    reap_expect(t, ADMIN, tag, PINDMA_ST_OK);
    return mr;
}

static void expect_on(Rig *t, int qn, struct pindma_sqe sqe, uint16_t status)
{
    uint64_t tag = start(t, qn, sqe);

    tick(t);
    reap_expect(t, qn, tag, status);
}

/* --------------------------------------------------------- links and fences */

/*
 * Red: q->cancel in pindma_queue_end(), pindma_queue_begin() or
 * pindma_queue_put_beside(); HAMMER in pindma_flags_are_clean().
 */
static void test_link(void)
{
    static const struct {
        struct pindma_sqe sqe;
        uint16_t status;
    } chains[] = {
        { FILL(0, 1, .flags = LINK), PINDMA_ST_OK },
        { FILL(8, 1, .flags = LINK), PINDMA_ST_OK },
        { FILL(16, 1), PINDMA_ST_OK },
        /* The second fails, the rest of the chain goes with it. */
        { FILL(0, 2, .flags = LINK), PINDMA_ST_OK },
        { OP(FILL, .key = 9, .len = 1, .flags = LINK), PINDMA_ST_BAD_KEY },
        { FILL(8, 2, .flags = LINK), PINDMA_ST_CANCELED },
        { FILL(16, 2), PINDMA_ST_CANCELED },
        { FILL(24, 2), PINDMA_ST_OK },
        /* So does one that is not even sound. */
        { OP(HAMMER, .key = 1, .len = 8, .flags = LINK), PINDMA_ST_BAD_FIELD },
        { FILL(16, 3), PINDMA_ST_CANCELED },
        { FILL(0, 3), PINDMA_ST_OK },
        { { .opcode = 0x3f, .flags = LINK }, PINDMA_ST_BAD_OPCODE },
        { FILL(16, 4), PINDMA_ST_CANCELED },
        { OP(COMPARE, .key = 1, .offset = 8, .len = 8, .flags = LINK),
          PINDMA_ST_MISCOMPARE },
        { OP(HAMMER, .key = 1, .len = 8), PINDMA_ST_CANCELED },
        { OP(STOP, .value = ~0ull, .flags = LINK), PINDMA_ST_NOT_FOUND },
        { OP(NOP), PINDMA_ST_CANCELED },
        { OP(NOP, .flags = LINK), PINDMA_ST_OK },
        { FILL(32, 5), PINDMA_ST_OK },
    };
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    uint64_t tag = t->tag;
    int i;

    for (i = 0; i < ARRAY_SIZE(chains); i++) {
        post(t, IO, chains[i].sqe);
    }
    ring(t, IO);
    for (i = 0; i < ARRAY_SIZE(chains); i++) {
        struct pindma_cqe cqe = reap(t, IO);

        if (cqe.status != chains[i].status) {
            g_test_message("op %d", i);
        }
        g_assert_cmphex(cqe.tag, ==, ++tag);
        g_assert_cmpuint(cqe.status, ==, chains[i].status);
    }
    want_bytes(mr, 0, 8, 3);
    want_bytes(mr, 8, 16, 1);
    want_bytes(mr, 24, 8, 2);
    want_bytes(mr, 32, 8, 5);
    mr_check(t, mr);
    rig_free(t);
    g_free(mr);
}

/*
 * A link that waits keeps its place, and all behind it wait, too.  Red: LINK in
 * pindma_queue_start().
 */
static void test_link_waits(void)
{
    Rig *t = rig_timer();
    MR *mr = mr_timer(t, 1);
    uint64_t tag = t->tag;
    int i;

    post(t, IO, FILL(0, 1, .flags = LINK, .delay = 5 * MS));
    post(t, IO, FILL(8, 2, .flags = LINK | ON_MARK, .when = VALUE));
    post(t, IO, FILL(16, 3, .delay = 5 * MS));
    post(t, IO, FILL(24, 4));
    ring(t, IO);
    none_yet(t, IO);
    pass(t, 5 * MS);
    reap_expect(t, IO, tag + 1, PINDMA_ST_OK);
    none_yet(t, IO);
    g_assert_true(filled(t, mr, 0, 1));
    mark(t, IO, VALUE);
    g_assert_true(filled(t, mr, 8, 2));
    reap_expect(t, IO, tag + 2, PINDMA_ST_OK);
    /* The third is not linked to another, so the fourth overtakes it. */
    tick(t);
    reap_expect(t, IO, tag + 4, PINDMA_ST_OK);
    none_yet(t, IO);
    pass(t, 5 * MS);
    reap_expect(t, IO, tag + 3, PINDMA_ST_OK);
    for (i = 0; i < 4; i++) {
        g_assert_true(filled(t, mr, 8 * i, i + 1));
    }
    rig_free(t);
    g_free(mr);
}

/*
 * A fence waits for what is beside the queue, but not for hammers.  Red: the
 * loop of pindma_queue_fenced().
 */
static void test_fence(void)
{
    Rig *t = rig_timer();
    MR *mr = mr_timer(t, 1);
    uint64_t tag = t->tag;

    post(t, IO, OP(HAMMER, .key = 1, .len = 8, .rate = 1));         /* 1 */
    post(t, IO, FILL(8, 1, .delay = 3 * MS));                       /* 2 */
    post(t, IO, FILL(16, 1, .flags = ON_MARK, .when = 7));          /* 3 */
    post(t, IO, FILL(24, 1));                                       /* 4 */
    post(t, IO, FILL(32, 1, .flags = FENCE));                       /* 5 */
    post(t, IO, FILL(40, 1, .flags = FENCE, .delay = 3 * MS));      /* 6 */
    post(t, IO, FILL(48, 1, .flags = FENCE));                       /* 7 */
    ring(t, IO);
    tick(t);
    reap_expect(t, IO, tag + 4, PINDMA_ST_OK);
    none_yet(t, IO);
    pass(t, 3 * MS);
    reap_expect(t, IO, tag + 2, PINDMA_ST_OK);
    none_yet(t, IO);
    g_assert_true(filled(t, mr, 32, 0));
    mark(t, IO, 7);
    tick(t);
    reap_expect(t, IO, tag + 3, PINDMA_ST_OK);
    reap_expect(t, IO, tag + 5, PINDMA_ST_OK);
    none_yet(t, IO);
    pass(t, 3 * MS);
    reap_expect(t, IO, tag + 6, PINDMA_ST_OK);
    reap_expect(t, IO, tag + 7, PINDMA_ST_OK);
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, BUSY);
    rig_free(t);
    g_free(mr);
}

/* -------------------------------------------------------------------- times */

/* Red: sqe->when, sqe->delay or INT64_MAX in pindma_queue_start(). */
static void test_not_before(void)
{
    Rig *t = rig_timer();
    MR *mr = mr_timer(t, 1);
    uint64_t now = reg8(t, PINDMA_REG_TIME), tag = t->tag;
    struct pindma_journal_entry e;
    struct pindma_cqe cqe;

    post(t, IO, FILL(0, 1, .flags = NOT_BEFORE, .when = now + 10 * MS));
    post(t, IO, FILL(8, 1, .flags = NOT_BEFORE, .when = now + 5 * MS,
                     .delay = 20 * MS));
    post(t, IO, FILL(16, 1, .delay = UINT32_MAX));
    post(t, IO, FILL(24, 1, .flags = NOT_BEFORE, .when = UINT64_MAX,
                     .delay = UINT32_MAX));
    post(t, IO, FILL(32, 1, .flags = NOT_BEFORE, .when = 1));
    post(t, IO, FILL(40, 1, .flags = NOT_BEFORE, .when = BIG - 1,
                     .delay = UINT32_MAX));
    ring(t, IO);
    tick(t);
    reap_expect(t, IO, tag + 5, PINDMA_ST_OK);      /* that time is past */
    qtest_clock_set(t->qts, now + 10 * MS - 1);
    g_assert_false(peek(t, IO, &cqe));
    tick(t);
    cqe = reap(t, IO);
    g_assert_cmphex(cqe.tag, ==, tag + 1);
    e = journal_entry(t, cqe.seq);
    g_assert_cmpuint(e.time, >=, now + 10 * MS);
    qtest_clock_set(t->qts, now + 25 * MS - 1);
    tick(t);
    cqe = reap(t, IO);
    g_assert_cmphex(cqe.tag, ==, tag + 2);
    e = journal_entry(t, cqe.seq);
    g_assert_cmpuint(e.time, >=, now + 25 * MS);
    pass(t, UINT32_MAX);
    reap_expect(t, IO, tag + 3, PINDMA_ST_OK);
    pass(t, 3600 * 1000 * MS);
    none_yet(t, IO);
    g_assert_true(filled(t, mr, 24, 0));
    g_assert_true(filled(t, mr, 40, 0));
    start(t, IO, OP(STOP, .value = tag + 4));
    tick(t);
    reap_expect(t, IO, tag + 4, PINDMA_ST_CANCELED);
    rig_free(t);
    g_free(mr);
}

/* The same with threads, which sleep meanwhile.  Red: idle_ns in the engine. */
static void test_delay_thread(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    struct pindma_cqe cqe;
    uint64_t tag;

    tag = start(t, IO, FILL(0, 1, .delay = 50 * MS));
    WAIT_FOR(qreg4(t, IO, PINDMA_QUEUE_SQ_HEAD) == 1);
    run_ok(t, OP(NOP));
    settle();
    g_assert_false(peek(t, IO, &cqe));
    mr_check(t, mr);
    qtest_clock_step(t->qts, 50 * MS);
    reap_expect(t, IO, tag, PINDMA_ST_OK);
    want_bytes(mr, 0, 8, 1);
    mr_check(t, mr);
    rig_free(t);
    g_free(mr);
}

/* -------------------------------------------------------------------- marks */

/*
 * The bytes are there when the store has retired.  Red: the loop of
 * pindma_queue_release(), sqe.when there; mark_high in pindma_mmio_write().
 */
static void test_mark(void)
{
    const uint64_t value = 0x1122334455667788;
    Rig *t = rig_timer();
    MR *mr = mr_timer(t, 1);
    struct pindma_cqe cqe;
    uint64_t tag, db = PINDMA_DB(IO) + PINDMA_DB_MARK;
    int i;

    for (i = 1; i < 4; i++) {
        tag = start(t, IO, FILL(0, i, .flags = ON_MARK, .when = value));
        start(t, IO, FILL(8, i, .flags = ON_MARK, .when = value));
        start(t, IO, FILL(16, i, .flags = ON_MARK, .when = value + 1));
        none_yet(t, IO);
        g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, BUSY);
        mark(t, IO, value - 1);
        mark(t, IO, 0);
        mark(t, IO + 1, value);
        set4(t, db + 4, value >> 32);   /* the high half alone does nothing */
        none_yet(t, IO);
        g_assert_true(filled(t, mr, 0, i - 1));
        if (i == 1) {
            mark(t, IO, value);
        } else {
            set4(t, db, (uint32_t)value);
        }
        g_assert_true(filled(t, mr, 0, i));
        g_assert_true(filled(t, mr, 8, i));
        g_assert_true(filled(t, mr, 16, i - 1));
        g_assert_true(peek(t, IO, &cqe));
        reap_expect(t, IO, tag, PINDMA_ST_OK);
        reap_expect(t, IO, tag + 1, PINDMA_ST_OK);
        mark(t, IO, value + 1);
        g_assert_true(filled(t, mr, 16, i));
        reap_expect(t, IO, tag + 2, PINDMA_ST_OK);
    }

    /* With a delay the mark only starts the clock. */
    tag = start(t, IO, FILL(0, 9, .flags = ON_MARK, .when = 3,
                            .delay = 5 * MS));
    pass(t, 10 * MS);
    mark(t, IO, 3);
    none_yet(t, IO);
    g_assert_true(filled(t, mr, 0, 3));
    pass(t, 5 * MS);
    reap_expect(t, IO, tag, PINDMA_ST_OK);
    g_assert_true(filled(t, mr, 0, 9));

    /* No DMA without bus mastering, and nothing is lost. */
    tag = start(t, IO, FILL(0, 10, .flags = ON_MARK, .when = 3));
    tick(t);
    bus_master(t, false);
    mark(t, IO, 3);
    none_yet(t, IO);
    g_assert_true(filled(t, mr, 0, 9));
    bus_master(t, true);
    tick(t);
    reap_expect(t, IO, tag, PINDMA_ST_OK);
    g_assert_true(filled(t, mr, 0, 10));

    /* A hammer, a NOP of the admin queue, an op that fails */
    tag = start(t, IO, OP(HAMMER, .key = 1, .len = 8, .rate = 1, .value = VALUE,
                          .flags = ON_MARK, .when = 3));
    tick(t);
    mark(t, IO, 3);
    g_assert_cmphex(qtest_readq(t->qts, mr_addr(mr, 0)), ==, VALUE);
    tag = start(t, IO, FILL(PAGE, 1, .flags = ON_MARK, .when = 3));
    tick(t);
    mark(t, IO, 3);
    reap_expect(t, IO, tag, PINDMA_ST_BOUNDS);
    tag = start(t, ADMIN, OP(NOP, .flags = ON_MARK, .when = 3));
    tick(t);
    mark(t, ADMIN, 3);
    reap_expect(t, ADMIN, tag, PINDMA_ST_OK);
    rig_free(t);
    g_free(mr);
}

/* A store does no more than 64 pages.  Red: budget in pindma_queue_mark(). */
static void test_mark_bound(void)
{
    Rig *t = rig_timer();
    uint64_t pages[100], page = ram_alloc(t, 1), tag, seq, i, n;
    struct pindma_cqe cqe;

    for (i = 0; i < ARRAY_SIZE(pages); i++) {
        pages[i] = page;
    }
    expect_on(t, ADMIN, OP(REG_MR, .key = 1, .mode = RW,
                           .len = sizeof(pages) / 8 * PAGE,
                           .value = page_list(t, pages, ARRAY_SIZE(pages))),
              PINDMA_ST_OK);
    for (i = 64; i <= 65; i++) {
        tag = start(t, IO, OP(FILL, .key = 1, .len = i * PAGE,
                              .flags = ON_MARK, .when = 1));
        tick(t);
        seq = journal_seq(t);
        mark(t, IO, 1);
        for (n = 0; seq + n + 1 < journal_seq(t) &&
             journal_entry(t, seq + n + 2).kind == PINDMA_JOURNAL_WRITE; n++) {
            continue;
        }
        g_assert_cmpuint(n, ==, 64);
        g_assert_true(peek(t, IO, &cqe) == (i == 64));
        tick(t);
        reap_expect(t, IO, tag, PINDMA_ST_OK);
    }
    rig_free(t);
}

/* ---------------------------------------------------- the ends of a waiting */

/* Red: CANCELED in pindma_op_stop(); pindma_op_has_mrs(); pindma_op_uses(). */
static void test_wait_ends(void)
{
    Rig *t = rig_timer();
    MR *mr = mr_timer(t, 1), *src = mr_timer(t, 2);
    uint64_t tag[PINDMA_MAX_BESIDE], last;
    struct pindma_sqe waits = FILL(0, 1, .flags = ON_MARK, .when = 1);
    struct pindma_cqe cqe;
    int i;

    /* STOP, also of a hammer that has not begun, and not across queues */
    tag[0] = start(t, IO, waits);
    tag[1] = start(t, IO, OP(HAMMER, .key = 1, .len = 8, .delay = 100 * MS));
    tick(t);
    expect_on(t, IO + 1, OP(STOP, .value = tag[0]), PINDMA_ST_NOT_FOUND);
    for (i = 0; i < 2; i++) {
        last = start(t, IO, OP(STOP, .value = tag[i]));
        tick(t);
        reap_expect(t, IO, tag[i], PINDMA_ST_CANCELED);
        reap_expect(t, IO, last, PINDMA_ST_OK);
        expect_on(t, IO, OP(STOP, .value = tag[i]), PINDMA_ST_NOT_FOUND);
    }
    mark(t, IO, 1);
    pass(t, 100 * MS);
    none_yet(t, IO);
    g_assert_true(filled(t, mr, 0, 0));

    /* No more than so many, and the others are as they were. */
    for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
        tag[i] = start(t, IO, waits);
    }
    last = start(t, IO, waits);
    tick(t);
    reap_expect(t, IO, last, PINDMA_ST_NO_SPACE);
    expect_on(t, IO, OP(HAMMER, .key = 1, .len = 8), PINDMA_ST_NO_SPACE);
    expect_on(t, IO, FILL(64, 1), PINDMA_ST_OK);
    mark(t, IO, 1);
    for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
        reap_expect(t, IO, tag[i], PINDMA_ST_OK);
    }

    /* An mr that is not there, or goes: nobody waits for it. */
    waits.key = 9;
    expect_on(t, IO, waits, PINDMA_ST_BAD_KEY);
    waits.key = 1;
    waits.pd = 1;
    expect_on(t, IO, waits, PINDMA_ST_BAD_KEY);
    waits = OP(COPY, .key = 1, .src_key = 9, .len = 8, .delay = 100 * MS);
    expect_on(t, IO, waits, PINDMA_ST_BAD_KEY);
    waits.src_key = 2;
    tag[0] = start(t, IO, waits);
    tag[1] = start(t, IO, FILL(0, 7, .flags = LINK, .delay = 100 * MS));
    tag[2] = start(t, IO, FILL(0, 8));
    tick(t);
    expect_on(t, ADMIN, OP(DEREG_MR, .key = 2), PINDMA_ST_OK);
    g_assert_true(peek(t, IO, &cqe));
    reap_expect(t, IO, tag[0], PINDMA_ST_ABORTED);
    expect_on(t, ADMIN, OP(DEREG_MR, .key = 1), PINDMA_ST_OK);
    reap_expect(t, IO, tag[1], PINDMA_ST_ABORTED);
    tick(t);
    reap_expect(t, IO, tag[2], PINDMA_ST_CANCELED);
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);

    /* Disabling the queue forgets them all. */
    mr_timer(t, 3);
    start(t, IO, OP(FILL, .key = 3, .len = 8, .flags = ON_MARK, .when = 1));
    start(t, IO, OP(FILL, .key = 3, .len = 8, .delay = 100 * MS));
    tick(t);
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, BUSY);
    qset4(t, IO, PINDMA_QUEUE_ENABLE, 0);
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);
    last = journal_seq(t);
    mark(t, IO, 1);
    pass(t, 100 * MS);
    g_assert_cmpuint(journal_seq(t), ==, last + 1);
    rig_free(t);
    g_free(mr);
    g_free(src);
}

/* Red: the line of pindma_flags_are_clean() or pindma_op_is_clean(). */
static void test_wait_errors(void)
{
    static const struct pindma_sqe rows[] = {
        OP(NOP, .flags = NOT_BEFORE | ON_MARK),
        OP(NOP, .when = 1),
        OP(NOP, .when = 1, .flags = FENCE),
        OP(NOP, .flags = 1u << 6),
        OP(NOP, .flags = 1u << 15),
        OP(NOP, .reserved = { 1 }),
        OP(NOP, .reserved = { 0, 0, 0, 0, 1ull << 63 }),
        OP(STOP, .compare = 1),
    };
    static const struct pindma_sqe admin[] = {
        OP(DEREG_MR, .key = 1, .flags = FENCE),
        OP(DEREG_MR, .key = 1, .delay = 1),
        OP(DEREG_MR, .key = 1, .pd = 1),
        OP(REG_MR, .key = 1, .len = 1, .mode = RW, .flags = ON_MARK),
        OP(DEREG_MR, .key = 1, .flags = LINK),
    };
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    int i;

    for (i = 0; i < ARRAY_SIZE(rows); i++) {
        g_assert_cmpuint(run(t, rows[i]).status, ==, PINDMA_ST_BAD_FIELD);
    }
    for (i = 0; i < ARRAY_SIZE(admin); i++) {
        g_assert_cmpuint(run(t, admin[i]).status, ==, PINDMA_ST_BAD_FIELD);
    }
    run_ok(t, OP(READ, .key = 1, .len = 1));
    rig_free(t);
    g_free(mr);
}

void pindma_add_wait_tests(void)
{
    qtest_add_func("/pindma/wait/link", test_link);
    qtest_add_func("/pindma/wait/link-waits", test_link_waits);
    qtest_add_func("/pindma/wait/fence", test_fence);
    qtest_add_func("/pindma/wait/not-before", test_not_before);
    qtest_add_func("/pindma/wait/thread", test_delay_thread);
    qtest_add_func("/pindma/wait/mark", test_mark);
    qtest_add_func("/pindma/wait/mark-bound", test_mark_bound);
    qtest_add_func("/pindma/wait/ends", test_wait_ends);
    qtest_add_func("/pindma/wait/errors", test_wait_errors);
}
