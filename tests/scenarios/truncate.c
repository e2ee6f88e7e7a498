// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file loses pages that a device is writing to.
 *
 * A pin keeps the page, not its place in the file: it leaves the page cache, and
 * what the device writes to it then goes nowhere. It must not go anywhere else:
 * the space on disk may belong to another file by now, and the page that is made
 * dirty at its unpin has no file any more (mapping is NULL, __set_page_dirty()).
 *
 * To see them red: without the reference (tests/mutants/no-reference.patch) the pages
 * become those of the hole, or of the other file; and in the control unpinned, whose
 * device goes on when the pages are free.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

#define OTHER		"/mnt/other"
#define OTHER_PAGES	512u
#define PINS		(BIT(PIN_GET) | BIT(PIN_PIN))
#define MEMS		(BIT(MEM_EXT4) | BIT(MEM_XFS) | BIT(MEM_BTRFS))
#define START		(off_t)(FIRST_PAGE * PAGE_SIZE)
#define LENGTH		(off_t)(NR_PAGES * PAGE_SIZE)

static uint64_t begin(struct test *t)
{
	test_one_cpu(t);	/* what it frees it gets again */
	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	test_cpu_write(t);
	if (test_fsync(t))
		test_error(t, "fsync failed");
	return test_start_hammer(t, 0);
}

static uint64_t other_word(unsigned int n)
{
	return 0x6f74686572ull << 24 | n;
}

/* All the memory it needs it has before anything is given back. */
static int open_other(struct test *t)
{
	int fd;

	unlink(OTHER);
	fd = open(OTHER, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		test_error(t, OTHER ": %s", strerror(errno));
	return fd;
}

/* Another file takes the space, and memory, that the first has given back. */
static void write_other(struct test *t, int fd)
{
	uint64_t data[PAGE_SIZE / sizeof(uint64_t)];
	unsigned int n, i;

	for (n = 0; n < OTHER_PAGES; n++) {
		for (i = 0; i < ARRAY_SIZE(data); i++)
			data[i] = other_word(n * ARRAY_SIZE(data) + i);
		if (write(fd, data, sizeof(data)) != sizeof(data))
			test_error(t, "write to " OTHER ": %s",
				   strerror(errno));
	}
	if (fsync(fd))
		test_error(t, "fsync of " OTHER ": %s", strerror(errno));
	close(fd);
}

static void check_other(struct test *t)
{
	static uint64_t page[PAGE_SIZE / sizeof(uint64_t)];
	int fd = open(OTHER, O_RDONLY | O_CLOEXEC);
	unsigned int n, i;

	for (n = 0; n < OTHER_PAGES; n++) {
		if (read(fd, page, sizeof(page)) != sizeof(page))
			test_lost(t, "page %u of another file cannot be read: %s",
				  n, strerror(errno));
		for (i = 0; i < ARRAY_SIZE(page); i++)
			if (page[i] != other_word(n * ARRAY_SIZE(page) + i))
				test_lost(t, "page %u of another file has 0x%llx at +0x%zx, which the device wrote",
					  n, (unsigned long long)page[i],
					  i * sizeof(*page));
	}
	close(fd);
}

/* Zeros where the pages were, whatever the device has written since. */
static void check_hole(struct test *t, const char *when)
{
	static uint8_t data[NR_PAGES * PAGE_SIZE], zeros[sizeof(data)];

	if (pread(t->fd, data, sizeof(data), START) != sizeof(data))
		test_lost(t, "%s the hole cannot be read: %s", when,
			  strerror(errno));
	if (memcmp(data, zeros, sizeof(data)))
		test_lost(t, "%s the hole has 0x%llx, and no zeros", when,
			  *(unsigned long long *)data);
}

/* @lose: takes the pages of the mr out of the file, and makes it as long as it was */
static void hole(struct test *t, void (*lose)(struct test *))
{
	uint64_t hammer = begin(t);
	int other = open_other(t);

	test_step(t, "the file loses the pages");
	lose(t);
	check_hole(t, "while the device writes");
	test_hammer_goes_on(t);
	/* Once more, now that it is in the page cache. */
	check_hole(t, "while the device writes");
	sync();		/* a journal keeps freed blocks until it is committed */
	write_other(t, other);
	test_stop_hammer(t, hammer);
	test_dereg_mr(t);
	if (test_fsync(t))
		test_lost(t, "fsync() after the unpin failed");
	test_remount(t);
	check_hole(t, "after umount and mount");
	check_other(t);
	test_kept(t);
}

static void punch(struct test *t)
{
	if (fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, START,
		      LENGTH))
		test_error(t, "FALLOC_FL_PUNCH_HOLE: %s", strerror(errno));
}

