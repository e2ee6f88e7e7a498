// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scatter/gather: ops whose bytes are in pieces, of any alignment and length, in
 * several mrs. To see it red: let the device forget the bytes of a page that are
 * before a piece, or take a key from a list without asking whose it is.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "test.h"

#define MR_LEN		(NR_PAGES * PAGE_SIZE)
#define NR_PIECES	40
#define MAX_LISTS	4		/* at a time in the mr of lists */

/* A second mr, and one of lists, which begins somewhere in a page */
static uint8_t other[MR_LEN + 1], *lists_mem;
static uint32_t other_mr, lists_mr;
static uint8_t expected[2][MR_LEN];

static void setup(struct test *t)
{
	size_t size = MAX_LISTS * NR_PIECES * sizeof(struct pindma_sge);
	unsigned int i;

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	lists_mem = malloc(size + 20);
	CHECK(t, lists_mem);
	lists_mem += 20;
	for (i = 0; i < MR_LEN; i++) {
		t->mem[i] = i * 3 + i / 97;
		other[i + 1] = i * 5 + i / 89;
	}
	memcpy(expected[0], t->mem, MR_LEN);
	memcpy(expected[1], other + 1, MR_LEN);
	CHECK(t, !pindma_reg_mr(t->dev, other + 1, MR_LEN, PINDMA_PIN_LONGTERM,
				0, &other_mr));
	CHECK(t, !pindma_reg_mr(t->dev, lists_mem, size, PINDMA_PIN_LONGTERM,
				PINDMA_MR_READONLY, &lists_mr));
}

/* Where list n is, as an offset in the mr of lists */
static uint64_t list_offset(unsigned int n)
{
	return n * NR_PIECES * sizeof(struct pindma_sge);
}

static struct pindma_sge *list(unsigned int n)
{
	return (struct pindma_sge *)(lists_mem + list_offset(n));
}

static uint32_t random32(struct test *t)
{
	return test_token(t);
}

/*
 * Pieces that do not overlap, in no order, from both mrs. step: how far apart
 * they begin at most. Returns the sum of their lengths.
 */
static uint64_t make_list(struct test *t, unsigned int n, unsigned int step)
{
	struct pindma_sge *sge = list(n), tmp;
	uint64_t at[2] = { 0, 0 }, sum = 0;
	unsigned int i, j;

	for (i = 0; i < NR_PIECES; i++) {
		unsigned int which = random32(t) % 2;
		uint64_t gap = random32(t) % 9, len = random32(t) % step;

		if (at[which] + gap + len > MR_LEN)
			len = gap = 0;
		at[which] += gap;
		sge[i] = (struct pindma_sge){
			.offset = at[which], .len = len,
			.key = which ? other_mr : t->mr };
		at[which] += len;
		sum += len;
	}
	for (i = NR_PIECES - 1; i; i--) {
		j = random32(t) % (i + 1);
		tmp = sge[i];
		sge[i] = sge[j];
		sge[j] = tmp;
	}
	return sum;
}

/* Byte nth of what a list describes, in a copy of both mrs */
static uint8_t *byte_of(struct test *t, uint8_t mem[2][MR_LEN], unsigned int n,
			uint64_t nth)
{
	const struct pindma_sge *sge = list(n);

	while (nth >= sge->len)
		nth -= sge++->len;
	return &mem[sge->key != t->mr][sge->offset + nth];
}

static void check_memory(struct test *t, const char *what)
{
	unsigned int i;

	for (i = 0; i < MR_LEN; i++) {
		if (t->mem[i] != expected[0][i])
			test_lost(t, "%s: byte 0x%x of the mr is 0x%02x, not 0x%02x",
				  what, i, t->mem[i], expected[0][i]);
		if (other[i + 1] != expected[1][i])
			test_lost(t, "%s: byte 0x%x of the other mr is 0x%02x, not 0x%02x",
				  what, i, other[i + 1], expected[1][i]);
	}
	CHECK(t, !other[0]);
}

