// SPDX-License-Identifier: GPL-2.0-only
/*
 * FETCH_ADD and CMP_SWAP, alone and against CPUs that do the same. To see it red:
 * let the device read, add and write in three steps, or run with one CPU
 * (-smp 1 under TCG).
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

#define NR_ATOMICS	1000000		/* of the device, and of the CPU */

static void setup(struct test *t)
{
	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
}

/* Old value, new value, and the bytes beside it */
static void single(struct test *t)
{
	static const uint64_t offsets[] = { 0, 8, 0xff8, 0x1000, 0x3ff8 };
	const uint64_t old = 0x80000000fffffffe;
	struct pindma_completion c;
	unsigned int i, len;

	setup(t);
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		for (len = 4; len <= 8; len += 4) {
			uint64_t at = offsets[i] + 8 - len;
			uint64_t *word = (uint64_t *)(t->mem + offsets[i]);
			uint64_t mask = len == 8 ? ~0ull :
						   ~0ull << 32, want, was;
			unsigned int shift = 64 - len * 8;
			struct pindma_op op = {
				.opcode = PINDMA_OP_FETCH_ADD, .mr = t->mr,
				.offset = at, .len = len };

			/* 4 bytes: the upper half, with all bits set below */
			*word = old;
			was = old >> shift;
			op.value = 0x7fffffff;
			want = (old & ~mask) |
			       ((old + (op.value << shift)) & mask);
			c = test_run_ok(t, op);
			CHECK(t, c.result == was && *word == want);
			/* It wraps around within its bytes. */
			op.value = len == 8 ? -(want >> shift) :
				   (uint32_t)-(want >> shift);
			c = test_run_ok(t, op);
			CHECK(t, c.result == want >> shift);
			CHECK(t, *word == (want & ~mask));

			op.opcode = PINDMA_OP_CMP_SWAP;
			op.compare = 1;
			op.value = 0x12345678;
			c = test_run_ok(t, op);
			CHECK(t, c.result == 0 && *word == (want & ~mask));
			op.compare = 0;
			c = test_run_ok(t, op);
			CHECK(t, c.result == 0);
			CHECK(t, *word == ((want & ~mask) | op.value << shift));
			memset(word, 0x5a, 8);
		}
	}
	t->mem = t->buf + t->len;	/* all is as it was before */
	test_check_surroundings(t);
	test_kept(t);
}

