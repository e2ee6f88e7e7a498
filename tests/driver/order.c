// SPDX-License-Identifier: GPL-2.0-only
/*
 * When ops run: one after the other, linked, fenced, at a time, at a mark, on
 * channels beside each other. The journal is the judge of the order. To see it
 * red: let the device ignore one of the flags.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared.h"

#define MS		1000000ull	/* of the device's clock */
#define FAR_AWAY	(1ull << 60)
#define SLOTS		64		/* words of the mr that a case uses */

static void setup(struct test *t)
{
	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	memset(t->mem, 0, SLOTS * 8);
}

static uint64_t *word(struct test *t, unsigned int n)
{
	return (uint64_t *)(t->mem + n * 8);
}

/* An op that sets word n to n + 1 */
static struct pindma_op set(struct test *t, unsigned int n, uint16_t flags)
{
	return (struct pindma_op){
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_IMMEDIATE,
		.flags = flags, .mr = t->mr, .offset = n * 8, .len = 8,
		.value = n + 1 };
}

static void expect(struct test *t, const struct pindma_completion *c,
		   unsigned int n, uint32_t status)
{
	if (c->status != status)
		test_lost(t, "op %u: %s, not %s", n,
			  pindma_status_string(c->status),
			  pindma_status_string(status));
	if (*word(t, n) != (status == PINDMA_ST_OK ? n + 1 : 0))
		test_lost(t, "op %u (%s): its word is %llu", n,
			  pindma_status_string(c->status),
			  (unsigned long long)*word(t, n));
}

/* Was each op's access before the next one's? */
static void expect_order(struct test *t, const struct pindma_completion *c,
			 const unsigned int *order, unsigned int nr)
{
	unsigned int i;

	for (i = 1; i < nr; i++)
		if (c[order[i - 1]].seq >= c[order[i]].seq)
			test_lost(t, "op %u (journal %llu) ran before op %u (journal %llu)",
				  order[i], (unsigned long long)c[order[i]].seq,
				  order[i - 1],
				  (unsigned long long)c[order[i - 1]].seq);
}

static const struct pindma_journal_entry *
find_entry(struct test *t, const struct pindma_completion *c, uint8_t kind)
{
	const struct pindma_journal_entry *e;
	uint64_t first = 0;
	int n = test_read_journal(t, &e, &first);

	while (n-- > 0)
		if (e[n].kind == kind && e[n].tag == c->tag &&
		    e[n].queue == PINDMA_QUEUE_IO + c->channel)
			return &e[n];
	test_error(t, "op 0x%llx is not in the journal",
		   (unsigned long long)c->tag);
}

/* The time of an op's access */
static uint64_t when_written(struct test *t, const struct pindma_completion *c)
{
	return find_entry(t, c, PINDMA_JOURNAL_WRITE)->time;
}

static void linked(struct test *t)
{
	static const unsigned int order[] = { 0, 1, 2, 3 };
	struct pindma_completion c[8];
	struct pindma_op op[8];

	setup(t);
	/* All well: the second one waits, and all that follow, linked or not. */
	op[0] = set(t, 0, PINDMA_SQE_LINK);
	op[1] = set(t, 1, PINDMA_SQE_LINK);
	op[1].delay = 20 * MS;
	op[2] = set(t, 2, 0);
	op[3] = set(t, 3, 0);
	test_run_ops(t, 0, op, 4, c);
	for (unsigned int i = 0; i < 4; i++)
		expect(t, &c[i], i, PINDMA_ST_OK);
	expect_order(t, c, order, 4);
	CHECK(t, when_written(t, &c[1]) - when_written(t, &c[0]) >= 20 * MS);

	/* The second one fails: all that hang on it are canceled, no others. */
	memset(t->mem, 0, SLOTS * 8);
	op[0] = set(t, 0, PINDMA_SQE_LINK);
	op[1] = set(t, 1, PINDMA_SQE_LINK);
	op[1].offset = NR_PAGES * PAGE_SIZE;
	op[2] = set(t, 2, PINDMA_SQE_LINK);
	op[3] = set(t, 3, PINDMA_SQE_LINK);
	op[3].delay = 1;
	op[4] = set(t, 4, 0);
	op[5] = set(t, 5, 0);
	op[6] = set(t, 6, PINDMA_SQE_LINK);
	op[7] = set(t, 7, 0);
	test_run_ops(t, 0, op, 8, c);
	expect(t, &c[0], 0, PINDMA_ST_OK);
	expect(t, &c[1], 1, PINDMA_ST_BOUNDS);
	expect(t, &c[2], 2, PINDMA_ST_CANCELED);
	expect(t, &c[3], 3, PINDMA_ST_CANCELED);
	expect(t, &c[4], 4, PINDMA_ST_CANCELED);
	expect(t, &c[5], 5, PINDMA_ST_OK);
	expect(t, &c[6], 6, PINDMA_ST_OK);
	expect(t, &c[7], 7, PINDMA_ST_OK);

	/* A comparison decides whether the next one runs. */
	memset(t->mem, 0, SLOTS * 8);
	op[0] = (struct pindma_op){
		.opcode = PINDMA_OP_COMPARE, .flags = PINDMA_SQE_LINK,
		.mr = t->mr, .offset = 8, .len = 8, .value = 1 };
	op[1] = set(t, 1, 0);
	test_run_ops(t, 0, op, 2, c);
	CHECK(t, c[0].status == PINDMA_ST_MISCOMPARE);
	expect(t, &c[1], 1, PINDMA_ST_CANCELED);
	op[0].value = 0;
	test_run_ops(t, 0, op, 2, c);
	expect(t, &c[1], 1, PINDMA_ST_OK);

	/* A hammer never ends well: nothing can hang on it. */
	op[0] = (struct pindma_op){
		.opcode = PINDMA_OP_HAMMER, .flags = PINDMA_SQE_LINK,
		.mr = t->mr, .offset = PAGE_SIZE, .len = 8 };
	op[1] = set(t, 2, 0);
	test_run_ops(t, 0, op, 2, c);
	CHECK(t, c[0].status == PINDMA_ST_BAD_FIELD);
	expect(t, &c[1], 2, PINDMA_ST_CANCELED);
	test_check_surroundings(t);
	test_kept(t);
}

