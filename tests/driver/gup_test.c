// SPDX-License-Identifier: GPL-2.0-only
/*
 * tests/modules/pindma_gup_test.c does what mm/gup_test.c does, so that the
 * kernel's own tests can rely on it, see ./run.sh kselftest.
 *
 * To see it red: leave out the COPY, or gup_test_stop() in its release.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

#define FILE_NAME	"/sys/kernel/debug/gup_test"
#define SIZE		(3 * PAGE_SIZE)
#define ODD		5	/* the buffer of READ may begin anywhere */

/* mm/gup_test.h */
struct pin_longterm_test {
	uint64_t addr;
	uint64_t size;
	uint32_t flags;
};

#define START		_IOW('g', 7, struct pin_longterm_test)
#define STOP		_IO('g', 8)
#define READ		_IOW('g', 9, uint64_t)
#define USE_WRITE	1
#define USE_FAST	2

static int start(int fd, const uint8_t *addr, uint64_t size, uint32_t flags)
{
	struct pin_longterm_test args = { .addr = (uintptr_t)addr,
					  .size = size, .flags = flags };

	return ioctl(fd, START, &args) ? -errno : 0;
}

static int read_pinned(int fd, const uint8_t *to)
{
	uint64_t addr = (uintptr_t)to;

	return ioctl(fd, READ, &addr) ? -errno : 0;
}

static uint8_t *pages(struct test *t, size_t size)
{
	uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(t, p != MAP_FAILED);
	return p;
}

static int open_gup_test(struct test *t)
{
	int fd;

	if (!access(FILE_NAME, F_OK) &&
	    access("/sys/module/pindma_gup_test", F_OK))
		test_skip(t, "the kernel has gup_test itself: CONFIG_GUP_TEST");
	if (system("modprobe -q pindma_gup_test"))
		test_skip(t, "the module pindma_gup_test cannot be loaded");
	fd = open(FILE_NAME, O_RDWR);
	CHECK(t, fd >= 0);
	return fd;
}

/* Bytes of mrs that the device has read since the journal's entry first */
static uint64_t device_has_read(struct test *t, uint64_t first)
{
	const struct pindma_journal_entry *e;
	int n = test_read_journal(t, &e, &first);
	uint64_t sum = 0;

	CHECK(t, n > 0);
	while (n--)
		if (e[n].kind == PINDMA_JOURNAL_READ)
			sum += e[n].len;
	return sum;
}

static uint64_t journal_end(struct test *t)
{
	const struct pindma_journal_entry *e;
	uint64_t first = 0;
	int n = test_read_journal(t, &e, &first);

	CHECK(t, n > 0);
	return first + n;
}

static void arguments(struct test *t)
{
	uint8_t *mem = pages(t, SIZE);
	int fd = open_gup_test(t);

	CHECK(t, start(fd, mem + 1, SIZE, 0) == -EINVAL);
	CHECK(t, start(fd, mem, SIZE - 1, 0) == -EINVAL);
	CHECK(t, start(fd, mem, 0, 0) == -EINVAL);
	CHECK(t, start(fd, mem, SIZE, 4) == -EINVAL);
	CHECK(t, start(fd, NULL, SIZE, 0) == -EFAULT);
	CHECK(t, read_pinned(fd, mem) == -EINVAL);
	CHECK(t, !ioctl(fd, STOP));
	CHECK(t, ioctl(fd, READ, NULL) == -1 && errno == EINVAL);
	CHECK(t, ioctl(fd, _IOWR('g', 1, uint64_t), mem) == -1 &&
		 errno == EINVAL);
	test_kept(t);
}

static void device_reads(struct test *t)
{
	static const uint32_t flags[] = { 0, USE_FAST, USE_WRITE,
					  USE_WRITE | USE_FAST };
	uint8_t *mem = pages(t, SIZE), *to = pages(t, SIZE + PAGE_SIZE);
	int fd = open_gup_test(t), other = open(FILE_NAME, O_RDWR);
	long pinned = kernel_pinned_pages();
	unsigned int i, n;
	uint64_t first;

	test_open(t);
	CHECK(t, other >= 0);
	memset(mem, 1, SIZE);	/* not the zero page, which old kernels pin */
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		CHECK(t, !start(fd, mem, SIZE, flags[i]));
		CHECK(t, start(fd, mem, SIZE, flags[i]) == -EINVAL);
		/* Another file has a range of its own. */
		CHECK(t, !start(other, mem + PAGE_SIZE, PAGE_SIZE, flags[i]));
		CHECK(t, kernel_pinned_pages() - pinned == 4);

		for (n = 0; n < SIZE; n++)
			mem[n] = n / 7 + i;
		memset(to, 0xee, SIZE + PAGE_SIZE);
		/* With a buffer that is not there, it stays pinned. */
		CHECK(t, read_pinned(fd, NULL) == -EFAULT);
		first = journal_end(t);
		CHECK(t, !read_pinned(fd, to + ODD));
		CHECK(t, device_has_read(t, first) == SIZE);
		CHECK(t, !memcmp(to + ODD, mem, SIZE));
		CHECK(t, to[ODD - 1] == 0xee && to[ODD + SIZE] == 0xee);

		CHECK(t, !ioctl(fd, STOP));
		CHECK(t, kernel_pinned_pages() - pinned == 1);
		CHECK(t, read_pinned(fd, to) == -EINVAL);
		CHECK(t, !read_pinned(other, to));
		CHECK(t, !memcmp(to, mem + PAGE_SIZE, PAGE_SIZE));
		CHECK(t, !ioctl(other, STOP));
	}
	/* Who closes the file, or exits, need not stop. */
	CHECK(t, !start(other, mem, SIZE, 0));
	close(other);
	CHECK(t, kernel_pinned_pages() == pinned);
	CHECK(t, !start(fd, mem, SIZE, 0));
	test_kept(t);
}

const struct scenario driver_gup_test_scenarios[] = {
	{
		.name = "driver.gup_test_arguments",
		.promise = "gup_test for the kernel's own tests refuses what mm/gup_test.c refuses",
		.run = arguments,
	}, {
		.name = "driver.gup_test_reads",
		.promise = "gup_test for the kernel's own tests pins as it is told, and the device reads all that is pinned",
		.run = device_reads,
	},
	{ }
};
