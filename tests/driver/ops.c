// SPDX-License-Identifier: GPL-2.0-only
/*
 * Driver and device together: does each op do what <linux/pindma.h> and
 * pindma_regs.h say? To see it red: change what an op writes in pindma.c, or
 * whom a completion goes to in pindma_queue.c.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zlib.h>

#include "test.h"

#define MR_LEN	(NR_PAGES * PAGE_SIZE)

static void setup(struct test *t)
{
	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
}

static uint8_t expected[MR_LEN];

/* Run an op, and compare the whole mr with what is expected. */
static void run_and_compare(struct test *t, struct pindma_op op,
			    uint64_t result)
{
	struct pindma_completion c;
	unsigned int i;

	op.mr = t->mr;
	c = test_run_op(t, op);
	if (c.status != PINDMA_ST_OK || c.result != result)
		test_lost(t, "op 0x%x mode %u offset 0x%llx len 0x%llx: %s, result 0x%llx",
			  op.opcode, op.mode, (unsigned long long)op.offset,
			  (unsigned long long)op.len,
			  pindma_status_string(c.status),
			  (unsigned long long)c.result);
	for (i = 0; i < MR_LEN; i++)
		if (t->mem[i] != expected[i])
			test_lost(t, "op 0x%x mode %u offset 0x%llx len 0x%llx: byte 0x%x is 0x%02x, not 0x%02x",
				  op.opcode, op.mode,
				  (unsigned long long)op.offset,
				  (unsigned long long)op.len, i, t->mem[i],
				  expected[i]);
}

/* Aligned and not, within a page and across, one byte and everything */
static const struct {
	uint64_t offset, len;
} ranges[] = {
	{ 0, 1 }, { 0x123, 1 }, { 8, 8 }, { 0xffc, 8 }, { 0xfff, 2 },
	{ 0x801, 0x7ff }, { 0xffd, 0x1006 }, { 0, MR_LEN }, { 1, MR_LEN - 1 },
	{ MR_LEN - 3, 3 }, { MR_LEN, 0 },
};

static void write_fill(struct test *t)
{
	unsigned int i, j;
	uint64_t value;

	setup(t);
	memcpy(expected, t->mem, MR_LEN);
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		uint64_t offset = ranges[i].offset, len = ranges[i].len;

		memset(expected + offset, 0x40 + i, len);
		run_and_compare(t, (struct pindma_op){
			.opcode = PINDMA_OP_FILL, .offset = offset, .len = len,
			.value = 0x40 + i }, len);
		value = test_token(t);
		for (j = 0; j < len; j++)
			expected[offset + j] = pindma_pattern(value, j / 8) >>
					       j % 8 * 8;
		run_and_compare(t, (struct pindma_op){
			.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_PATTERN,
			.offset = offset, .len = len, .value = value }, len);
		if (!len || len > 8)
			continue;
		value = test_token(t);
		memcpy(expected + offset, &value, len);
		run_and_compare(t, (struct pindma_op){
			.opcode = PINDMA_OP_WRITE,
			.mode = PINDMA_WRITE_IMMEDIATE,
			.offset = offset, .len = len, .value = value }, len);
	}
	value = test_token(t);
	for (j = 0; j < NR_PAGES; j++) {
		uint64_t stamp = value + j;

		memcpy(expected + j * PAGE_SIZE + 16, &stamp, sizeof(stamp));
	}
	run_and_compare(t, (struct pindma_op){
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_STAMP,
		.offset = 16, .len = MR_LEN - 16, .value = value }, NR_PAGES);
	test_check_surroundings(t);
	test_kept(t);
}

static void read_crc(struct test *t)
{
	unsigned int i;
	uint64_t value;

	setup(t);
	for (i = 0; i < MR_LEN; i++)
		t->mem[i] = i * 7 + i / 251;
	memcpy(expected, t->mem, MR_LEN);
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		uint64_t offset = ranges[i].offset, len = ranges[i].len;

		run_and_compare(t, (struct pindma_op){
			.opcode = PINDMA_OP_READ, .mode = PINDMA_READ_CRC32,
			.offset = offset, .len = len },
			crc32(0, t->mem + offset, len));
		if (!len || len > 8)
			continue;
		value = 0;
		memcpy(&value, t->mem + offset, len);
		run_and_compare(t, (struct pindma_op){
			.opcode = PINDMA_OP_READ, .mode = PINDMA_READ_VALUE,
			.offset = offset, .len = len }, value);
	}
	test_check_surroundings(t);
	test_kept(t);
}