static void fenced(struct test *t)
{
	static const unsigned int order[] = { 1, 0, 2, 3 };
	struct pindma_completion c[4];
	struct pindma_op op[4];
	uint64_t hammer;

	setup(t);
	/* A hammer that runs beside does not hold a fence up. */
	hammer = test_start_hammer(t, 1000);
	op[0] = set(t, 8, PINDMA_SQE_ON_MARK);
	op[1] = set(t, 9, 0);
	op[2] = set(t, 10, PINDMA_SQE_FENCE);
	op[3] = set(t, 11, 0);
	test_post(t, 0, op, 4);
	test_collect(t, &c[1], 1);
	expect(t, &c[1], 9, PINDMA_ST_OK);
	CHECK(t, pindma_wait(t->dev, c, 1, 20) == -ETIMEDOUT);
	CHECK(t, !pindma_mark(t->dev, 0, 0));
	CHECK(t, *word(t, 8) == 9);
	test_collect(t, &c[0], 1);
	test_collect(t, &c[2], 2);
	for (unsigned int i = 0; i < 4; i++) {
		CHECK(t, c[i].user_data == op[i].user_data);
		expect(t, &c[i], 8 + i, PINDMA_ST_OK);
	}
	expect_order(t, c, order, 4);
	test_stop_hammer(t, hammer);
	test_kept(t);
}

static void not_before(struct test *t)
{
	static const unsigned int order[] = { 4, 3, 2, 1, 0 };
	struct pindma_completion c[5];
	struct pindma_op op[5];
	uint64_t now, gap = 10 * MS;
	unsigned int i;
	bool late;

	setup(t);
	do {
		memset(t->mem, 0, SLOTS * 8);
		now = test_info(t).time;
		for (i = 0; i < 4; i++) {
			op[i] = set(t, i, PINDMA_SQE_NOT_BEFORE);
			op[i].when = now + (5 - i) * gap;
		}
		op[4] = set(t, 4, 0);	/* does not have to wait for them */
		test_run_ops(t, 0, op, 5, c);
		for (i = 0; i < 5; i++)
			expect(t, &c[i], i, PINDMA_ST_OK);
		for (i = 0; i < 4; i++)
			CHECK(t, when_written(t, &c[i]) >= op[i].when);
		/* On a slow host two are due when the device has its turn: again. */
		late = false;
		for (i = 1; i < 5; i++)
			late |= when_written(t, &c[i]) >= op[i - 1].when;
		gap *= 4;
	} while (late && gap < 4000 * MS);
	expect_order(t, c, order, 5);

	/* What is past is at once, and a delay begins when it is time. */
	memset(t->mem, 0, SLOTS * 8);
	now = test_info(t).time;
	op[0] = set(t, 0, PINDMA_SQE_NOT_BEFORE);
	op[0].when = 1;
	op[1] = set(t, 1, PINDMA_SQE_NOT_BEFORE);
	op[1].when = now + 20 * MS;
	op[1].delay = 20 * MS;
	op[2] = set(t, 2, 0);
	op[2].delay = 20 * MS;
	test_run_ops(t, 0, op, 3, c);
	for (i = 0; i < 3; i++)
		expect(t, &c[i], i, PINDMA_ST_OK);
	CHECK(t, when_written(t, &c[1]) >= now + 40 * MS);
	CHECK(t, when_written(t, &c[2]) >= now + 20 * MS);
	test_kept(t);
}

