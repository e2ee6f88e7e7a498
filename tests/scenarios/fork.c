// SPDX-License-Identifier: GPL-2.0-only
/*
 * fork() and pinned anonymous memory: the device must stay with the parent.
 *
 * To see a cell red: use GET for PIN in guest/pindma_pin.c (tests/mutants), or
 * boot a kernel without the commit that the scenario names. For dontfork,
 * wipeonfork, shared and vfork_exec the mutants no-dontfork, private-for-shared and
 * fork-for-vfork: then the GET cells are lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define EARLY_COPY	"70e806e4e645 (5.9): do early cow for pinned pages during fork(); for THP d042035eaf5f (5.9), for hugetlb 4eae4efa2c29 (5.12); see copy_present_page(), copy_huge_pmd(), copy_hugetlb_page_range()"

/* The case of 2020: pin, fork, and the parent goes on using its buffer. */
static void parent_write(struct test *t)
{
	test_setup(t);
	test_fork_and_write(t);
}

static void child_write(struct test *t)
{
	struct peer child;

	test_setup(t);
	test_step(t, "fork");
	child = test_fork_peer(t, false);
	test_step(t, "the child writes");
	test_peer_write(t, &child);
	test_two_way(t, &child);
	test_peer_exit(t, &child);
	test_kept(t);
}

/* As system() does it: the child is long gone when the parent writes. */
static void child_exit(struct test *t)
{
	struct peer child;

	test_setup(t);
	test_step(t, "fork");
	child = test_fork_peer(t, false);
	test_peer_exit(t, &child);
	test_step(t, "the child has exited, the parent writes");
	test_cpu_write(t);
	test_two_way(t, NULL);
	test_kept(t);
}

static void nested(struct test *t)
{
	struct peer child;

	test_setup(t);
	test_step(t, "fork, and the child forks");
	child = test_fork_peer(t, true);
	test_peer_sync(t, &child);
	test_step(t, "the parent writes");
	test_cpu_write(t);
	test_two_way(t, &child);
	test_peer_exit(t, &child);
	test_kept(t);
}

static void vfork_exec(struct test *t)
{
	char *const argv[] = { "pindma-test", "--exit", NULL };
	pid_t pid;

	test_setup(t);
	test_step(t, "vfork and exec");
	pid = vfork();
	if (pid < 0)
		test_error(t, "vfork: %s", strerror(errno));
	if (!pid) {
		execv("/proc/self/exe", argv);
		_exit(1);
	}
	test_wait_exit(t, pid);
	test_step(t, "the parent writes");
	test_cpu_write(t);
	test_two_way(t, NULL);
	test_kept(t);
}

static void dontfork(struct test *t)
{
	struct peer child;

	test_setup(t);
	if (madvise(t->buf, t->len, MADV_DONTFORK))
		test_error(t, "MADV_DONTFORK: %s", strerror(errno));
	test_step(t, "fork");
	child = test_fork_peer(t, false);
	test_step(t, "the parent writes");
	test_cpu_write(t);
	test_two_way(t, NULL);
	test_peer_exit(t, &child);
	test_kept(t);
}

static void wipeonfork(struct test *t)
{
	struct peer child;

	test_setup(t);
	if (madvise(t->buf, t->len, MADV_WIPEONFORK))
		test_error(t, "MADV_WIPEONFORK: %s", strerror(errno));
	test_step(t, "fork");
	child = test_fork_peer(t, false);
	test_step(t, "the parent writes");
	test_cpu_write(t);
	test_two_way(t, &child);
	test_peer_exit(t, &child);
	test_kept(t);
}

/* The child shall see all, so it is no peer that must not. */
static void shared(struct test *t)
{
	struct peer child;

	test_setup(t);
	test_step(t, "fork");
	child = test_fork_peer(t, false);
	test_step(t, "the child writes");
	test_peer_write(t, &child);
	test_two_way(t, NULL);
	test_peer_exit(t, &child);
	test_kept(t);
}

