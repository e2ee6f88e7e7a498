/*
 * QTest testcase for the pindma device: ops, one at a time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-test.h"

/* ----------------------------------------------------------------- data ops */

#define CROSS   (PAGE - FIRST - 3)      /* three bytes before the next page */

/*
 * Red: anything in pindma_op_bytes(), pindma_pattern() and
 * pindma_mr_room(); for example i + 8 < len in its loop.
 */
static void test_write(const void *express)
{
    static const struct {
        uint64_t offset, len;
    } ranges[] = {
        { 0, 1 }, { 0, 8 }, { 5, 7 }, { 8 - FIRST % 8, 8 },
        { CROSS, 3 }, { CROSS, 4 }, { CROSS, 8 }, { CROSS + 2, 5 },
        { 0, 0 }, { 1, 9 }, { 3, 64 }, { 13, 100 }, { CROSS - 1, 21 },
        { 0, PAGE }, { FIRST, PAGE + 1 }, { CROSS, 2 * PAGE + 6 },
        { 7, 3 * PAGE + 5 }, { 0, MR_PAGES * PAGE - FIRST },
        { MR_PAGES * PAGE - FIRST - 1, 1 },
        { MR_PAGES * PAGE - FIRST - 8, 8 },
        { MR_PAGES * PAGE - FIRST, 0 },
    };
    Rig *t = rig_new(express);
    MR *mr = mr_new(t, 7, MR_PAGES, FIRST, 0, RW);
    uint64_t offset, len, i, value = VALUE;
    int n;

    for (n = 0; n < ARRAY_SIZE(ranges); n++) {
        offset = ranges[n].offset;
        len = ranges[n].len;

        if (len && len <= 8) {
            value = ror64(value, 5);
            g_assert_cmpuint(run_ok(t, OP(WRITE, .key = 7, .offset = offset,
                                          .len = len, .value = value,
                                          .mode = PINDMA_WRITE_IMMEDIATE)),
                             ==, len);
            for (i = 0; i < len; i++) {
                *mr_want(mr, offset + i) = value >> i * 8;
            }
            mr_check(t, mr);
        }

        value = ror64(value, 5);
        g_assert_cmpuint(run_ok(t, OP(WRITE, .key = 7, .offset = offset,
                                      .len = len, .value = value,
                                      .mode = PINDMA_WRITE_PATTERN)), ==, len);
        for (i = 0; i < len; i++) {
            *mr_want(mr, offset + i) = pattern_byte(value, i);
        }
        mr_check(t, mr);

        value = ror64(value, 5);
        g_assert_cmpuint(run_ok(t, OP(FILL, .key = 7, .offset = offset,
                                      .len = len, .value = value & 0xff)), ==,
                         len);
        for (i = 0; i < len; i++) {
            *mr_want(mr, offset + i) = value;
        }
        mr_check(t, mr);
    }
    rig_free(t);
    g_free(mr);
}

/* Red: pindma_op_stamps(), or "+ op->done" in pindma_stamp(). */
static void test_write_stamps(void)
{
    static const struct {
        uint64_t offset, len, stamps;
    } ranges[] = {
        { 5, 1, 1 }, { 5, 8, 1 }, { 5, PAGE, 1 }, { 5, PAGE + 1, 2 },
        { 13, 2 * PAGE, 2 }, { PAGE + 5, 3 * PAGE, 3 },
        { 5, MR_PAGES * PAGE - FIRST - 5, MR_PAGES },
    };
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 7, MR_PAGES, FIRST, 0, RW);
    int n;

    for (n = 0; n < ARRAY_SIZE(ranges); n++) {
        struct pindma_sqe sqe = OP(WRITE, .key = 7, .offset = ranges[n].offset,
                                   .len = ranges[n].len, .value = VALUE + n,
                                   .mode = PINDMA_WRITE_STAMP);

        g_assert_cmpuint(run_ok(t, sqe), ==, ranges[n].stamps);
        want_stamps(mr, &sqe, ranges[n].stamps);
        mr_check(t, mr);
    }
    rig_free(t);
    g_free(mr);
}

/*
 * Red: op->result in pindma_bytes_take(), any of the three; either loop in
 * pindma_sum() that takes single bytes.
 */
static void test_read(const void *express)
{
    static const uint64_t lens[] = {
        0, 1, 2, 7, 8, 9, 100, PAGE, PAGE + 1, 3 * PAGE + 5,
    };
    static const uint64_t offsets[] = { 0, 5, 13, CROSS, CROSS + 1 };
    Rig *t = rig_new(express);
    MR *mr = mr_new(t, 7, MR_PAGES, FIRST, 0, RW);
    uint64_t len, offset, value, sum, i;
    uint32_t crc = 0;
    int n, m;

    for (i = 0; i < 9; i++) {
        crc = crc32_bytes(crc, '1' + i);
    }
    g_assert_cmphex(crc, ==, 0xcbf43926);   /* as everybody has it */

    for (n = 0; n < ARRAY_SIZE(lens); n++) {
        for (m = 0; m < ARRAY_SIZE(offsets); m++) {
            len = lens[n];
            offset = offsets[m];
            value = 0;
            crc = 0;
            sum = 0;
            for (i = 0; i < len; i++) {
                crc = crc32_bytes(crc, *mr_want(mr, offset + i));
                value |= i < 8 ? (uint64_t)*mr_want(mr, offset + i) << i * 8
                               : 0;
                sum += (uint64_t)*mr_want(mr, offset + i) << i % 8 * 8;
            }
            g_assert_cmphex(run_ok(t, OP(READ, .mode = PINDMA_READ_CRC32,
                                         .key = 7, .offset = offset,
                                         .len = len)), ==, crc);
            g_assert_cmphex(run_ok(t, OP(READ, .mode = PINDMA_READ_SUM,
                                         .key = 7, .offset = offset,
                                         .len = len)), ==, sum);
            if (len && len <= 8) {
                g_assert_cmphex(run_ok(t, OP(READ, .mode = PINDMA_READ_VALUE,
                                             .key = 7, .offset = offset,
                                             .len = len)), ==, value);
            }
        }
    }
    mr_check(t, mr);
    rig_free(t);
    g_free(mr);
}

