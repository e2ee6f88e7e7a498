// SPDX-License-Identifier: GPL-2.0-only
/*
 * What only "./run.sh lab" asks for: scenarios in which one of its variants
 * shows, and that no stock kernel has ever failed, or that every one does.
 *
 * To see a case red: the variant of tests/lab that names it in its header.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

/* ---------------------------------------------------- fork() and swapped pages */

/* Parent and child get the page back from swap; then the parent pins it. */
static void fork_swapped(struct test *t)
{
	struct peer child;
	unsigned int page;

	test_need_swap(t);
	test_one_cpu(t);
	test_alloc(t);
	test_open(t);
	if (madvise(t->mem, NR_PAGES * PAGE_SIZE, MADV_PAGEOUT))
		test_error(t, "MADV_PAGEOUT: %s", strerror(errno));
	for (page = 0; page < NR_PAGES; page++)
		if (test_pfn(t, t->mem + page * PAGE_SIZE))
			test_skip(t, "the pages were not swapped out");
	test_step(t, "swapped out, fork");
	child = test_fork_peer(t, false);
	test_peer_sync(t, &child);
	test_pin(t);
	test_two_way(t, &child);
	test_peer_exit(t, &child);
	test_kept(t);
}

/* --------------------------------------------------- has this mm pinned anything? */

/*
 * A child pins, on the file that it shares with its parent, and the parent ends
 * that. Its own pin is still there.
 */
