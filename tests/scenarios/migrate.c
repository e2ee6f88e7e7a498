// SPDX-License-Identifier: GPL-2.0-only
/*
 * Those who move, merge or replace pages behind the process's back must leave
 * pages alone that a device uses.
 *
 * All of them are stopped by any reference, so that GET is as good as a pin.
 * That they were at work a decoy shows: memory of the same process that nobody
 * uses, which must have been moved. Red: a driver that does not hold its pages
 * (tests/mutants/no-reference.patch); on demand, where the pages do move, one that
 * does not listen (deaf-on-demand.patch); -plain for numa_balancing.
 */
#include <errno.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25	/* 6.1 */
#endif

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

#define MAX_MS		5000
#define MAX_TRIES	20

/* A page of the case's memory that is not in the mr */
static uint8_t *decoy_of(const struct test *t)
{
	return t->mem + (NR_PAGES + 2) * PAGE_SIZE;
}

/*
 * tried: it has happened to the decoy. What is held must be where it was, and
 * that is asked before anybody writes through a pin of what is somebody else's now.
 */
static void __attribute__((noreturn)) judge_pages(struct test *t, bool tried)
{
	unsigned int page;
	uint64_t pfn;

	if (!tried)
		test_error(t, "the rig is blind: not even a page that nobody uses was moved");
	for (page = 0; page < NR_PAGES && t->pin != PIN_ON_DEMAND; page++) {
		pfn = test_pfn(t, t->mem + page * PAGE_SIZE);
		if (pfn && pfn != t->pinned[page])
			test_lost(t, "page %u of the mr was moved from frame 0x%llx to 0x%llx while the device uses it",
				  page, (unsigned long long)t->pinned[page],
				  (unsigned long long)pfn);
	}
	test_step(t, "the process writes");
	test_cpu_write(t);
	test_two_way(t, NULL);
	test_kept(t);
}

static void move_pages_(struct test *t)
{
	void *pages[NR_PAGES + 2];
	int nodes[NR_PAGES + 2], status[NR_PAGES + 2], i, node;
	struct test decoy = *t;	/* huge pages move as a whole */
	bool tried = false;
	uint64_t was;

	if (access("/sys/devices/system/node/node1", F_OK))
		test_skip(t, "only one NUMA node: boot with numa=fake=2");
	test_setup(t);
	test_alloc(&decoy);
	/* First: it ends at what cannot be moved. Of hugetlb only a head can be. */
	pages[0] = decoy.buf;
	pages[1] = t->buf;
	for (i = 0; i < NR_PAGES; i++)
		pages[i + 2] = t->mem + i * PAGE_SIZE;
	was = test_pfn(t, decoy.buf);
	test_step(t, "move_pages() to each node");
	for (node = 0; node < 2; node++) {
		for (i = 0; i < NR_PAGES + 2; i++)
			nodes[i] = node;
		syscall(SYS_move_pages, 0, NR_PAGES + 2, pages, nodes, status,
			MPOL_MF_MOVE);
		tried |= test_pfn(t, decoy.buf) != was;
	}
	judge_pages(t, tried);
}

#define HOLES_LEN	(32ul << 20)
#define HOLES_PAGES	(HOLES_LEN / PAGE_SIZE)
#define LOWEST		32	/* more than the case's memory and its tables need */

