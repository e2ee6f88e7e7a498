/*
 * QTest testcase for the pindma device: COMPARE, atomics, scatter/gather
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-test.h"

/* ------------------------------------------------------------------ COMPARE */

static void compare_expect(Rig *t, struct pindma_sqe sqe, uint64_t differs)
{
    struct pindma_cqe cqe = run(t, sqe);

    g_assert_cmpuint(cqe.status, ==, differs < sqe.len ? PINDMA_ST_MISCOMPARE
                                                       : PINDMA_ST_OK);
    g_assert_cmpuint(cqe.result, ==, differs);
}

/*
 * The first byte that differs, wherever it is.  Red: the loop, or the sum in
 * op->result, in pindma_bytes_take(); MISCOMPARE in pindma_op_result().
 */
static void test_compare(void)
{
    const uint64_t offset = PAGE - FIRST - 21, len = 2 * PAGE + 100;
    const uint64_t places[] = {
        0, 1, 20, 21, 22, PAGE, PAGE + 21, len / 2, len - 2, len - 1,
    };
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, MR_PAGES, FIRST, 0, RW);
    MR *src = mr_new(t, 2, MR_PAGES, 8, 0, PINDMA_ACCESS_READ);
    struct pindma_sqe pattern = OP(COMPARE, .key = 1, .offset = offset,
                                   .len = len, .value = VALUE);
    struct pindma_sqe other = OP(COMPARE, .mode = PINDMA_COMPARE_MR, .key = 1,
                                 .offset = offset, .len = len, .src_key = 2,
                                 .src_offset = 777);
    uint64_t i;
    int n;

    run_ok(t, OP(WRITE, .mode = PINDMA_WRITE_PATTERN, .key = 1,
                 .offset = offset, .len = len, .value = VALUE));
    want_pattern(mr, offset, len, VALUE);
    compare_expect(t, pattern, len);
    for (n = 0; n < ARRAY_SIZE(places); n++) {
        uint64_t at = mr_addr(mr, offset + places[n]);
        uint8_t byte = *mr_want(mr, offset + places[n]);

        qtest_writeb(t->qts, at, byte ^ 0x10);
        compare_expect(t, pattern, places[n]);
        qtest_writeb(t->qts, at, byte);
    }
    mr_check(t, mr);

    run_ok(t, OP(COPY, .key = 1, .offset = offset, .len = len, .src_key = 2,
                 .src_offset = 777));
    for (i = 0; i < len; i++) {
        *mr_want(mr, offset + i) = *mr_want(src, 777 + i);
    }
    compare_expect(t, other, len);
    for (n = 0; n < ARRAY_SIZE(places); n++) {
        uint64_t at = mr_addr(src, 777 + places[n]);
        uint8_t byte = *mr_want(src, 777 + places[n]);

        qtest_writeb(t->qts, at, byte ^ 0x80);
        compare_expect(t, other, places[n]);
        qtest_writeb(t->qts, at, byte);
    }
    mr_check(t, mr);
    mr_check(t, src);
    compare_expect(t, OP(COMPARE, .key = 1, .offset = 3), 0);
    rig_free(t);
    g_free(mr);
    g_free(src);
}

/* ------------------------------------------------------------------ atomics */

/*
 * Red: the sum, the comparison or the exchange in pindma_atomic4() or
 * pindma_atomic8(); op->result there.
 */