/* Red: pindma_mr_room() of the source in pindma_op_bytes(). */
static void test_copy(void)
{
    static const struct {
        uint64_t offset, src_offset, len;
    } copies[] = {
        { 0, 0, 0 }, { 0, 0, 1 }, { 1, 0, 8 }, { 0, 8, PAGE },
        { CROSS, 5, 9 }, { 5, CROSS, 9 }, { CROSS, CROSS + 1, 2 * PAGE },
        { 100, 1, 3 * PAGE + 17 }, { 1, 3000, 3 * PAGE + 17 },
        { PAGE - FIRST, PAGE - 8, PAGE }, { PAGE, 2 * PAGE, 3 * PAGE - FIRST },
    };
    Rig *t = rig_new(true);
    MR *dst = mr_new(t, 1, MR_PAGES, FIRST, 0, PINDMA_ACCESS_WRITE);
    MR *src = mr_new(t, 2, MR_PAGES, 8, 0, PINDMA_ACCESS_READ);
    uint64_t i;
    int n;

    for (n = 0; n < ARRAY_SIZE(copies); n++) {
        g_assert_cmpuint(run_ok(t, OP(COPY, .key = 1, .src_key = 2,
                                      .offset = copies[n].offset,
                                      .src_offset = copies[n].src_offset,
                                      .len = copies[n].len)), ==,
                         copies[n].len);
        for (i = 0; i < copies[n].len; i++) {
            *mr_want(dst, copies[n].offset + i) =
                *mr_want(src, copies[n].src_offset + i);
        }
        mr_check(t, dst);
        mr_check(t, src);
    }

    /* Within one mr, side by side */
    run_ok(t, OP(DEREG_MR, .key = 2));
    mr_register(t, src, RW);
    run_ok(t, OP(COPY, .key = 2, .src_key = 2, .offset = 2 * PAGE + 3,
                 .src_offset = 3, .len = 2 * PAGE));
    for (i = 0; i < 2 * PAGE; i++) {
        *mr_want(src, 2 * PAGE + 3 + i) = *mr_want(src, 3 + i);
    }
    mr_check(t, src);
    rig_free(t);
    g_free(dst);
    g_free(src);
}

/* ------------------------------------------------------------------- errors */

/*
 * Each row must end with its status, and must not touch memory.  Red: the
 * check that a row is about, for example len > mr->len - offset changed to
 * offset + len > mr->len in pindma_mr_check().
 */
