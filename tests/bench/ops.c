// SPDX-License-Identifier: GPL-2.0-only
/*
 * Small ops: pindma against the NVMe disk of QEMU and against soft-RoCE. A WRITE
 * of pindma and a read of the disk both put data into the guest's memory, a
 * READ and a write to the disk both take it from there; an RDMA WRITE to oneself
 * does both, as COPY does.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

/* Ops per second, with up to BENCH_DEPTH of them on their way. */
static void sample_ops(const struct bench_series *series)
{
	const struct bench_peer *peer = series->peer;
	unsigned int slots[BENCH_DEPTH], n, flying = BENCH_DEPTH;
	double start, now;
	uint64_t total = 0;

	for (n = 0; n < BENCH_DEPTH; n++)
		slots[n] = n;
	start = bench_now();
	peer->post(series, slots, BENCH_DEPTH);
	do {
		for (n = 0; n < peer->turn; )
			n += peer->reap(series, slots + n);
		total += n;
		now = bench_now();
		if (now - start < opt.seconds)
			peer->post(series, slots, n);
		else
			flying -= n;
	} while (flying == BENCH_DEPTH);
	while (flying)
		flying -= peer->reap(series, slots);
	bench_sample(series->name, (double)total / (now - start));
}

#define WRITE	.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_PATTERN
#define READ	.opcode = PINDMA_OP_READ, .mode = PINDMA_READ_SUM
#define READ_CRC	.opcode = PINDMA_OP_READ, .mode = PINDMA_READ_CRC32
#define COPY	.opcode = PINDMA_OP_COPY

#define OPS(_name, _of, _size, ...)	\
	{ .name = _name, .sample = sample_ops, .peer = &_of##_peer, \
	  .size = _size, __VA_ARGS__ }

static const struct bench_series ops_series[] = {
	OPS("write_512_per_s", device, 512, WRITE),
	OPS("nvme_read_512_per_s", nvme, 512, WRITE),
	OPS("write_512_calls_per_s", device_call, 512, WRITE),
	OPS("read_512_per_s", device, 512, READ),
	OPS("nvme_write_512_per_s", nvme, 512, READ),
	OPS("read_crc_512_per_s", device, 512, READ_CRC),
	OPS("rxe_write_512_per_s", rxe, 512),
	OPS("copy_512_per_s", device, 512, COPY),
	OPS("write_4k_per_s", device, 4096, WRITE),
	OPS("nvme_read_4k_per_s", nvme, 4096, WRITE),
	OPS("write_4k_calls_per_s", device_call, 4096, WRITE),
	OPS("read_4k_per_s", device, 4096, READ),
	OPS("nvme_write_4k_per_s", nvme, 4096, READ),
	OPS("read_crc_4k_per_s", device, 4096, READ_CRC),
	OPS("rxe_write_4k_per_s", rxe, 4096),
	OPS("copy_4k_per_s", device, 4096, COPY),
};

static void ops_prepare(void)
{
	device_peer.prepare();
	nvme_peer.prepare();
	rxe_peer.prepare();
}

const struct bench_case ops_case = {
	"ops", ops_prepare, ops_series, ARRAY_SIZE(ops_series),
};

/* --------------------------------------------------------------- latency */

#define LATENCY_MAX	1000

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* A sample is the median of many, and their 99th percentile goes with it. */
static void sample_latency(const struct bench_series *series)
{
	static double seconds[LATENCY_MAX];
	unsigned int nr = (unsigned int)(opt.seconds * 2000), slot = 0, i;
	char p99[64];

	if (nr > LATENCY_MAX)
		nr = LATENCY_MAX;
	for (i = 0; i < nr; i++) {
		seconds[i] = bench_now();
		series->peer->post(series, &slot, 1);
		series->peer->reap(series, &slot);
		seconds[i] = bench_now() - seconds[i];
	}
	qsort(seconds, nr, sizeof(*seconds), compare);
	bench_sample(series->name, seconds[nr / 2]);
	snprintf(p99, sizeof(p99), "%s_p99", series->name);
	bench_sample(p99, seconds[nr - 1 - nr / 100]);
}

#define LATENCY(_name, _of, ...)	\
	{ .name = _name, .sample = sample_latency, .peer = &_of##_peer, \
	  .size = 512, __VA_ARGS__ }

static const struct bench_series latency_series[] = {
	LATENCY("write_s", device_wait, WRITE),
	LATENCY("nvme_s", nvme, WRITE),
	LATENCY("rxe_s", rxe),
};

const struct bench_case latency_case = {
	"latency", ops_prepare, latency_series, ARRAY_SIZE(latency_series),
};

/* ----------------------------------------------------------------- iommu */

/* The device alone: run in a guest with an IOMMU, and in one without. */
static const struct bench_series iommu_series[] = {
	OPS("write_512_per_s", device, 512, WRITE),
	OPS("read_512_per_s", device, 512, READ),
	OPS("copy_512_per_s", device, 512, COPY),
	OPS("write_4k_per_s", device, 4096, WRITE),
	OPS("read_4k_per_s", device, 4096, READ),
	OPS("copy_4k_per_s", device, 4096, COPY),
};

static void small_prepare(void)
{
	device_peer.prepare();
}

const struct bench_case iommu_case = {
	"iommu", small_prepare, iommu_series, ARRAY_SIZE(iommu_series),
};