static void test_atomic(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 3, FIRST, 0, RW);
    const uint64_t places[] = {
        8 - FIRST % 8, PAGE - FIRST - 8, PAGE - FIRST, 3 * PAGE - FIRST - 8,
    };
    struct pindma_journal_entry e;
    struct pindma_cqe cqe;
    uint64_t was, now, add;
    int i, len, swap;

    for (i = 0; i < ARRAY_SIZE(places); i++) {
        for (len = 4; len <= 8; len += 4) {
            uint64_t mask = MAKE_64BIT_MASK(0, len * 8);
            uint64_t at = places[i] + 8 - len;

            /* A sum that overflows must not carry on to the neighbour. */
            was = ldn_le_p(mr_want(mr, at), len);
            add = (0x8123456789abcdefull | -was) & mask;
            cqe = run(t, OP(FETCH_ADD, .key = 1, .offset = at, .len = len,
                            .value = add));
            now = (was + add) & mask;
            g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
            g_assert_cmphex(cqe.result, ==, was);
            stn_le_p(mr_want(mr, at), len, now);
            mr_check(t, mr);
            e = journal_entry(t, cqe.seq);
            g_assert_cmpuint(e.kind, ==, PINDMA_JOURNAL_ATOMIC);
            g_assert_cmphex(e.value, ==, now);
            g_assert_cmphex(e.addr, ==, mr_addr(mr, at));
            g_assert_cmpuint(e.len, ==, len);

            for (swap = 0; swap < 2; swap++) {
                cqe = run(t, OP(CMP_SWAP, .key = 1, .offset = at, .len = len,
                                .compare = swap ? now : now ^ 1ull << (i * 9),
                                .value = VALUE & mask));
                g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
                g_assert_cmphex(cqe.result, ==, now);
                if (swap) {
                    stn_le_p(mr_want(mr, at), len, VALUE);
                }
                mr_check(t, mr);
                e = journal_entry(t, cqe.seq);
                g_assert_cmphex(e.value, ==, swap ? VALUE & mask : now);
            }
        }
    }
    rig_free(t);
    g_free(mr);
}

/* Red: the check in pindma_op_atomic() that a row is about. */
static void test_atomic_errors(void)
{
    Rig *t = rig_new(true);
    MR *mrs[] = {
        mr_new(t, 1, 3, 0, 3 * PAGE - 4, RW),
        mr_new(t, 2, 3, 0, 0, PINDMA_ACCESS_READ),
        mr_new(t, 3, 3, 0, 0, PINDMA_ACCESS_WRITE),
    };
    uint64_t pages[] = { MMIO_HOLE, ROM };
    const struct {
        uint16_t status;
        struct pindma_sqe sqe;
    } rows[] = {
#define ROW(st, ...) { PINDMA_ST_##st, OP(FETCH_ADD, __VA_ARGS__) }
        ROW(BAD_FIELD, .key = 1, .offset = 4, .len = 8),
        ROW(BAD_FIELD, .key = 1, .offset = 1, .len = 4),
        ROW(BAD_FIELD, .key = 1, .offset = PAGE - 2, .len = 4),
        ROW(BAD_FIELD, .key = 1, .offset = PAGE - 4, .len = 8),
        ROW(BAD_FIELD, .key = 1, .len = 0),
        ROW(BAD_FIELD, .key = 1, .len = 1),
        ROW(BAD_FIELD, .key = 1, .len = 2),
        ROW(BAD_FIELD, .key = 1, .len = 16),
        ROW(BAD_FIELD, .key = 1, .len = 4, .value = 1ull << 32),
        ROW(BAD_FIELD, .key = 1, .len = 8, .mode = 1),
        ROW(BAD_FIELD, .key = 1, .len = 8, .compare = 1),
        ROW(BAD_FIELD, .key = 1, .len = 8, .src_key = 1),
        ROW(BAD_FIELD, .key = 1, .len = 8, .flags = PINDMA_SQE_SG),
        ROW(BOUNDS, .key = 1, .offset = 3 * PAGE - 8, .len = 8),
        ROW(BOUNDS, .key = 1, .offset = 3 * PAGE - 4, .len = 4),
        ROW(BOUNDS, .key = 1, .offset = -8ull, .len = 8),
        ROW(ACCESS, .key = 2, .len = 8),
        ROW(ACCESS, .key = 3, .len = 8),
        ROW(BAD_KEY, .key = 9, .len = 8),
        ROW(DMA_ERROR, .key = 4, .len = 8, .value = 1),
        ROW(DMA_ERROR, .key = 4, .offset = PAGE, .len = 4, .value = 1),
#undef ROW
    };
    struct pindma_cqe cqe;
    int i;

    run_ok(t, OP(REG_MR, .key = 4, .mode = RW, .len = 2 * PAGE,
                 .value = page_list(t, pages, 2)));
    for (i = 0; i < ARRAY_SIZE(rows); i++) {
        cqe = run(t, rows[i].sqe);
        if (cqe.status != rows[i].status) {
            g_test_message("row %d", i);
        }
        g_assert_cmpuint(cqe.status, ==, rows[i].status);
        g_assert_cmphex(cqe.result, ==, 0);
    }
    cqe = run(t, OP(CMP_SWAP, .key = 1, .len = 4, .compare = 1ull << 32));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_FIELD);
    for (i = 0; i < ARRAY_SIZE(mrs); i++) {
        mr_check(t, mrs[i]);
        g_free(mrs[i]);
    }
    rig_free(t);
}