static void test_errors(const void *express)
{
    /* mr 1: read and write, 2 only read, 3 only write; 3 pages less FIRST */
    const uint64_t end = 3 * PAGE - FIRST;
    const struct {
        uint16_t status;
        int qn;
        struct pindma_sqe sqe;
    } rows[] = {
#define IO_ROW(st, ...) { PINDMA_ST_##st, IO, OP(__VA_ARGS__) }
#define ADMIN_ROW(st, ...) { PINDMA_ST_##st, ADMIN, OP(__VA_ARGS__) }
        /* Opcodes, also with fields that only a later version may know */
        { PINDMA_ST_BAD_OPCODE, IO, { .opcode = 0x0a } },
        { PINDMA_ST_BAD_OPCODE, IO, { .opcode = 0x3f, .key = 1, .len = 8 } },
        { PINDMA_ST_BAD_OPCODE, IO, { .opcode = 0xff, .rate = 5 } },
        { PINDMA_ST_BAD_OPCODE, ADMIN, { .opcode = 0x43, .offset = 1 } },
        IO_ROW(BAD_OPCODE, REG_MR, .mode = RW, .key = 9, .len = 1),
        IO_ROW(BAD_OPCODE, DEREG_MR, .key = 1),
        ADMIN_ROW(BAD_OPCODE, WRITE, .key = 1, .len = 8),
        ADMIN_ROW(BAD_OPCODE, READ, .key = 1, .len = 8),
        ADMIN_ROW(BAD_OPCODE, FILL, .key = 1, .len = 8),
        ADMIN_ROW(BAD_OPCODE, COPY, .key = 1, .src_key = 1),
        ADMIN_ROW(BAD_OPCODE, HAMMER, .key = 1, .len = 8),
        ADMIN_ROW(BAD_OPCODE, STOP),

        /* Fields that an op does not name */
        IO_ROW(BAD_FIELD, NOP, .mode = 1),
        IO_ROW(BAD_FIELD, NOP, .flags = 0x8000),
        IO_ROW(BAD_FIELD, NOP, .key = 1),
        IO_ROW(BAD_FIELD, NOP, .offset = 1),
        IO_ROW(BAD_FIELD, NOP, .len = 1),
        IO_ROW(BAD_FIELD, NOP, .value = 1),
        IO_ROW(BAD_FIELD, NOP, .src_key = 1),
        IO_ROW(BAD_FIELD, NOP, .rate = 1),
        IO_ROW(BAD_FIELD, NOP, .src_offset = 1),
        IO_ROW(BAD_FIELD, NOP, .seed = 1),
        ADMIN_ROW(BAD_FIELD, NOP, .seed = 1),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 8, .flags = 0x8000),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 8, .src_key = 1),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 8, .src_offset = 1),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 8, .rate = 1),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 8, .seed = 1),
        IO_ROW(BAD_FIELD, READ, .key = 1, .len = 8, .value = 1),
        IO_ROW(BAD_FIELD, FILL, .key = 1, .len = 8, .mode = 1),
        IO_ROW(BAD_FIELD, FILL, .key = 1, .len = 8, .value = 0x100),
        IO_ROW(BAD_FIELD, COPY, .key = 1, .src_key = 2, .mode = 1),
        IO_ROW(BAD_FIELD, COPY, .key = 1, .src_key = 2, .value = 1),
        IO_ROW(BAD_FIELD, HAMMER, .key = 1, .offset = 5, .len = 8,
               .src_key = 1),
        IO_ROW(BAD_FIELD, STOP, .key = 1),
        IO_ROW(BAD_FIELD, STOP, .mode = 1),
        ADMIN_ROW(BAD_FIELD, DEREG_MR, .key = 1, .len = 1),
        ADMIN_ROW(BAD_FIELD, DEREG_MR, .key = 1, .value = 1),

        /* Modes, lengths and alignment */
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 8, .mode = 3),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 0),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 9),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 1ull << 32),
        IO_ROW(BAD_FIELD, READ, .key = 1, .len = 8, .mode = 3),
        IO_ROW(BAD_FIELD, READ, .key = 1, .len = 0),
        IO_ROW(BAD_FIELD, READ, .key = 1, .len = 9),
        IO_ROW(BAD_FIELD, HAMMER, .key = 1, .offset = 5, .len = 8, .mode = 4),
        IO_ROW(BAD_FIELD, HAMMER, .key = 1, .offset = 4, .len = 8),
        IO_ROW(BAD_FIELD, HAMMER, .key = 1, .offset = 5, .len = 0),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .offset = 1, .len = 8,
               .mode = PINDMA_WRITE_STAMP),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .offset = 5, .len = 0,
               .mode = PINDMA_WRITE_STAMP),

        /* Keys: free slots, and used ones under another key */
        IO_ROW(BAD_KEY, WRITE, .key = 0, .len = 8),
        IO_ROW(BAD_KEY, READ, .key = 4, .len = 8),
        IO_ROW(BAD_KEY, FILL, .key = 1 | 1u << 31, .len = 8),
        IO_ROW(BAD_KEY, FILL, .key = UINT32_MAX, .len = 8),
        IO_ROW(BAD_KEY, COPY, .key = 1, .src_key = 9, .len = 8),
        IO_ROW(BAD_KEY, COPY, .key = 9, .src_key = 1, .len = 8),
        IO_ROW(BAD_KEY, HAMMER, .key = 9, .len = 8),
        ADMIN_ROW(BAD_KEY, DEREG_MR, .key = 9),
        ADMIN_ROW(BAD_KEY, DEREG_MR, .key = 1 | 1u << 31),

        IO_ROW(BOUNDS, FILL, .key = 1, .offset = end, .len = 1),
        IO_ROW(BOUNDS, FILL, .key = 1, .offset = end + 1, .len = 0),
        IO_ROW(BOUNDS, FILL, .key = 1, .offset = 1, .len = end),
        IO_ROW(BOUNDS, FILL, .key = 1, .len = UINT64_MAX),
        IO_ROW(BOUNDS, FILL, .key = 1, .offset = 8, .len = -8ull),
        IO_ROW(BOUNDS, FILL, .key = 1, .offset = -8ull, .len = 8),
        IO_ROW(BOUNDS, FILL, .key = 1, .offset = -8ull, .len = 16),
        IO_ROW(BOUNDS, FILL, .key = 1, .offset = BIG, .len = BIG),
        IO_ROW(BOUNDS, WRITE, .key = 1, .offset = end - 7, .len = 8),
        IO_ROW(BOUNDS, READ, .key = 1, .offset = end - 7, .len = 8),
        IO_ROW(BOUNDS, COPY, .key = 1, .src_key = 2, .offset = 1, .len = end),
        IO_ROW(BOUNDS, COPY, .key = 1, .src_key = 2, .src_offset = 1,
               .len = end),
        IO_ROW(BOUNDS, COPY, .key = 1, .src_key = 2, .src_offset = -1ull,
               .len = 2),
        IO_ROW(BOUNDS, HAMMER, .key = 1, .offset = 5, .len = UINT64_MAX - 4),
        IO_ROW(BOUNDS, HAMMER, .key = 1, .offset = 5, .len = end - 4),
        IO_ROW(BOUNDS, WRITE, .key = 4 + 1, .len = 1,
               .mode = PINDMA_WRITE_STAMP),

        IO_ROW(ACCESS, WRITE, .key = 2, .len = 8),
        IO_ROW(ACCESS, WRITE, .key = 2, .offset = 5, .len = 8,
               .mode = PINDMA_WRITE_STAMP),
        IO_ROW(ACCESS, FILL, .key = 2, .len = 8),
        IO_ROW(ACCESS, READ, .key = 3, .len = 8),
        IO_ROW(ACCESS, COPY, .key = 2, .src_key = 1, .len = 8),
        IO_ROW(ACCESS, COPY, .key = 1, .src_key = 3, .len = 8),
        IO_ROW(ACCESS, HAMMER, .key = 2, .offset = 5, .len = 8),

        IO_ROW(NOT_FOUND, STOP),
        IO_ROW(NOT_FOUND, STOP, .value = 1),
    };
    Rig *t = rig_new(express);
    MR *mr[4] = {
        mr_new(t, 1, 3, FIRST, 0, RW),
        mr_new(t, 2, 3, FIRST, 0, PINDMA_ACCESS_READ),
        mr_new(t, 3, 3, FIRST, 0, PINDMA_ACCESS_WRITE),
        mr_new(t, 5, 1, 8, 7, RW),      /* no room for a stamp */
    };
    struct pindma_cqe cqe;
    int i;

    for (i = 0; i < ARRAY_SIZE(rows); i++) {
        cqe = run_on(t, rows[i].qn, rows[i].sqe);
        if (cqe.status != rows[i].status) {
            g_test_message("row %d, opcode 0x%x", i, rows[i].sqe.opcode);
        }
        g_assert_cmpuint(cqe.status, ==, rows[i].status);
        g_assert_cmphex(cqe.result, ==, 0);
        g_assert_cmphex(cqe.seq, ==, 0);
    }
    for (i = 0; i < ARRAY_SIZE(mr); i++) {
        mr_check(t, mr[i]);
        g_free(mr[i]);
    }
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);
    rig_free(t);
}