/* Nobody but the device writes: nothing breaks COW, but who may see it? */
static void quiet(struct test *t)
{
	struct peer child;

	test_setup(t);
	test_step(t, "fork");
	child = test_fork_peer(t, false);
	test_device_to_process(t, &child);
	test_peer_exit(t, &child);
	test_kept(t);
}

/* Read-only at the time of the fork: nothing to write-protect, or to copy? */
static void protected(struct test *t)
{
	struct peer child;

	test_setup(t);
	if (mprotect(t->buf, t->len, PROT_READ))
		test_error(t, "mprotect: %s", strerror(errno));
	test_step(t, "read-only, fork");
	child = test_fork_peer(t, false);
	if (mprotect(t->buf, t->len, PROT_READ | PROT_WRITE))
		test_error(t, "mprotect: %s", strerror(errno));
	test_step(t, "writable again, the parent writes");
	test_cpu_write(t);
	test_two_way(t, &child);
	test_peer_exit(t, &child);
	test_kept(t);
}

#define NR_FORKS	100
#define HAMMER_RATE	20000	/* stamps per second: 5000 a page */

static volatile uint64_t *stamp(struct test *t, unsigned int page)
{
	return (volatile uint64_t *)(t->mem + page * PAGE_SIZE);
}

/* The child's copy was made at the fork: no later stamp may appear in it. */
static void __attribute__((noreturn)) watch_frozen(struct test *t)
{
	double until = now_ms() + 1;
	uint64_t was[NR_PAGES];
	unsigned int page;

	for (page = 0; page < NR_PAGES; page++)
		was[page] = *stamp(t, page);
	do {
		for (page = 0; page < NR_PAGES; page++)
			if (*stamp(t, page) != was[page])
				_exit(2);
	} while (now_ms() < until);
	_exit(0);
}

/*
 * Does the parent still get stamps in each page? A page that stands still for
 * 50 ms, that is 250 stamps, may just mean that the host is busy: then the
 * frames decide.
 */
static void check_alive(struct test *t, unsigned int forks)
{
	unsigned int page;

	for (page = 0; page < NR_PAGES; page++) {
		uint64_t was = *stamp(t, page);
		double start = now_ms();

		while (*stamp(t, page) == was) {
			if (now_ms() - start < 50)
				continue;
			if (test_pinned_pfn(t, page) !=
			    test_pfn(t, t->mem + page * PAGE_SIZE)) {
				test_note(t, "process: after fork %u page %u stands still at stamp 0x%llx, the hammer goes on",
					  forks, page, (unsigned long long)was);
				test_two_way(t, NULL);
			}
			if (now_ms() - start > 10e3)
				test_error(t, "after fork %u page %u gets no stamps for 10 s, but process and device share it",
					   forks, page);
		}
	}
}

static void under_hammer(struct test *t)
{
	unsigned int i;
	uint64_t hammer;
	pid_t pid;
	int status;

	test_setup(t);
	hammer = test_start_hammer(t, HAMMER_RATE);
	test_step(t, "hammer, 100 forks");
	for (i = 0; i < NR_FORKS; i++) {
		pid = fork();
		if (pid < 0)
			test_error(t, "fork %u: %s", i, strerror(errno));
		if (!pid)
			watch_frozen(t);
		test_cpu_write(t);
		check_alive(t, i);
		if (waitpid(pid, &status, 0) != pid)
			test_error(t, "waitpid: %s", strerror(errno));
		if (status)
			test_lost(t, "child %u saw a stamp that the device wrote after the fork",
				  i);
	}
	test_stop_hammer(t, hammer);
	test_two_way(t, NULL);
	test_kept(t);
}

/* This process has once pinned something, and does so no more. */
static void pin_once(struct test *t)
{
	test_setup(t);
	test_dereg_mr(t);
}

static void many_references(struct test *t)
{
	unsigned int shared;

	pin_once(t);
	test_add_references(t, t->mem, 1000);
	test_add_references(t, t->mem + PAGE_SIZE, 1100);
	/* Of one fork(): a page that was shared once is not asked again. */
	shared = test_fork_shares(t, t->mem, 2 * PAGE_SIZE);
	if (!shared)
		test_error(t, "fork() has copied a page of 1000 references");
	if (shared == 1)
		test_lost(t, "fork() has copied a page of 1100 references: it takes it for pinned");
	test_kept(t);
}