static void run(struct test *t, const char *what, struct pindma_op op,
		uint64_t result)
{
	struct pindma_completion c = test_run_op(t, op);

	if (c.status != PINDMA_ST_OK || c.result != result)
		test_lost(t, "%s: %s, result 0x%llx, not 0x%llx", what,
			  pindma_status_string(c.status),
			  (unsigned long long)c.result,
			  (unsigned long long)result);
	check_memory(t, what);
}

static void scatter(struct test *t)
{
	static const unsigned int steps[] = { 2, 9, 100, 1000, 3000 };
	static uint8_t flat[2 * MR_LEN];
	unsigned int i, round;
	uint64_t len, j, value, crc;

	setup(t);
	for (round = 0; round < 3 * ARRAY_SIZE(steps); round++) {
		struct pindma_op op = {
			.opcode = PINDMA_OP_WRITE, .mr = lists_mr,
			.mode = PINDMA_WRITE_PATTERN,
			.flags = PINDMA_SQE_SG, .offset = list_offset(1) };

		i = round / 3;
		len = make_list(t, 1, steps[i]);
		if (round % 3)		/* not always to the end of the list */
			len -= len / 7;
		op.len = len;
		op.value = value = test_token(t);
		for (j = 0; j < len; j++)
			*byte_of(t, expected, 1, j) =
				pindma_pattern(value, j / 8) >> j % 8 * 8;
		run(t, "scattered WRITE", op, len);

		op.opcode = PINDMA_OP_COMPARE;
		op.mode = PINDMA_COMPARE_PATTERN;
		run(t, "scattered COMPARE", op, len);

		for (j = 0; j < len; j++)
			flat[j] = *byte_of(t, expected, 1, j);
		crc = crc32(0, flat, len);
		run(t, "gathered READ", (struct pindma_op){
			.opcode = PINDMA_OP_READ, .mode = PINDMA_READ_CRC32,
			.mr = lists_mr, .flags = PINDMA_SQE_SG,
			.offset = list_offset(1), .len = len }, crc);

		len /= 2;
		for (j = 0; j < len; j++)
			*byte_of(t, expected, 1, j) = 0x30 + round;
		run(t, "scattered FILL", (struct pindma_op){
			.opcode = PINDMA_OP_FILL, .mr = lists_mr,
			.flags = PINDMA_SQE_SG, .offset = list_offset(1),
			.len = len, .value = 0x30 + round }, len);
	}
	test_check_surroundings(t);
	test_kept(t);
}

/* One byte a piece: the value of an op is scattered, too. */
static void scatter_value(struct test *t)
{
	uint64_t value, i;

	setup(t);
	value = test_token(t);
	for (i = 0; i < 8; i++) {
		list(0)[i] = (struct pindma_sge){
			.offset = 0xffd + i * 0x333, .len = 1,
			.key = i % 2 ? other_mr : t->mr };
		expected[i % 2][0xffd + i * 0x333] = value >> i * 8;
	}
	run(t, "scattered value", (struct pindma_op){
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_IMMEDIATE,
		.mr = lists_mr, .flags = PINDMA_SQE_SG, .len = 8,
		.value = value }, 8);
	run(t, "gathered value", (struct pindma_op){
		.opcode = PINDMA_OP_READ, .mode = PINDMA_READ_VALUE,
		.mr = lists_mr, .flags = PINDMA_SQE_SG, .len = 8 }, value);
	test_check_surroundings(t);
	test_kept(t);
}