/*
 * Red: the check that a row is about in pindma_mr_new(), or (for the last
 * part) s->num_pages -= mr->num_pages in pindma_mr_quarantine().
 */
static void test_reg_mr_errors(void)
{
    Rig *t = rig_new(true);
    uint32_t max_mrs = reg4(t, PINDMA_REG_MAX_MRS);
    uint64_t max_pages = reg4(t, PINDMA_REG_MAX_PAGES);
    MR *mr = mr_new(t, 1, 3, 0, 0, RW);
    uint64_t pages[] = { RAM_BASE, 2 * RAM_BASE, 3 * RAM_BASE + 8 };
    uint64_t good = page_list(t, pages, 2);
    uint64_t bad = page_list(t, pages, 3);
    uint64_t big = ram_alloc(t, DIV_ROUND_UP(max_pages * 8, PAGE));
    const struct {
        uint16_t status;
        uint64_t result;
        struct pindma_sqe sqe;
    } rows[] = {
#define MR_ROW(st, res, ...) \
        { PINDMA_ST_##st, res, OP(REG_MR, __VA_ARGS__) }
        MR_ROW(BAD_FIELD, 0, .value = good, .len = 8, .mode = RW),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good, .len = 8),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good, .len = 8, .mode = 4),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good, .len = 8, .mode = 0x83),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good, .mode = RW),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good + 4, .len = 8,
               .mode = RW),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good, .len = 8, .mode = RW,
               .offset = PAGE),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good, .len = 8, .mode = RW,
               .offset = -8ull),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good, .len = 8, .mode = RW,
               .rate = 1),
        MR_ROW(BAD_KEY, 0, .key = 1, .value = good, .len = 8, .mode = RW),
        MR_ROW(BAD_KEY, 0, .key = 1 + max_mrs, .value = good, .len = 8,
               .mode = RW),
        MR_ROW(NO_SPACE, 0, .key = 2, .value = big, .mode = RW,
               .len = max_pages * PAGE),        /* mr 1 has three */
        MR_ROW(NO_SPACE, 0, .key = 2, .value = big, .mode = RW,
               .len = UINT64_MAX),
        MR_ROW(NO_SPACE, 0, .key = 2, .value = big, .mode = RW,
               .len = -8ull, .offset = 16),
        /* How far it came, in bytes of the list */
        MR_ROW(BAD_FIELD, 16, .key = 2, .value = bad, .mode = RW,
               .len = 3 * PAGE),
        MR_ROW(BAD_FIELD, 8, .key = 2, .value = bad + 8, .mode = RW,
               .len = 2 * PAGE - 8, .offset = 8),
        MR_ROW(DMA_ERROR, 0, .key = 2, .value = MMIO_HOLE, .mode = RW,
               .len = 8),
        MR_ROW(DMA_ERROR, 0, .key = 2, .value = t->regs.addr, .mode = RW,
               .len = 8 * PAGE),
        MR_ROW(DMA_ERROR, 16, .key = 2, .value = RAM_SIZE - 16, .mode = RW,
               .len = 3 * PAGE),
        MR_ROW(OK, 8, .key = 2, .value = good, .mode = RW, .len = PAGE),
        MR_ROW(BAD_KEY, 0, .key = 2, .value = good, .mode = RW, .len = PAGE),
        MR_ROW(OK, 16, .key = 3, .value = good, .mode = RW, .len = PAGE,
               .offset = 1),
    };
    struct pindma_cqe cqe;
    int i;

    for (i = 0; i < ARRAY_SIZE(rows); i++) {
        cqe = run(t, rows[i].sqe);
        if (cqe.status != rows[i].status) {
            g_test_message("row %d", i);
        }
        g_assert_cmpuint(cqe.status, ==, rows[i].status);
        g_assert_cmpuint(cqe.result, ==, rows[i].result);
    }
    mr_check(t, mr);

    /* A stale key is found out. */
    run_ok(t, OP(DEREG_MR, .key = 3));
    cqe = run(t, OP(READ, .key = 3, .len = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_KEY);
    run_ok(t, OP(REG_MR, .key = 3 + max_mrs, .value = good, .mode = RW,
                 .len = PAGE));
    cqe = run(t, OP(READ, .key = 3, .len = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_KEY);
    run_ok(t, OP(READ, .key = 3 + max_mrs, .len = 1));
    run_ok(t, OP(DEREG_MR, .key = 3 + max_mrs));

    /* All pages but those of mrs 1 and 2, and every failure gave its back. */
    run_ok(t, OP(REG_MR, .key = 4, .value = big, .mode = RW,
                 .len = (max_pages - 4) * PAGE));
    cqe = run(t, OP(REG_MR, .key = 5, .value = big, .mode = RW, .len = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_NO_SPACE);
    run_ok(t, OP(DEREG_MR, .key = 2));
    run_ok(t, OP(REG_MR, .key = 5, .value = big, .mode = RW, .len = 1));
    rig_free(t);
    g_free(mr);
}

/*
 * Only RAM is reached.  Red: either call of pindma_is_ram(), or the test
 * of memory_region_is_ram() in it; e.value = 0 of a failed read.
 */
static void test_dma_error(void)
{
    Rig *t = rig_new(true);
    uint64_t pages[] = {
        RAM_BASE, t->regs.addr, MMIO_HOLE, RAM_SIZE, 1ull << 40,
        -(uint64_t)PAGE, 0xfee00000,
    };
    struct pindma_journal_entry e;
    struct pindma_cqe cqe;
    uint64_t hammer;
    int i, op;

    run_ok(t, OP(REG_MR, .key = 1, .mode = RW, .len = sizeof(pages) / 8 * PAGE,
                 .value = page_list(t, pages, ARRAY_SIZE(pages))));
    for (i = 1; i < ARRAY_SIZE(pages); i++) {
        uint64_t at = (uint64_t)i * PAGE + PINDMA_REG_CTRL;
        const struct pindma_sqe ops[] = {
            OP(WRITE, .key = 1, .offset = at - 4, .len = 8, .value = VALUE),
            OP(WRITE, .key = 1, .offset = at, .len = 4, .value = VALUE),
            OP(FILL, .key = 1, .offset = i * PAGE, .len = PAGE, .value = 0xff),
            OP(WRITE, .key = 1, .offset = i * PAGE, .len = PAGE,
               .mode = PINDMA_WRITE_STAMP),
            OP(READ, .key = 1, .offset = at - 4, .len = 8),
            OP(READ, .key = 1, .offset = at, .len = 4),
            OP(READ, .key = 1, .offset = i * PAGE, .len = PAGE,
               .mode = PINDMA_READ_CRC32),
            OP(COPY, .key = 1, .src_key = 1, .offset = i * PAGE, .len = 8),
            OP(COPY, .key = 1, .src_key = 1, .src_offset = i * PAGE,
               .len = 100),
        };

        for (op = 0; op < ARRAY_SIZE(ops); op++) {
            cqe = run(t, ops[op]);
            if (cqe.status != PINDMA_ST_DMA_ERROR) {
                g_test_message("op %d at 0x%" PRIx64, op, pages[i]);
            }
            g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
            g_assert_cmphex(cqe.result, ==, 0);
            e = journal_entry(t, cqe.seq);
            g_assert_cmpuint(e.status, ==, PINDMA_ST_DMA_ERROR);
            g_assert_cmphex(e.addr & -PAGE, ==, pages[i]);
            if (e.kind == PINDMA_JOURNAL_READ) {
                g_assert_cmphex(e.value, ==, 0);
            }
        }
        hammer = start(t, IO, OP(HAMMER, .key = 1, .offset = i * PAGE,
                                 .len = PAGE));
        cqe = reap(t, IO);
        g_assert_cmphex(cqe.tag, ==, hammer);
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
        g_assert_cmphex(cqe.result, ==, 0);
    }
    /* It tells how far it came. */
    cqe = run(t, OP(FILL, .key = 1, .offset = 10, .len = 2 * PAGE));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
    g_assert_cmpuint(cqe.result, ==, PAGE - 10);
    start(t, IO, OP(HAMMER, .key = 1, .len = 2 * PAGE));
    cqe = reap(t, IO);
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
    g_assert_cmpuint(cqe.result, ==, 1);
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);

    /* ROM can be read and not written. */
    pages[0] = ROM;
    run_ok(t, OP(REG_MR, .key = 2, .mode = RW, .len = PAGE,
                 .value = page_list(t, pages, 1)));
    for (i = 7; i <= 8; i++) {
        run_ok(t, OP(READ, .key = 2, .len = i));
        cqe = run(t, OP(WRITE, .key = 2, .len = i, .value = VALUE));
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
    }
    rig_free(t);
}

/*
 * Whatever is in a ring, the device answers it and lives.  Red: an assert on
 * anything that comes from a descriptor.
 */
static void test_garbage(void)
{
    static const uint8_t opcodes[] = {
        PINDMA_OP_NOP, PINDMA_OP_WRITE, PINDMA_OP_READ, PINDMA_OP_FILL,
        PINDMA_OP_COPY, PINDMA_OP_HAMMER, PINDMA_OP_STOP, PINDMA_OP_COMPARE,
        PINDMA_OP_FETCH_ADD, PINDMA_OP_CMP_SWAP, PINDMA_OP_REG_MR,
        PINDMA_OP_DEREG_MR, 0xff,
    };
    static const uint64_t numbers[] = {
        0, 0, 0, 0, 1, 2, 3, 7, 8, 9, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE,
        1ull << 31, 1ull << 32, BIG, UINT64_MAX, UINT64_MAX - 7,
    };
    /* The rings are not among the pages, for the test to find its way. */
    static const uint64_t lists[] = {
        RAM_BASE, RAM_BASE + 8, RAM_BASE + PAGE - 16, RAM_BASE + 1, MMIO_HOLE,
        BIG, UINT64_MAX - 7,
    };
#define ANY_OF(table) (table[g_test_rand_int_range(0, ARRAY_SIZE(table))])
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, MR_PAGES, 0, 0, RW);
    struct pindma_cqe cqe;
    uint64_t last;
    uint8_t opcode;
    int i, qn;

    /* Page lists of garbage: the numbers themselves, aligned and not */
    g_assert_cmphex(t->q[ADMIN].sq, ==, RAM_BASE);
    queues_setup(t);
    for (i = 0; i < 2 * PAGE / 8; i++) {
        qtest_writeq(t->qts, RAM_BASE + i * 8, ANY_OF(numbers));
    }
    for (i = 0; i < 3000; i++) {
        qn = g_test_rand_int_range(0, PINDMA_NUM_QUEUES);
        opcode = ANY_OF(opcodes);
        post(t, qn, (struct pindma_sqe) {
            .opcode = opcode, .mode = ANY_OF(numbers) & 3,
            .flags = i % 4 ? 0 : ANY_OF(numbers) &
                     (PINDMA_SQE_LINK | PINDMA_SQE_FENCE | PINDMA_SQE_SG),
            .key = ANY_OF(numbers) & 3, .offset = ANY_OF(numbers),
            .len = ANY_OF(numbers),
            .value = opcode == PINDMA_OP_REG_MR ? ANY_OF(lists)
                                                : ANY_OF(numbers),
            .src_key = i % 8 ? 0 : ANY_OF(numbers),
            .src_offset = i % 8 ? 0 : ANY_OF(numbers),
            /* With all channels at full speed the test itself gets no turn. */
            .rate = opcode == PINDMA_OP_HAMMER ? ANY_OF(numbers) | 1 :
                    i % 5 ? 0 : ANY_OF(numbers),
            .seed = i % 7 ? 0 : ANY_OF(numbers),
        });
        if (i % 10 == 9) {
            for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
                last = post(t, qn, OP(NOP));
                ring(t, qn);
                do {
                    cqe = reap(t, qn);
                } while (cqe.tag != last);
            }
        }
    }
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS) & ~BUSY, ==, 0);
    rig_free(t);
    g_free(mr);
}