/* Ops that wait end when they are told to, or have nothing to wait with. */
static void waiting_ends(struct test *t)
{
	struct pindma_completion c[PINDMA_MAX_BESIDE + 3];
	struct pindma_op op[PINDMA_MAX_BESIDE + 1], stop;
	unsigned int i, canceled = 0, full = 0;
	uint32_t mr;

	setup(t);
	/* No mr: BAD_KEY at once. Otherwise it would wait when we are gone. */
	op[0] = set(t, 0, PINDMA_SQE_NOT_BEFORE);
	op[0].when = FAR_AWAY;
	op[0].mr = 0x7ffff000;
	op[1] = set(t, 0, PINDMA_SQE_ON_MARK | PINDMA_SQE_LINK);
	op[1].mr = t->mr + 1;
	op[2] = set(t, 0, 0);
	op[3] = set(t, 0, PINDMA_SQE_ON_MARK);
	op[3].opcode = PINDMA_OP_COPY;
	op[3].mode = 0;
	op[3].value = 0;
	op[3].src_mr = 0x7ffff000;
	test_run_ops(t, 3, op, 4, c);
	CHECK(t, c[0].status == PINDMA_ST_BAD_KEY);
	CHECK(t, c[1].status == PINDMA_ST_BAD_KEY);
	CHECK(t, c[2].status == PINDMA_ST_CANCELED);
	CHECK(t, c[3].status == PINDMA_ST_BAD_KEY);

	/* As many as may wait, and one more; then one is stopped. */
	for (i = 0; i < PINDMA_MAX_BESIDE + 1; i++) {
		op[i] = set(t, i, i % 2 ? PINDMA_SQE_NOT_BEFORE :
					  PINDMA_SQE_ON_MARK);
		op[i].when = FAR_AWAY;
	}
	test_post(t, 3, op, PINDMA_MAX_BESIDE + 1);
	test_collect(t, c, 1);
	CHECK(t, c[0].user_data == op[PINDMA_MAX_BESIDE].user_data &&
		 c[0].status == PINDMA_ST_NO_SPACE);
	stop = (struct pindma_op){ .opcode = PINDMA_OP_STOP,
				   .value = op[3].user_data };
	test_post(t, 3, &stop, 1);
	test_collect(t, c, 2);
	for (i = 0; i < 2; i++) {
		canceled += c[i].user_data == op[3].user_data &&
			    c[i].status == PINDMA_ST_CANCELED;
		full += c[i].user_data == stop.user_data &&
			c[i].status == PINDMA_ST_OK;
	}
	CHECK(t, canceled == 1 && full == 1);
	test_run_ops(t, 3, &stop, 1, c);
	CHECK(t, c[0].status == PINDMA_ST_NOT_FOUND);

	/* The others end with their mr. */
	mr = t->mr;
	CHECK(t, !pindma_dereg_mr(t->dev, mr));
	test_collect(t, c, PINDMA_MAX_BESIDE - 1);
	for (i = 0; i < PINDMA_MAX_BESIDE - 1; i++)
		CHECK(t, c[i].status == PINDMA_ST_ABORTED);
	for (i = 0; i < SLOTS; i++)
		CHECK(t, !*word(t, i));
	t->mr = 0;
	test_kept(t);
}

/* A process that ends leaves nobody waiting in the channel that others share. */
static void waiting_file(struct test *t)
{
	struct pindma_op op[PINDMA_MAX_BESIDE], probe;
	struct pindma_completion c;
	struct pindma *other;
	unsigned int i;
	uint32_t mr;

	setup(t);
	CHECK(t, !pindma_open(NULL, &other));
	CHECK(t, !pindma_reg_mr(other, t->mem, PAGE_SIZE, PINDMA_PIN_PIN, 0, &mr));
	for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
		op[i] = set(t, i, PINDMA_SQE_NOT_BEFORE);
		op[i].when = FAR_AWAY;
		op[i].mr = mr;
	}
	/* The last one blocks the channel: what is linked to it waits, too. */
	op[i - 2].flags |= PINDMA_SQE_LINK;
	CHECK(t, pindma_post_on(other, 2, op, i) == (int)i);
	probe = set(t, 40, 0);
	probe.delay = 1;
	test_post(t, 2, &probe, 1);
	CHECK(t, pindma_wait(t->dev, &c, 1, 50) == -ETIMEDOUT);
	pindma_close(other);
	test_collect(t, &c, 1);
	expect(t, &c, 40, PINDMA_ST_OK);
	test_kept(t);
}