/* -------------------------------------------------------------------- lists */

#define MAX_PIECES  12

/* A list, and where it is: at offset in the mr "table" */
typedef struct List {
    MR *table;
    uint64_t offset;
    unsigned int num;
    struct {
        MR *mr;
        uint64_t offset, len;
    } piece[MAX_PIECES];
} List;

static uint8_t *list_byte(List *list, uint64_t i)
{
    unsigned int n;

    for (n = 0; i >= list->piece[n].len; n++) {
        i -= list->piece[n].len;
    }
    return mr_want(list->piece[n].mr, list->piece[n].offset + i);
}

static void mr_store(Rig *t, MR *mr, uint64_t offset, const void *buf,
                     size_t len)
{
    const uint8_t *byte = buf;
    size_t i;

    for (i = 0; i < len; i++) {
        *mr_want(mr, offset + i) = byte[i];
        qtest_writeb(t->qts, mr_addr(mr, offset + i), byte[i]);
    }
}

static void list_store(Rig *t, const List *list)
{
    unsigned int n;

    for (n = 0; n < list->num; n++) {
        struct pindma_sge sge = {
            .offset = cpu_to_le64(list->piece[n].offset),
            .len = cpu_to_le64(list->piece[n].len),
            .key = cpu_to_le32(list->piece[n].mr->key),
        };

        mr_store(t, list->table, list->offset + n * sizeof(sge), &sge,
                 sizeof(sge));
    }
}

/* Pieces of any length and place, in one mr or the other, of len in all */
static List list_random(Rig *t, MR *table, uint64_t offset, MR **mrs,
                        uint64_t len)
{
    List list = { .table = table, .offset = offset };

    while (list.num < MAX_PIECES) {
        MR *mr = mrs[g_test_rand_bit()];
        uint64_t n = g_test_rand_bit() ? g_test_rand_int_range(0, 20) :
                                         g_test_rand_int_range(0, PAGE + 200);

        if (list.num == MAX_PIECES - 1 || n > len) {
            n = len;
        }
        list.piece[list.num].mr = mr;
        list.piece[list.num].offset = g_test_rand_int_range(0, mr->len - n + 1);
        list.piece[list.num].len = n;
        list.num++;
        len -= n;
        if (!len && g_test_rand_bit()) {
            break;
        }
    }
    /* The last piece may be longer than what is left. */
    list.piece[list.num - 1].len += g_test_rand_bit() &&
        list.piece[list.num - 1].offset + list.piece[list.num - 1].len <
        list.piece[list.num - 1].mr->len;
    list_store(t, &list);
    return list;
}

/*
 * Every op on bytes, scattered at random, against a model.  Red: anything in
 * pindma_cursor_fill() or pindma_cursor_advance(); room in pindma_op_bytes();
 * to or from in pindma_op_prepare().
 */
