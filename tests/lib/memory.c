// SPDX-License-Identifier: GPL-2.0-only
/* Memory of each type, and which page frames it has. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "test.h"

#define FILL			0x5a
#define PAGEMAP_PFN_MASK	((1ull << 55) - 1)
#define PAGEMAP_PRESENT		(1ull << 63)
#define KPF_THP			(1ull << 22)	/* linux/kernel-page-flags.h */

static uint64_t read_u64(struct test *t, const char *path, uint64_t index)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t val;

	if (fd < 0)
		test_error(t, "cannot open %s: %s", path, strerror(errno));
	if (pread(fd, &val, sizeof(val), index * sizeof(val)) != sizeof(val))
		test_error(t, "cannot read %s: %s", path, strerror(errno));
	close(fd);
	return val;
}

/* The page frame that the process maps at addr, 0 if none is present. */
uint64_t test_pfn(struct test *t, const void *addr)
{
	uint64_t e = read_u64(t, "/proc/self/pagemap",
			      (uintptr_t)addr / PAGE_SIZE);

	return e & PAGEMAP_PRESENT ? e & PAGEMAP_PFN_MASK : 0;
}

/* Is the page that the process maps at addr a part of a transparent huge page? */
bool test_is_huge(struct test *t, const void *addr)
{
	return read_u64(t, "/proc/kpageflags", test_pfn(t, addr)) & KPF_THP;
}

/* Pages that there should be: if none is free, somebody has lost them. */
static long hugetlb_pool(void)
{
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "re");
	long nr = 0;

	if (f && fscanf(f, "%ld", &nr) != 1)
		nr = 0;
	if (f)
		fclose(f);
	return nr;
}

static void *map(struct test *t, size_t len, int flags)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_ANONYMOUS | flags |
		       (flags & MAP_SHARED ? 0 : MAP_PRIVATE), -1, 0);

	if (p == MAP_FAILED && flags & MAP_HUGETLB && !hugetlb_pool())
		test_skip(t, "no huge pages in the hugetlb pool");
	if (p == MAP_FAILED)
		test_error(t, "mmap of %zu bytes: %s", len, strerror(errno));
	return p;
}

static uint8_t *map_aligned(struct test *t, size_t len)
{
	uint8_t *p = map(t, 2 * len, 0);

	return (uint8_t *)(((uintptr_t)p + len - 1) & -len);
}

static void alloc_thp(struct test *t)
{
	t->len = HUGE_SIZE;
	t->buf = map_aligned(t, t->len);
	if (madvise(t->buf, t->len, MADV_HUGEPAGE))
		test_skip(t, "no transparent huge pages: %s", strerror(errno));
	memset(t->buf, FILL, t->len);
	if (!test_is_huge(t, t->buf))
		test_skip(t, "the kernel had no transparent huge page to give");
}

#define MTHP	"/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled"

static void alloc_mthp(struct test *t)
{
	int ret = kernel_set(MTHP, "always");

	if (ret == -ENOENT)
		test_skip(t, "no huge pages of 64 KiB in this kernel");
	if (ret)
		test_error(t, "%s: %s", MTHP, strerror(-ret));
	t->len = 16 * PAGE_SIZE;
	t->buf = map_aligned(t, t->len);
	memset(t->buf, FILL, t->len);
	kernel_set(MTHP, "never");
	if (!test_is_huge(t, t->buf))
		test_skip(t, "the kernel had no huge page of 64 KiB to give");
}