/* The words of the bytes in a row, wherever they are; the last one filled up */
static void read_sum(struct test *t)
{
	unsigned int i, n;

	setup(t);
	for (i = 0; i < MR_LEN; i++)
		t->mem[i] = i * 37 + i / 251 + 0x80;
	memcpy(expected, t->mem, MR_LEN);
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		uint64_t offset = ranges[i].offset, len = ranges[i].len;
		uint64_t sum = 0, word;

		for (n = 0; n < len; n += 8) {
			word = 0;
			memcpy(&word, t->mem + offset + n,
			       len - n < 8 ? len - n : 8);
			sum += word;
		}
		run_and_compare(t, (struct pindma_op){
			.opcode = PINDMA_OP_READ, .mode = PINDMA_READ_SUM,
			.offset = offset, .len = len }, sum);
	}
	test_check_surroundings(t);
	test_kept(t);
}

/* From an mr that begins somewhere in a page to one that begins elsewhere */
static void copy(struct test *t)
{
	unsigned int i;
	uint32_t src_mr;
	uint8_t *src;

	setup(t);
	src = malloc(MR_LEN + 100);
	CHECK(t, src);
	for (i = 0; i < MR_LEN + 100; i++)
		src[i] = i * 13 + i / 127;
	CHECK(t, !pindma_reg_mr(t->dev, src, MR_LEN + 100, PINDMA_PIN_LONGTERM,
				PINDMA_MR_READONLY, &src_mr));
	memcpy(expected, t->mem, MR_LEN);
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		uint64_t offset = ranges[i].offset, len = ranges[i].len;

		memcpy(expected + offset, src + 100 - i, len);
		run_and_compare(t, (struct pindma_op){
			.opcode = PINDMA_OP_COPY, .offset = offset, .len = len,
			.src_mr = src_mr, .src_offset = 100 - i }, len);
	}
	test_check_surroundings(t);
	test_kept(t);
}

/* COMPARE with a pattern, or with another mr, tells the first byte that differs. */
static void compare_at(struct test *t, struct pindma_op op, uint64_t len)
{
	const uint64_t at[] = { 0, len / 2, len - 1 };
	struct pindma_completion c;
	unsigned int i;

	op.opcode = PINDMA_OP_COMPARE;
	op.mr = t->mr;
	op.len = len;
	run_and_compare(t, op, len);
	for (i = 0; len && i < ARRAY_SIZE(at); i++) {
		uint8_t *byte = t->mem + op.offset + at[i];
		/* The last bit of the first byte, then the first, one between */
		uint8_t bit = 0x80 >> (i * 3);

		*byte ^= bit;
		/* What differs behind it does not matter. */
		if (i == 1)
			t->mem[op.offset + len - 1] ^= 1;
		c = test_run_op(t, op);
		if (c.status != PINDMA_ST_MISCOMPARE || c.result != at[i])
			test_lost(t, "mode %u offset 0x%llx len 0x%llx: %s at 0x%llx, where byte 0x%llx differs",
				  op.mode, (unsigned long long)op.offset,
				  (unsigned long long)len,
				  pindma_status_string(c.status),
				  (unsigned long long)c.result,
				  (unsigned long long)at[i]);
		if (i == 1)
			t->mem[op.offset + len - 1] ^= 1;
		*byte ^= bit;
	}
}