static void refused(struct test *t)
{
	static const struct {
		uint64_t offset, len, value, compare;
		uint32_t status;
	} bad[] = {
		{ 4, 8, 0, 0, PINDMA_ST_BAD_FIELD },
		{ 1, 8, 0, 0, PINDMA_ST_BAD_FIELD },
		{ 2, 4, 0, 0, PINDMA_ST_BAD_FIELD },
		{ 0xffc, 8, 0, 0, PINDMA_ST_BAD_FIELD },
		{ 0, 0, 0, 0, PINDMA_ST_BAD_FIELD },
		{ 0, 1, 0, 0, PINDMA_ST_BAD_FIELD },
		{ 0, 2, 0, 0, PINDMA_ST_BAD_FIELD },
		{ 0, 16, 0, 0, PINDMA_ST_BAD_FIELD },
		{ 0, 4, 1ull << 32, 0, PINDMA_ST_BAD_FIELD },
		{ NR_PAGES * PAGE_SIZE, 8, 0, 0, PINDMA_ST_BOUNDS },
		{ NR_PAGES * PAGE_SIZE - 4, 8, 0, 0, PINDMA_ST_BOUNDS },
		{ -8ull, 8, 0, 0, PINDMA_ST_BOUNDS },
	};
	unsigned int i;
	uint32_t ro, odd;

	setup(t);
	for (i = 0; i < ARRAY_SIZE(bad) * 2; i++) {
		unsigned int n = i / 2;
		struct pindma_completion c = test_run_op(t, (struct pindma_op){
			.opcode = PINDMA_OP_FETCH_ADD + i % 2, .mr = t->mr,
			.offset = bad[n].offset, .len = bad[n].len,
			.value = bad[n].value, .compare = bad[n].compare });

		if (c.status != bad[n].status)
			test_lost(t, "opcode 0x%x offset 0x%llx len %llu: %s, not %s",
				  PINDMA_OP_FETCH_ADD + i % 2,
				  (unsigned long long)bad[n].offset,
				  (unsigned long long)bad[n].len,
				  pindma_status_string(c.status),
				  pindma_status_string(bad[n].status));
	}
	/* Aligned means in memory, wherever the mr begins. */
	CHECK(t, !pindma_reg_mr(t->dev, t->mem + 4, 64, PINDMA_PIN_PIN, 0, &odd));
	CHECK(t, test_run_op(t, (struct pindma_op){
		.opcode = PINDMA_OP_FETCH_ADD, .mr = odd, .offset = 0,
		.len = 8 }).status == PINDMA_ST_BAD_FIELD);
	CHECK(t, test_run_op(t, (struct pindma_op){
		.opcode = PINDMA_OP_FETCH_ADD, .mr = odd, .offset = 4,
		.len = 8 }).status == PINDMA_ST_OK);
	CHECK(t, !pindma_reg_mr(t->dev, t->mem, 64, PINDMA_PIN_PIN,
				PINDMA_MR_READONLY, &ro));
	CHECK(t, test_run_op(t, (struct pindma_op){
		.opcode = PINDMA_OP_FETCH_ADD, .mr = ro,
		.len = 8 }).status == PINDMA_ST_ACCESS);
	t->mem = t->buf + t->len;
	test_check_surroundings(t);
	test_kept(t);
}

/*
 * The device adds to the upper half of a word, the CPU to the lower one: no
 * addition may get lost on either side, and each of the device's sees another
 * old value.
 */
#define DEVICE_ONE	(1ull << 32)

