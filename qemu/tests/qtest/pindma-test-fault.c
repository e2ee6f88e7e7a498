/*
 * QTest testcase for the pindma device: faults
 *
 * The clock of a qtest stands still: what a fault does later it does when the
 * test lets time pass.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-test.h"

#define DELAY   (2 * MS)
#define ALL     (((1u << PINDMA_NUM_QUEUES) - 1) & ~1u)

static void arm(Rig *t, uint32_t fault, uint32_t skip, uint32_t count,
                uint64_t arg)
{
    set4(t, PINDMA_REG_FAULT_QUEUES, ALL);
    set4(t, PINDMA_REG_FAULT_SKIP, skip);
    set4(t, PINDMA_REG_FAULT_COUNT, count);
    set8(t, PINDMA_REG_FAULT_ARG, arg);
    set8(t, PINDMA_REG_FAULT_DELAY, DELAY);
    set4(t, PINDMA_REG_FAULT, fault);
    g_assert_cmpuint(reg4(t, PINDMA_REG_FAULT), ==, fault);
    g_assert_cmpuint(reg8(t, PINDMA_REG_FAULT_HITS), ==, 0);
}

static void hits(Rig *t, uint64_t want)
{
    g_assert_cmpuint(reg8(t, PINDMA_REG_FAULT_HITS), ==, want);
}

static void gone(Rig *t, uint64_t want)
{
    hits(t, want);
    g_assert_cmpuint(reg4(t, PINDMA_REG_FAULT), ==, PINDMA_FAULT_NONE);
}

static void later(Rig *t)
{
    qtest_clock_step(t->qts, DELAY);
}

static struct pindma_sqe word(uint64_t offset, uint64_t value)
{
    return OP(WRITE, .key = 1, .offset = offset, .len = 8, .value = value);
}

static uint64_t ram8(Rig *t, const MR *mr, uint64_t offset)
{
    return qtest_readq(t->qts, mr_addr(mr, offset));
}

static struct pindma_journal_entry access_of(Rig *t, struct pindma_cqe cqe)
{
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
    return journal_entry(t, cqe.seq);
}

/* The newest write to an mr, which may have come after its cqe */
static struct pindma_journal_entry last_write(Rig *t)
{
    uint64_t seq = journal_seq(t);

    while (journal_entry(t, seq).kind != PINDMA_JOURNAL_WRITE) {
        seq--;
    }
    return journal_entry(t, seq);
}

/* Something to be waited for, as an engine has to look at its clock first */
#define BECOMES(mr, offset, value) WAIT_FOR(ram8(t, mr, offset) == (value))

/*
 * Skip, count, queues and hits, with the simplest of them.  Red: a condition
 * of pindma_fault_hits().
 */