static void compare(struct test *t)
{
	uint32_t src_mr;
	unsigned int i;
	uint8_t *src;

	setup(t);
	src = malloc(MR_LEN + 100);
	CHECK(t, src);
	for (i = 0; i < MR_LEN + 100; i++)
		src[i] = i * 11 + i / 113;
	CHECK(t, !pindma_reg_mr(t->dev, src, MR_LEN + 100, PINDMA_PIN_LONGTERM,
				PINDMA_MR_READONLY, &src_mr));
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		uint64_t offset = ranges[i].offset, len = ranges[i].len, j;
		uint64_t value = test_token(t);

		memcpy(t->mem + offset, src + 7 * i, len);
		memcpy(expected, t->mem, MR_LEN);
		compare_at(t, (struct pindma_op){
			.mode = PINDMA_COMPARE_MR, .offset = offset,
			.src_mr = src_mr, .src_offset = 7 * i }, len);
		for (j = 0; j < len; j++)
			t->mem[offset + j] = pindma_pattern(value, j / 8) >>
					     j % 8 * 8;
		memcpy(expected, t->mem, MR_LEN);
		compare_at(t, (struct pindma_op){
			.mode = PINDMA_COMPARE_PATTERN, .offset = offset,
			.value = value }, len);
	}
	test_check_surroundings(t);
	test_kept(t);
}

static void bounds(struct test *t)
{
	static const struct {
		struct pindma_op op;
		uint32_t status;
	} bad[] = {
		{ { .opcode = PINDMA_OP_FILL, .len = MR_LEN + 1 }, PINDMA_ST_BOUNDS },
		{ { .opcode = PINDMA_OP_FILL, .offset = MR_LEN + 1 }, PINDMA_ST_BOUNDS },
		{ { .opcode = PINDMA_OP_FILL, .offset = -8ull, .len = 16 }, PINDMA_ST_BOUNDS },
		{ { .opcode = PINDMA_OP_FILL, .offset = 8, .len = -1ull }, PINDMA_ST_BOUNDS },
		{ { .opcode = PINDMA_OP_WRITE, .len = 9 }, PINDMA_ST_BAD_FIELD },
		{ { .opcode = PINDMA_OP_WRITE, .mode = 9, .len = 8 }, PINDMA_ST_BAD_FIELD },
		{ { .opcode = PINDMA_OP_READ, .len = 8, .value = 1 }, PINDMA_ST_BAD_FIELD },
		{ { .opcode = PINDMA_OP_HAMMER, .offset = 4, .len = 8 }, PINDMA_ST_BAD_FIELD },
		{ { .opcode = PINDMA_OP_HAMMER, .offset = MR_LEN - 4, .len = 4 }, PINDMA_ST_BAD_FIELD },
		{ { .opcode = PINDMA_OP_HAMMER, .offset = MR_LEN - 8, .len = 16 }, PINDMA_ST_BOUNDS },
		{ { .opcode = PINDMA_OP_HAMMER, .mode = 4, .len = 8 }, PINDMA_ST_BAD_FIELD },
		{ { .opcode = PINDMA_OP_COMPARE, .offset = MR_LEN - 8, .len = 9 }, PINDMA_ST_BOUNDS },
		{ { .opcode = PINDMA_OP_COMPARE, .mode = 2, .len = 8 }, PINDMA_ST_BAD_FIELD },
		{ { .opcode = PINDMA_OP_COMPARE, .len = 8, .src_mr = 1 }, PINDMA_ST_BAD_FIELD },
		{ { .opcode = PINDMA_OP_COMPARE, .mode = PINDMA_COMPARE_MR, .len = 8 }, PINDMA_ST_BAD_KEY },
		{ { .opcode = PINDMA_OP_FILL, .len = 8, .flags = 1u << 6 }, PINDMA_ST_BAD_FIELD },
		{ { .opcode = PINDMA_OP_FILL, .len = 8, .when = 1 }, PINDMA_ST_BAD_FIELD },
		{ { .opcode = PINDMA_OP_FILL, .len = 8, .when = 1,
		    .flags = PINDMA_SQE_NOT_BEFORE | PINDMA_SQE_ON_MARK }, PINDMA_ST_BAD_FIELD },
	};
	struct pindma_op fill = { .opcode = PINDMA_OP_FILL, .len = 1 };
	struct pindma_completion c;
	unsigned int i;
	uint32_t ro;

	setup(t);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct pindma_op op = bad[i].op;

		op.mr = t->mr;
		c = test_run_op(t, op);
		if (c.status != bad[i].status)
			test_lost(t, "bad op %u: %s, not %s", i,
				  pindma_status_string(c.status),
				  pindma_status_string(bad[i].status));
	}
	CHECK(t, !pindma_reg_mr(t->dev, t->mem, MR_LEN, PINDMA_PIN_PIN,
				PINDMA_MR_READONLY, &ro));
	fill.mr = ro;
	CHECK(t, test_run_op(t, fill).status == PINDMA_ST_ACCESS);
	t->mem = t->buf + t->len;	/* nothing at all may have changed */
	test_check_surroundings(t);
	test_kept(t);
}

