// SPDX-License-Identifier: GPL-2.0-only
/*
 * O_DIRECT: the kernel itself pins pages for a disk, which then masters the bus.
 * No pindma here: QEMU's virtio disk writes, a slow one, so that there is time to
 * do something while it is about to.
 *
 * To see it red: fork_read and fork_uring on a kernel before 6.5, read_into_file on
 * btrfs with 6.12.97 to 6.12.117, fork_uring_fixed with the lab's no_early_copy_pte.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

#define SECTOR		512
#define MAX_TRIES	20

/* Who reads: read(), io_uring, or io_uring into a buffer that was registered */
enum reader { READ, URING, URING_FIXED };

struct transfer {
	int fd;
	void *buf;
	size_t len;
	volatile bool done;
	ssize_t ret;
	struct io_uring *ring;	/* NULL: read() */
	bool fixed;
};

static ssize_t read_uring(struct transfer *tr)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(tr->ring);
	struct io_uring_cqe *cqe;
	int ret;

	if (tr->fixed)
		io_uring_prep_read_fixed(sqe, tr->fd, tr->buf, tr->len, 0, 0);
	else
		io_uring_prep_read(sqe, tr->fd, tr->buf, tr->len, 0);
	ret = io_uring_submit(tr->ring);
	if (ret == 1) {
		do {
			ret = io_uring_wait_cqe(tr->ring, &cqe);
		} while (ret == -EINTR);
	}
	if (!ret) {
		ret = cqe->res;
		io_uring_cqe_seen(tr->ring, cqe);
	}
	errno = ret < 0 ? -ret : 0;
	return ret;
}

static void *transfer(void *arg)
{
	struct transfer *tr = arg;

	tr->ret = tr->ring ? read_uring(tr) :
			     pread(tr->fd, tr->buf, tr->len, 0);
	tr->done = true;
	return NULL;
}

static void start_ring(struct test *t, struct io_uring *ring, bool fixed)
{
	struct iovec buffer = { t->mem, PAGE_SIZE };
	int ret = io_uring_queue_init(1, ring, 0);

	if (ret)
		test_skip(t, "no io_uring: %s", strerror(-ret));
	ret = fixed ? io_uring_register_buffers(ring, &buffer, 1) : 0;
	if (ret)
		test_error(t, "cannot register the buffer: %s", strerror(-ret));
}

/* The disk is slow only after it was fast for a while. */
static void slow_down(struct test *t, int fd)
{
	struct timespec start, end;
	unsigned int i;

	for (i = 0; i < 100; i++) {
		clock_gettime(CLOCK_MONOTONIC, &start);
		if (pread(fd, t->mem, SECTOR, 0) != SECTOR)
			test_error(t, "O_DIRECT read: %s", strerror(errno));
		clock_gettime(CLOCK_MONOTONIC, &end);
		if ((end.tv_sec - start.tv_sec) * 1000 +
		    (end.tv_nsec - start.tv_nsec) / 1000000 >= 100)
			return;
	}
	test_error(t, "the disk is not slow: it made %u reads without a pause",
		   i);
}

/* Has the disk a read to do? That is when its pages are pinned. */
static bool in_flight(struct test *t, const char *dev)
{
	unsigned int reads = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%.8s/inflight",
		 dev + strlen("/dev/"));
	f = fopen(path, "re");
	if (!f || fscanf(f, "%u", &reads) != 1)
		test_error(t, "cannot read %s", path);
	fclose(f);
	return reads;
}

/* One try; false: the disk was done before the process had written. */
static bool read_and_fork(struct test *t, const char *dev, int fd,
			  struct io_uring *ring, bool fixed)
{
	struct transfer tr = { .fd = fd, .buf = t->mem, .len = SECTOR,
			       .ring = ring, .fixed = fixed };
	struct peer child;
	pthread_t thread;
	bool late;

	memset(t->mem, 0x5a, PAGE_SIZE);
	if (pthread_create(&thread, NULL, transfer, &tr))
		test_error(t, "pthread_create: %s", strerror(errno));
	while (!tr.done && !in_flight(t, dev))
		usleep(1000);
	child = test_fork_peer(t, false);
	test_cpu_write(t);	/* elsewhere in the same page: the copy is made */
	late = tr.done;
	pthread_join(thread, NULL);
	test_peer_exit(t, &child);
	if (tr.ret != SECTOR)
		test_error(t, "O_DIRECT read: %s", strerror(errno));
	return !late;
}

