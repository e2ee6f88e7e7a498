// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU's NVMe disk at its best: O_DIRECT through io_uring with the file and the
 * buffers registered, one system call for submission and waiting; and at depth 1
 * plain pread(), which has no ring to go through.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench.h"

#define NVME	"/dev/nvme0n1"

static int disk;
static struct io_uring ring;
static struct iovec buffers[BENCH_DEPTH];

void nvme_prepare(void)
{
	char *memory = bench_memory(BENCH_DEPTH * BENCH_MAX_SIZE);
	unsigned int i;
	int ret;

	disk = open(NVME, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (disk < 0)
		bench_fail(NVME ": %s", strerror(errno));
	for (i = 0; i < BENCH_DEPTH; i++)
		buffers[i] = (struct iovec) {
			.iov_base = memory + (size_t)i * BENCH_MAX_SIZE,
			.iov_len = BENCH_MAX_SIZE,
		};
	ret = io_uring_queue_init(BENCH_DEPTH, &ring, 0);
	if (!ret)
		ret = io_uring_register_buffers(&ring, buffers, BENCH_DEPTH);
	if (!ret)
		ret = io_uring_register_files(&ring, &disk, 1);
	if (ret)
		bench_fail("io_uring: %s", strerror(-ret));
}

static void queue(const struct bench_series *series, unsigned int slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	uint64_t offset = (uint64_t)slot * BENCH_MAX_SIZE;

	if (series->opcode == PINDMA_OP_READ)
		io_uring_prep_write_fixed(sqe, 0, buffers[slot].iov_base,
					  series->size, offset, slot);
	else
		io_uring_prep_read_fixed(sqe, 0, buffers[slot].iov_base,
					 series->size, offset, slot);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data64(sqe, slot);
}

/* Submit what is queued, wait, and say which slots are free again. */
static unsigned int turn(const struct bench_series *series, unsigned int *slots)
{
	struct io_uring_cqe *cqes[BENCH_DEPTH];
	int ret = io_uring_submit_and_wait(&ring, 1);
	unsigned int i, n;

	if (ret < 0)
		bench_fail("io_uring: %s", strerror(-ret));
	n = io_uring_peek_batch_cqe(&ring, cqes, BENCH_DEPTH);
	for (i = 0; i < n; i++) {
		if (cqes[i]->res != (int)series->size)
			bench_fail(NVME ": %zu bytes: %d", series->size,
				   cqes[i]->res);
		slots[i] = (unsigned int)cqes[i]->user_data;
	}
	io_uring_cq_advance(&ring, n);
	return n;
}

double nvme_ops(const struct bench_series *series)
{
	unsigned int slots[BENCH_DEPTH], i, n, flying = BENCH_DEPTH;
	double start = bench_now(), now;
	uint64_t total = 0;

	for (i = 0; i < BENCH_DEPTH; i++)
		queue(series, i);
	do {
		n = turn(series, slots);
		total += n;
		now = bench_now();
		if (now - start >= opt.seconds) {
			flying -= n;
			break;
		}
		for (i = 0; i < n; i++)
			queue(series, slots[i]);
	} while (true);
	while (flying)
		flying -= turn(series, slots);
	return (double)total / (now - start);
}

void nvme_latency(const struct bench_series *series, double *seconds,
		  unsigned int nr)
{
	double start;

	while (nr--) {
		start = bench_now();
		if (pread(disk, buffers[0].iov_base, series->size, 0) !=
		    (ssize_t)series->size)
			bench_fail(NVME ": %s", strerror(errno));
		*seconds++ = bench_now() - start;
	}
}
