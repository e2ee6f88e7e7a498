// SPDX-License-Identifier: GPL-2.0-only
/* pindma itself, through nothing but its library. */
#include <errno.h>
#include <string.h>

#include "bench.h"

#define TIMEOUT_MS	30000

static struct pindma *dev;
static uint32_t small_mr, small_src;
static uint32_t bulk_mr, bulk_src;

struct pindma *device_open(void)
{
	struct pindma *handle;
	int ret = pindma_open(NULL, &handle);

	if (ret)
		bench_fail("/dev/pindma0: %s", strerror(-ret));
	return handle;
}

uint32_t device_mr(struct pindma *handle, void *addr, size_t len)
{
	uint32_t mr;
	int ret = pindma_reg_mr(handle, addr, len, PINDMA_PIN_LONGTERM,
				PINDMA_MR_FAST, &mr);

	if (ret)
		bench_fail("mr of %zu bytes: %s", len, strerror(-ret));
	return mr;
}

void device_check(const struct pindma_completion *completion)
{
	if (completion->status != PINDMA_ST_OK)
		bench_fail("op %llu: %s",
			   (unsigned long long)completion->user_data,
			   pindma_status_string(completion->status));
}

static void post(struct pindma *handle, const struct pindma_op *ops,
		 unsigned int nr)
{
	int ret = pindma_post(handle, ops, nr);

	if (ret != (int)nr)
		bench_fail("post of %u ops: %d", nr, ret);
}

static unsigned int wait_some(struct pindma *handle,
			      struct pindma_completion *completions,
			      unsigned int nr)
{
	int ret = pindma_wait(handle, completions, nr, TIMEOUT_MS);
	int i;

	if (ret < 0)
		bench_fail("wait: %s", strerror(-ret));
	for (i = 0; i < ret; i++)
		device_check(&completions[i]);
	return (unsigned int)ret;
}

uint64_t device_do(struct pindma *handle, const struct pindma_op *op)
{
	struct pindma_completion completion;

	post(handle, op, 1);
	wait_some(handle, &completion, 1);
	return completion.result;
}

/* ------------------------------------------------------------- small ops */

void device_small_prepare(void)
{
	const size_t len = BENCH_DEPTH * BENCH_MAX_SIZE;

	dev = device_open();
	small_mr = device_mr(dev, bench_memory(len), len);
	small_src = device_mr(dev, bench_memory(len), len);
}

static struct pindma_op small_op(const struct bench_series *series,
				 unsigned int slot)
{
	bool copy = series->opcode == PINDMA_OP_COPY;

	return (struct pindma_op) {
		.opcode = series->opcode,
		.mode = series->mode,
		.mr = small_mr,
		.user_data = slot,
		.offset = (uint64_t)slot * BENCH_MAX_SIZE,
		.len = series->size,
		.src_mr = copy ? small_src : 0,
		.src_offset = copy ? (uint64_t)slot * BENCH_MAX_SIZE : 0,
	};
}

/* Ops per second, with BENCH_DEPTH of them on their way all the time. */
double device_ops(const struct bench_series *series)
{
	struct pindma_completion done[BENCH_DEPTH];
	struct pindma_op ops[BENCH_DEPTH], again[BENCH_DEPTH];
	double start, now;
	uint64_t total = 0;
	unsigned int i, n, flying = BENCH_DEPTH;

	for (i = 0; i < BENCH_DEPTH; i++)
		ops[i] = small_op(series, i);
	start = bench_now();
	post(dev, ops, BENCH_DEPTH);
	do {
		n = wait_some(dev, done, BENCH_DEPTH);
		total += n;
		for (i = 0; i < n; i++)
			again[i] = ops[done[i].user_data];
		now = bench_now();
		if (now - start < opt.seconds)
			post(dev, again, n);
		else
			flying -= n;
	} while (flying == BENCH_DEPTH);
	while (flying)
		flying -= wait_some(dev, done, flying);
	return (double)total / (now - start);
}

void device_latency(const struct bench_series *series, double *seconds,
		    unsigned int nr)
{
	struct pindma_op op = small_op(series, 0);
	double start;

	while (nr--) {
		start = bench_now();
		device_do(dev, &op);
		*seconds++ = bench_now() - start;
	}
}

/* -------------------------------------------------------------- bulk ops */

void device_bulk_prepare(void)
{
	dev = device_open();
	bulk_mr = device_mr(dev, bench_memory(opt.bulk), opt.bulk);
	bulk_src = device_mr(dev, bench_memory(opt.bulk), opt.bulk);
}

/* Seconds of one large op. */
double device_bulk(const struct bench_series *series)
{
	struct pindma_op op = {
		.opcode = series->opcode,
		.mode = series->mode,
		.mr = bulk_mr,
		.len = opt.bulk,
		.src_mr = series->opcode == PINDMA_OP_COPY ? bulk_src : 0,
	};
	double start = bench_now();

	device_do(dev, &op);
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

	post(dev, &op, 1);
}

/* How many pages it has stamped. */
uint64_t device_hammer_stop(void)
{
	struct pindma_op op = { .opcode = PINDMA_OP_STOP, .value = HAMMER };
	struct pindma_completion done[2];
	unsigned int n = 0;

	post(dev, &op, 1);
	while (n < 2)
		n += wait_some(dev, done + n, 2 - n);
	return done[0].user_data == HAMMER ? done[0].result : done[1].result;
}