static void test_drop(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    struct pindma_journal_entry e;
    uint64_t i;

    arm(t, PINDMA_FAULT_DROP, 1, 2, 0);
    for (i = 0; i < 5; i++) {
        bool dropped = i == 1 || i == 2;

        e = access_of(t, run(t, word(8 * i, i)));
        g_assert_cmpuint(e.kind, ==, PINDMA_JOURNAL_WRITE);
        g_assert_cmpuint(e.fault, ==, dropped ? PINDMA_FAULT_DROP : 0);
        g_assert_cmpuint(e.status, ==, PINDMA_ST_OK);
        g_assert_cmphex(e.value, ==, i);
        if (!dropped) {
            stq_le_p(mr_want(mr, 8 * i), i);
        }
        mr_check(t, mr);
    }
    gone(t, 2);

    /* Reads are no writes; atomics are none, either. */
    arm(t, PINDMA_FAULT_DROP, 0, 1, 0);
    run_ok(t, OP(READ, .key = 1, .len = 8));
    run_ok(t, OP(FETCH_ADD, .key = 1, .len = 8, .value = 1));
    g_assert_cmphex(ram8(t, mr, 0), ==, 1);
    hits(t, 0);

    /* Other queues */
    set4(t, PINDMA_REG_FAULT_QUEUES, 1u << (IO + 2));
    set4(t, PINDMA_REG_FAULT_COUNT, 0);
    run_ok(t, word(0, 7));
    g_assert_cmphex(ram8(t, mr, 0), ==, 7);
    for (i = 0; i < 3; i++) {
        g_assert_cmpuint(run_on(t, IO + 2, word(0, 9)).status, ==,
                         PINDMA_ST_OK);
        g_assert_cmphex(ram8(t, mr, 0), ==, 7);
    }
    hits(t, 3);
    g_assert_cmpuint(reg4(t, PINDMA_REG_FAULT), ==, PINDMA_FAULT_DROP);

    /* A reset leaves it armed.  What is no fault is not armed. */
    set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
    g_assert_cmpuint(reg4(t, PINDMA_REG_FAULT), ==, PINDMA_FAULT_DROP);
    set4(t, PINDMA_REG_FAULT, PINDMA_NUM_FAULTS);
    set4(t, PINDMA_REG_FAULT, UINT32_MAX);
    g_assert_cmpuint(reg4(t, PINDMA_REG_FAULT), ==, PINDMA_FAULT_DROP);
    hits(t, 3);
    set4(t, PINDMA_REG_FAULT, PINDMA_FAULT_NONE);
    hits(t, 0);
    set8(t, PINDMA_REG_FAULT_DELAY, UINT64_MAX);
    g_assert_cmpuint(reg8(t, PINDMA_REG_FAULT_DELAY), ==, 3600 * 1000 * MS);
    rig_free(t);
    g_free(mr);
}

/* Red: DUPLICATE in pindma_fault_defer(); pindma_fault_catch_up(). */
static void test_duplicate(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    struct pindma_journal_entry e;
    uint64_t seq;

    arm(t, PINDMA_FAULT_DUPLICATE, 0, 0, 0);
    e = access_of(t, run(t, word(0, VALUE)));
    g_assert_cmpuint(e.fault, ==, PINDMA_FAULT_DUPLICATE);
    g_assert_cmphex(ram8(t, mr, 0), ==, VALUE);
    /* One thing is kept at a time: this one passes. */
    e = access_of(t, run(t, word(8, VALUE)));
    g_assert_cmpuint(e.fault, ==, 0);
    hits(t, 1);
    qtest_writeq(t->qts, mr_addr(mr, 0), 1);
    settle();
    g_assert_cmphex(ram8(t, mr, 0), ==, 1);
    later(t);
    BECOMES(mr, 0, VALUE);
    e = last_write(t);
    g_assert_cmpuint(e.fault, ==, PINDMA_FAULT_DUPLICATE);
    g_assert_cmphex(e.value, ==, VALUE);

    /* What is kept dies with the mr, with the queue, with everything. */
    run_ok(t, word(0, VALUE));
    hits(t, 2);
    run_ok(t, OP(DEREG_MR, .key = 1));
    qtest_writeq(t->qts, mr_addr(mr, 0), 1);
    later(t);
    settle();
    g_assert_cmphex(ram8(t, mr, 0), ==, 1);
    mr_register(t, mr, RW);
    run_ok(t, word(0, VALUE));
    hits(t, 3);
    queue_setup(t, IO, 64);
    qtest_writeq(t->qts, mr_addr(mr, 0), 1);
    seq = journal_seq(t);
    later(t);
    settle();
    g_assert_cmpuint(journal_seq(t), ==, seq);
    run_ok(t, word(0, VALUE));
    set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
    seq = journal_seq(t);
    later(t);
    settle();
    g_assert_cmpuint(journal_seq(t), ==, seq);
    rig_free(t);
    g_free(mr);
}