/* Lists on both sides, whose pieces do not meet; and with one side in one piece */
static void copy(struct test *t)
{
	struct pindma_op op = {
		.opcode = PINDMA_OP_COPY,
		.flags = PINDMA_SQE_SG | PINDMA_SQE_SRC_SG,
		.offset = list_offset(0), .src_offset = list_offset(1) };
	unsigned int i, round;
	uint64_t j;

	setup(t);
	op.mr = op.src_mr = lists_mr;	/* known only now */
	for (round = 0; round < 10; round++) {
		uint64_t at = 0, from = 0;

		/* Source: upper half of the mrs; target: the lower one. */
		for (i = 0; i < NR_PIECES; i++) {
			uint64_t len = 1 + random32(t) % 200;

			list(0)[i] = (struct pindma_sge){
				.offset = at, .len = len,
				.key = i % 3 ? t->mr : other_mr };
			at += len;
			len = 1 + random32(t) % 200;
			list(1)[i] = (struct pindma_sge){
				.offset = MR_LEN / 2 + from, .len = len,
				.key = i % 2 ? t->mr : other_mr };
			from += len;
		}
		op.len = at < from ? at : from;
		if (op.len > MR_LEN / 2)
			op.len = MR_LEN / 2;
		for (j = 0; j < op.len; j++)
			*byte_of(t, expected, 0, j) =
				*byte_of(t, expected, 1, j);
		run(t, "COPY from list to list", op, op.len);
		run(t, "COMPARE of two lists", (struct pindma_op){
			.opcode = PINDMA_OP_COMPARE, .mode = PINDMA_COMPARE_MR,
			.mr = lists_mr, .src_mr = lists_mr, .flags = op.flags,
			.offset = op.offset, .src_offset = op.src_offset,
			.len = op.len }, op.len);
		for (j = 0; j < op.len - 5; j++)
			expected[0][j + 5] = *byte_of(t, expected, 1, j);
		run(t, "COPY from a list", (struct pindma_op){
			.opcode = PINDMA_OP_COPY, .mr = t->mr, .offset = 5,
			.src_mr = lists_mr, .flags = PINDMA_SQE_SRC_SG,
			.src_offset = list_offset(1), .len = op.len - 5 },
			op.len - 5);
	}
	test_check_surroundings(t);
	test_kept(t);
}

