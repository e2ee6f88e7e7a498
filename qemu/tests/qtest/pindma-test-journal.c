/*
 * QTest testcase for the pindma device: the journal
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-test.h"

/* ------------------------------------------------------------------ journal */

#define LAST8(st, sq_head) \
    ((uint64_t)(st) | (uint64_t)(sq_head) << 16 | 1ull << 32)

/* Red: any call of pindma_journal(), or an argument of it. */
static void test_journal(void)
{
    Rig *t = rig_new(true);
    uint64_t seq = journal_seq(t), first, list, tag, time;
    struct pindma_journal_entry e;
    struct pindma_sqe sqe;
    struct pindma_cqe cqe;
    uint64_t stamps;
    MR *mr;

    /* The reset when the device was made, or later */
    g_assert_cmpuint(seq, >, 0);
    e = journal_entry(t, seq);
    g_assert_cmpuint(e.kind, ==, PINDMA_JOURNAL_RESET);

    list = t->ram + (2 * 2 + 1) * PAGE;
    mr = mr_new(t, 5, 2, FIRST, 0, RW);
    sqe = OP(REG_MR, .mode = RW, .key = 5);
    journal_expect_fetch(t, &seq, ADMIN, 0, sqe, 5);
    journal_expect(t, &seq, ENTRY(FETCH, .queue = ADMIN, .key = 5, .len = 16,
                                  .addr = list, .tag = t->tag,
                                  .value = mr_page(mr, 0)));
    journal_expect(t, &seq, ENTRY(REG_MR, .queue = ADMIN, .key = 5, .len = 2,
                                  .addr = mr_addr(mr, 0), .tag = t->tag,
                                  .value = mr->len));
    journal_expect_cqe(t, &seq, ADMIN, 0, t->tag, LAST8(PINDMA_ST_OK, 1));
    g_assert_cmpuint(journal_seq(t), ==, seq);

    sqe = OP(WRITE, .mode = PINDMA_WRITE_PATTERN, .key = 5, .len = 20,
             .offset = PAGE - FIRST - 16, .value = VALUE);
    cqe = run(t, sqe);
    g_assert_cmpuint(cqe.seq, ==, seq + 3);
    journal_expect_fetch(t, &seq, IO, 0, sqe, 5);
    journal_expect(t, &seq, ENTRY(WRITE, .queue = IO, .key = 5, .len = 16,
                                  .offset = sqe.offset, .tag = t->tag,
                                  .addr = mr_addr(mr, sqe.offset),
                                  .value = VALUE));
    journal_expect(t, &seq, ENTRY(WRITE, .queue = IO, .key = 5, .len = 4,
                                  .offset = sqe.offset + 16, .tag = t->tag,
                                  .addr = mr_page(mr, 1),
                                  .value = (uint32_t)(VALUE + 2 *
                                                      PINDMA_PATTERN_STEP)));
    journal_expect_cqe(t, &seq, IO, 0, t->tag, LAST8(PINDMA_ST_OK, 1));
    g_assert_cmpuint(journal_seq(t), ==, seq);

    sqe = OP(COPY, .key = 5, .src_key = 5, .len = 8, .offset = 5,
             .src_offset = PAGE - FIRST - 16);
    cqe = run(t, sqe);
    g_assert_cmpuint(cqe.seq, ==, seq + 3);
    journal_expect_fetch(t, &seq, IO, 1, sqe, 5);
    journal_expect(t, &seq, ENTRY(READ, .queue = IO, .key = 5, .len = 8,
                                  .offset = sqe.src_offset, .tag = t->tag,
                                  .addr = mr_addr(mr, sqe.src_offset),
                                  .value = VALUE));
    journal_expect(t, &seq, ENTRY(WRITE, .queue = IO, .key = 5, .len = 8,
                                  .offset = 5, .tag = t->tag, .value = VALUE,
                                  .addr = mr_addr(mr, 5)));
    journal_expect_cqe(t, &seq, IO, 1, t->tag, LAST8(PINDMA_ST_OK, 2));

    /* An op that fails has no access, but its cqe has. */
    sqe = OP(READ, .key = 6, .len = 8);
    cqe = run(t, sqe);
    g_assert_cmpuint(cqe.seq, ==, 0);
    journal_expect_fetch(t, &seq, IO, 2, sqe, 6);
    journal_expect_cqe(t, &seq, IO, 2, t->tag, LAST8(PINDMA_ST_BAD_KEY, 3));

    /* Marks, whole and in halves, and the time that it is */
    set8(t, PINDMA_DB(IO) + PINDMA_DB_MARK, VALUE);
    journal_expect(t, &seq, ENTRY(MARK, .queue = IO, .value = VALUE));
    time = journal_entry(t, seq).time;
    qtest_clock_step(t->qts, 12345);
    set4(t, PINDMA_DB(IO) + PINDMA_DB_MARK + 4, 0x11223344);
    g_assert_cmpuint(journal_seq(t), ==, seq);
    set4(t, PINDMA_DB(IO) + PINDMA_DB_MARK, 0x55667788);
    journal_expect(t, &seq, ENTRY(MARK, .queue = IO,
                                  .value = 0x1122334455667788));
    g_assert_cmpuint(journal_entry(t, seq).time, ==, time + 12345);

    cqe = run(t, OP(DEREG_MR, .key = 5));
    g_assert_cmpuint(cqe.seq, ==, seq + 2);
    journal_expect_fetch(t, &seq, ADMIN, 1, OP(DEREG_MR), 5);
    journal_expect(t, &seq, ENTRY(DEREG_MR, .queue = ADMIN, .key = 5, .len = 2,
                                  .addr = mr_addr(mr, 0), .tag = t->tag,
                                  .value = mr->len));
    journal_expect_cqe(t, &seq, ADMIN, 1, t->tag, LAST8(PINDMA_ST_OK, 2));
    set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
    journal_expect(t, &seq, ENTRY(RESET));
    g_assert_cmpuint(journal_seq(t), ==, seq);

    /* The ring goes round, each slot has the newest of its entries. */
    queues_setup(t);
    mr_register(t, mr, RW);
    tag = start(t, IO, OP(HAMMER, .key = 5, .offset = 5, .len = PAGE + 1,
                          .value = VALUE));
    WAIT_FOR(journal_seq(t) > 3 * t->journal_entries);
    stamps = hammer_stop(t, tag);
    seq = journal_seq(t);
    for (first = seq - t->journal_entries + 1; first <= seq; first++) {
        e = journal_entry(t, first);
        if (e.kind == PINDMA_JOURNAL_WRITE) {
            g_assert_cmphex(e.tag, ==, tag);
            g_assert_cmphex(e.offset % PAGE, ==, 5);
            g_assert_cmphex(e.addr, ==, mr_addr(mr, e.offset));
            g_assert_cmphex(e.value, <, VALUE + stamps);
        } else {
            g_assert_cmpuint(first, >, seq - 20);
        }
    }

    /* It can only be read. */
    qpci_memwrite(t->dev, t->journal, seq % t->journal_entries * sizeof(e),
                  "pindma", 6);
    journal_entry(t, seq);
    rig_free(t);
    g_free(mr);
}

void pindma_add_journal_tests(void)
{
    qtest_add_func("/pindma/journal", test_journal);
}
