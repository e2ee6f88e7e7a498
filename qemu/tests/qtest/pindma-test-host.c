/*
 * QTest testcase for the pindma device: what the host says and sees
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-test.h"

/* ------------------------------------------------------------------ engines */

/* Something for all channels, and what the journal says about it */
static uint8_t *timer_run(uint64_t seed, size_t *size)
{
    g_autofree char *props = g_strdup_printf(",engine=timer,seed=%" PRIu64,
                                             seed);
    Rig *t = rig_new_with(true, props, "");
    uint64_t page = ram_alloc(t, 1), list = page_list(t, &page, 1);
    struct pindma_cqe cqe;
    uint8_t *bytes;
    int qn, i;

    g_assert_cmphex(reg4(t, PINDMA_REG_CAPS), ==, PINDMA_CAP_TIMER);
    start(t, ADMIN, OP(REG_MR, .key = 1, .mode = RW, .len = PAGE,
                       .value = list));
    for (i = 0; !peek(t, ADMIN, &cqe); i++) {
        g_assert_cmpint(i, <, 100);
        qtest_clock_step(t->qts, 1000);
    }
    for (qn = IO; qn < PINDMA_NUM_QUEUES; qn++) {
        post(t, qn, OP(HAMMER, .key = 1, .len = 8, .rate = qn * 10000));
        for (i = 0; i < 20; i++) {
            post(t, qn, OP(FETCH_ADD, .key = 1, .len = 8, .value = qn));
        }
        post(t, qn, OP(FILL, .key = 1, .offset = 8, .len = 100,
                       .delay = 10000 * qn));
        ring(t, qn);
    }
    for (i = 0; i < 300; i++) {
        qtest_clock_step(t->qts, 1000);
    }
    for (qn = IO; qn < PINDMA_NUM_QUEUES; qn++) {
        for (i = 0; i < 21; i++) {
            g_assert_true(peek(t, qn, &cqe));
            g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
            consume(t, qn);
        }
    }
    *size = journal_seq(t) * sizeof(struct pindma_journal_entry);
    bytes = g_malloc(*size);
    qpci_memread(t->dev, t->journal, sizeof(struct pindma_journal_entry),
                 bytes, *size);
    rig_free(t);
    return bytes;
}

/* Red: anything but the seed in engine->rng; get_clock() for s->now. */
static void test_timer(void)
{
    g_autofree uint8_t *one = NULL;
    g_autofree uint8_t *two = NULL;
    g_autofree uint8_t *other = NULL;
    size_t size, size2;

    one = timer_run(5, &size);
    two = timer_run(5, &size2);
    g_assert_cmpmem(one, size, two, size2);
    other = timer_run(6, &size2);
    g_assert_true(size != size2 || memcmp(one, other, size));
}

/* Red: a line of pindma_engine_check(). */
static void test_engine_property(void)
{
    g_autofree char *bad = refused("pindma,engine=steam", "");
    g_autofree char *icount = NULL;
    Rig *t;

    g_assert_nonnull(strstr(bad, "'steam' is not auto, thread or timer"));
    if (!qtest_has_accel("tcg")) {
        g_test_skip("no TCG, so no -icount");
        return;
    }
    icount = refused("pindma,engine=thread", "-icount shift=1");
    g_assert_nonnull(strstr(icount, "engine=thread is not for -icount"));
    g_assert_nonnull(strstr(icount, "engine=timer"));
    t = rig_new_with(true, "", "-S -accel tcg -icount shift=1");
    g_assert_cmphex(reg4(t, PINDMA_REG_CAPS), ==, PINDMA_CAP_TIMER);
    rig_free(t);
    t = rig_new_with(true, ",engine=thread", "");
    g_assert_cmphex(reg4(t, PINDMA_REG_CAPS), ==, PINDMA_CAP_THREAD);
    rig_free(t);
}

/* ----------------------------------------------------------------- dma-bits */