/* ------------------------------------------------------------------ hammers */

/* Red: any of the orders in pindma_hammer_page(). */
static void test_hammer(const void *express)
{
    static const struct {
        uint8_t mode;
        uint64_t offset, len, seed;
    } hammers[] = {
        { PINDMA_ORDER_UP, 5, 1, 0 },
        { PINDMA_ORDER_UP, 5, 5 * PAGE, 0 },
        { PINDMA_ORDER_DOWN, 13, 3 * PAGE + 1, 0 },
        { PINDMA_ORDER_RANDOM, 5, 5 * PAGE, 0 },
        { PINDMA_ORDER_RANDOM, PAGE + 5, 4 * PAGE, VALUE },
        { PINDMA_ORDER_HOT, 5, 5 * PAGE, 0 },
        { PINDMA_ORDER_HOT, 5, 4 * PAGE, 4 * 1000 + 2 },
    };
    Rig *t = rig_new(express);
    MR *mr = mr_new(t, 1, MR_PAGES, FIRST, 0, RW);
    uint64_t tag, n;
    int i;

    for (i = 0; i < ARRAY_SIZE(hammers); i++) {
        struct pindma_sqe sqe = OP(HAMMER, .key = 1, .mode = hammers[i].mode,
                                   .offset = hammers[i].offset,
                                   .len = hammers[i].len, .value = VALUE * i,
                                   .seed = hammers[i].seed);

        n = journal_seq(t);
        tag = start(t, IO, sqe);
        WAIT_FOR(journal_seq(t) > n + 1000);
        g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, BUSY);
        run_ok(t, OP(NOP));
        n = hammer_stop(t, tag);
        g_assert_cmpuint(n, >, 900);
        want_stamps(mr, &sqe, n);
        mr_check(t, mr);
        settle();
        mr_check(t, mr);
        g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);
    }
    rig_free(t);
    g_free(mr);
}