/* The byte is there when the call returns. */
static void on_mark(struct test *t)
{
	const uint64_t mark = 0x1234567800000000ull;
	struct pindma_completion c[6];
	struct pindma_op op[6];
	unsigned int i, round;

	setup(t);
	for (round = 0; round < 20; round++) {
		uint32_t channel = round % 3;

		memset(t->mem, 0, SLOTS * 8);
		for (i = 0; i < 6; i++) {
			op[i] = set(t, i, PINDMA_SQE_ON_MARK);
			op[i].when = mark + (i < 3 ? 0 : i == 3 ? 1 : 2);
		}
		op[5].delay = 5 * MS;
		test_post(t, channel, op, 6);
		/* An op behind them tells that they have had their turn. */
		test_run_ops(t, channel, &(struct pindma_op){ 0 }, 1, c);
		CHECK(t, !pindma_mark(t->dev, channel, mark + 3));
		CHECK(t, !pindma_mark(t->dev, channel + 1, mark));
		for (i = 0; i < 6; i++)
			CHECK(t, !*word(t, i));
		CHECK(t, !pindma_mark(t->dev, channel, mark));
		for (i = 0; i < 6; i++)
			if (*word(t, i) != (i < 3 ? i + 1 : 0))
				test_lost(t, "after the mark word %u is %llu",
					  i, (unsigned long long)*word(t, i));
		CHECK(t, !pindma_mark(t->dev, channel, mark + 1));
		CHECK(t, *word(t, 3) == 4 && !*word(t, 4) && !*word(t, 5));
		CHECK(t, !pindma_mark(t->dev, channel, mark + 2));
		CHECK(t, *word(t, 4) == 5);
		test_collect(t, c, 6);
		for (i = 0; i < 6; i++)
			CHECK(t, c[i].status == PINDMA_ST_OK);
		CHECK(t, *word(t, 5) == 6);
	}
	test_check_surroundings(t);
	test_kept(t);
}

/*
 * Every other stamp of a hot hammer is on page seed, the others go up: seen in
 * the journal. The other orders beside it.
 */
static uint64_t next_page(uint8_t mode, uint64_t n, uint64_t seed, uint64_t *rng)
{
	switch (mode) {
	case PINDMA_ORDER_DOWN:
		return NR_PAGES - 1 - n % NR_PAGES;
	case PINDMA_ORDER_RANDOM:
		*rng ^= *rng << 13;
		*rng ^= *rng >> 7;
		*rng ^= *rng << 17;
		return *rng % NR_PAGES;
	case PINDMA_ORDER_HOT:
		return n % 2 ? n / 2 % NR_PAGES : seed % NR_PAGES;
	}
	return n % NR_PAGES;
}

static void hammer_orders(struct test *t)
{
	const uint64_t first_value = 1000, seed = 6;
	const struct pindma_journal_entry *e;
	uint8_t mode;
	int n, i;

	setup(t);
	for (mode = PINDMA_ORDER_UP; mode <= PINDMA_ORDER_HOT; mode++) {
		struct pindma_op stop = { .opcode = PINDMA_OP_STOP };
		struct pindma_op op = {
			.opcode = PINDMA_OP_HAMMER, .mode = mode, .mr = t->mr,
			.len = NR_PAGES * PAGE_SIZE, .offset = 8, .rate = 20000,
			.value = first_value, .seed = seed };
		uint64_t rng = seed, seen = 0, page, first = 0;
		struct pindma_completion c[2];

		op.len -= 8;
		test_post(t, 1, &op, 1);
		CHECK(t, stamps_go_on(t->mem + op.offset, 10000));
		usleep(20000);
		stop.value = op.user_data;
		test_post(t, 1, &stop, 1);
		test_collect(t, c, 2);
		CHECK(t, c[0].user_data == op.user_data && c[0].result &&
			 c[0].status == PINDMA_ST_OK);
		n = test_read_journal(t, &e, &first);
		for (i = 0; i < n; i++) {
			if (e[i].kind != PINDMA_JOURNAL_WRITE ||
			    e[i].tag != c[0].tag ||
			    e[i].queue != PINDMA_QUEUE_IO + c[0].channel)
				continue;
			page = next_page(mode, seen, seed, &rng);
			if (e[i].value != first_value + seen ||
			    e[i].offset != 8 + page * PAGE_SIZE)
				test_lost(t, "order %u: stamp %llu is 0x%llx at 0x%llx, not at page %llu",
					  mode, (unsigned long long)seen,
					  (unsigned long long)e[i].value,
					  (unsigned long long)e[i].offset,
					  (unsigned long long)page);
			seen++;
		}
		if (seen != c[0].result)
			test_lost(t, "order %u: %llu stamps, of which %llu are in the journal",
				  mode, (unsigned long long)c[0].result,
				  (unsigned long long)seen);
	}
	test_check_surroundings(t);
	test_kept(t);
}