/* Red: either line about dma_bits in pindma_is_ram(); pindma_realize(). */
static void test_dma_bits(void)
{
    static const char *const bad[] = { "0", "23", "65", "4294967295" };
    const uint64_t limit = 1ull << 24;
    Rig *t = rig_new_with(true, ",dma-bits=24", "");
    uint64_t pages[] = { limit - PAGE, limit, 32 << 20 };
    struct pindma_cqe cqe;
    int i, op;

    g_assert_cmpuint(reg4(t, PINDMA_REG_DMA_BITS), ==, 24);
    qtest_memset(t->qts, limit, 0x11, PAGE);
    run_ok(t, OP(REG_MR, .key = 1, .mode = RW, .len = 3 * PAGE,
                 .value = page_list(t, pages, 3)));
    for (i = 0; i < 3; i++) {
        const struct pindma_sqe ops[] = {
            OP(FILL, .key = 1, .offset = i * PAGE, .len = PAGE, .value = 1),
            OP(WRITE, .key = 1, .offset = i * PAGE, .len = 8),
            OP(READ, .key = 1, .offset = i * PAGE, .len = 4),
            OP(FETCH_ADD, .key = 1, .offset = i * PAGE, .len = 8),
        };

        for (op = 0; op < ARRAY_SIZE(ops); op++) {
            cqe = run(t, ops[op]);
            g_assert_cmpuint(cqe.status, ==, i ? PINDMA_ST_DMA_ERROR
                                               : PINDMA_ST_OK);
        }
    }
    /* What is known to be RAM up to the limit is no reason to go beyond it. */
    cqe = run(t, OP(FILL, .key = 1, .offset = 0, .len = 2 * PAGE, .value = 5));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
    g_assert_cmpuint(cqe.result, ==, PAGE);
    g_assert_cmphex(ram4(t, limit - 4), ==, 0x05050505);
    g_assert_cmphex(ram4(t, limit), ==, 0x11111111);
    rig_free(t);

    t = rig_new_with(false, ",dma-bits=32", "");
    g_assert_cmpuint(reg4(t, PINDMA_REG_DMA_BITS), ==, 32);
    pages[0] = 1ull << 32;
    run_ok(t, OP(REG_MR, .key = 1, .mode = RW, .len = PAGE,
                 .value = page_list(t, pages, 1)));
    cqe = run(t, OP(READ, .key = 1, .len = 8));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
    rig_free(t);
    for (i = 0; i < ARRAY_SIZE(bad); i++) {
        g_autofree char *device = g_strdup_printf("pindma,dma-bits=%s", bad[i]);
        g_autofree char *err = refused(device, "");

        g_assert_nonnull(strstr(err, bad[i]));
        g_assert_nonnull(strstr(err, "24 to 64"));
    }
}

/* ------------------------------------------------------- the journal's file */

/*
 * The file has what the ring has, and more.  Red: either part of
 * pindma_journal_flush(); qemu_chr_fe_write_all().
 */
static void test_journal_file(void)
{
    const size_t size = sizeof(struct pindma_journal_entry);
    g_autofree char *path = NULL;
    g_autofree char *args = NULL;
    g_autofree uint8_t *bytes = NULL;
    g_autofree uint8_t *ring = NULL;
    struct pindma_journal_entry e;
    uint64_t hammer, seq, i, first;
    gsize len;
    Rig *t;
    MR *mr;

    close(g_file_open_tmp("pindma-journal-XXXXXX", &path, NULL));
    args = g_strdup_printf("-chardev file,id=j,path=%s", path);
    t = rig_new_with(true, ",journal=j", args);
    mr = mr_new(t, 1, 2, 0, 0, RW);
    hammer = start(t, IO, OP(HAMMER, .key = 1, .len = 2 * PAGE));
    WAIT_FOR(journal_seq(t) > 2 * t->journal_entries + 1000);
    hammer_stop(t, hammer);
    seq = journal_seq(t);
    g_assert_cmpuint(reg8(t, PINDMA_REG_JOURNAL_LOST), ==, 0);
    ring = g_malloc(t->journal_entries * size);
    qpci_memread(t->dev, t->journal, 0, ring, t->journal_entries * size);
    g_assert_true(g_file_get_contents(path, (char **)&bytes, &len, NULL));
    g_assert_cmpuint(len, ==, seq * size);
    for (i = 1; i <= seq; i++) {
        memcpy(&e, bytes + (i - 1) * size, size);
        g_assert_cmpuint(le64_to_cpu(e.seq), ==, i);
    }
    first = seq - t->journal_entries + 1;
    for (i = first; i <= seq; i++) {
        g_assert_cmpmem(bytes + (i - 1) * size, size,
                        ring + i % t->journal_entries * size, size);
    }
    rig_free(t);
    g_free(mr);
    unlink(path);
}