static int by_frame(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void give_back(struct test *t, uint8_t *page)
{
	if (madvise(page, PAGE_SIZE, MADV_DONTNEED))
		test_error(t, "MADV_DONTNEED: %s", strerror(errno));
}

/*
 * Memory with a hole beside each page is what compaction is for. It moves pages from
 * where a zone begins. So the lowest are given back last: a kernel hands out first
 * what it has got last.
 */
static void make_holes(struct test *t)
{
	uint8_t *p = mmap(NULL, HOLES_LEN, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static uint64_t frame[HOLES_PAGES], sorted[HOLES_PAGES];
	unsigned int i;

	if (p == MAP_FAILED || madvise(p, HOLES_LEN, MADV_NOHUGEPAGE))
		test_error(t, "mmap: %s", strerror(errno));
	memset(p, 0xa5, HOLES_LEN);
	for (i = 0; i < HOLES_PAGES; i++)
		sorted[i] = frame[i] = test_pfn(t, p + i * PAGE_SIZE);
	qsort(sorted, HOLES_PAGES, sizeof(*sorted), by_frame);
	for (i = 0; i < HOLES_PAGES; i += 2)
		if (frame[i] >= sorted[LOWEST])
			give_back(t, p + i * PAGE_SIZE);
	for (i = 0; i < HOLES_PAGES; i++)
		if (frame[i] < sorted[LOWEST])
			give_back(t, p + i * PAGE_SIZE);
}

/* It may give up before it has reached the case's memory: other memory is tried then. */
static void compact(struct test *t)
{
	unsigned int tries = 0;
	bool moved = false;
	uint64_t was;
	int ret;

	test_one_cpu(t);
	test_open(t);
	while (!moved && tries++ < MAX_TRIES) {
		if (tries > 1)
			test_dereg_mr(t);
		make_holes(t);
		test_alloc(t);
		test_reg_mr(t);
		was = test_pfn(t, decoy_of(t));
		test_step(t, "compact_memory");
		ret = kernel_set("/proc/sys/vm/compact_memory", "1");
		if (ret)
			test_skip(t, "compact_memory: %s", strerror(-ret));
		moved = test_pfn(t, decoy_of(t)) != was;
	}
	test_note(t, "%u tries", tries);
	judge_pages(t, moved);
}

static void soft_offline(struct test *t)
{
	unsigned int page;
	uint64_t was;

	test_one_cpu(t);
	test_setup(t);
	was = test_pfn(t, decoy_of(t));
	test_step(t, "MADV_SOFT_OFFLINE");
	if (madvise(decoy_of(t), PAGE_SIZE, MADV_SOFT_OFFLINE)) {
		if (errno == EINVAL || errno == EPERM)
			test_skip(t, "MADV_SOFT_OFFLINE: %s", strerror(errno));
		test_error(t, "MADV_SOFT_OFFLINE of the decoy: %s",
			   strerror(errno));
	}
	for (page = 0; page < NR_PAGES; page++)
		madvise(t->mem + page * PAGE_SIZE, PAGE_SIZE, MADV_SOFT_OFFLINE);
	judge_pages(t, test_pfn(t, decoy_of(t)) != was);
}

#define KSM	"/sys/kernel/mm/ksm/"

static long number_in(const char *path)
{
	char line[64];

	return kernel_get(path, line, sizeof(line)) ? atol(line) : -1;
}

/* All pages of the memory are the same, so that they can be merged. */
static void ksm(struct test *t)
{
	uint8_t *decoy;
	double until;
	bool merged;
	long scans;

	if (access(KSM "run", F_OK))
		test_skip(t, "no KSM in this kernel");
	test_setup(t);
	decoy = decoy_of(t);
	if (madvise(t->buf, t->len, MADV_MERGEABLE))
		test_error(t, "MADV_MERGEABLE: %s", strerror(errno));
	kernel_set(KSM "sleep_millisecs", "1");
	kernel_set(KSM "pages_to_scan", "1000");
	test_step(t, "KSM at work");
	kernel_set(KSM "run", "1");
	until = now_ms() + MAX_MS;
	do {
		usleep(10000);
		merged = test_pfn(t, decoy) == test_pfn(t, decoy + PAGE_SIZE);
	} while (!merged && now_ms() < until);
	/* Those that came after the decoy have had their turn, too. */
	scans = number_in(KSM "full_scans");
	while (number_in(KSM "full_scans") < scans + 2 && now_ms() < until)
		usleep(1000);
	kernel_set(KSM "run", "0");
	judge_pages(t, merged);
}

/* As much memory again, in small pages, that could be two huge pages. */
static uint8_t *alloc_collapsible(struct test *t)
{
	uint8_t *p = mmap(NULL, 3 * HUGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		test_error(t, "mmap: %s", strerror(errno));
	t->len = HUGE_SIZE;
	t->buf = (uint8_t *)(((uintptr_t)p + HUGE_SIZE - 1) & -HUGE_SIZE);
	t->mem = t->buf + FIRST_PAGE * PAGE_SIZE;
	madvise(p, 3 * HUGE_SIZE, MADV_NOHUGEPAGE);
	memset(t->buf, 0x5a, 2 * HUGE_SIZE);
	if (madvise(t->buf, 2 * HUGE_SIZE, MADV_HUGEPAGE))
		test_skip(t, "no transparent huge pages: %s", strerror(errno));
	return t->buf + HUGE_SIZE;
}

static bool is_whole(struct test *t, uint8_t *p)
{
	uint64_t pfn = test_pfn(t, p);

	return pfn && !(pfn % (HUGE_SIZE / PAGE_SIZE)) &&
	       test_pfn(t, p + HUGE_SIZE - PAGE_SIZE) ==
	       pfn + HUGE_SIZE / PAGE_SIZE - 1;
}

static void collapse(struct test *t)
{
	uint8_t *decoy = alloc_collapsible(t);

	test_open(t);
	test_reg_mr(t);
	test_step(t, "MADV_COLLAPSE");
	if (madvise(decoy, HUGE_SIZE, MADV_COLLAPSE) && errno == EINVAL)
		test_skip(t, "no MADV_COLLAPSE in this kernel");
	madvise(t->buf, HUGE_SIZE, MADV_COLLAPSE);
	judge_pages(t, is_whole(t, decoy));
}

#define KHUGEPAGED	"/sys/kernel/mm/transparent_hugepage/khugepaged/"

static void khugepaged(struct test *t)
{
	uint8_t *decoy = alloc_collapsible(t);
	double until;
	long scans;

	test_open(t);
	test_reg_mr(t);
	test_step(t, "khugepaged at work");
	kernel_set(KHUGEPAGED "alloc_sleep_millisecs", "1");
	kernel_set(KHUGEPAGED "pages_to_scan", "8192");
	kernel_set(KHUGEPAGED "scan_sleep_millisecs", "1");
	until = now_ms() + 2 * MAX_MS;
	while (!is_whole(t, decoy) && now_ms() < until)
		usleep(10000);
	scans = number_in(KHUGEPAGED "full_scans");
	while (number_in(KHUGEPAGED "full_scans") < scans + 2 && now_ms() < until)
		usleep(10000);
	kernel_set(KHUGEPAGED "scan_sleep_millisecs", "10000");
	judge_pages(t, is_whole(t, decoy));
}

#define BALANCING	"/proc/sys/kernel/numa_balancing"

/* The name of a setting of NUMA balancing: in debugfs since 5.13 */
static void set_scan(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/sched/numa_balancing/%s",
		 name);
	if (kernel_set(path, value) == -ENOENT) {
		snprintf(path, sizeof(path), BALANCING "_%s", name);
		kernel_set(path, value);
	}
}

static long hints(void)
{
	FILE *f = fopen("/proc/vmstat", "re");
	char key[64];
	long val, found = 0;

	while (f && fscanf(f, "%63s %ld", key, &val) == 2)
		if (!strcmp(key, "numa_hint_faults"))
			found = val;
	if (f)
		fclose(f);
	return found;
}

#define NR_OTHERS	512	/* pages that nobody uses but the process */
#define MIN_HINTS	300	/* so all of the process's have been looked at, or most */

static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* Memory that the process gets from now on is of the node that it does not run on. */
static void prefer_other_node(struct test *t)
{
	unsigned int cpu, node;
	unsigned long other;

	if (syscall(SYS_getcpu, &cpu, &node, NULL))
		test_error(t, "getcpu: %s", strerror(errno));
	other = 1ul << !node;
	if (syscall(SYS_set_mempolicy, MPOL_PREFERRED, &other, 8 * sizeof(other)))
		test_error(t, "set_mempolicy: %s", strerror(errno));
}

static bool was_moved(struct test *t, const uint8_t *pages, const uint64_t *was)
{
	unsigned int i;

	for (i = 0; i < NR_OTHERS; i++)
		if (test_pfn(t, pages + i * PAGE_SIZE) != was[i])
			return true;
	return false;
}

/*
 * Pages are made inaccessible now and then, to see who accesses them, and brought
 * to the node where that is.
 */
static void __attribute__((noreturn)) be_balanced(struct test *t)
{
	double until = now_ms() + MAX_MS;
	size_t i, len = NR_OTHERS * PAGE_SIZE;
	pthread_t thread;
	uint64_t was[NR_OTHERS];
	bool tried = false;
	uint8_t *others;
	long before;

	/* Of one thread alone pages are let be that are on its node already. */
	if (pthread_create(&thread, NULL, idle, NULL))
		test_error(t, "cannot start a thread");
	prefer_other_node(t);
	test_setup(t);
	others = mmap(NULL, len, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (others == MAP_FAILED)
		test_error(t, "mmap: %s", strerror(errno));
	madvise(others, len, MADV_NOHUGEPAGE);
	for (i = 0; i < NR_OTHERS; i++) {
		others[i * PAGE_SIZE] = 1;
		was[i] = test_pfn(t, others + i * PAGE_SIZE);
	}
	syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0);
	before = hints();
	test_step(t, "NUMA balancing");
	do {
		for (i = 0; i < len; i += PAGE_SIZE)
			others[i]++;
		for (i = 0; i < NR_PAGES * PAGE_SIZE; i += PAGE_SIZE)
			*(volatile uint8_t *)(t->mem + i);
		tried = hints() - before >= MIN_HINTS && was_moved(t, others, was);
	} while (!tried && now_ms() < until);
	kernel_set_alone(BALANCING, "0");
	test_note(t, "%ld faults told of an access", hints() - before);
	judge_pages(t, tried);
}

/* A process gets its times when it begins. */
static void numa_balancing(struct test *t)
{
	pid_t pid;

	if (access("/sys/devices/system/node/node1", F_OK))
		test_skip(t, "only one NUMA node: boot with numa=fake=2");
	set_scan("scan_delay_ms", "1");
	set_scan("scan_period_min_ms", "1");
	if (kernel_set_alone(BALANCING, "1"))
		test_skip(t, "no NUMA balancing in this kernel");
	pid = fork();
	if (pid < 0)
		test_error(t, "fork: %s", strerror(errno));
	if (!pid)
		be_balanced(t);
	waitpid(pid, NULL, 0);
	kernel_set_alone(BALANCING, "0");
	_exit(0);	/* it has said how it ended */
}

#define PROMISE	"a page that a device uses is not moved by "
#define SOURCE	": pin_user_pages.rst, Documentation/mm/page_migration.rst"
#define PINS	(PINS_PINDMA | PINS_DEMAND)

const struct scenario migrate_scenarios[] = {
	{
		.name = "migrate.move_pages",
		.promise = PROMISE "move_pages()" SOURCE,
		.mems = MEMS_ANON_ALL, .pins = PINS,
		.flags = SCENARIO_FULL,
		.run = move_pages_,
	}, {
		.name = "migrate.compact",
		.promise = PROMISE "compaction" SOURCE,
		.mems = BIT(MEM_ANON), .pins = PINS,
		.flags = SCENARIO_FULL,
		.run = compact,
	}, {
		.name = "migrate.soft_offline",
		.promise = PROMISE "MADV_SOFT_OFFLINE" SOURCE,
		.mems = BIT(MEM_ANON), .pins = PINS,
		.flags = SCENARIO_FULL,
		.run = soft_offline,
	}, {
		.name = "migrate.ksm",
		.promise = "a page that a device uses is not merged with others by KSM: write_protect_page(), Documentation/mm/ksm.rst",
		.fix = "31dbd01f3143 (2.6.32): ksm: Kernel SamePage Merging, which has counted references from the first",
		.mems = BIT(MEM_ANON), .pins = PINS,
		.flags = SCENARIO_FULL,
		.run = ksm,
	}, {
		.name = "migrate.collapse",
		.promise = "MADV_COLLAPSE does not replace a page that a device uses by a part of a huge page: madvise(2), EAGAIN",
		.mems = BIT(MEM_ANON), .pins = PINS,
		.flags = SCENARIO_FULL,
		.run = collapse,
	}, {
		.name = "migrate.khugepaged",
		.promise = "khugepaged does not replace a page that a device uses by a part of a huge page: Documentation/mm/transhuge.rst",
		.mems = BIT(MEM_ANON), .pins = PINS,
		.flags = SCENARIO_FULL,
		.run = khugepaged,
	}, {
		.name = "migrate.numa_balancing",
		.promise = "NUMA balancing does not take a pinned page from its process: bugzilla 215616, commit 80d47f5de5e3",
		.fix = "80d47f5de5e3 (5.17): mm: don't try to NUMA-migrate COW pages that have other uses; see change_pte_range()",
		.mems = BIT(MEM_ANON),
		.pins = PINS | PINS_UNCOUNTED | PINS_SHARED | PINS_PLAIN,
		.flags = SCENARIO_FULL,
		.run = numa_balancing,
	},
	{ }
};