/* Red: DELAY in pindma_queue_run(). */
static void test_delay(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 2, 0, 0, RW);
    struct pindma_cqe cqe;
    uint64_t tag;

    arm(t, PINDMA_FAULT_DELAY, 1, 1, 0);
    run_ok(t, OP(NOP));     /* makes no access */
    hits(t, 0);
    tag = start(t, IO, OP(FILL, .key = 1, .len = 2 * PAGE, .value = 5));
    BECOMES(mr, 0, 0x0505050505050505);
    settle();
    g_assert_false(peek(t, IO, &cqe));
    want_bytes(mr, 0, PAGE, 5);
    mr_check(t, mr);
    /* Other channels go on. */
    g_assert_cmpuint(run_on(t, IO + 1, OP(NOP)).status, ==, PINDMA_ST_OK);
    later(t);
    reap_expect(t, IO, tag, PINDMA_ST_OK);
    want_bytes(mr, PAGE, PAGE, 5);
    mr_check(t, mr);
    gone(t, 1);

    /* An access is delayed once, however many could be. */
    arm(t, PINDMA_FAULT_DELAY, 0, 2, 0);
    tag = start(t, IO, OP(FILL, .key = 1, .len = 8));
    WAIT_FOR(reg8(t, PINDMA_REG_FAULT_HITS) == 1);
    later(t);
    reap_expect(t, IO, tag, PINDMA_ST_OK);
    hits(t, 1);
    rig_free(t);
    g_free(mr);
}

/* Red: TORN in pindma_fault_defer(), s->fault_arg there. */
static void test_torn(void)
{
    static const uint64_t at[] = { 0, 1, 4, 7 };
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    struct pindma_journal_entry e;
    uint64_t was, mask;
    int i;

    for (i = 0; i < ARRAY_SIZE(at); i++) {
        was = ram8(t, mr, 0);
        mask = MAKE_64BIT_MASK(0, 64) >> (64 - 8 * at[i]) % 64;
        mask = at[i] ? mask : 0;
        arm(t, PINDMA_FAULT_TORN, 0, 1, at[i]);
        run_ok(t, word(0, VALUE * (i + 1)));
        gone(t, 1);
        settle();
        g_assert_cmphex(ram8(t, mr, 0), ==,
                        (VALUE * (i + 1) & mask) | (was & ~mask));
        later(t);
        BECOMES(mr, 0, VALUE * (i + 1));
        e = last_write(t);
        g_assert_cmpuint(e.fault, ==, PINDMA_FAULT_TORN);
        g_assert_cmpuint(e.len, ==, 8 - at[i]);
        g_assert_cmpuint(e.offset, ==, at[i]);
        stq_le_p(mr_want(mr, 0), VALUE * (i + 1));
        mr_check(t, mr);
    }
    arm(t, PINDMA_FAULT_TORN, 0, 1, 8);     /* there is no byte 8 */
    run_ok(t, word(0, 0));
    hits(t, 0);
    g_assert_cmphex(ram8(t, mr, 0), ==, 0);
    rig_free(t);
    g_free(mr);
}

/* Red: BIT_FLIP in pindma_fault_access(). */
static void test_bit_flip(void)
{
    static const uint64_t bits[] = { 0, 1, 31, 63, 64, 64 * 1000 + 5 };
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, FIRST, 0, RW);
    struct pindma_journal_entry e;
    uint64_t value;
    int i;

    for (i = 0; i < ARRAY_SIZE(bits); i++) {
        value = VALUE ^ 1ull << bits[i] % 64;
        arm(t, PINDMA_FAULT_BIT_FLIP, 0, 1, bits[i]);
        e = access_of(t, run(t, word(5, VALUE)));
        g_assert_cmpuint(e.fault, ==, PINDMA_FAULT_BIT_FLIP);
        g_assert_cmphex(e.value, ==, value);    /* what was really written */
        stq_le_p(mr_want(mr, 5), value);
        mr_check(t, mr);
        gone(t, 1);
    }
    arm(t, PINDMA_FAULT_BIT_FLIP, 0, 1, 100 * 8 + 3);
    run_ok(t, OP(FILL, .key = 1, .offset = 1, .len = 200, .value = 0));
    want_bytes(mr, 1, 200, 0);
    *mr_want(mr, 1 + 100) = 8;
    mr_check(t, mr);
    rig_free(t);
    g_free(mr);
}