static void test_lists(void)
{
    Rig *t = rig_new(true);
    MR *to[] = {
        mr_new(t, 1, MR_PAGES, FIRST, 0, RW), mr_new(t, 2, 4, 8, 0, RW),
    };
    MR *from[] = {
        mr_new(t, 3, MR_PAGES, 1, 0, PINDMA_ACCESS_READ),
        mr_new(t, 4, 3, 0, 0, PINDMA_ACCESS_READ),
    };
    /* Both lists cross a page. */
    MR *table = mr_new(t, 5, 3, FIRST, 0, PINDMA_ACCESS_READ);
    uint64_t at = PAGE - FIRST - 24 * 2 - 7, src_at = at + PAGE;
    int i, n;

    for (i = 0; i < 200; i++) {
        uint64_t len = g_test_rand_bit() ? g_test_rand_int_range(1, 9) :
                                           g_test_rand_int_range(0, 3 * PAGE);
        uint64_t value = VALUE * i, result = 0, want = len;
        List dst = list_random(t, table, at, to, len);
        List src = list_random(t, table, src_at, from, len);
        struct pindma_sqe sqe = {
            .key = table->key, .offset = at, .len = len,
            .flags = PINDMA_SQE_SG,
        };

        switch (i % 6) {
        case 0:
            sqe.opcode = PINDMA_OP_WRITE;
            sqe.mode = len && len <= 8 ? PINDMA_WRITE_IMMEDIATE
                                       : PINDMA_WRITE_PATTERN;
            sqe.value = value;
            for (n = 0; n < len; n++) {
                *list_byte(&dst, n) = pattern_byte(value, n);
            }
            break;
        case 1:
            sqe.opcode = PINDMA_OP_FILL;
            sqe.value = value & 0xff;
            for (n = 0; n < len; n++) {
                *list_byte(&dst, n) = value;
            }
            break;
        case 2:
            sqe.opcode = PINDMA_OP_READ;
            /* In odd pieces, too, the sum is that of the bytes in a row. */
            sqe.mode = len && len <= 8 ? PINDMA_READ_VALUE :
                       i / 6 % 2 ? PINDMA_READ_CRC32 : PINDMA_READ_SUM;
            for (n = 0; n < len; n++) {
                result = sqe.mode == PINDMA_READ_CRC32 ?
                         crc32_bytes(result, *list_byte(&dst, n)) :
                         result + ((uint64_t)*list_byte(&dst, n) << n % 8 * 8);
            }
            /* Of nothing, a list is not read. */
            want = result;
            break;
        case 3:
            sqe.opcode = PINDMA_OP_COPY;
            sqe.flags |= PINDMA_SQE_SRC_SG;
            sqe.src_key = table->key;
            sqe.src_offset = src_at;
            for (n = 0; n < len; n++) {
                *list_byte(&dst, n) = *list_byte(&src, n);
            }
            break;
        case 4:
            /* From a list to a range */
            sqe.opcode = PINDMA_OP_COPY;
            sqe.flags = PINDMA_SQE_SRC_SG;
            sqe.key = 1;
            sqe.offset = i;
            sqe.src_key = table->key;
            sqe.src_offset = src_at;
            for (n = 0; n < len; n++) {
                *mr_want(to[0], i + n) = *list_byte(&src, n);
            }
            break;
        case 5:
            /* What is there, and where it stops being there */
            sqe.opcode = PINDMA_OP_COMPARE;
            sqe.mode = PINDMA_COMPARE_MR;
            sqe.src_key = 3;
            sqe.src_offset = i;
            for (want = 0; want < len; want++) {
                if (*list_byte(&dst, want) != *mr_want(from[0], i + want)) {
                    break;
                }
            }
            g_assert_cmpuint(run(t, sqe).result, ==, want);
            sqe.flags |= PINDMA_SQE_SRC_SG;
            sqe.src_key = table->key;
            sqe.src_offset = at;
            want = len;
            break;
        }
        g_assert_cmphex(run_ok(t, sqe), ==, want);
        if (i % 6 != 2 && i % 6 != 5) {
            mr_check(t, to[0]);
            mr_check(t, to[1]);
        }
    }
    mr_check(t, from[0]);
    mr_check(t, from[1]);
    mr_check(t, table);
    for (i = 0; i < 2; i++) {
        g_free(to[i]);
        g_free(from[i]);
    }
    g_free(table);
    rig_free(t);
}

/*
 * A list is checked piece by piece, where it is and where it points; the bytes
 * before the bad piece are done.  Red: a condition in pindma_cursor_fill() or
 * pindma_flags_are_clean().
 */
