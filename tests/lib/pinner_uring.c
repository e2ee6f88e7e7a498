// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buffers that are registered with io_uring. The device is QEMU's NVMe disk: a
 * read from it writes to memory. Data goes to the disk, and comes back from it,
 * through a second registered buffer, so that nothing is pinned but these two.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pinner.h"

#define DISK	"/dev/nvme0n1"
#define SECTOR	512

enum { BUF_MR, BUF_OWN };

static struct io_uring ring;
static int disk;
static uint64_t *own;		/* a sector */

static void uring_open(struct test *t)
{
	int ret, tries = 0;

	pinner_modprobe(t, "nvme");
	do {	/* The driver looks for its disks on its own. */
		disk = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
		usleep(disk < 0 ? 10000 : 0);
	} while (disk < 0 && tries++ < 500);
	if (disk < 0)
		test_skip(t, "no " DISK ": %s (run.sh run --pinner uring has one)",
			  strerror(errno));
	own = pinner_shared(t, PAGE_SIZE);
	ret = io_uring_queue_init(1, &ring, 0);
	if (ret)
		test_skip(t, "no io_uring: %s", strerror(-ret));
}

static int uring_reg(struct test *t)
{
	struct iovec buffers[] = {
		[BUF_MR] = { t->mem, NR_PAGES * PAGE_SIZE },
		[BUF_OWN] = { own, SECTOR },
	};

	if (t->mr_flags)	/* it always pins for writing */
		return -EOPNOTSUPP;
	return io_uring_register_buffers(&ring, buffers, ARRAY_SIZE(buffers));
}

static int uring_dereg(struct test *t)
{
	(void)t;
	return io_uring_unregister_buffers(&ring);
}

/* The first sector of the disk, to or from a registered buffer. */
static void transfer(struct test *t, bool to_disk, int buffer, void *addr)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	struct io_uring_cqe *cqe;
	int ret;

	if (to_disk)
		io_uring_prep_write_fixed(sqe, disk, addr, SECTOR, 0, buffer);
	else
		io_uring_prep_read_fixed(sqe, disk, addr, SECTOR, 0, buffer);
	do {
		ret = io_uring_submit_and_wait(&ring, 1);
	} while (ret == -EINTR);
	if (ret >= 0)
		ret = io_uring_wait_cqe(&ring, &cqe);
	if (ret)
		test_error(t, "io_uring: %s", strerror(-ret));
	if (cqe->res != SECTOR)
		test_error(t, DISK ": %s of %d bytes: %d",
			   to_disk ? "write" : "read", SECTOR, cqe->res);
	io_uring_cqe_seen(&ring, cqe);
}

static void uring_write(struct test *t, uint64_t offset, uint64_t value,
			struct pindma_completion *c)
{
	(void)c;
	own[offset % SECTOR / sizeof(*own)] = value;
	transfer(t, true, BUF_OWN, own);
	transfer(t, false, BUF_MR, t->mem + offset / SECTOR * SECTOR);
}

static uint64_t uring_read(struct test *t, uint64_t offset)
{
	transfer(t, true, BUF_MR, t->mem + offset / SECTOR * SECTOR);
	transfer(t, false, BUF_OWN, own);
	return own[offset % SECTOR / sizeof(*own)];
}

const struct pinner pinner_uring = {
	.open = uring_open,
	.reg = uring_reg,
	.dereg = uring_dereg,
	.write = uring_write,
	.read = uring_read,
};
