// SPDX-License-Identifier: GPL-2.0-only
/* pindma itself, through nothing but its library. */
#include <stdio.h>
#include <string.h>

#include "bench.h"

#define TIMEOUT_MS	30000

static struct pindma *dev;
static struct pindma_queue *queue;
static uint32_t small_mr, small_src;
static uint32_t bulk_mr, bulk_src;

/*
 * Its interrupts to the CPU of the program, which is where those of an NVMe disk
 * come by themselves: it has a queue for each CPU. On another vCPU they would
 * wait for one more thread of QEMU to wake up.
 */
static void move_interrupts(void)
{
	FILE *interrupts = fopen("/proc/interrupts", "r"), *affinity;
	char line[1000], path[64];
	int irq;

	while (interrupts && fgets(line, sizeof(line), interrupts)) {
		if (!strstr(line, "pindma") || sscanf(line, "%d:", &irq) != 1)
			continue;
		snprintf(path, sizeof(path), "/proc/irq/%d/smp_affinity_list",
			 irq);
		affinity = fopen(path, "w");
		if (!affinity || fprintf(affinity, "%d\n", bench_cpu()) < 0 ||
		    fclose(affinity))
			bench_fail("%s: %m", path);
	}
	if (interrupts)
		fclose(interrupts);
}

static void open_device(void)
{
	int ret = pindma_open(NULL, &dev);

	if (ret)
		bench_fail("/dev/pindma0: %s", strerror(-ret));
	move_interrupts();
}

static uint32_t reg_mr(void *addr, size_t len)
{
	uint32_t mr;
	int ret = pindma_reg_mr(dev, addr, len, PINDMA_PIN_LONGTERM,
				PINDMA_MR_FAST, &mr);

	if (ret)
		bench_fail("mr of %zu bytes: %s", len, strerror(-ret));
	return mr;
}

static void post(const struct pindma_op *ops, unsigned int nr)
{
	int ret = pindma_post(dev, ops, nr);

	if (ret != (int)nr)
		bench_fail("post of %u ops: %d", nr, ret);
}

/* What reap or wait returned. At least one completion is wanted. */
static unsigned int reaped(const struct pindma_completion *completions, int ret)
{
	int i;

	if (ret < 0)
		bench_fail("wait: %s", strerror(-ret));
	for (i = 0; i < ret; i++)
		if (completions[i].status != PINDMA_ST_OK)
			bench_fail("op: %s",
				   pindma_status_string(completions[i].status));
	return (unsigned int)ret;
}

static unsigned int reap(struct pindma_completion *completions, unsigned int nr)
{
	return reaped(completions,
		      pindma_wait(dev, completions, nr, TIMEOUT_MS));
}

/* ------------------------------------------------------------- small ops */

static void small_ops(const struct bench_series *series,
		      const unsigned int *slots, struct pindma_op *ops,
		      unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		uint64_t offset = (uint64_t)slots[i] * BENCH_MAX_SIZE;

		ops[i] = (struct pindma_op) {
			.opcode = series->opcode,
			.mode = series->mode,
			.mr = small_mr,
			.user_data = slots[i],
			.offset = offset,
			.len = series->size,
		};
		if (series->opcode == PINDMA_OP_COPY) {
			ops[i].src_mr = small_src;
			ops[i].src_offset = offset;
		}
	}
}

static unsigned int small_slots(const struct pindma_completion *done, int ret,
				unsigned int *slots)
{
	unsigned int n = reaped(done, ret), i;

	for (i = 0; i < n; i++)
		slots[i] = (unsigned int)done[i].user_data;
	return n;
}

/* Through a queue that is mapped into the process. */
static void queue_post(const struct bench_series *series,
		       const unsigned int *slots, unsigned int nr)
{
	struct pindma_op ops[BENCH_DEPTH];
	int ret;

	small_ops(series, slots, ops, nr);
	ret = pindma_queue_post(queue, ops, nr);
	if (ret != (int)nr)
		bench_fail("post of %u ops to the queue: %d", nr, ret);
}

/*
 * A program that is after ops per second looks some times before it sleeps, which
 * saves putting the vCPU to sleep and waking it up again, and wants no interrupts.
 */
static unsigned int queue_reap(const struct bench_series *series,
			       unsigned int *slots)
{
	struct pindma_completion done[BENCH_DEPTH];
	unsigned int looks = 1000;
	int ret = 0;

	(void)series;
	while (looks-- && !ret)
		ret = pindma_queue_reap(queue, done, BENCH_DEPTH);
	if (!ret)
		ret = pindma_queue_wait(queue, done, BENCH_DEPTH, TIMEOUT_MS);
	return small_slots(done, ret, slots);
}