static void test_list_errors(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 3, FIRST, 0, RW);
    MR *ro = mr_new(t, 2, 3, 0, 0, PINDMA_ACCESS_READ);
    MR *other = mr_new_in(t, 77, 3, 1, 0, 0, RW);
    MR *wo = mr_new(t, 4, 1, 0, 0, PINDMA_ACCESS_WRITE);
    const struct {
        uint16_t status;
        struct pindma_sge second;
    } pieces[] = {
        { PINDMA_ST_BAD_KEY, { .key = 9, .len = 8 } },
        { PINDMA_ST_BAD_KEY, { .key = 3, .len = 8 } },
        { PINDMA_ST_BAD_KEY, { .key = 0, .len = 8 } },
        { PINDMA_ST_BAD_KEY, { .key = 1 | 1u << 31, .len = 8 } },
        { PINDMA_ST_BAD_FIELD, { .key = 1, .len = 8, .reserved = 1 } },
        { PINDMA_ST_BOUNDS, { .key = 1, .offset = mr->len - 7, .len = 8 } },
        { PINDMA_ST_BOUNDS, { .key = 1, .offset = -8ull, .len = 16 } },
        { PINDMA_ST_BOUNDS, { .key = 1, .offset = BIG, .len = BIG } },
        { PINDMA_ST_ACCESS, { .key = 2, .len = 8 } },
    };
    const struct pindma_sqe flags[] = {
        OP(NOP, .flags = PINDMA_SQE_SG),
        OP(STOP, .flags = PINDMA_SQE_SG),
        OP(HAMMER, .key = 1, .offset = 5, .len = 8, .flags = PINDMA_SQE_SG),
        OP(WRITE, .mode = PINDMA_WRITE_STAMP, .key = 1, .offset = 5, .len = 8,
           .flags = PINDMA_SQE_SG),
        OP(CMP_SWAP, .key = 1, .offset = 5, .len = 8, .flags = PINDMA_SQE_SG),
        OP(WRITE, .key = 1, .len = 8, .flags = PINDMA_SQE_SRC_SG),
        OP(READ, .key = 1, .len = 8, .flags = PINDMA_SQE_SRC_SG),
        OP(FILL, .key = 1, .len = 8, .flags = PINDMA_SQE_SRC_SG),
        OP(COMPARE, .key = 1, .len = 8, .flags = PINDMA_SQE_SRC_SG),
    };
    struct pindma_sge sge[2];
    struct pindma_cqe cqe;
    int i;

    for (i = 0; i < ARRAY_SIZE(pieces); i++) {
        sge[0] = (struct pindma_sge) {
            .key = cpu_to_le32(1), .offset = cpu_to_le64(100),
            .len = cpu_to_le64(5),
        };
        sge[1] = (struct pindma_sge) {
            .key = cpu_to_le32(pieces[i].second.key),
            .offset = cpu_to_le64(pieces[i].second.offset),
            .len = cpu_to_le64(pieces[i].second.len),
            .reserved = cpu_to_le32(pieces[i].second.reserved),
        };
        mr_store(t, ro, PAGE - 30, sge, sizeof(sge));
        cqe = run(t, OP(FILL, .key = 2, .offset = PAGE - 30, .len = PAGE,
                        .value = i, .flags = PINDMA_SQE_SG));
        if (cqe.status != pieces[i].status) {
            g_test_message("piece %d", i);
        }
        g_assert_cmpuint(cqe.status, ==, pieces[i].status);
        g_assert_cmpuint(cqe.result, ==, 5);
        want_bytes(mr, 100, 5, i);
        mr_check(t, mr);
    }
    mr_check(t, ro);
    mr_check(t, other);

    for (i = 0; i < ARRAY_SIZE(flags); i++) {
        cqe = run(t, flags[i]);
        if (cqe.status != PINDMA_ST_BAD_FIELD) {
            g_test_message("flags %d", i);
        }
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_FIELD);
    }

    /* The list itself: where nothing may be read, in no mr, beyond one */
    cqe = run(t, OP(FILL, .key = 4, .len = 8, .flags = PINDMA_SQE_SG));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_ACCESS);
    cqe = run(t, OP(FILL, .key = 9, .len = 8, .flags = PINDMA_SQE_SG));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_KEY);
    cqe = run(t, OP(FILL, .key = 3, .len = 8, .flags = PINDMA_SQE_SG));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_KEY);
    cqe = run(t, OP(FILL, .key = 2, .offset = ro->len - 23, .len = 8,
                    .flags = PINDMA_SQE_SG));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BOUNDS);

    /* Pieces of nothing, up to the end of the mr */
    for (i = 0; i < 100; i++) {
        memset(sge, 0, sizeof(sge));
        sge[0].key = cpu_to_le32(1);
        mr_store(t, ro, ro->len - 24 * (i + 1), sge, 24);
    }
    cqe = run(t, OP(FILL, .key = 2, .offset = ro->len - 2400, .len = 8,
                    .flags = PINDMA_SQE_SG));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BOUNDS);
    g_assert_cmpuint(cqe.result, ==, 0);
    mr_check(t, mr);
    g_free(mr);
    g_free(ro);
    g_free(wo);
    g_free(other);
    rig_free(t);
}

