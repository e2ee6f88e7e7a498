// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU's NVMe disk at its best: O_DIRECT through io_uring with the file and the
 * buffers registered, one system call for submission and waiting. Its polled
 * queues (poll_queues=1, IORING_SETUP_IOPOLL) and -device nvme,ioeventfd=on were
 * tried: no faster.
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

/* By the name of what pindma would do: its READ takes data out of memory. */
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

static void nvme_post(const struct bench_series *series,
		      const unsigned int *slots, unsigned int nr)
{
	while (nr--)
		queue(series, *slots++);
}

static unsigned int nvme_reap(const struct bench_series *series,
			      unsigned int *slots)
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

static void nvme_prepare(void)
{
	static const struct bench_series read = {
		.opcode = PINDMA_OP_WRITE,
		.size = BENCH_MAX_SIZE,
	};
	char *memory = bench_memory(BENCH_DEPTH * BENCH_MAX_SIZE);
	unsigned int i, slot = 0;
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

	/* There is nothing but zeroes, and they do arrive. */
	nvme_post(&read, &slot, 1);
	nvme_reap(&read, &slot);
	for (i = 0; i < BENCH_MAX_SIZE; i++)
		if (memory[i])
			bench_fail(NVME ": a read did not write to memory");
}

/* Its completions come 32 at a time by themselves. */
const struct bench_peer nvme_peer = { nvme_prepare, nvme_post, nvme_reap, 1 };