static unsigned int queue_wait(const struct bench_series *series,
			       unsigned int *slots)
{
	struct pindma_completion done[BENCH_DEPTH];

	(void)series;
	return small_slots(done, pindma_queue_wait(queue, done, BENCH_DEPTH,
						   TIMEOUT_MS), slots);
}

/* Through the driver, a system call for 32 ops. */
static void call_post(const struct bench_series *series,
		      const unsigned int *slots, unsigned int nr)
{
	struct pindma_op ops[BENCH_DEPTH];

	small_ops(series, slots, ops, nr);
	post(ops, nr);
}

static unsigned int call_reap(const struct bench_series *series,
			      unsigned int *slots)
{
	struct pindma_completion done[BENCH_DEPTH];
	unsigned int looks = 100;
	int ret = 0;

	(void)series;
	while (looks-- && !ret)
		ret = pindma_reap(dev, done, BENCH_DEPTH);
	if (!ret)
		ret = pindma_wait(dev, done, BENCH_DEPTH, TIMEOUT_MS);
	return small_slots(done, ret, slots);
}

static void small_prepare(void)
{
	static const struct bench_series write = {
		.opcode = PINDMA_OP_WRITE,
		.mode = PINDMA_WRITE_PATTERN,
		.size = BENCH_MAX_SIZE,
	};
	static const struct bench_series copy = {
		.opcode = PINDMA_OP_COPY,
		.size = BENCH_MAX_SIZE,
	};
	const size_t len = BENCH_DEPTH * BENCH_MAX_SIZE;
	unsigned char *to = bench_memory(len), *from = bench_memory(len);
	unsigned int slot = 0;
	uint64_t word;
	int ret;

	open_device();
	small_mr = reg_mr(to, len);
	small_src = reg_mr(from, len);
	ret = pindma_queue_create(dev, 4 * BENCH_DEPTH, &queue);
	if (ret)
		bench_fail("no queue of its own: %s", strerror(-ret));

	/* It does what is going to be measured. */
	queue_post(&write, &slot, 1);
	queue_wait(&write, &slot);
	word = pindma_pattern(0, BENCH_MAX_SIZE / 8 - 1);
	if (memcmp(to + BENCH_MAX_SIZE - 8, &word, 8))
		bench_fail("WRITE did not write");
	pindma_queue_quiet(queue, true);
	memset(from, 0xa5, len);
	call_post(&copy, &slot, 1);
	call_reap(&copy, &slot);
	if (memcmp(from, to, BENCH_MAX_SIZE))
		bench_fail("COPY did not copy");
}

/*
 * As they end, some at a time: the device works on the others meanwhile. Through
 * the driver all, and then all again: a doorbell that comes while the engine works
 * waits for the BQL, and that takes longer than the ops do.
 */
const struct bench_peer device_peer = {
	small_prepare, queue_post, queue_reap, BENCH_DEPTH / 4,
};
const struct bench_peer device_wait_peer = {
	small_prepare, queue_post, queue_wait, 1,
};
const struct bench_peer device_call_peer = {
	small_prepare, call_post, call_reap, BENCH_DEPTH,
};

/* -------------------------------------------------------------- bulk ops */

void device_bulk_prepare(void)
{
	open_device();
	bulk_mr = reg_mr(bench_memory(opt.bulk), opt.bulk);
	bulk_src = reg_mr(bench_memory(opt.bulk), opt.bulk);
}

double device_bulk(const struct bench_series *series)
{
	struct pindma_op op = {
		.opcode = series->opcode,
		.mode = series->mode,
		.mr = bulk_mr,
		.len = opt.bulk,
		.src_mr = series->opcode == PINDMA_OP_COPY ? bulk_src : 0,
	};
	struct pindma_completion done;
	double start = bench_now();

	post(&op, 1);
	reap(&done, 1);
	return bench_now() - start;
}

/* ---------------------------------------------------------------- hammer */

#define HAMMER	1000

void device_hammer_start(uint32_t rate, uint8_t order)
{
	struct pindma_op op = {
		.opcode = PINDMA_OP_HAMMER,
		.mode = order,
		.mr = bulk_mr,
		.user_data = HAMMER,
		.len = opt.bulk,
		.rate = rate,
		.seed = order == PINDMA_ORDER_RANDOM,
	};

	post(&op, 1);
}

uint64_t device_hammer_stop(void)
{
	struct pindma_op op = { .opcode = PINDMA_OP_STOP, .value = HAMMER };
	struct pindma_completion done[2];
	unsigned int n = 0;

	post(&op, 1);
	while (n < 2)
		n += reap(done + n, 2 - n);
	return done[0].user_data == HAMMER ? done[0].result : done[1].result;
}