static void shared_references(struct test *t)
{
	struct peer child;

	pin_once(t);
	child = test_fork_peer(t, false);
	test_peer_sync(t, &child);
	test_add_references(t, t->mem, 1100);
	if (!test_fork_shares(t, t->mem, PAGE_SIZE))
		test_lost(t, "fork() has copied a page that two processes shared: it takes it for pinned");
	test_peer_exit(t, &child);
	test_kept(t);
}

#define COST_LEN	(32ul << 20)

/* Of three, for a host that is busy */
static double fork_ms(struct test *t)
{
	double best = 1e9;

	for (int i = 0; i < 3; i++) {
		double start = now_ms(), took;
		pid_t pid = fork();

		took = now_ms() - start;
		if (pid < 0)
			test_error(t, "fork: %s", strerror(errno));
		if (!pid)
			_exit(0);
		test_wait_exit(t, pid);
		if (took < best)
			best = took;
	}
	return best;
}

/* What it costs, of 8192 pages: not pinned, all of them pinned, and not any more */
static void note_cost(struct test *t)
{
	uint8_t *p = mmap(NULL, COST_LEN, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double before, pinned, after;
	uint32_t mr;
	int ret;

	if (p == MAP_FAILED || madvise(p, COST_LEN, MADV_NOHUGEPAGE))
		test_error(t, "mmap: %s", strerror(errno));
	memset(p, 0x5a, COST_LEN);
	before = fork_ms(t);
	memset(p, 0x5a, COST_LEN);	/* its own again, as pinned pages are */
	ret = pindma_reg_mr(t->dev, p, COST_LEN, PINDMA_PIN_PIN, 0, &mr);
	if (ret)
		test_error(t, "cannot pin 32 MiB: %s", strerror(-ret));
	pinned = fork_ms(t);
	pindma_dereg_mr(t->dev, mr);
	memset(p, 0x5a, COST_LEN);
	after = fork_ms(t);
	test_note(t, "fork() with 32 MiB: %.1f ms, pinned %.1f ms (x%.1f), after the unpin %.1f ms (x%.1f)",
		  before, pinned, pinned / before, after, after / before);
	munmap(p, COST_LEN);
}

/* The early copy costs time and memory: nothing but what is pinned shall need it. */
static void only_pinned(struct test *t)
{
	unsigned int pages, shared;

	test_setup(t);
	pages = t->len / PAGE_SIZE;
	shared = test_fork_shares(t, t->buf, t->len);
	note_cost(t);	/* now: its pins would undo what -cleared did */
	if (shared != pages - NR_PAGES)
		test_lost(t, "fork() shares %u of %u pages of which %u are pinned",
			  shared, pages, (unsigned int)NR_PAGES);
	test_kept(t);
}

const struct scenario fork_scenarios[] = {
	{
		.name = "fork.parent_write",
		.promise = "a page that was pinned before fork() stays the parent's when the parent writes to it; the child gets a copy",
		.fix = EARLY_COPY,
		.mems = MEMS_ANON_ALL, .pins = PINS_STOCK | PINS_DEMAND | PINS_CLEARED |
						PINS_UNCOUNTED,
		.run = parent_write,
	}, {
		.name = "fork.child_write",
		.promise = "a child that writes does not take the pinned page from its parent",
		.fix = EARLY_COPY,
		.mems = MEMS_ANON_ALL, .pins = PINS_STOCK | PINS_DEMAND | PINS_CLEARED,
		.run = child_write,
	}, {
		.name = "fork.child_exit",
		.promise = "a child that came and went, as in system(), leaves the pinned page with its parent",
		.fix = EARLY_COPY,
		.mems = MEMS_ANON_ALL, .pins = PINS_STOCK | PINS_CLEARED,
		.run = child_exit,
	}, {
		.name = "fork.nested",
		.promise = "neither a child nor a grandchild takes, or sees, the pinned page",
		.fix = EARLY_COPY,
		.mems = MEMS_ANON_ALL, .pins = PINS_STOCK | PINS_DEMAND | PINS_CLEARED,
		.flags = SCENARIO_SLOW,
		.run = nested,
	}, {
		.name = "fork.vfork_exec",
		.promise = "vfork() and exec() in the child do not touch the parent's pages: vfork(2), the memory is shared until exec",
		.mems = MEMS_ANON_ALL, .pins = PINS_STOCK,
		.flags = SCENARIO_SLOW,
		.run = vfork_exec,
	}, {
		.name = "fork.under_hammer",
		.promise = "a device that writes all the time is neither lost by the parent nor seen by the child over 100 forks",
		.fix = EARLY_COPY,
		.mems = MEMS_ANON_ALL, .pins = PINS_STOCK | PINS_DEMAND | PINS_CLEARED,
		.flags = SCENARIO_SLOW,
		.run = under_hammer,
	}, {
		.name = "fork.dontfork",
		.promise = "MADV_DONTFORK keeps the page with the parent, even if it was not pinned: madvise(2)",
		.mems = MEMS_ANON_ALL, .pins = PINS_STOCK,
		.flags = SCENARIO_SLOW,
		.run = dontfork,
	}, {
		.name = "fork.protected",
		.promise = "a pinned page that is read-only when the process forks stays the parent's when it becomes writable again",
		.fix = "6c287605fd56 (5.19): remember exclusively mapped anonymous pages with PG_anon_exclusive; see do_wp_page()",
		.mems = MEMS_ANON_ALL, .pins = PINS_STOCK | PINS_CLEARED,
		.flags = SCENARIO_SLOW,
		.run = protected,
	},
	{
		.name = "fork.wipeonfork",
		.promise = "MADV_WIPEONFORK keeps the page with the parent, even if it was not pinned: madvise(2)",
		.mems = BIT(MEM_ANON) | BIT(MEM_THP), .pins = PINS_STOCK,
		.flags = SCENARIO_FULL,
		.run = wipeonfork,
	}, {
		.name = "fork.shared",
		.promise = "shared memory stays shared by both processes and the device, even if it was not pinned: fork(2)",
		.mems = BIT(MEM_SHMEM), .pins = PINS_STOCK,
		.flags = SCENARIO_FULL,
		.run = shared,
	}, {
		.name = "fork.quiet",
		.promise = "a child does not see what the device writes for its parent, even if neither of them writes",
		.fix = EARLY_COPY,
		.mems = MEMS_ANON_ALL, .pins = PINS_STOCK | PINS_CLEARED |
						PINS_UNCOUNTED,
		.flags = SCENARIO_FULL,
		.run = quiet,
	}, {
		.name = "fork.many_references",
		.promise = "fork() shares a page that is not pinned, however many references it has (pin_user_pages.rst does not promise that: from 1024 on it is taken for pinned)",
		.pins = BIT(PIN_NONE) | PINS_OTHER,
		.flags = SCENARIO_FULL,
		.run = many_references,
	}, {
		.name = "fork.shared_references",
		.promise = "fork() shares a page that more than one process has already, however many references it has: commit fb3d824d1a46",
		.fix = "fb3d824d1a46 (5.19): only pages that belong to one process alone are asked whether they are pinned; see folio_try_dup_anon_rmap_pte()",
		.pins = BIT(PIN_NONE) | PINS_OTHER,
		.flags = SCENARIO_FULL,
		.run = shared_references,
	}, {
		.name = "fork.only_pinned",
		.promise = "fork() copies the pages that are pinned, and no others of the same mapping; with what a fork() of pinned pages costs",
		.fix = EARLY_COPY,
		.mems = BIT(MEM_ANON),
		.pins = BIT(PIN_GET_FAST) | BIT(PIN_PIN_FAST) |
			BIT(PIN_PIN_CLEARED) | BIT(PIN_PIN_UNCOUNTED),
		.flags = SCENARIO_FULL,
		.run = only_pinned,
	},
	{ }
};