static void *add_by_cpu(void *arg)
{
	uint64_t *word = arg;
	unsigned int i;

	for (i = 0; i < NR_ATOMICS; i++)
		__atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void see(struct test *t, uint8_t *seen, const struct pindma_completion *c)
{
	uint64_t nth = c->result / DEVICE_ONE;

	if (c->status != PINDMA_ST_OK)
		test_lost(t, "an atomic op ends: %s",
			  pindma_status_string(c->status));
	if (nth >= NR_ATOMICS || seen[nth])
		test_lost(t, "two additions of the device saw the old value 0x%llx",
			  (unsigned long long)c->result);
	seen[nth] = 1;
}

static void against_cpu(struct test *t)
{
	struct pindma_op op[32];
	struct pindma_completion c[256];
	uint8_t *seen = calloc(NR_ATOMICS, 1);
	unsigned int i, posted = 0, done = 0;
	uint32_t channel = 0, channels;
	volatile uint64_t *word;
	pthread_t thread;
	int n;

	setup(t);
	CHECK(t, seen);
	channels = test_info(t).num_channels;
	word = (uint64_t *)(t->mem + 0x18);
	*word = 0;
	memset(op, 0, sizeof(op));
	for (i = 0; i < ARRAY_SIZE(op); i++) {
		op[i].opcode = PINDMA_OP_FETCH_ADD;
		op[i].mr = t->mr;
		op[i].offset = 0x18;
		op[i].len = 8;
		op[i].value = DEVICE_ONE;
	}
	CHECK(t, !pthread_create(&thread, NULL, add_by_cpu, (void *)word));
	while (done < NR_ATOMICS) {
		n = ARRAY_SIZE(op);
		if ((unsigned int)n > NR_ATOMICS - posted)
			n = NR_ATOMICS - posted;
		n = n ? pindma_post_on(t->dev, channel++ % channels, op, n) : 0;
		if (n > 0) {
			posted += n;
			continue;
		}
		/* No room, or all posted: collect what there is. */
		n = pindma_wait(t->dev, c, ARRAY_SIZE(c), 10000);
		if (n < 0)
			test_error(t, "%u of %u atomics do not complete: %s",
				   posted - done, posted, strerror(-n));
		for (i = 0; i < (unsigned int)n; i++)
			see(t, seen, &c[i]);
		done += n;
	}
	CHECK(t, !pthread_join(thread, NULL));
	if (*word != NR_ATOMICS * DEVICE_ONE + NR_ATOMICS)
		test_lost(t, "of %u additions by the device %llu are there, of as many by the CPU %llu",
			  NR_ATOMICS, (unsigned long long)(*word / DEVICE_ONE),
			  (unsigned long long)(*word % DEVICE_ONE));
	test_kept(t);
}

/* Whoever finds the value that it expects adds one: each success counts once. */
static volatile bool stop;

struct swapper {
	uint32_t *word;
	uint64_t swapped;
};

static void *swap_by_cpu(void *arg)
{
	struct swapper *s = arg;
	unsigned int n = 0;
	uint32_t old;

	while (!stop) {
		old = __atomic_load_n(s->word, __ATOMIC_SEQ_CST);
		s->swapped += __atomic_compare_exchange_n(s->word, &old, old + 1,
							  false, __ATOMIC_SEQ_CST,
							  __ATOMIC_SEQ_CST);
		/* Pauses, so that the device gets its turn, too */
		for (unsigned int i = 0; i < 200; i++)
			__asm__ volatile("" ::: "memory");
		if (!(++n % 1000))
			usleep(500);
	}
	return NULL;
}

static void swap(struct test *t)
{
	enum { BATCH = 32, ROUNDS = 400 };
	struct pindma_completion c[BATCH];
	struct pindma_op op[BATCH];
	struct swapper cpu = { 0 };
	unsigned int i, round, device = 0;
	pthread_t thread;

	setup(t);
	cpu.word = (uint32_t *)(t->mem + 0x2c);
	*cpu.word = -1000u;		/* it will wrap around */
	CHECK(t, !pthread_create(&thread, NULL, swap_by_cpu, &cpu));
	for (round = 0; round < ROUNDS; round++) {
		uint32_t old = __atomic_load_n(cpu.word, __ATOMIC_SEQ_CST);

		memset(op, 0, sizeof(op));
		for (i = 0; i < BATCH; i++) {
			op[i].opcode = PINDMA_OP_CMP_SWAP;
			op[i].mr = t->mr;
			op[i].offset = 0x2c;
			op[i].len = 4;
			op[i].compare = old + i;
			op[i].value = old + i + 1;
			/* 32 bits of a 64-bit field */
			op[i].compare = (uint32_t)op[i].compare;
			op[i].value = (uint32_t)op[i].value;
		}
		test_run_ops(t, 0, op, BATCH, c);
		for (i = 0; i < BATCH; i++) {
			CHECK(t, c[i].status == PINDMA_ST_OK);
			device += c[i].result == op[i].compare;
		}
	}
	stop = true;
	CHECK(t, !pthread_join(thread, NULL));
	test_note(t, "%u swaps by the device, %llu by the CPU", device,
		  (unsigned long long)cpu.swapped);
	CHECK(t, device);
	CHECK(t, *cpu.word == (uint32_t)(device + cpu.swapped - 1000));
	test_kept(t);
}

const struct scenario driver_atomics_scenarios[] = {
	{
		.name = "driver.atomics",
		.promise = "FETCH_ADD and CMP_SWAP change their 4 or 8 bytes, wherever they are, and return what was there",
		.run = single,
	}, {
		.name = "driver.atomics_refused",
		.promise = "an atomic op that is misaligned, of a wrong size, or on an mr that is read-only touches nothing",
		.run = refused,
	}, {
		.name = "driver.atomics_race",
		.promise = "of a million additions each by device and CPU to the same word none is lost",
		.flags = SCENARIO_SLOW,
		.run = against_cpu,
	}, {
		.name = "driver.swap_race",
		.promise = "CMP_SWAP against a CPU's cmpxchg: each that succeeds counts once",
		.run = swap,
	},
	{ }
};
