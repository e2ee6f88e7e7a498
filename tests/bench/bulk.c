// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large ops against memcpy() in the QEMU process, and HAMMER: how many pages a
 * second, and what that does to a program beside it.
 */
#include <unistd.h>

#include "bench.h"

static void sample_memcpy(const struct bench_series *series)
{
	bench_sample(series->name, host_memcpy(opt.bulk));
}

static void sample_bulk(const struct bench_series *series)
{
	bench_sample(series->name, device_bulk(series));
}

#define BULK(_name, ...)	\
	{ .name = _name, .sample = sample_bulk, .opcode = __VA_ARGS__ }

static const struct bench_series bulk_series[] = {
	{ .name = "memcpy_s", .sample = sample_memcpy },
	BULK("write_s", PINDMA_OP_WRITE, .mode = PINDMA_WRITE_PATTERN),
	BULK("fill_s", PINDMA_OP_FILL),
	BULK("read_s", PINDMA_OP_READ, .mode = PINDMA_READ_CRC32),
	BULK("copy_s", PINDMA_OP_COPY),
};

const struct bench_case bulk_case = {
	"bulk", device_bulk_prepare, bulk_series, ARRAY_SIZE(bulk_series),
};

/* The guest sleeps meanwhile. */
static void sample_stamps(const struct bench_series *series)
{
	double start = bench_now();
	uint64_t n;

	device_hammer_start(0, series->mode);
	usleep((useconds_t)(opt.seconds * 1e6));
	n = device_hammer_stop();
	bench_sample(series->name, (double)n / (bench_now() - start));
}

static const struct bench_series stamps_series[] = {
	{ .name = "up_per_s", .sample = sample_stamps, .mode = PINDMA_ORDER_UP },
	{ .name = "random_per_s", .sample = sample_stamps,
	  .mode = PINDMA_ORDER_RANDOM },
};

const struct bench_case stamps_case = {
	"stamps", device_bulk_prepare, stamps_series, ARRAY_SIZE(stamps_series),
};

/*
 * A program that computes and uses memory: turns per second. The other vCPU
 * sleeps, and leaves its core to the device.
 */
static double busy_loop(double seconds)
{
	static uint64_t words[2048];
	volatile uint64_t *p = words;
	double start = bench_now(), now;
	uint64_t turns = 0, x = 1;
	unsigned int i;

	do {
		for (i = 0; i < ARRAY_SIZE(words); i++) {
			x = x * 6364136223846793005ull + 1;
			p[i] += x >> 32;
		}
		turns++;
		now = bench_now();
	} while (now - start < seconds);
	return (double)turns / (now - start);
}

static void sample_alone(const struct bench_series *series)
{
	bench_sample(series->name, busy_loop(opt.seconds));
}

static void sample_beside(const struct bench_series *series)
{
	double start = bench_now(), turns;
	uint64_t n;

	device_hammer_start(series->rate, PINDMA_ORDER_UP);
	turns = busy_loop(opt.seconds);
	n = device_hammer_stop();
	bench_sample(series->name, turns);
	if (series->rate)
		bench_sample("hammer_1m_per_s",
			     (double)n / (bench_now() - start));
}

static const struct bench_series slowdown_series[] = {
	{ .name = "alone_per_s", .sample = sample_alone },
	{ .name = "beside_1m_per_s", .sample = sample_beside, .rate = 1000000 },
	{ .name = "beside_unlimited_per_s", .sample = sample_beside },
};

const struct bench_case slowdown_case = {
	"slowdown", device_bulk_prepare, slowdown_series,
	ARRAY_SIZE(slowdown_series),
};