static int open_slow(struct test *t, char *dev, size_t size)
{
	int fd;

	test_disk(t, "slow", dev, size);
	fd = open(dev, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		test_error(t, "cannot open %s: %s", dev, strerror(errno));
	return fd;
}

static void read_while_forking(struct test *t, enum reader reader)
{
	static const uint8_t zeros[SECTOR];
	struct io_uring ring;
	unsigned int try;
	char dev[32];
	int fd = open_slow(t, dev, sizeof(dev));

	test_alloc(t);
	slow_down(t, fd);
	if (reader != READ)
		start_ring(t, &ring, reader == URING_FIXED);
	for (try = 0; try < MAX_TRIES; try++)
		if (read_and_fork(t, dev, fd, reader != READ ? &ring : NULL,
				  reader == URING_FIXED))
			break;
	if (try == MAX_TRIES)
		test_error(t, "the disk was always faster than fork()");
	test_note(t, "O_DIRECT read of %d bytes, in flight while the process forked and wrote to the same page: the buffer has 0x%02x, the disk 0",
		  SECTOR, t->mem[0]);
	if (memcmp(t->mem, zeros, SECTOR))
		test_lost(t, "the read returned %d, what it has read is not in the buffer",
			  SECTOR);
	test_kept(t);
}

static void fork_read(struct test *t)
{
	read_while_forking(t, READ);
}

static void fork_uring(struct test *t)
{
	read_while_forking(t, URING);
}

static void fork_uring_fixed(struct test *t)
{
	read_while_forking(t, URING_FIXED);
}

/*
 * The disk is the device, and the kernel's own O_DIRECT the driver: it pins pages of
 * a file, and makes them dirty when the data has come. Meanwhile fsync() cleans
 * them: docs/findings.md has this as a program.
 */
static void read_into_file(struct test *t)
{
	struct transfer tr = { .buf = NULL, .len = NR_PAGES * PAGE_SIZE };
	pthread_t thread;
	char dev[32];
	unsigned int page, try;
	int err, again;
	uint64_t val;

	tr.fd = open_slow(t, dev, sizeof(dev));
	test_alloc(t);
	tr.buf = t->mem;
	slow_down(t, tr.fd);
	for (try = 0; try < MAX_TRIES; try++) {
		bool late;

		memset(t->mem, 0x5a, tr.len);
		tr.done = false;
		if (pthread_create(&thread, NULL, transfer, &tr))
			test_error(t, "pthread_create: %s", strerror(errno));
		while (!tr.done && !in_flight(t, dev))
			usleep(1000);
		if (test_fsync(t))
			test_error(t, "fsync while the read is under way failed");
		late = tr.done;
		pthread_join(thread, NULL);
		if (tr.ret != (ssize_t)tr.len)
			test_error(t, "O_DIRECT read: %s", strerror(errno));
		if (!late)
			break;
	}
	if (try == MAX_TRIES)
		test_error(t, "the disk was always faster than fsync()");
	err = test_fsync(t);
	again = test_fsync(t);
	/* A worker of btrfs may still have them: see unpin_fsync() in writeback.c. */
	for (try = 0; t->mem_type == MEM_BTRFS && !err && !again && try < 20; try++) {
		usleep(50000);
		again = test_fsync(t);
	}
	test_remount(t);
	for (page = 0; page < NR_PAGES; page++) {
		int ret = test_file_word(t, page, 0, &val);

		if (ret)
			test_lost(t, "page %u cannot be read: %s", page,
				  strerror(ret));
		if (val)
			test_lost(t, "page %u: read() returned %zd, fsync() %s, then %s; after umount and mount the file has 0x%llx, and not what was read",
				  page, tr.ret, err ? strerror(err) : "0",
				  again ? strerror(again) : "0",
				  (unsigned long long)val);
	}
	if (err || again)
		test_lost(t, "fsync(): %s", strerror(err ? err : again));
	test_kept(t);
}

const struct scenario directio_scenarios[] = {
	{
		.name = "directio.fork_read",
		.promise = "an O_DIRECT read that is under way when the process forks ends in the buffer of the parent",
		.fix = "1ccf164ec866, a7e689dd1c06 (6.5): FOLL_PIN in place of FOLL_GET for O_DIRECT; see iov_iter_extract_pages()",
		.mems = BIT(MEM_ANON),
		.flags = SCENARIO_SLOW,
		.run = fork_read,
	}, {
		.name = "directio.fork_uring",
		.promise = "the same when io_uring reads",
		.fix = "1ccf164ec866, a7e689dd1c06 (6.5): FOLL_PIN in place of FOLL_GET for O_DIRECT; see iov_iter_extract_pages()",
		.mems = BIT(MEM_ANON),
		.flags = SCENARIO_SLOW,
		.run = fork_uring,
	}, {
		.name = "directio.fork_uring_fixed",
		.promise = "the same when io_uring reads into a registered buffer, which is pinned for long",
		.fix = "70e806e4e645 (5.9): mm: Do early cow for pinned pages during fork() for ptes; see copy_present_page()",
		.mems = BIT(MEM_ANON),
		.flags = SCENARIO_SLOW,
		.run = fork_uring_fixed,
	}, {
		.name = "directio.read_into_file",
		.promise = "what an O_DIRECT read has put into a mapping of a file is in that file after fsync(), although the page was cleaned while the read was under way: block/bio.c, \"we might need to redirty\"",
		.fix = "\"btrfs: restore fixup worker\" (7.2-rc7)",
		.mems = MEMS_DISK,
		.flags = SCENARIO_SLOW,
		.run = read_into_file,
	},
	{ }
};