/* Red: REORDER in pindma_fault_defer(); pindma_fault_accessed(). */
static void test_reorder(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 4, 0, 0, RW);
    struct pindma_journal_entry e;
    struct pindma_cqe cqe;
    uint64_t seq, want[] = { 0, 2, 1, 3 };
    int i;

    arm(t, PINDMA_FAULT_REORDER, 1, 1, 0);
    seq = journal_seq(t) + 1;
    cqe = run(t, OP(FILL, .key = 1, .len = 4 * PAGE, .value = 3));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
    gone(t, 1);
    for (i = 0; i < 4; i++) {
        e = journal_entry(t, ++seq);
        g_assert_cmpuint(e.kind, ==, PINDMA_JOURNAL_WRITE);
        g_assert_cmpuint(e.offset, ==, want[i] * PAGE);
        g_assert_cmpuint(e.fault, ==, i == 2 ? PINDMA_FAULT_REORDER : 0);
    }
    want_bytes(mr, 0, 4 * PAGE, 3);
    mr_check(t, mr);

    /* The last page has no next one. */
    arm(t, PINDMA_FAULT_REORDER, 0, 1, 0);
    run_ok(t, OP(FILL, .key = 1, .len = PAGE, .value = 4));
    run_ok(t, OP(WRITE, .key = 1, .len = 1, .offset = 5,
                 .mode = PINDMA_WRITE_PATTERN));
    hits(t, 0);
    want_bytes(mr, 0, PAGE, 4);
    *mr_want(mr, 5) = 0;
    mr_check(t, mr);
    /* It is done even if the op fails before it gets to the next. */
    cqe = run(t, OP(FILL, .key = 1, .offset = 3 * PAGE, .len = PAGE + 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BOUNDS);
    rig_free(t);
    g_free(mr);
}

/* Red: UNSUPPORTED in pindma_fault_access(). */
static void test_unsupported(void)
{
    static const struct pindma_sqe ops[] = {
        OP(WRITE, .key = 1, .len = 8, .value = VALUE),
        OP(READ, .key = 1, .len = 8),
        OP(FILL, .key = 1, .len = PAGE),
        OP(FETCH_ADD, .key = 1, .len = 8, .value = 1),
        OP(COPY, .key = 1, .len = 8, .src_key = 1, .src_offset = 8),
        OP(COMPARE, .key = 1, .len = 8),
        OP(WRITE, .key = 1, .len = 8, .mode = PINDMA_WRITE_STAMP),
        OP(HAMMER, .key = 1, .len = 8),
    };
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    struct pindma_journal_entry e;
    struct pindma_cqe cqe;
    uint64_t tag;
    int i;

    for (i = 0; i < ARRAY_SIZE(ops); i++) {
        arm(t, PINDMA_FAULT_UNSUPPORTED, 0, 1, 0);
        tag = start(t, IO, ops[i]);
        cqe = reap(t, IO);
        g_assert_cmphex(cqe.tag, ==, tag);
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
        g_assert_cmphex(cqe.result, ==, 0);
        e = journal_entry(t, cqe.seq);
        g_assert_cmpuint(e.status, ==, PINDMA_ST_DMA_ERROR);
        g_assert_cmpuint(e.fault, ==, PINDMA_FAULT_UNSUPPORTED);
        g_assert_true(qpci_config_readw(t->dev, PCI_STATUS) &
                      PCI_STATUS_REC_MASTER_ABORT);
        qpci_config_writew(t->dev, PCI_STATUS, PCI_STATUS_REC_MASTER_ABORT);
        g_assert_false(qpci_config_readw(t->dev, PCI_STATUS) &
                       PCI_STATUS_REC_MASTER_ABORT);
        gone(t, 1);
    }
    mr_check(t, mr);
    run_ok(t, ops[0]);
    rig_free(t);
    g_free(mr);
}