/*
 * The clock of a qtest stands still: stamps come when it is stepped, and as
 * many as it is stepped.  Red: due > s->now in pindma_op_hammer(); no
 * PINDMA_MAX_LAG_NS there (then the last part never ends).
 */
static void test_hammer_rate(void)
{
    struct pindma_sqe sqe = OP(HAMMER, .key = 1, .len = 3 * PAGE, .rate = 1000,
                               .mode = PINDMA_ORDER_DOWN, .value = VALUE);
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 3, 0, 0, RW);
    struct pindma_journal_entry e;
    uint64_t seq, tag, time, n;
    int i;

    tag = start(t, IO, sqe);
    WAIT_FOR((seq = journal_seq(t)) && !qtest_readl(t->qts, t->q[IO].cq) &&
             journal_entry(t, seq).kind == PINDMA_JOURNAL_WRITE);
    time = journal_entry(t, seq).time;
    for (i = 1; i < 20; i++) {
        settle();
        g_assert_cmpuint(journal_seq(t), ==, seq);
        want_stamps(mr, &sqe, i);
        mr_check(t, mr);
        qtest_clock_step(t->qts, 1000 * 1000);
        WAIT_FOR(journal_seq(t) > seq);
        e = journal_entry(t, ++seq);
        g_assert_cmphex(e.value, ==, VALUE + i);
        g_assert_cmpuint(e.time, ==, time + i * 1000 * 1000);
    }
    /* Far too late it does not make up for all that it has missed. */
    qtest_clock_step(t->qts, 3600 * 1000000000ll);
    WAIT_FOR(journal_seq(t) > seq);
    n = hammer_stop(t, tag);
    g_assert_cmpuint(n, >, 20);
    g_assert_cmpuint(n, <, 1000);
    rig_free(t);
    g_free(mr);
}