/* What is wrong with a list ends the op there, and what is before it is done. */
static void bad_lists(struct test *t)
{
	const uint64_t end = MAX_LISTS * NR_PIECES * sizeof(struct pindma_sge);
	uint32_t ro, gone, foreign;
	struct pindma *stranger;
	unsigned int i;

	setup(t);
	CHECK(t, !pindma_reg_mr(t->dev, t->mem, 64, PINDMA_PIN_PIN,
				PINDMA_MR_READONLY, &ro));
	CHECK(t, !pindma_reg_mr(t->dev, t->mem, 64, PINDMA_PIN_PIN, 0, &gone));
	CHECK(t, !pindma_dereg_mr(t->dev, gone));
	CHECK(t, !pindma_open(NULL, &stranger));
	CHECK(t, !pindma_reg_mr(stranger, t->mem, MR_LEN, PINDMA_PIN_PIN, 0,
				&foreign));
	struct {
		struct pindma_sge sge;
		uint32_t status;
	} bad[] = {
		{ { .len = 8, .key = 0 }, PINDMA_ST_BAD_KEY },
		{ { .len = 8, .key = gone }, PINDMA_ST_BAD_KEY },
		{ { .len = 8, .key = foreign }, PINDMA_ST_BAD_KEY },
		{ { .len = 8, .key = t->mr + 1 }, PINDMA_ST_BAD_KEY },
		{ { .len = 8, .key = ro }, PINDMA_ST_ACCESS },
		{ { .len = 8, .key = t->mr, .offset = MR_LEN - 7 }, PINDMA_ST_BOUNDS },
		{ { .len = 8, .key = t->mr, .offset = -4ull }, PINDMA_ST_BOUNDS },
		{ { .len = 8, .key = t->mr, .reserved = 1 }, PINDMA_ST_BAD_FIELD },
	};

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct pindma_completion c;
		struct pindma_op op = {
			.opcode = PINDMA_OP_FILL, .mr = lists_mr,
			.flags = PINDMA_SQE_SG, .len = 24, .value = i };

		list(0)[0] = (struct pindma_sge){
			.offset = 0x100 + i, .len = 8, .key = t->mr };
		list(0)[1] = bad[i].sge;
		list(0)[2] = (struct pindma_sge){
			.offset = 0x800, .len = 8, .key = t->mr };
		memset(expected[0] + 0x100 + i, i, 8);
		c = test_run_op(t, op);
		if (c.status != bad[i].status || c.result != 8)
			test_lost(t, "bad piece %u: %s after %llu bytes, not %s after 8",
				  i, pindma_status_string(c.status),
				  (unsigned long long)c.result,
				  pindma_status_string(bad[i].status));
		check_memory(t, "bad piece");
		/* The same on the side that is read, but for the right to write */
		op.opcode = PINDMA_OP_COPY;
		op.value = 0;
		op.src_mr = lists_mr;
		op.flags = PINDMA_SQE_SRC_SG;
		op.mr = other_mr;
		op.offset = 64;
		c = test_run_op(t, op);
		memcpy(expected[1] + 64, t->mem + 0x100 + i, 8);
		if (bad[i].status == PINDMA_ST_ACCESS) {
			CHECK(t, c.status == PINDMA_ST_OK);
			memcpy(expected[1] + 72, t->mem, 8);
			memcpy(expected[1] + 80, t->mem + 0x800, 8);
		} else {
			CHECK(t, c.status == bad[i].status);
		}
		check_memory(t, "bad piece of a source");
	}

	/* A list that runs out of its mr, or is in none that the file has */
	for (i = 0; i < 3; i++) {
		static const uint32_t want[] = { PINDMA_ST_BOUNDS,
			PINDMA_ST_BAD_KEY, PINDMA_ST_BAD_KEY };
		const uint32_t keys[] = { lists_mr, foreign, gone };

		*(struct pindma_sge *)(lists_mem + end -
				       sizeof(struct pindma_sge)) =
			(struct pindma_sge){ .len = 3, .key = t->mr };
		CHECK(t, test_run_op(t, (struct pindma_op){
			.opcode = PINDMA_OP_FILL, .mr = keys[i],
			.flags = PINDMA_SQE_SG, .value = 0x77, .len = 4,
			.offset = i ? 0 : end - sizeof(struct pindma_sge),
			}).status == want[i]);
		if (!i)
			memset(expected[0], 0x77, 3);
		check_memory(t, "list that runs out");
	}
	/* Stamps and atomics are not scattered. */
	CHECK(t, test_run_op(t, (struct pindma_op){
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_STAMP,
		.mr = lists_mr, .flags = PINDMA_SQE_SG,
		.len = 8 }).status == PINDMA_ST_BAD_FIELD);
	CHECK(t, test_run_op(t, (struct pindma_op){
		.opcode = PINDMA_OP_FETCH_ADD, .mr = lists_mr,
		.flags = PINDMA_SQE_SG, .len = 8 }).status == PINDMA_ST_BAD_FIELD);
	CHECK(t, test_run_op(t, (struct pindma_op){
		.opcode = PINDMA_OP_FILL, .mr = t->mr,
		.flags = PINDMA_SQE_SRC_SG, .len = 8 }).status == PINDMA_ST_BAD_FIELD);
	check_memory(t, "refused op");
	test_check_surroundings(t);
	test_kept(t);
}

const struct scenario driver_lists_scenarios[] = {
	{
		.name = "driver.scatter",
		.promise = "with a list WRITE, READ, FILL and COMPARE go to its pieces, of any alignment and length, and to nothing else",
		.run = scatter,
	}, {
		.name = "driver.scatter_value",
		.promise = "a value of eight bytes can be scattered to eight places",
		.run = scatter_value,
	}, {
		.name = "driver.scatter_copy",
		.promise = "COPY and COMPARE take lists on either side, however their pieces meet",
		.run = copy,
	}, {
		.name = "driver.bad_lists",
		.promise = "a list cannot lead to mrs of other files, to old ones, out of bounds or against an access right",
		.run = bad_lists,
	},
	{ }
};