/* Red: q->hung in pindma_queue_turn() or pindma_queue_clear(). */
static void test_hang(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    uint64_t hammer, seq;
    struct pindma_cqe cqe;
    int round;

    for (round = 0; round < 2; round++) {
        hammer = start(t, IO, OP(HAMMER, .key = 1, .len = 8));
        memory_must_change(t, mr);
        arm(t, PINDMA_FAULT_HANG, 0, 1, 0);
        start(t, IO, OP(STOP, .value = hammer));
        WAIT_FOR(reg4(t, PINDMA_REG_FAULT) == PINDMA_FAULT_NONE);
        seq = journal_seq(t);
        later(t);
        mark(t, IO, 0);
        settle();
        g_assert_cmpuint(journal_seq(t), ==, seq + 1);
        g_assert_false(peek(t, IO, &cqe));
        g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, BUSY);
        cqe = run_on(t, IO + 1, OP(FILL, .key = 1, .offset = 8, .len = 8));
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
        if (round) {
            set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
            queues_setup(t);
            mr_register(t, mr, RW);
        } else {
            queue_setup(t, IO, 64);
        }
        run_ok(t, OP(FILL, .key = 1, .len = 8));
    }
    rig_free(t);
    g_free(mr);
}

/* ------------------------------------------------------ cqes and interrupts */

static uint64_t msi_on(Rig *t)
{
    uint64_t msi = ram_alloc(t, 1);
    int qn;

    qpci_msix_enable(t->dev);
    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        msix_setup(t, qn, msi + 4 * qn);
    }
    qtest_memset(t->qts, msi, 0, PAGE);
    return msi + 4 * IO;
}

/*
 * Red: LOST_MSI or EARLY_MSI in pindma_queue_end(), SPURIOUS_MSI in
 * pindma_queue_fetch().
 */
static void test_msi_faults(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    uint64_t msi = msi_on(t), tag;
    struct pindma_cqe cqe;

    arm(t, PINDMA_FAULT_LOST_MSI, 0, 1, 0);
    run_ok(t, word(0, 1));
    settle();
    g_assert_cmphex(ram4(t, msi), ==, 0);
    gone(t, 1);
    run_ok(t, word(0, 1));
    WAIT_FOR(ram4(t, msi));
    qtest_writel(t->qts, msi, 0);

    arm(t, PINDMA_FAULT_SPURIOUS_MSI, 0, 1, 0);
    tag = start(t, IO, word(0, 2));
    WAIT_FOR(ram4(t, msi));
    settle();
    g_assert_false(peek(t, IO, &cqe));
    g_assert_cmphex(ram8(t, mr, 0), ==, 1);
    qtest_writel(t->qts, msi, 0);
    later(t);
    WAIT_FOR(ram4(t, msi));
    reap_expect(t, IO, tag, PINDMA_ST_OK);
    g_assert_cmphex(ram8(t, mr, 0), ==, 2);
    gone(t, 1);
    qtest_writel(t->qts, msi, 0);

    arm(t, PINDMA_FAULT_EARLY_MSI, 0, 1, 0);
    tag = start(t, IO, word(0, 3));
    WAIT_FOR(ram4(t, msi));
    settle();
    g_assert_false(peek(t, IO, &cqe));
    g_assert_cmphex(ram8(t, mr, 0), ==, 3);
    qtest_writel(t->qts, msi, 0);
    later(t);
    reap_expect(t, IO, tag, PINDMA_ST_OK);
    settle();
    g_assert_cmphex(ram4(t, msi), ==, 0);   /* that was its interrupt */
    gone(t, 1);

    /* STOP and DEREG_MR in between: there is one cqe, with its own status. */
    arm(t, PINDMA_FAULT_EARLY_MSI, 0, 1, 0);
    tag = start(t, IO, word(0, 4));
    WAIT_FOR(ram4(t, msi));
    run_ok(t, OP(DEREG_MR, .key = 1));
    reap_expect(t, IO, tag, PINDMA_ST_OK);
    later(t);
    settle();
    g_assert_false(peek(t, IO, &cqe));
    rig_free(t);
    g_free(mr);
}