/* Red: s->journal_lost in pindma_journal_stream(). */
static void test_journal_lost(void)
{
    Rig *t = rig_new_with(true, ",journal=j",
                          "-chardev file,id=j,path=/dev/full");
    MR *mr = mr_new(t, 1, 2, 0, 0, RW);
    int i;

    for (i = 0; i < 10; i++) {
        run_ok(t, OP(FILL, .key = 1, .len = 2 * PAGE, .value = i));
    }
    want_bytes(mr, 0, 2 * PAGE, 9);
    mr_check(t, mr);
    g_assert_cmpuint(journal_seq(t), >, 50);
    g_assert_cmpuint(reg8(t, PINDMA_REG_JOURNAL_LOST), ==, journal_seq(t));
    rig_free(t);
    g_free(mr);
}

/* Red: either crc32() in pindma_dma(), or journal_crc in pindma_caps(). */
static void test_journal_crc(void)
{
    Rig *t = rig_new_with(true, ",journal-crc=on", "");
    MR *mr = mr_new(t, 1, 1, FIRST, 0, RW);
    struct pindma_journal_entry e;
    struct pindma_cqe cqe;
    uint32_t crc = 0;
    int i;

    g_assert_cmphex(reg4(t, PINDMA_REG_CAPS), ==,
                    PINDMA_CAP_THREAD | PINDMA_CAP_JOURNAL_CRC);
    for (i = 0; i < 1000; i++) {
        crc = crc32_bytes(crc, *mr_want(mr, 3 + i));
    }
    cqe = run(t, OP(READ, .key = 1, .mode = PINDMA_READ_CRC32, .offset = 3,
                    .len = 1000));
    e = journal_entry(t, cqe.seq);
    g_assert_cmphex(e.crc, ==, crc);
    crc = 0;
    for (i = 0; i < 1000; i++) {
        crc = crc32_bytes(crc, 0xa5);
    }
    cqe = run(t, OP(FILL, .key = 1, .offset = 3, .len = 1000, .value = 0xa5));
    e = journal_entry(t, cqe.seq);
    g_assert_cmphex(e.crc, ==, crc);
    crc = 0;
    for (i = 0; i < 8; i++) {
        crc = crc32_bytes(crc, VALUE >> 8 * i);
    }
    cqe = run(t, OP(WRITE, .key = 1, .offset = 5, .len = 8, .value = VALUE));
    e = journal_entry(t, cqe.seq);
    g_assert_cmphex(e.crc, ==, crc);
    rig_free(t);
    g_free(mr);
}

void pindma_add_host_tests(void)
{
    qtest_add_func("/pindma/host/timer", test_timer);
    qtest_add_func("/pindma/host/engine", test_engine_property);
    qtest_add_func("/pindma/host/dma-bits", test_dma_bits);
    qtest_add_func("/pindma/host/journal-file", test_journal_file);
    qtest_add_func("/pindma/host/journal-lost", test_journal_lost);
    qtest_add_func("/pindma/host/journal-crc", test_journal_crc);
}