/* Completions go to whoever posted, and say so in every way that there is. */
static void completions(struct test *t)
{
	struct pindma_op nop = { .opcode = PINDMA_OP_NOP };
	struct pollfd pfd = { .events = POLLIN };
	struct pindma_completion c[300];
	struct pindma_info info;
	struct pindma *other;
	unsigned int i, n;
	uint64_t count;
	int efd, ret;

	setup(t);
	CHECK(t, !pindma_open(NULL, &other));
	CHECK(t, !pindma_get_info(t->dev, &info));
	pfd.fd = pindma_fd(t->dev);
	CHECK(t, poll(&pfd, 1, 0) == 0);
	efd = eventfd(0, EFD_NONBLOCK);
	CHECK(t, !pindma_set_eventfd(t->dev, efd));
	for (i = 0; i < info.max_ops; i++) {
		nop.user_data = 1000 + i;
		CHECK(t, pindma_post(t->dev, &nop, 1) == 1);
	}
	CHECK(t, pindma_post(t->dev, &nop, 1) == -EAGAIN);
	nop.user_data = 7;
	CHECK(t, pindma_post(other, &nop, 1) == 1);
	CHECK(t, pindma_wait(other, c, 2, 10000) == 1 && c[0].user_data == 7);
	for (n = 0; n < info.max_ops; n += ret) {
		ret = pindma_wait(t->dev, c, ARRAY_SIZE(c), 10000);
		CHECK(t, ret > 0);
		for (i = 0; i < (unsigned int)ret; i++)
			CHECK(t, c[i].user_data == 1000 + n + i &&
				 c[i].status == PINDMA_ST_OK);
	}
	CHECK(t, read(efd, &count, sizeof(count)) == sizeof(count) &&
		 count == info.max_ops);
	CHECK(t, poll(&pfd, 1, 0) == 0);
	CHECK(t, pindma_reap(other, c, 1) == 0);
	CHECK(t, pindma_wait(t->dev, c, 0, -1) == -EINVAL);
	test_kept(t);
}

/*
 * Two threads on one file, one of which takes away what the other has just made,
 * or reaps what the other has posted, sometimes to where nothing can be written.
 */
static volatile bool stop;

static void *rival(void *arg)
{
	struct test *t = arg;
	struct pindma_completion c;
	uint32_t key;

	while (!stop) {
		for (key = t->mr; key < t->mr + 64 * 1024; key += 1024)
			pindma_dereg_mr(t->dev, key);
		pindma_reap(t->dev, (void *)16, 1);
		pindma_reap(t->dev, &c, 1);
	}
	return NULL;
}

static void threads(struct test *t)
{
	struct pindma_op nop = { .opcode = PINDMA_OP_NOP };
	struct pindma_completion c[256];
	struct pindma_info info;
	unsigned int i, posted = 0;
	uint32_t mr = 0;
	pthread_t thread;
	int ret;

	setup(t);
	CHECK(t, !pindma_get_info(t->dev, &info));
	CHECK(t, !pthread_create(&thread, NULL, rival, t));
	for (i = 0; i < 400; i++) {
		if (i % 4 == 0) {
			/* One slot after the other: the rival guesses the key. */
			ret = pindma_reg_mr(t->dev, t->mem, PAGE_SIZE,
					    PINDMA_PIN_PIN, 0, &mr);
			CHECK(t, !ret && mr);
			t->mr = mr & -1024 ? mr - 32 * 1024 : mr;
			ret = pindma_dereg_mr(t->dev, mr);
			CHECK(t, !ret || ret == -ENOENT);
		}
		ret = pindma_post(t->dev, &nop, 1);
		CHECK(t, ret == 1 || ret == -EAGAIN);
	}
	stop = true;
	CHECK(t, !pthread_join(thread, NULL));
	/* The limit still holds, after all that was put back. */
	while (pindma_wait(t->dev, c, ARRAY_SIZE(c), 100) > 0)
		;
	while ((ret = pindma_post(t->dev, &nop, 1)) == 1)
		posted++;
	CHECK(t, ret == -EAGAIN && posted == info.max_ops);
	t->mr = 0;
	test_kept(t);
}