/* Red: EARLY_CQE in pindma_fault_defer(). */
static void test_early_cqe(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 3, FIRST, 0, RW);
    const uint64_t len = 2 * PAGE;
    uint64_t last = (FIRST + len) % PAGE;

    arm(t, PINDMA_FAULT_EARLY_CQE, 0, 1, 0);
    run_ok(t, OP(FILL, .key = 1, .len = len, .value = 6));
    settle();
    want_bytes(mr, 0, len - last, 6);
    mr_check(t, mr);
    gone(t, 1);
    later(t);
    WAIT_FOR(qtest_readb(t->qts, mr_addr(mr, len - 1)) == 6);
    want_bytes(mr, len - last, last, 6);
    mr_check(t, mr);
    g_assert_cmpuint(last_write(t).fault, ==, PINDMA_FAULT_EARLY_CQE);
    rig_free(t);
    g_free(mr);
}

/* --------------------------------------------------- after the end, by key */

/*
 * Red: either call of pindma_fault_stopped(); s->stale, or old, in
 * pindma_ghost_stamp(); pindma_mr_quarantine().
 */
static void test_after_stop(void)
{
    static const uint32_t faults[] = {
        PINDMA_FAULT_AFTER_STOP, PINDMA_FAULT_STALE_ATC,
    };
    struct pindma_sqe sqe = OP(HAMMER, .key = 1, .len = 3 * PAGE,
                               .value = VALUE, .rate = 1);
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 3, 0, 0, RW);
    struct pindma_journal_entry e;
    uint64_t tag, seq, stale = 0;
    int i, dereg, n;

    for (i = 0; i < ARRAY_SIZE(faults); i++) {
        for (dereg = 0; dereg < 2; dereg++) {
            tag = start(t, IO, sqe);
            BECOMES(mr, 0, VALUE);
            arm(t, faults[i], 0, 1, 4);
            if (dereg) {
                run_ok(t, OP(DEREG_MR, .key = 1));
                reap_expect(t, IO, tag, PINDMA_ST_ABORTED);
            } else {
                g_assert_cmpuint(hammer_stop(t, tag), ==, 1);
            }
            gone(t, 1);
            want_stamps(mr, &sqe, 1);
            mr_check(t, mr);
            g_assert_cmpuint(reg8(t, PINDMA_REG_STALE), ==, stale);
            seq = journal_seq(t);
            later(t);
            WAIT_FOR(journal_seq(t) == seq + 4);
            settle();
            g_assert_cmpuint(journal_seq(t), ==, seq + 4);
            want_stamps(mr, &sqe, 5);
            mr_check(t, mr);
            for (n = 1; n <= 4; n++) {
                e = journal_entry(t, seq + n);
                g_assert_cmpuint(e.kind, ==, PINDMA_JOURNAL_WRITE);
                g_assert_cmpuint(e.fault, ==, faults[i]);
                g_assert_cmpuint(e.status, ==, dereg ? PINDMA_ST_STALE
                                                     : PINDMA_ST_OK);
                g_assert_cmphex(e.value, ==, VALUE + n);
                g_assert_cmphex(e.tag, ==, tag);
                g_assert_cmphex(e.addr, ==, mr_addr(mr, n % 3 * PAGE));
            }
            if (dereg) {
                stale += 4;
                g_assert_cmphex(reg8(t, PINDMA_REG_STALE_ADDR), ==, e.addr);
                mr_register(t, mr, RW);
            }
            g_assert_cmpuint(reg8(t, PINDMA_REG_STALE), ==, stale);
            g_assert_cmpuint(qom_get_int(t, "stale"), ==, stale);
            /* As it was, for the next round */
            qtest_memset(t->qts, mr->span, 0, mr_span_size(mr));
            memset(mr->want, 0, mr_span_size(mr));
        }
    }

    /* The key is used again, by an mr that is smaller: it is left alone. */
    tag = start(t, IO, sqe);
    BECOMES(mr, 0, VALUE);
    arm(t, PINDMA_FAULT_AFTER_STOP, 0, 1, 1000);
    run_ok(t, OP(DEREG_MR, .key = 1));
    reap_expect(t, IO, tag, PINDMA_ST_ABORTED);
    mr->len = 8;
    mr->pages = 1;
    mr_register(t, mr, RW);
    later(t);
    settle();
    run_ok(t, OP(NOP));
    g_assert_cmpuint(reg8(t, PINDMA_REG_STALE), ==, stale);

    /* So does the end of the queue. */
    run_ok(t, OP(DEREG_MR, .key = 1));
    mr->len = 3 * PAGE;
    mr->pages = 3;
    mr_register(t, mr, RW);
    tag = start(t, IO, sqe);
    BECOMES(mr, 0, VALUE);
    arm(t, PINDMA_FAULT_AFTER_STOP, 0, 1, 4);
    hammer_stop(t, tag);
    queue_setup(t, IO, 64);
    seq = journal_seq(t);
    later(t);
    settle();
    g_assert_cmpuint(journal_seq(t), ==, seq);

    /* A reset ends it, and a hammer that never began leaves nothing. */
    set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
    queues_setup(t);
    mr->len = 3 * PAGE;
    mr->pages = 3;
    mr_register(t, mr, RW);
    arm(t, PINDMA_FAULT_AFTER_STOP, 0, 1, 4);
    sqe.delay = 10 * MS;
    tag = start(t, IO, sqe);
    run_ok(t, OP(NOP));
    start(t, IO, OP(STOP, .value = tag));
    reap_expect(t, IO, tag, PINDMA_ST_CANCELED);
    reap(t, IO);
    hits(t, 0);
    sqe.delay = 0;
    tag = start(t, IO, sqe);
    BECOMES(mr, 0, VALUE);
    hammer_stop(t, tag);
    gone(t, 1);
    set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
    seq = journal_seq(t);
    later(t);
    settle();
    g_assert_cmpuint(journal_seq(t), ==, seq);
    rig_free(t);
    g_free(mr);
}

