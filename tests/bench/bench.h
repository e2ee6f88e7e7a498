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

struct bench_peer;

struct bench_series {
	const char *name;
	const struct bench_peer *peer;
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

int bench_cpu(void);		/* where a case is measured */
double bench_now(void);		/* s */
void bench_sample(const char *series, double value);
void __attribute__((noreturn, format(printf, 1, 2)))
bench_fail(const char *fmt, ...);
void *bench_memory(size_t len);

/*
 * Whoever carries out small ops, on buffers of its own, one for each slot: put
 * ops on their way; wait for at least one, and say whose slots are free again.
 */
struct bench_peer {
	void (*prepare)(void);
	void (*post)(const struct bench_series *series,
		     const unsigned int *slots, unsigned int nr);
	unsigned int (*reap)(const struct bench_series *series,
			     unsigned int *slots);
	/* With so many ended it posts again: what suits it best, as measured. */
	unsigned int turn;
};

/*
 * pindma through a queue of the process's own, looking before it sleeps; the same
 * with nothing but poll(); through system calls. And the others.
 */
extern const struct bench_peer device_peer, device_wait_peer, device_call_peer,
	nvme_peer, rxe_peer;

/* device.c: pindma's large ops */
void device_bulk_prepare(void);
double device_bulk(const struct bench_series *series);	/* s */
void device_hammer_start(uint32_t rate, uint8_t order);
uint64_t device_hammer_stop(void);			/* pages stamped */

/* host.c: the host's side, asked through a port of its own */
double host_memcpy(size_t len);	/* s */
double host_now(void);		/* s */

#endif /* BENCH_H */
