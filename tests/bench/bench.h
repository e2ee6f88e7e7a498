/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pindma-bench: how fast the device is, next to what else there is. A case has
 * several series; every round takes one sample of each, in turn, so that what
 * the host does meanwhile meets all of them alike.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pindma.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define BENCH_DEPTH	32
#define BENCH_MAX_SIZE	4096	/* of a small op */

/* How long and how much, see "--quick" */
struct bench_options {
	unsigned int rounds;
	double seconds;		/* of a sample that could last any time */
	size_t bulk;		/* bytes of a large op */
	const char *memcpy_port;
};

extern struct bench_options opt;

struct bench_series {
	const char *name;
	void (*sample)(const struct bench_series *series);
	uint8_t opcode, mode;	/* PINDMA_*, or what else the sample needs */
	size_t size;
	uint32_t rate;
};

struct bench_case {
	const char *name;
	void (*prepare)(void);
	const struct bench_series *series;
	unsigned int nr_series;
};

extern const struct bench_case bulk_case, stamps_case, slowdown_case,
	ops_case, latency_case, iommu_case, edu_case, clock_case;

double bench_now(void);		/* s */
void bench_sample(const char *series, double value);
void __attribute__((noreturn, format(printf, 1, 2)))
bench_fail(const char *fmt, ...);
void *bench_memory(size_t len);

/* device.c: pindma */
struct pindma *device_open(void);
uint32_t device_mr(struct pindma *handle, void *addr, size_t len);
uint64_t device_do(struct pindma *handle, const struct pindma_op *op);
void device_check(const struct pindma_completion *completion);
void device_small_prepare(void);
double device_ops(const struct bench_series *series);
void device_latency(const struct bench_series *series, double *seconds,
		    unsigned int nr);
void device_bulk_prepare(void);
double device_bulk(const struct bench_series *series);
void device_hammer_start(uint32_t rate, uint8_t order);
uint64_t device_hammer_stop(void);

/* nvme.c, rxe.c: the others, with the same two questions */
void nvme_prepare(void);
double nvme_ops(const struct bench_series *series);
void nvme_latency(const struct bench_series *series, double *seconds,
		  unsigned int nr);
void rxe_prepare(void);
double rxe_ops(const struct bench_series *series);
void rxe_latency(const struct bench_series *series, double *seconds,
		 unsigned int nr);

/* host.c: the host's side, asked through a port of its own */
double host_memcpy(size_t len);	/* s */
double host_now(void);		/* s */

#endif /* BENCH_H */