static void shorten(struct test *t)
{
	if (ftruncate(t->fd, START) || ftruncate(t->fd, t->len))
		test_error(t, "ftruncate: %s", strerror(errno));
}

static void punch_hole(struct test *t)
{
	hole(t, punch);
}

static void shrink(struct test *t)
{
	hole(t, shorten);
}

static void unlink_(struct test *t)
{
	uint64_t hammer = begin(t);
	int other = open_other(t);

	test_step(t, "munmap, unlink, close");
	test_file_unmap(t);
	if (unlink("/mnt/file"))
		test_error(t, "unlink: %s", strerror(errno));
	close(t->fd);
	sync();
	write_other(t, other);
	test_hammer_goes_on(t);
	test_stop_hammer(t, hammer);
	test_dereg_mr(t);
	/* For who mounts it again, and looks for the file */
	t->fd = open("/mnt/file", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (t->fd < 0)
		test_lost(t, "a new file cannot be made: %s", strerror(errno));
	test_remount(t);
	check_other(t);
	test_kept(t);
}

/*
 * The device has lost its mr and does not care: no IOMMU helps against this one.
 * False: the other file was not written in time.
 */
static bool write_unpinned(struct test *t)
{
	const double delay = 1000;	/* ms */
	volatile uint64_t *word = (uint64_t *)t->mem;
	struct pindma_completion c;
	double left;
	int other;

	test_reg_mr(t);
	test_cpu_write(t);
	if (test_fsync(t))
		test_error(t, "fsync failed");
	other = open_other(t);
	*word = 0;
	test_start_hammer(t, 20);
	while (!*word)	/* and the mr is gone before it writes again */
		usleep(100);
	test_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_STALE_ATC, .queues = 1u << 1, .count = 1,
		.arg = NR_PAGES, .delay = delay * 1e6 });
	left = now_ms() + delay;
	test_dereg_mr(t);
	test_step(t, "unpinned, the file loses the pages");
	punch(t);
	write_other(t, other);
	left -= now_ms();
	test_collect(t, &c, 1);
	if (left < 0)
		return false;
	usleep((left + 200) * 1000);
	return true;
}

/* The other file may have got other pages: then once more. */
static void unpinned(struct test *t)
{
	unsigned int try, in_time = 0;

	test_one_cpu(t);	/* what it frees it gets again */
	test_alloc(t);
	test_open(t);
	for (try = 0; try < 10; try++) {
		if (!write_unpinned(t))
			continue;
		in_time++;
		check_other(t);
	}
	if (!in_time)
		test_skip(t, "too slow: the device did not wait until the other file was written");
	test_kept(t);
}

const struct scenario truncate_scenarios[] = {
	{
		.name = "truncate.punch_hole",
		.promise = "a hole reads as zeros, and other files keep what they have, although a device writes to the pages that were there: fallocate(2), mm/truncate.c",
		.mems = MEMS, .pins = PINS,
		.flags = SCENARIO_SLOW,
		.run = punch_hole,
	}, {
		.name = "truncate.shrink",
		.promise = "the same when the file gets shorter, and as long again: ftruncate(2)",
		.mems = MEMS, .pins = PINS,
		.flags = SCENARIO_SLOW,
		.run = shrink,
	}, {
		.name = "truncate.unlink",
		.promise = "a file goes with its last name although a device writes to its pages; nobody else's data change, and the filesystem can be unmounted: unlink(2)",
		.mems = MEMS, .pins = PINS,
		.flags = SCENARIO_SLOW,
		.run = unlink_,
	}, {
		.name = "truncate.unpinned",
		.promise = "control: truncate.punch_hole, when the device goes on after the unpin; it writes to the other file",
		.mems = BIT(MEM_EXT4), .pins = BIT(PIN_PIN_FAST),
		.flags = SCENARIO_FULL,
		.run = unpinned,
	},
	{ }
};