/*
 * As many as can be, beside each other and other ops.  Red: the comparison
 * with PINDMA_MAX_BESIDE; tag == value in pindma_op_stop().
 */
static void test_hammer_many(void)
{
    Rig *t = rig_new(true);
    MR *mr[PINDMA_MAX_BESIDE];
    struct pindma_sqe sqe[PINDMA_MAX_BESIDE];
    uint64_t tag[PINDMA_MAX_BESIDE], n;
    struct pindma_cqe cqe;
    int i, k;

    for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
        mr[i] = mr_new(t, i + 1, 2, 8 * i, 0, RW);
        sqe[i] = OP(HAMMER, .key = i + 1, .len = PAGE + 1, .value = i * VALUE);
        tag[i] = start(t, IO, sqe[i]);
    }
    cqe = run(t, OP(HAMMER, .key = 1, .len = PAGE));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_NO_SPACE);
    for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
        WAIT_FOR(ram4(t, mr_addr(mr[i], 0)) != (uint32_t)sqe[i].value &&
                 ram4(t, mr_addr(mr[i], PAGE)) != (uint32_t)sqe[i].value);
        cqe = run(t, OP(STOP, .value = ~tag[i]));
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_NOT_FOUND);
    }
    for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
        k = i * 5 % PINDMA_MAX_BESIDE;
        n = hammer_stop(t, tag[k]);
        want_stamps(mr[k], &sqe[k], n);
        mr_check(t, mr[k]);
        cqe = run(t, OP(STOP, .value = tag[k]));
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_NOT_FOUND);
    }
    for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
        mr_check(t, mr[i]);
        g_free(mr[i]);
    }
    rig_free(t);
}

/*
 * As many as the ring has room for: one slot stays free, so that STOP has its
 * turn.  Red: the comparison with q->entries in pindma_queue_put_beside().
 */
static void test_hammer_small_ring(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    uint64_t tag[2];
    int i;

    queue_setup(t, IO, 4);
    for (i = 0; i < ARRAY_SIZE(tag); i++) {
        tag[i] = start(t, IO, OP(HAMMER, .key = 1, .len = 8, .rate = 1));
    }
    g_assert_cmpuint(run(t, OP(HAMMER, .key = 1, .len = 8, .rate = 1)).status,
                     ==, PINDMA_ST_NO_SPACE);
    for (i = 0; i < ARRAY_SIZE(tag); i++) {
        hammer_stop(t, tag[i]);
    }
    rig_free(t);
    g_free(mr);
}

/*
 * DEREG_MR under hammers and under an op that takes long.  Red: the loop over
 * the queues in pindma_queue_abort(), or the call of it; src_key in
 * pindma_op_uses().
 */