static void unpin_elsewhere(struct test *t)
{
	struct peer after;
	int up[2];
	uint32_t theirs;
	pid_t pid;

	test_alloc(t);
	test_open(t);
	if (pipe(up))
		test_error(t, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		test_error(t, "fork: %s", strerror(errno));
	if (!pid) {
		if (pindma_reg_mr(t->dev, t->mem, NR_PAGES * PAGE_SIZE,
				  PINDMA_PIN_PIN, 0, &theirs))
			theirs = 0;
		_exit(write(up[1], &theirs, sizeof(theirs)) != sizeof(theirs) ||
		      !theirs);
	}
	if (read(up[0], &theirs, sizeof(theirs)) != sizeof(theirs) || !theirs)
		test_error(t, "the child could not pin");
	test_wait_exit(t, pid);
	test_reg_mr(t);
	test_step(t, "the parent unpins what the child had pinned");
	if (pindma_dereg_mr(t->dev, theirs))
		test_error(t, "the child's mr cannot be deregistered");
	test_step(t, "fork");
	after = test_fork_peer(t, false);
	test_cpu_write(t);
	test_two_way(t, &after);
	test_peer_exit(t, &after);
	test_kept(t);
}

/* This process has never pinned anything. */
static void false_positive(struct test *t)
{
	test_alloc(t);
	test_add_references(t, t->mem, 1100);
	if (!test_fork_shares(t, t->mem, PAGE_SIZE))
		test_lost(t, "fork() has copied a page of 1100 references, of a process that never pinned anything");
	test_kept(t);
}

/* ---------------------------------------------------------------- only to read */

/* Who takes a shared page to read from it leaves it as it is. */
static void read_only_get(struct test *t)
{
	struct peer child;
	uint64_t pfn;

	test_alloc(t);
	test_open(t);
	child = test_fork_peer(t, false);
	test_peer_sync(t, &child);
	pfn = test_pfn(t, t->mem);
	t->mr_flags = PINDMA_MR_READONLY;
	test_reg_mr(t);
	if (test_pfn(t, t->mem) != pfn)
		test_lost(t, "the page was copied, for a device that only reads");
	test_peer_exit(t, &child);
	test_kept(t);
}

static void *pin_to_read(void *arg)
{
	struct test *t = arg;

	/* The fast way may wait for userfaultfd, the other one would fail. */
	pindma_reg_mr(t->dev, t->mem, NR_PAGES * PAGE_SIZE, PINDMA_PIN_PIN,
		      PINDMA_MR_READONLY | PINDMA_MR_FAST, &t->mr);
	return NULL;
}

/* userfaultfd's write-protection is not broken by who reads. */
static void read_only_uffd(struct test *t)
{
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect wp = { .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	struct pollfd pfd = { .events = POLLIN };
	pthread_t thread;
	bool asked;

	test_alloc(t);
	test_open(t);
	pfd.fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	reg.range.start = wp.range.start = (uintptr_t)t->buf;
	reg.range.len = wp.range.len = t->len;
	if (pfd.fd < 0 || ioctl(pfd.fd, UFFDIO_API, &api) ||
	    ioctl(pfd.fd, UFFDIO_REGISTER, &reg) ||
	    ioctl(pfd.fd, UFFDIO_WRITEPROTECT, &wp))
		test_skip(t, "no write-protection by userfaultfd: %s",
			  strerror(errno));
	if (pthread_create(&thread, NULL, pin_to_read, t))
		test_error(t, "cannot start a thread");
	asked = poll(&pfd, 1, 2000) > 0;
	wp.mode = 0;
	ioctl(pfd.fd, UFFDIO_WRITEPROTECT, &wp);
	pthread_join(thread, NULL);
	if (asked)
		test_lost(t, "a pin for reading has asked userfaultfd for write access");
	test_kept(t);
}

/* ------------------------------------------------------------------- writeback */

/* Writeback that nobody waits for, as the flusher's. */
static void background(struct test *t)
{
	struct pindma_page facts;

	test_setup(t);
	test_cpu_write(t);
	test_step(t, "writeback, as a flusher would, and time to dirty the page again");
	if (sync_file_range(t->fd, 0, 0, SYNC_FILE_RANGE_WRITE) ||
	    sync_file_range(t->fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE))
		test_error(t, "sync_file_range: %s", strerror(errno));
	usleep(100000);
	CHECK(t, pindma_get_pages(t->dev, t->mr, 0, &facts, 1) == 1);
	if (!(facts.flags & PINDMA_PAGE_DIRTY))
		test_lost(t, "the page was cleaned while a device has it pinned");
	test_kept(t);
}

/* ----------------------------------------------------------------------- costs */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* For tests/rig/lab.py: the median of nr samples, which are sorted */
static void measured(struct test *t, const char *what, double *us,
		     unsigned int nr)
{
	qsort(us, nr, sizeof(*us), by_value);
	test_note(t, "measured %s %.1f", what, us[nr / 2]);
}

#define COST_PAGES	4096u
#define COST_FORKS	11

static double time_fork(struct test *t)
{
	double start = now_ms(), us;
	pid_t pid = fork();

	us = (now_ms() - start) * 1e3;
	if (pid < 0)
		test_error(t, "fork: %s", strerror(errno));
	if (!pid)
		_exit(0);
	test_wait_exit(t, pid);
	return us;
}

/* fork() of 16 MiB, of which so many pages are pinned; each is the process's own. */
static void cost_of_fork(struct test *t, uint8_t *buf, unsigned int pinned,
			 const char *what)
{
	double us[COST_FORKS], storm;
	char text[64];
	unsigned int i;
	uint32_t mr;

	if (pinned && pindma_reg_mr(t->dev, buf, pinned * PAGE_SIZE,
				    PINDMA_PIN_PIN, PINDMA_MR_FAST, &mr))
		test_error(t, "cannot pin %u pages", pinned);
	for (i = 0; i < COST_FORKS; i++) {
		memset(buf, i, COST_PAGES * PAGE_SIZE);
		us[i] = time_fork(t);
	}
	snprintf(text, sizeof(text), "fork_us_%s", what);
	measured(t, text, us, COST_FORKS);
	/* A storm: many, and nobody writes in between. */
	storm = now_ms();
	for (i = 0; i < 3 * COST_FORKS; i++)
		time_fork(t);
	storm = (now_ms() - storm) * 1e3 / i;
	test_note(t, "measured storm_us_%s %.1f", what, storm);
	if (pinned)
		pindma_dereg_mr(t->dev, mr);
}

static void cost_fork(struct test *t)
{
	uint8_t *buf = mmap(NULL, COST_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (buf == MAP_FAILED)
		test_error(t, "mmap: %s", strerror(errno));
	madvise(buf, COST_PAGES * PAGE_SIZE, MADV_NOHUGEPAGE);
	test_open(t);
	cost_of_fork(t, buf, 0, "0");
	cost_of_fork(t, buf, COST_PAGES / 100, "1");
	cost_of_fork(t, buf, COST_PAGES, "100");
	test_kept(t);
}

/* As in mm/gup_test.h, which user space has no copy of */
struct gup_test {
	uint64_t get_us, put_us, addr, size;
	uint32_t nr_pages, gup_flags, test_flags, which_pages[8];
};
#define PIN_FAST_BENCHMARK	_IOWR('g', 2, struct gup_test)

#define COST_PINS	15

/* 16 MiB by pin_user_pages_fast(), 64 pages at a time, and back */
static void cost_pin(struct test *t)
{
	struct gup_test g = { .size = COST_PAGES * PAGE_SIZE, .nr_pages = 64,
			      .gup_flags = 1 /* FOLL_WRITE */ };
	double get[COST_PINS], put[COST_PINS];
	unsigned int i;
	int fd;

	fd = open("/sys/kernel/debug/gup_test", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		test_skip(t, "no CONFIG_GUP_TEST");
	g.addr = (uintptr_t)mmap(NULL, g.size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise((void *)g.addr, g.size, MADV_NOHUGEPAGE);
	memset((void *)g.addr, 1, g.size);
	for (i = 0; i < COST_PINS; i++) {
		g.size = COST_PAGES * PAGE_SIZE;
		if (ioctl(fd, PIN_FAST_BENCHMARK, &g))
			test_error(t, "PIN_FAST_BENCHMARK: %s", strerror(errno));
		get[i] = g.get_us;
		put[i] = g.put_us;
	}
	measured(t, "pin_us", get, COST_PINS);
	measured(t, "unpin_us", put, COST_PINS);
	test_kept(t);
}

#define COST_FSYNCS	30
#define HAMMER_RATE	20000

/* Each with something to write, under a hammer */
static void cost_fsync(struct test *t)
{
	double us[COST_FSYNCS], start;
	uint64_t hammer;
	unsigned int i;

	test_setup(t);
	hammer = test_start_hammer(t, HAMMER_RATE);
	for (i = 0; i < COST_FSYNCS; i++) {
		test_cpu_write(t);
		start = now_ms();
		fsync(t->fd);
		us[i] = (now_ms() - start) * 1e3;
	}
	measured(t, "fsync_us", us, COST_FSYNCS);
	/* And with nothing: what else there is to do is the kernel's own idea. */
	for (i = 0; i < COST_FSYNCS; i++) {
		usleep(2000);
		start = now_ms();
		fsync(t->fd);
		us[i] = (now_ms() - start) * 1e3;
	}
	measured(t, "fsync_idle_us", us, COST_FSYNCS);
	test_stop_hammer(t, hammer);
	test_kept(t);
}

#define EARLY_COPY	"70e806e4e645 (5.9): mm: Do early cow for pinned pages during fork() for ptes; see copy_present_page()"

const struct scenario lab_scenarios[] = {
	{
		.name = "lab.fork_swapped",
		.promise = "a page that is swapped out when the process forks becomes that of one of them when both are back",
		.fix = "1493a1913e34 (5.19): mm/swap: remember PG_anon_exclusive via a swp pte bit; see do_swap_page()",
		.mems = BIT(MEM_ANON), .pins = BIT(PIN_PIN_FAST),
		.flags = SCENARIO_HIDDEN,
		.run = fork_swapped,
	}, {
		.name = "lab.unpin_elsewhere",
		.promise = "who unpins pages of another process does not make fork() blind for its own pins",
		.fix = EARLY_COPY,
		.mems = BIT(MEM_ANON), .pins = BIT(PIN_PIN_FAST),
		.flags = SCENARIO_HIDDEN,
		.run = unpin_elsewhere,
	}, {
		.name = "lab.false_positive",
		.promise = "fork() shares the pages of a process that never pinned anything",
		.fix = "008cfe4418b3 (5.9): mm: Introduce mm_struct.has_pinned",
		.flags = SCENARIO_HIDDEN,
		.run = false_positive,
	}, {
		.name = "lab.read_only_get",
		.promise = "get_user_pages() for reading leaves a shared page as it is",
		.mems = BIT(MEM_ANON), .pins = BIT(PIN_GET_FAST),
		.flags = SCENARIO_HIDDEN,
		.run = read_only_get,
	}, {
		.name = "lab.read_only_uffd",
		.promise = "a pin for reading is no write access to userfaultfd",
		.mems = BIT(MEM_ANON),
		.flags = SCENARIO_HIDDEN,
		.run = read_only_uffd,
	}, {
		.name = "lab.background",
		.promise = "writeback that nobody waits for does not clean a page that is pinned (proposed, and not so)",
		.mems = BIT(MEM_EXT4) | BIT(MEM_XFS) | BIT(MEM_BTRFS),
		.pins = BIT(PIN_PIN),
		.flags = SCENARIO_HIDDEN,
		.run = background,
	}, {
		.name = "lab.cost_fork",
		.promise = "none: what fork() takes",
		.flags = SCENARIO_HIDDEN,
		.run = cost_fork,
	}, {
		.name = "lab.cost_pin",
		.promise = "none: what pin_user_pages_fast() takes",
		.flags = SCENARIO_HIDDEN,
		.run = cost_pin,
	}, {
		.name = "lab.cost_fsync",
		.promise = "none: what fsync() takes under a hammer",
		.mems = BIT(MEM_EXT4) | BIT(MEM_XFS) | BIT(MEM_BTRFS),
		.pins = BIT(PIN_PIN),
		.flags = SCENARIO_HIDDEN,
		.run = cost_fsync,
	},
	{ }
};