/* ------------------------------------------------------------------ domains */

/*
 * An op finds the mrs of its domain, and no others.  Red: mr->pd != op->sqe.pd
 * in pindma_mr_check(); q->pd in pindma_queue_begin(), either of the two.
 */
static void test_domains(void)
{
    Rig *t = rig_new(true);
    MR *mr[] = {
        mr_new(t, 1, 1, 0, 0, RW), mr_new_in(t, 7, 2, 1, 0, 0, RW),
        mr_new_in(t, 1u << 31, 3, 1, 0, 0, RW),
    };
    const uint32_t pd[] = { 0, 7, 1u << 31, 8 };
    struct pindma_cqe cqe;
    int i, k;

    for (i = 0; i < ARRAY_SIZE(pd); i++) {
        /* By sqe on one queue, by register on the other */
        qset4(t, IO + 1, PINDMA_QUEUE_ENABLE, 0);
        qset4(t, IO + 1, PINDMA_QUEUE_PD, pd[i]);
        queue_setup(t, IO + 1, 64);
        g_assert_cmphex(qreg4(t, IO + 1, PINDMA_QUEUE_PD), ==, pd[i]);
        for (k = 0; k < ARRAY_SIZE(mr); k++) {
            uint16_t want = k == i ? PINDMA_ST_OK : PINDMA_ST_BAD_KEY;
            struct pindma_sqe sqe = OP(FILL, .key = k + 1, .len = 1,
                                       .value = 0x80 + i);

            g_assert_cmpuint(run_on(t, IO + 1, sqe).status, ==, want);
            sqe.pd = pd[i];
            sqe.offset = 1;
            g_assert_cmpuint(run(t, sqe).status, ==, want);
            if (k == i) {
                want_bytes(mr[k], 0, 2, 0x80 + i);
            }
            mr_check(t, mr[k]);
            cqe = run(t, OP(HAMMER, .key = k + 1, .len = 8, .pd = pd[i] ^ 1));
            g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_KEY);
            cqe = run(t, OP(COPY, .key = i + 1, .src_key = k + 1, .len = 1,
                            .pd = pd[i]));
            g_assert_cmpuint(cqe.status, ==, want);
        }
        if (pd[i]) {
            /* With a domain of its own a queue takes no other, not even that */
            cqe = run_on(t, IO + 1, OP(NOP, .pd = pd[i]));
            g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_FIELD);
        }
    }
    for (i = 0; i < ARRAY_SIZE(mr); i++) {
        mr_check(t, mr[i]);
        g_free(mr[i]);
    }
    rig_free(t);
}

/*
 * All channels at once, and one of them in trouble.  Red: another queue than
 * qn in pindma_queue_end() or pindma_queue_clear().
 */
static void test_parallel(void)
{
    const int rounds = 50;
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    struct pindma_cqe cqe;
    uint64_t sum = 0, tags[PINDMA_NUM_QUEUES];
    int qn, i;

    qtest_writeq(t->qts, mr_addr(mr, 0), 0);
    for (qn = IO; qn < PINDMA_NUM_QUEUES; qn++) {
        tags[qn] = t->tag;
        for (i = 0; i < rounds; i++) {
            post(t, qn, OP(FETCH_ADD, .key = 1, .len = 8, .value = qn));
            sum += qn;
        }
    }
    for (qn = IO; qn < PINDMA_NUM_QUEUES; qn++) {
        ring(t, qn);
    }
    for (qn = IO; qn < PINDMA_NUM_QUEUES; qn++) {
        for (i = 0; i < rounds; i++) {
            reap_expect(t, qn, tags[qn] + 1 + i, PINDMA_ST_OK);
        }
    }
    g_assert_cmphex(qtest_readq(t->qts, mr_addr(mr, 0)), ==, sum);
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);

    /* The ring of each in turn breaks under it. */
    for (qn = IO; qn < PINDMA_NUM_QUEUES; qn++) {
        qset4(t, qn, PINDMA_QUEUE_ENABLE, 0);
        set8(t, PINDMA_QUEUE_REGS(qn) + PINDMA_QUEUE_SQ_ADDR, MMIO_HOLE);
        qset4(t, qn, PINDMA_QUEUE_ENABLE, 1);
        db4(t, qn, PINDMA_DB_SQ_TAIL, 1);
        for (i = IO; i < PINDMA_NUM_QUEUES; i++) {
            if (i != qn) {
                cqe = run_on(t, i, OP(FILL, .key = 1, .offset = 8, .len = 8));
                g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
            }
        }
        WAIT_FOR(!qreg4(t, qn, PINDMA_QUEUE_ENABLE));
        queue_setup(t, qn, 64);
    }
    rig_free(t);
    g_free(mr);
}

