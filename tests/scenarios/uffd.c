// SPDX-License-Identifier: GPL-2.0-only
/*
 * userfaultfd: write protection, and pages that are moved.
 *
 * Red cells: -shared and -plain for write protection, GET and -uncounted for
 * the move.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test.h"

/* 6.8; older headers do not have it */
#ifndef UFFDIO_MOVE
#define UFFD_FEATURE_MOVE	(1 << 16)
struct uffdio_move {
	__u64 dst, src, len, mode;
	__s64 move;
};
#define UFFDIO_MOVE		_IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif

static int uffd_register(struct test *t, uint64_t feature, uint8_t *addr,
			 uint64_t mode)
{
	struct uffdio_api api = { .api = UFFD_API, .features = feature };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)addr, .len = t->len },
		.mode = mode };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		test_skip(t, "userfaultfd: %s", strerror(errno));
	if (ioctl(fd, UFFDIO_API, &api))
		test_skip(t, "userfaultfd of this kernel lacks the feature 0x%llx",
			  (unsigned long long)feature);
	if (ioctl(fd, UFFDIO_REGISTER, &reg))
		test_error(t, "UFFDIO_REGISTER: %s", strerror(errno));
	return fd;
}

static void protect(struct test *t, int fd, uint64_t mode)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = (uintptr_t)t->buf, .len = t->len },
		.mode = mode };

	if (ioctl(fd, UFFDIO_WRITEPROTECT, &wp))
		test_error(t, "UFFDIO_WRITEPROTECT: %s", strerror(errno));
}

static void wp(struct test *t)
{
	int fd;

	test_setup(t);
	fd = uffd_register(t, UFFD_FEATURE_PAGEFAULT_FLAG_WP, t->buf,
			   UFFDIO_REGISTER_MODE_WP);
	protect(t, fd, UFFDIO_WRITEPROTECT_MODE_WP);
	test_step(t, "write-protected");
	protect(t, fd, 0);
	test_step(t, "the process writes");
	test_cpu_write(t);
	test_two_way(t, NULL);
	test_kept(t);
}

static void move(struct test *t)
{
	bool whole = t->mem_type == MEM_THP;
	struct uffdio_move arg = { 0 };
	uint8_t *to;
	int fd;

	test_setup(t);
	to = mmap(NULL, 2 * t->len, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (to == MAP_FAILED)
		test_error(t, "mmap: %s", strerror(errno));
	/* Aligned as they are */
	to = (uint8_t *)(((uintptr_t)to + t->len - 1) & -t->len);
	fd = uffd_register(t, UFFD_FEATURE_MOVE, to,
			   UFFDIO_REGISTER_MODE_MISSING);
	arg.src = (uintptr_t)(whole ? t->buf : t->mem);
	arg.dst = (uintptr_t)to;
	arg.len = whole ? t->len : NR_PAGES * PAGE_SIZE;
	test_step(t, "UFFDIO_MOVE");
	if (!ioctl(fd, UFFDIO_MOVE, &arg))
		test_lost(t, "the pages were moved to another address while the device uses them");
	if (errno != EBUSY)
		test_error(t, "UFFDIO_MOVE: %s", strerror(errno));
	test_cpu_write(t);
	test_two_way(t, NULL);
	test_kept(t);
}

const struct scenario uffd_scenarios[] = {
	{
		.name = "uffd.wp",
		.promise = "a pinned page that userfaultfd had write-protected stays the process's when it writes again: commit 6c287605fd56",
		.fix = "6c287605fd56 (5.19): remember exclusively mapped anonymous pages with PG_anon_exclusive; see do_wp_page()",
		.mems = BIT(MEM_ANON) | BIT(MEM_THP),
		.pins = PINS_STOCK | PINS_SHARED | PINS_PLAIN,
		.flags = SCENARIO_FULL,
		.run = wp,
	}, {
		.name = "uffd.move",
		.promise = "UFFDIO_MOVE does not move a page that is pinned: ioctl_userfaultfd(2), EBUSY",
		.fix = "adef440691ba (6.8): userfaultfd: UFFDIO_MOVE uABI; see move_pages_pte(), move_pages_huge_pmd()",
		.mems = BIT(MEM_ANON) | BIT(MEM_THP),
		.pins = PINS_STOCK | PINS_UNCOUNTED,
		.flags = SCENARIO_FULL,
		.run = move,
	},
	{ }
};