/*
 * Channels do not wait for each other, and each keeps its own order: one stands
 * still, the others do not. Each has a word of its own.
 */
static void channels(struct test *t)
{
	enum { PER_CHANNEL = 30, MAX_CHANNELS = 64 };
	static struct pindma_completion c[MAX_CHANNELS * PER_CHANNEL];
	unsigned int last[MAX_CHANNELS] = { 0 }, i, written;
	const struct pindma_journal_entry *e;
	struct pindma_op op[PER_CHANNEL];
	struct pindma_completion *blocked;
	uint64_t base, first = 0;
	uint32_t ch, nr;
	int n;

	setup(t);
	nr = test_info(t).num_channels;
	CHECK(t, nr >= 4 && nr <= MAX_CHANNELS && nr * PER_CHANNEL <= 256);
	/* The first one is blocked by a linked op that waits for a mark. */
	for (ch = 0; ch < nr; ch++) {
		for (i = 0; i < PER_CHANNEL; i++) {
			op[i] = set(t, ch, 0);
			op[i].value = i + 1;
		}
		if (!ch)
			op[0].flags = PINDMA_SQE_LINK | PINDMA_SQE_ON_MARK;
		test_post(t, ch, op, PER_CHANNEL);
	}
	base = t->next_user_data - nr * PER_CHANNEL + 1;
	test_collect(t, c, (nr - 1) * PER_CHANNEL);
	CHECK(t, !*word(t, 0));
	blocked = c + (nr - 1) * PER_CHANNEL;
	/* Its engine may not have come to it yet: then the mark is too early. */
	do {
		CHECK(t, !pindma_mark(t->dev, 0, 0));
		n = pindma_wait(t->dev, blocked, PER_CHANNEL, 10);
	} while (n == -ETIMEDOUT);
	CHECK(t, n > 0);
	test_collect(t, blocked + n, PER_CHANNEL - n);
	for (i = 0; i < nr * PER_CHANNEL; i++) {
		uint64_t nth = c[i].user_data - base;

		ch = nth / PER_CHANNEL;
		CHECK(t, c[i].status == PINDMA_ST_OK && c[i].channel == ch);
		CHECK(t, nth % PER_CHANNEL == last[ch]);
		last[ch]++;
	}
	for (ch = 0; ch < nr; ch++)
		CHECK(t, *word(t, ch) == PER_CHANNEL);
	n = test_read_journal(t, &e, &first);
	for (written = 0; n-- > 0; )
		if (e[n].kind == PINDMA_JOURNAL_WRITE && e[n].key == t->mr &&
		    e[n].offset / 8 + PINDMA_QUEUE_IO == e[n].queue)
			written++;
	CHECK(t, written >= nr * PER_CHANNEL);
	test_check_surroundings(t);
	test_kept(t);
}

const struct scenario driver_order_scenarios[] = {
	{
		.name = "driver.link",
		.promise = "a linked op runs when the one before it has ended well, and is canceled otherwise",
		.run = linked,
	}, {
		.name = "driver.fence",
		.promise = "a fenced op runs when all before it have ended",
		.run = fenced,
	}, {
		.name = "driver.not_before",
		.promise = "an op runs not before its time, and not before its delay is over",
		.run = not_before,
	}, {
		.name = "driver.on_mark",
		.promise = "an op that waits for a mark has been performed when the mark is written",
		.run = on_mark,
	}, {
		.name = "driver.waiting_ends",
		.promise = "an op that waits ends when it is stopped, and with its mr; without one it does not wait",
		.run = waiting_ends,
	}, {
		.name = "driver.waiting_file",
		.promise = "when a file is closed nothing of it goes on waiting in a channel",
		.run = waiting_file,
	}, {
		.name = "driver.hammer_orders",
		.promise = "a hammer goes up, down, at random or to a hot page, as its seed says, stamp by stamp",
		.run = hammer_orders,
	}, {
		.name = "driver.channels",
		.promise = "channels work beside each other, each in its own order",
		.run = channels,
	},
	{ }
};