/* -------------------------------------------------------- on-demand paging */

static void page_request(Rig *t, uint32_t key, uint64_t page)
{
    struct pindma_cqe cqe = reap(t, ADMIN);

    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_PAGE_REQUEST);
    g_assert_cmphex(cqe.tag, ==, key);
    g_assert_cmpuint(cqe.result, ==, page);
    g_assert_cmpuint(journal_entry(t, cqe.seq).kind, ==,
                     PINDMA_JOURNAL_PAGE_REQUEST);
}

/*
 * Pages that are absent, that come, that go and that cannot be had.  Red:
 * pindma_mr_locate(), any mode of pindma_op_update_mr(), pindma_queue_paged().
 */
static void test_paging(void)
{
    Rig *t = rig_new(true);
    uint64_t page[3] = { ram_alloc(t, 1), ram_alloc(t, 1), ram_alloc(t, 1) };
    uint64_t pages[] = {
        page[0], PINDMA_PAGE_ABSENT, PINDMA_PAGE_ABSENT, page[1],
    };
    uint64_t bad[] = { page[0], 2 }, tag, other;
    const struct pindma_sqe ops[] = {
        OP(FILL, .key = 1, .offset = PAGE, .len = 8, .value = 0xaa),
        OP(WRITE, .key = 1, .offset = PAGE, .len = 8, .value = VALUE),
        OP(WRITE, .key = 1, .offset = PAGE, .len = PAGE,
           .mode = PINDMA_WRITE_STAMP),
        OP(READ, .key = 1, .offset = PAGE, .len = PAGE,
           .mode = PINDMA_READ_CRC32),
        OP(COPY, .key = 1, .offset = 8, .len = 8, .src_key = 1,
           .src_offset = PAGE),
        OP(FETCH_ADD, .key = 1, .offset = PAGE, .len = 8, .value = 1),
        OP(COMPARE, .mode = PINDMA_COMPARE_MR, .key = 1, .offset = PAGE,
           .src_key = 1, .src_offset = PAGE, .len = 8),
        OP(FILL, .key = 1, .offset = PAGE, .len = 8, .flags = PINDMA_SQE_SG),
    };
    struct pindma_cqe cqe;
    int i;

    run_ok(t, OP(REG_MR, .key = 1, .mode = RW, .len = 4 * PAGE,
                 .value = page_list(t, pages, 4)));
    pages[0] = page[2];
    for (i = 0; i < ARRAY_SIZE(ops); i++) {
        tag = start(t, IO, ops[i]);
        page_request(t, 1, 1);
        settle();
        g_assert_false(peek(t, IO, &cqe));
        g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, BUSY);
        /* Another page of it is no answer. */
        run_ok(t, OP(UPDATE_MR, .mode = PINDMA_UPDATE_MAP, .key = 1,
                     .offset = 2, .len = 1, .value = page_list(t, pages, 1)));
        settle();
        g_assert_false(peek(t, IO, &cqe));
        if (i % 2) {
            run_ok(t, OP(UPDATE_MR, .mode = PINDMA_UPDATE_REFUSE, .key = 1,
                         .offset = 1, .len = 1));
            reap_expect(t, IO, tag, PINDMA_ST_DMA_ERROR);
        } else {
            run_ok(t, OP(UPDATE_MR, .mode = PINDMA_UPDATE_MAP, .key = 1,
                         .offset = 1, .len = 1,
                         .value = page_list(t, pages, 1)));
            reap_expect(t, IO, tag, PINDMA_ST_OK);
        }
        run_ok(t, OP(UPDATE_MR, .mode = PINDMA_UPDATE_UNMAP, .key = 1,
                     .offset = 1, .len = 2));
    }

    /* A hammer and another channel wait for the same page, STOP ends one. */
    tag = start(t, IO, OP(HAMMER, .key = 1, .len = 4 * PAGE, .value = 1));
    page_request(t, 1, 1);
    other = start(t, IO + 1, OP(FILL, .key = 1, .offset = 2 * PAGE, .len = 8,
                                .value = 0x55));
    page_request(t, 1, 2);
    g_assert_cmpuint(hammer_stop(t, tag), ==, 1);
    pages[1] = page[2];
    pages[0] = page[1];
    run_ok(t, OP(UPDATE_MR, .mode = PINDMA_UPDATE_MAP, .key = 1, .offset = 1,
                 .len = 2, .value = page_list(t, pages, 2)));
    reap_expect(t, IO + 1, other, PINDMA_ST_OK);
    g_assert_cmphex(qtest_readq(t->qts, page[2]), ==, 0x5555555555555555);

    /* Requests wait for room in the admin ring, and the mr may go. */
    run_ok(t, OP(UPDATE_MR, .mode = PINDMA_UPDATE_UNMAP, .key = 1, .len = 4));
    queue_setup(t, ADMIN, 2);
    tag = start(t, IO, OP(FILL, .key = 1, .len = 8));
    other = start(t, IO + 1, OP(FILL, .key = 1, .offset = 3 * PAGE, .len = 8));
    WAIT_FOR(peek(t, ADMIN, &cqe));
    settle();
    g_assert_cmpuint(qreg4(t, ADMIN, PINDMA_QUEUE_CQ_TAIL), ==, 1);
    consume(t, ADMIN);
    WAIT_FOR(peek(t, ADMIN, &cqe));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_PAGE_REQUEST);
    consume(t, ADMIN);
    run_ok(t, OP(DEREG_MR, .key = 1));
    reap_expect(t, IO, tag, PINDMA_ST_ABORTED);
    reap_expect(t, IO + 1, other, PINDMA_ST_ABORTED);

    /* What UPDATE_MR does not take */
    queue_setup(t, ADMIN, 16);
    run_ok(t, OP(REG_MR, .key = 1, .mode = RW, .len = 2 * PAGE,
                 .value = page_list(t, pages, 2)));
    cqe = run(t, OP(UPDATE_MR, .mode = PINDMA_UPDATE_UNMAP, .key = 2,
                    .len = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_KEY);
    cqe = run(t, OP(UPDATE_MR, .mode = PINDMA_UPDATE_UNMAP, .key = 1,
                    .offset = 1, .len = 2));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BOUNDS);
    cqe = run(t, OP(UPDATE_MR, .mode = PINDMA_UPDATE_UNMAP, .key = 1,
                    .offset = -1ull, .len = 2));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BOUNDS);
    cqe = run(t, OP(UPDATE_MR, .mode = PINDMA_UPDATE_UNMAP, .key = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_FIELD);
    cqe = run(t, OP(UPDATE_MR, .mode = 3, .key = 1, .len = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_FIELD);
    cqe = run(t, OP(UPDATE_MR, .mode = PINDMA_UPDATE_UNMAP, .key = 1, .len = 1,
                    .value = 8));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_FIELD);
    cqe = run(t, OP(UPDATE_MR, .mode = PINDMA_UPDATE_MAP, .key = 1, .len = 1,
                    .value = 4));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_FIELD);
    cqe = run(t, OP(UPDATE_MR, .mode = PINDMA_UPDATE_MAP, .key = 1, .len = 2,
                    .value = page_list(t, bad, 2)));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_FIELD);
    g_assert_cmpuint(cqe.result, ==, 8);
    cqe = run(t, OP(UPDATE_MR, .mode = PINDMA_UPDATE_MAP, .key = 1, .len = 1,
                    .value = MMIO_HOLE));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
    rig_free(t);
}

void pindma_add_list_tests(void)
{
    qtest_add_func("/pindma/compare", test_compare);
    qtest_add_func("/pindma/atomic", test_atomic);
    qtest_add_func("/pindma/atomic-errors", test_atomic_errors);
    qtest_add_func("/pindma/list", test_lists);
    qtest_add_func("/pindma/list-errors", test_list_errors);
    qtest_add_func("/pindma/domains", test_domains);
    qtest_add_func("/pindma/parallel", test_parallel);
    qtest_add_func("/pindma/paging", test_paging);
}