/* The mrs of a file are its own, and stay as long as anybody has it open. */
static void files(struct test *t)
{
	struct pindma_op read = { .opcode = PINDMA_OP_READ, .len = 8 };
	long pinned = kernel_pinned_pages();
	struct pindma_completion c;
	struct pindma *other;
	struct peer child;

	setup(t);
	CHECK(t, !pindma_open(NULL, &other));
	read.mr = t->mr;
	CHECK(t, pindma_post(other, &read, 1) == 1);
	CHECK(t, pindma_wait(other, &c, 1, 10000) == 1 &&
		 c.status == PINDMA_ST_BAD_KEY);
	CHECK(t, pindma_dereg_mr(other, t->mr) == -ENOENT);
	child = test_fork_peer(t, false);
	CHECK(t, test_run_op(t, read).status == PINDMA_ST_OK);
	close(pindma_fd(t->dev));	/* the child still has it */
	CHECK(t, kernel_pinned_pages() - pinned == NR_PAGES);
	test_peer_exit(t, &child);
	t->dev = NULL;
	test_kept(t);	/* the runner checks that nothing is pinned now */
}

/* DEREG_MR under ops and a hammer: they end as aborted, and then it returns. */
static void dereg_aborts(struct test *t)
{
	struct pindma_op fill = { .opcode = PINDMA_OP_FILL, .len = MR_LEN };
	struct pindma_completion c;
	uint64_t hammer;

	setup(t);
	hammer = test_start_hammer(t, 0);
	fill.mr = t->mr;
	CHECK(t, test_run_op(t, fill).status == PINDMA_ST_OK);
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	CHECK(t, pindma_wait(t->dev, &c, 1, 10000) == 1);
	CHECK(t, c.user_data == hammer && c.status == PINDMA_ST_ABORTED &&
		 c.result > 0);
	CHECK(t, test_run_op(t, fill).status == PINDMA_ST_BAD_KEY);
	CHECK(t, pindma_dereg_mr(t->dev, t->mr) == -ENOENT);
	test_kept(t);
}

const struct scenario driver_ops_scenarios[] = {
	{
		.name = "driver.write",
		.promise = "WRITE and FILL change the bytes that they name and no others, at any alignment",
		.run = write_fill,
	}, {
		.name = "driver.read",
		.promise = "READ returns the value, or the CRC, of the bytes that it names",
		.run = read_crc,
	}, {
		.name = "driver.read_sum",
		.promise = "the sum of what the device reads is that of the bytes that are there",
		.run = read_sum,
	}, {
		.name = "driver.copy",
		.promise = "COPY moves bytes from one mr to another, at any alignment",
		.run = copy,
	}, {
		.name = "driver.compare",
		.promise = "COMPARE finds the first byte that differs from a pattern, or from another mr",
		.run = compare,
	}, {
		.name = "driver.bounds",
		.promise = "an op that leaves its mr, writes to a read-only one or makes no sense touches nothing",
		.run = bounds,
	}, {
		.name = "driver.completions",
		.promise = "each op is completed once, to the file that posted it, by poll() and by eventfd",
		.run = completions,
	}, {
		.name = "driver.threads",
		.promise = "two threads that use one file against each other lose nothing and get no more than they may",
		.run = threads,
	}, {
		.name = "driver.files",
		.promise = "an mr belongs to one file, and lives as long as anybody has that file open",
		.run = files,
	}, {
		.name = "driver.dereg_aborts",
		.promise = "deregistering an mr ends the ops and hammers that use it",
		.run = dereg_aborts,
	},
	{ }
};