/* A file of FILL, mapped and read: the pages are those of the page cache. */
static void alloc_file(struct test *t)
{
	uint8_t page[PAGE_SIZE];
	unsigned int i;
	int fd;

	t->len = 16 * PAGE_SIZE;
	memset(page, FILL, sizeof(page));
	fd = memfd_create("pindma", MFD_CLOEXEC);
	if (fd < 0)
		test_error(t, "memfd_create: %s", strerror(errno));
	for (i = 0; i < t->len / PAGE_SIZE; i++)
		if (write(fd, page, sizeof(page)) != sizeof(page))
			test_error(t, "write: %s", strerror(errno));
	t->buf = mmap(NULL, t->len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (t->buf == MAP_FAILED)
		test_error(t, "mmap: %s", strerror(errno));
	close(fd);
}

static void touch(struct test *t)
{
	size_t i;

	for (i = 0; i < t->len; i += PAGE_SIZE)
		*(volatile uint8_t *)(t->buf + i);
}

/* Get memory of the case's type, present and (but for the zero page) filled. */
void test_alloc(struct test *t)
{
	switch (t->mem_type) {
	case MEM_THP:
		alloc_thp(t);
		break;
	case MEM_HUGETLB:
		t->len = HUGE_SIZE;
		t->buf = map(t, t->len, MAP_HUGETLB);
		break;
	case MEM_MTHP:
		alloc_mthp(t);
		break;
	case MEM_FILE:
		alloc_file(t);
		break;
	case MEM_EXT4:
	case MEM_EXT4_JOURNAL:
	case MEM_XFS:
	case MEM_BTRFS:
	case MEM_TMPFS:
		test_file_alloc(t);
		break;
	default:
		t->len = 16 * PAGE_SIZE;
		t->buf = map(t, t->len,
			     t->mem_type == MEM_SHMEM ? MAP_SHARED : 0);
		madvise(t->buf, t->len, MADV_NOHUGEPAGE);
	}
	if (t->mem_type == MEM_ZERO || t->mem_type == MEM_FILE)
		touch(t);
	else
		memset(t->buf, FILL, t->len);
	t->mem = t->buf + FIRST_PAGE * PAGE_SIZE;
}

/* The device was told to access the mr: nothing beside it may have changed. */
void test_check_surroundings(struct test *t)
{
	const uint8_t *end = t->mem + NR_PAGES * PAGE_SIZE;
	const uint8_t fill = t->mem_type == MEM_ZERO ? 0 : FILL;
	const uint8_t *p;

	for (p = t->buf; p < t->buf + t->len; p++) {
		if (p == t->mem)
			p = end;
		if (*p != fill)
			test_lost(t, "byte %td of the buffer, outside of the mr, was overwritten with 0x%02x",
				  p - t->buf, *p);
	}
}

/* mprotect() of all the memory: of a huge page as a whole */
void test_protect(struct test *t, int prot)
{
	if (mprotect(t->buf, t->len, prot))
		test_error(t, "mprotect: %s", strerror(errno));
}

/*
 * Stay on a CPU: each has batches of pages on their way to the LRU lists, where
 * reclaim does not find them, and a process only empties those of its own CPU.
 */
void test_one_cpu(struct test *t)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		test_error(t, "sched_setaffinity: %s", strerror(errno));
}

/* Skips if reclaim has nowhere to put anonymous pages. */
void test_need_swap(struct test *t)
{
	FILE *f = fopen("/proc/swaps", "re");
	char line[256];
	int lines = 0;

	while (f && fgets(line, sizeof(line), f))
		lines++;
	if (f)
		fclose(f);
	if (lines < 2)	/* the first is a heading */
		test_skip(t, "no swap: the kernel has no zram");
}

#define PIPE_SIZE	(256 * PAGE_SIZE)

/* Take nr references to a page, which last until the process ends. */
void test_add_references(struct test *t, uint8_t *page, unsigned int nr)
{
	struct iovec iov = { .iov_base = page, .iov_len = PAGE_SIZE };
	int fds[2] = { -1, -1 };

	while (nr) {
		ssize_t n = vmsplice(fds[1], &iov, 1, SPLICE_F_NONBLOCK);

		if (n == PAGE_SIZE)
			nr--;
		else if (fds[1] >= 0 && errno != EAGAIN)
			test_error(t, "vmsplice: %s", strerror(errno));
		else if (pipe(fds) ||
			 fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE) < 0)
			test_error(t, "a large pipe: %s", strerror(errno));
	}
}
