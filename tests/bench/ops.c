// SPDX-License-Identifier: GPL-2.0-only
/*
 * Small ops: pindma against the NVMe disk of QEMU and against soft-RoCE. A WRITE
 * of pindma and a read of the disk both put data into the guest's memory, a
 * READ and a write to the disk both take it from there; an RDMA WRITE to oneself
 * does both, as COPY does.
 */
#include <stdlib.h>

#include "bench.h"

static void sample_device(const struct bench_series *series)
{
	bench_sample(series->name, device_ops(series));
}

static void sample_nvme(const struct bench_series *series)
{
	bench_sample(series->name, nvme_ops(series));
}

static void sample_rxe(const struct bench_series *series)
{
	bench_sample(series->name, rxe_ops(series));
}

#define WRITE	.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_PATTERN
#define READ	.opcode = PINDMA_OP_READ, .mode = PINDMA_READ_CRC32
#define COPY	.opcode = PINDMA_OP_COPY

#define OPS(_name, _of, _size, ...)	\
	{ .name = _name, .sample = sample_##_of, .size = _size, __VA_ARGS__ }

static const struct bench_series ops_series[] = {
	OPS("write_512_per_s", device, 512, WRITE),
	OPS("nvme_read_512_per_s", nvme, 512, WRITE),
	OPS("read_512_per_s", device, 512, READ),
	OPS("nvme_write_512_per_s", nvme, 512, READ),
	OPS("rxe_write_512_per_s", rxe, 512),
	OPS("copy_512_per_s", device, 512, COPY),
	OPS("write_4k_per_s", device, 4096, WRITE),
	OPS("nvme_read_4k_per_s", nvme, 4096, WRITE),
	OPS("read_4k_per_s", device, 4096, READ),
	OPS("nvme_write_4k_per_s", nvme, 4096, READ),
	OPS("rxe_write_4k_per_s", rxe, 4096),
	OPS("copy_4k_per_s", device, 4096, COPY),
};

static void ops_prepare(void)
{
	device_small_prepare();
	nvme_prepare();
	rxe_prepare();
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
static void sample_latency(const struct bench_series *series,
			   void (*take)(const struct bench_series *, double *,
					unsigned int),
			   const char *p99)
{
	static double seconds[LATENCY_MAX];
	unsigned int nr = (unsigned int)(opt.seconds * 2000);

	if (nr > LATENCY_MAX)
		nr = LATENCY_MAX;
	take(series, seconds, nr);
	qsort(seconds, nr, sizeof(*seconds), compare);
	bench_sample(series->name, seconds[nr / 2]);
	bench_sample(p99, seconds[nr - 1 - nr / 100]);
}

static void latency_device(const struct bench_series *series)
{
	sample_latency(series, device_latency, "write_p99_s");
}

static void latency_nvme(const struct bench_series *series)
{
	sample_latency(series, nvme_latency, "nvme_p99_s");
}

static void latency_rxe(const struct bench_series *series)
{
	sample_latency(series, rxe_latency, "rxe_p99_s");
}

static const struct bench_series latency_series[] = {
	{ .name = "write_s", .sample = latency_device, .size = 512, WRITE },
	{ .name = "nvme_s", .sample = latency_nvme, .size = 512, WRITE },
	{ .name = "rxe_s", .sample = latency_rxe, .size = 512 },
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

const struct bench_case iommu_case = {
	"iommu", device_small_prepare, iommu_series, ARRAY_SIZE(iommu_series),
};