static void test_dereg_mr(void)
{
    Rig *t = rig_new(true);
    uint64_t pages = reg4(t, PINDMA_REG_MAX_PAGES) - 2 * MR_PAGES;
    MR *mr = mr_new(t, 1, MR_PAGES, 0, 0, RW);
    MR *other = mr_new(t, 2, MR_PAGES, 0, 0, RW);
    struct pindma_sqe hammers[] = {
        OP(HAMMER, .key = 1, .len = MR_PAGES * PAGE, .value = VALUE),
        OP(HAMMER, .key = 2, .len = MR_PAGES * PAGE, .value = 1),
        OP(HAMMER, .key = 1, .offset = 8, .len = 2 * PAGE),
    };
    uint64_t tags[ARRAY_SIZE(hammers)], tag, seq, last;
    struct pindma_journal_entry e;
    struct pindma_cqe cqe;
    int i, n;

    for (i = 0; i < ARRAY_SIZE(hammers); i++) {
        tags[i] = start(t, IO, hammers[i]);
        WAIT_FOR(ram4(t, mr_addr(i == 1 ? other : mr, hammers[i].offset)) !=
                 ldl_le_p(mr_want(i == 1 ? other : mr, hammers[i].offset)));
    }
    cqe = run(t, OP(DEREG_MR, .key = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
    g_assert_cmphex(cqe.result, ==, 0);
    seq = cqe.seq;

    /* Both hammers of mr 1 end, and what they wrote they wrote before. */
    for (i = 0; i < 2; i++) {
        g_assert_true(peek(t, IO, &cqe));
        consume(t, IO);
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_ABORTED);
        n = cqe.tag == tags[0] ? 0 : 2;
        g_assert_cmphex(cqe.tag, ==, tags[n]);
        tags[n] = 0;
        g_assert_cmpuint(cqe.seq, <, seq);
        want_stamps(mr, &hammers[n], cqe.result);
    }
    mr_check(t, mr);

    /* The third goes on; the journal knows of no access to the mr. */
    WAIT_FOR(journal_seq(t) > seq + 1000);
    want_stamps(other, &hammers[1], hammer_stop(t, tags[1]));
    mr_check(t, other);
    mr_check(t, mr);
    last = journal_seq(t);
    if (last - seq < t->journal_entries) {
        e = journal_entry(t, seq);
        g_assert_cmpuint(e.kind, ==, PINDMA_JOURNAL_DEREG_MR);
        g_assert_cmphex(e.key, ==, 1);
        g_assert_cmphex(e.addr, ==, mr_addr(mr, 0));
        g_assert_cmpuint(e.len, ==, MR_PAGES);
        g_assert_cmphex(e.value, ==, mr->len);
    }
    for (seq = MAX(seq, last - 2000); seq < last; seq++) {
        e = journal_entry(t, seq + 1);
        g_assert_cmphex(e.key, !=, 1);
    }
    cqe = run(t, OP(READ, .key = 1, .len = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_KEY);
    cqe = run(t, OP(DEREG_MR, .key = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_KEY);

    /* All of its pages are the same one, of memory that nothing else uses. */
    mr_register(t, mr, RW);
    for (i = 0; i < 3; i++) {
        const struct pindma_sqe ops[] = {
            OP(WRITE, .key = 3, .len = pages * PAGE,
               .mode = PINDMA_WRITE_STAMP),
            OP(COPY, .key = 3, .src_key = 4, .len = pages / 2 * PAGE),
            OP(COPY, .key = 4, .src_key = 3, .len = pages / 2 * PAGE),
        };
        uint64_t list = RAM_SIZE - pages * 8;

        g_assert_cmphex(t->ram, <=, list);
        run_ok(t, OP(REG_MR, .key = 3, .mode = RW, .value = list,
                     .len = (i ? pages / 2 : pages) * PAGE));
        if (i) {
            run_ok(t, OP(REG_MR, .key = 4, .mode = RW, .value = list,
                         .len = pages / 2 * PAGE));
        }
        seq = journal_seq(t);
        tag = start(t, IO, ops[i]);
        WAIT_FOR(journal_seq(t) > seq + 10);
        cqe = run(t, OP(DEREG_MR, .key = 3));
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
        cqe = reap(t, IO);
        g_assert_cmphex(cqe.tag, ==, tag);
        if (cqe.status != PINDMA_ST_OK) {       /* it may have been faster */
            g_assert_cmpuint(cqe.status, ==, PINDMA_ST_ABORTED);
            g_assert_cmpuint(cqe.result, <, ops[i].len);
        }
        if (i) {
            run_ok(t, OP(DEREG_MR, .key = 4));
        }
    }
    mr_check(t, mr);
    rig_free(t);
    g_free(mr);
    g_free(other);
}

void pindma_add_op_tests(void)
{
    add_on_both("write", test_write);
    add_on_both("read", test_read);
    add_on_both("errors", test_errors);
    add_on_both("hammer/unlimited", test_hammer);
    qtest_add_func("/pindma/stamps", test_write_stamps);
    qtest_add_func("/pindma/copy", test_copy);
    qtest_add_func("/pindma/reg-mr-errors", test_reg_mr_errors);
    qtest_add_func("/pindma/dma-error", test_dma_error);
    qtest_add_func("/pindma/garbage", test_garbage);
    qtest_add_func("/pindma/hammer/rate", test_hammer_rate);
    qtest_add_func("/pindma/hammer/many", test_hammer_many);
    qtest_add_func("/pindma/hammer/small-ring", test_hammer_small_ring);
    qtest_add_func("/pindma/dereg-mr", test_dereg_mr);
}