/* --------------------------------------------------------------- properties */

/* Red: pindma_add_fault_properties(), pindma_set_fault_delay(). */
static void test_fault_properties(void)
{
    static const char *const names[PINDMA_NUM_FAULTS] = {
        "none", "drop", "duplicate", "delay", "torn", "bit-flip", "reorder",
        "lost-msi", "spurious-msi", "early-msi", "early-cqe", "unsupported",
        "hang", "after-stop", "stale-atc",
    };
    Rig *t = rig_new_with(true, ",fault=bit-flip,fault-skip=1,fault-count=2,"
                          "fault-arg=9,fault-delay=77,fault-queues=0x6", "");
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    g_autofree char *name = NULL;
    g_autofree char *delay = NULL;
    QDict *rsp;
    int i;

    g_assert_cmpuint(reg4(t, PINDMA_REG_FAULT), ==, PINDMA_FAULT_BIT_FLIP);
    g_assert_cmpuint(reg4(t, PINDMA_REG_FAULT_SKIP), ==, 1);
    g_assert_cmpuint(reg4(t, PINDMA_REG_FAULT_COUNT), ==, 2);
    g_assert_cmpuint(reg8(t, PINDMA_REG_FAULT_ARG), ==, 9);
    g_assert_cmpuint(reg8(t, PINDMA_REG_FAULT_DELAY), ==, 77);
    g_assert_cmpuint(reg4(t, PINDMA_REG_FAULT_QUEUES), ==, 6);
    for (i = 0; i < 3; i++) {
        run_ok(t, word(0, 0));
        g_assert_cmphex(ram8(t, mr, 0), ==, i ? 0x200 : 0);
    }
    g_assert_cmpuint(qom_get_int(t, "fault-hits"), ==, 2);
    g_assert_cmpuint(reg4(t, PINDMA_REG_FAULT), ==, PINDMA_FAULT_NONE);

    for (i = PINDMA_NUM_FAULTS - 1; i >= 0; i--) {
        qom_set_str(t, "fault", names[i]);
        g_assert_cmpuint(reg4(t, PINDMA_REG_FAULT), ==, i);
        g_assert_cmpuint(reg8(t, PINDMA_REG_FAULT_HITS), ==, 0);
        rsp = qtest_qmp(t->qts, "{'execute': 'qom-get', 'arguments': {'path': "
                        "'/machine/peripheral/dut', 'property': 'fault'}}");
        g_assert_cmpstr(qdict_get_str(rsp, "return"), ==, names[i]);
        qobject_unref(rsp);
    }
    qom_set_int(t, "fault-skip", 5);
    qom_set_int(t, "fault-count", 6);
    qom_set_int(t, "fault-arg", 7);
    qom_set_int(t, "fault-delay", 8);
    qom_set_int(t, "fault-queues", 1u << (IO + 1));
    g_assert_cmpuint(reg4(t, PINDMA_REG_FAULT_SKIP), ==, 5);
    g_assert_cmpuint(reg4(t, PINDMA_REG_FAULT_COUNT), ==, 6);
    g_assert_cmpuint(reg8(t, PINDMA_REG_FAULT_ARG), ==, 7);
    g_assert_cmpuint(reg8(t, PINDMA_REG_FAULT_DELAY), ==, 8);
    g_assert_cmpuint(qom_get_int(t, "fault-delay"), ==, 8);
    g_assert_cmpuint(reg4(t, PINDMA_REG_FAULT_QUEUES), ==, 1u << (IO + 1));
    rsp = qtest_qmp(t->qts, "{'execute': 'qom-set', 'arguments': {'path': "
                    "'/machine/peripheral/dut', 'property': 'fault-delay', "
                    "'value': 3600000000001}}");
    g_assert_true(qdict_haskey(rsp, "error"));
    qobject_unref(rsp);
    g_assert_cmpuint(reg8(t, PINDMA_REG_FAULT_DELAY), ==, 8);
    rig_free(t);
    g_free(mr);

    /* What is refused, and how */
    name = refused("pindma,fault=flip", "");
    g_assert_nonnull(strstr(name, "'flip'"));
    for (i = 0; i < PINDMA_NUM_FAULTS; i++) {
        g_assert_nonnull(strstr(name, names[i]));
    }
    delay = refused("pindma,fault-delay=3600000000001", "");
    g_assert_nonnull(strstr(delay, "3600000000001"));
}

void pindma_add_fault_tests(void)
{
    qtest_add_func("/pindma/fault/drop", test_drop);
    qtest_add_func("/pindma/fault/duplicate", test_duplicate);
    qtest_add_func("/pindma/fault/delay", test_delay);
    qtest_add_func("/pindma/fault/torn", test_torn);
    qtest_add_func("/pindma/fault/bit-flip", test_bit_flip);
    qtest_add_func("/pindma/fault/reorder", test_reorder);
    qtest_add_func("/pindma/fault/unsupported", test_unsupported);
    qtest_add_func("/pindma/fault/hang", test_hang);
    qtest_add_func("/pindma/fault/msi", test_msi_faults);
    qtest_add_func("/pindma/fault/early-cqe", test_early_cqe);
    qtest_add_func("/pindma/fault/after-stop", test_after_stop);
    qtest_add_func("/pindma/fault/properties", test_fault_properties);
}
