// SPDX-License-Identifier: GPL-2.0-only
/*
 * O_DIRECT: the kernel itself pins pages for a disk, which then masters the bus.
 * No pindma here: QEMU's virtio disk writes, a slow one, so that there is time to
 * do something while it is about to.
 *
 * To see it red: a kernel before 6.5.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

#define SECTOR		512
#define MAX_TRIES	8

struct transfer {
	int fd;
	void *buf;
	volatile bool done;
	ssize_t ret;
};

static void *transfer(void *arg)
{
	struct transfer *tr = arg;

	tr->ret = pread(tr->fd, tr->buf, SECTOR, 0);
	tr->done = true;
	return NULL;
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
static bool read_and_fork(struct test *t, const char *dev, int fd)
{
	struct transfer tr = { .fd = fd, .buf = t->mem };
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

static void fork_read(struct test *t)
{
	static const uint8_t zeros[SECTOR];
	unsigned int try;
	char dev[32];
	int fd;

	test_disk(t, "slow", dev, sizeof(dev));
	fd = open(dev, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		test_error(t, "cannot open %s: %s", dev, strerror(errno));
	test_alloc(t);
	slow_down(t, fd);
	for (try = 0; try < MAX_TRIES; try++)
		if (read_and_fork(t, dev, fd))
			break;
	if (try == MAX_TRIES)
		test_error(t, "the disk was always faster than fork()");
	test_note(t, "O_DIRECT read of %d bytes, in flight while the process forked and wrote to the same page: the buffer has 0x%02x, the disk 0",
		  SECTOR, t->mem[0]);
	if (memcmp(t->mem, zeros, SECTOR))
		test_lost(t, "read() returned %d, what it has read is not in the buffer",
			  SECTOR);
	test_kept(t);
}

const struct scenario directio_scenarios[] = {
	{
		.name = "directio.fork_read",
		.promise = "an O_DIRECT read that is under way when the process forks ends in the buffer of the parent",
		.fix = "1ccf164ec866, a7e689dd1c06 (6.5): FOLL_PIN in place of FOLL_GET for O_DIRECT",
		.mems = BIT(MEM_ANON),
		.flags = SCENARIO_SLOW,
		.run = fork_read,
	},
	{ }
};
