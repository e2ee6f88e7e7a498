// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pinned pages, and pages that a device has to itself (make_device_exclusive()).
 * What exclusive memory does alone is in tests/driver/exclusive.c.
 *
 * Red cells: GET, and the pins that are taken away, of pinned_fork and race; all
 * of pinned and fork_locked. To see pin red: what tests/mutants/deaf-on-demand.patch
 * does, with -k 7.2.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define OFFSET	0x600

/* The same memory once more, this time for exclusive access. */
static uint32_t reg_exclusive(struct test *t)
{
	uint32_t mr;
	int ret = pindma_reg_mr(t->dev, t->mem, NR_PAGES * PAGE_SIZE,
				PINDMA_PIN_EXCLUSIVE, 0, &mr);

	if (ret == -EOPNOTSUPP)
		test_skip(t, "this kernel cannot make memory exclusive to a device");
	if (ret)
		test_error(t, "cannot register memory for exclusive access: %s",
			   strerror(-ret));
	return mr;
}

static struct pindma_op add_one(uint32_t mr, unsigned int page)
{
	return (struct pindma_op){
		.opcode = PINDMA_OP_FETCH_ADD, .mr = mr,
		.offset = page * PAGE_SIZE + OFFSET, .len = 8, .value = 1 };
}

static bool is_lent(struct test *t, uint32_t mr, unsigned int page)
{
	struct pindma_page info;

	if (pindma_get_pages(t->dev, mr, page, &info, 1) != 1)
		test_error(t, "no facts about the pages of the exclusive mr");
	return info.pfn;
}

/* Does the kernel let the device have all of it to itself? */
static bool make_exclusive(struct test *t, uint32_t mr)
{
	unsigned int page;

	for (page = 0; page < NR_PAGES; page++)
		if (test_run_op(t, add_one(mr, page)).status != PINDMA_ST_OK)
			return false;
	for (page = 0; page < NR_PAGES; page++)
		if (!is_lent(t, mr, page) ||
		    test_pfn(t, t->mem + page * PAGE_SIZE))
			test_error(t, "page %u is not exclusive", page);
	return true;
}

static void pinned(struct test *t)
{
	struct pindma_completion c;
	uint64_t token, seen;
	uint32_t mr;

	test_setup(t);
	mr = reg_exclusive(t);
	test_step(t, "exclusive access");
	if (!make_exclusive(t, mr))
		test_kept(t);
	token = test_token(t);
	test_step(t, "a write through the pin");
	test_dma_write(t, OFFSET, token, &c);
	seen = test_run_ok(t, add_one(mr, 0)).result;
	if (seen == token && is_lent(t, mr, 0))
		test_lost(t, "exclusive access was granted to pages that are pinned, and what was written through the pin meanwhile is there");
	test_error(t, "exclusive access was granted to pinned pages, but they are others");
}

static void pin(struct test *t)
{
	unsigned int page;
	uint32_t mr;

	test_alloc(t);
	test_open(t);
	mr = reg_exclusive(t);
	if (!make_exclusive(t, mr))
		test_error(t, "the kernel grants no exclusive access");
	test_step(t, "exclusive; now it is pinned");
	test_pin(t);
	for (page = 0; page < NR_PAGES; page++)
		if (is_lent(t, mr, page))
			test_lost(t, "page %u was pinned, and the device still has it to itself",
				  page);
	test_two_way(t, NULL);
	test_kept(t);
}

static void pinned_fork(struct test *t)
{
	uint32_t mr;

	test_setup(t);
	mr = reg_exclusive(t);
	if (!make_exclusive(t, mr))
		test_skip(t, "this kernel refuses exclusive access to pinned pages");
	test_step(t, "it is exclusive");
	test_fork_and_write(t);
}

static volatile bool stop;

struct worker {
	struct test *t;
	uint32_t mr;
	struct pindma *dev;
	unsigned long done, refused;
};

/* A second file: its completions are its own. */
static void *take_and_take(void *arg)
{
	struct worker *w = arg;
	struct pindma_completion c;
	unsigned int page = 0;

	while (!stop) {
		struct pindma_op op = add_one(w->mr, page++ % NR_PAGES);

		if (pindma_post(w->dev, &op, 1) != 1 ||
		    pindma_wait(w->dev, &c, 1, 10000) != 1)
			break;
		w->done++;
		w->refused += c.status != PINDMA_ST_OK;
	}
	return NULL;
}

#define NR_ROUNDS	30

/* Pins are made, and processes forked, while the device takes pages from CPUs. */
static void race(struct test *t)
{
	struct worker w = { .t = t };
	pthread_t thread;
	unsigned int i, page;
	uint64_t pfn;
	bool agree = true;
	pid_t pid;

	test_alloc(t);
	test_open(t);
	if (pindma_open(NULL, &w.dev))
		test_error(t, "the device cannot be opened twice");
	if (pindma_reg_mr(w.dev, t->mem, NR_PAGES * PAGE_SIZE,
			  PINDMA_PIN_EXCLUSIVE, 0, &w.mr) == -EOPNOTSUPP)
		test_skip(t, "this kernel cannot make memory exclusive to a device");
	if (pthread_create(&thread, NULL, take_and_take, &w))
		test_error(t, "cannot start a thread");
	for (i = 0; i < NR_ROUNDS && agree; i++) {
		if (i)
			test_dereg_mr(t);
		test_pin(t);
		pid = fork();
		if (pid < 0)
			test_error(t, "fork: %s", strerror(errno));
		if (!pid)
			_exit(0);
		test_wait_exit(t, pid);
		test_cpu_write(t);
		for (page = 0; page < NR_PAGES; page++) {
			pfn = test_pfn(t, t->mem + page * PAGE_SIZE);
			/* 0: the device has taken it again */
			if (pfn && pfn != test_pinned_pfn(t, page))
				agree = false;
		}
	}
	stop = true;
	pthread_join(thread, NULL);
	test_note(t, "%u pins and forks, %lu exclusive accesses, %lu of them refused",
		  i, w.done, w.refused);
	if (w.done == w.refused)
		test_error(t, "no exclusive access was granted");
	test_two_way(t, NULL);
	test_kept(t);
}

static void fork_locked(struct test *t)
{
	char command[64];
	pid_t pid;
	int ret, error;

	test_alloc(t);
	snprintf(command, sizeof(command), "lock-exclusive 0x%lx 0x%lx",
		 (unsigned long)t->mem, PAGE_SIZE);
	ret = negate(command);
	if (ret == -EOPNOTSUPP)
		test_skip(t, "this kernel cannot make memory exclusive to a device");
	if (ret)
		test_error(t, "/dev/pindma-negate: %s", strerror(-ret));
	pid = fork();
	error = errno;
	if (!pid)
		_exit(0);
	negate("restore");
	if (pid < 0 && error == ENOMEM)
		test_lost(t, "fork: %s", strerror(error));
	if (pid < 0)
		test_error(t, "fork: %s", strerror(error));
	test_wait_exit(t, pid);
	test_kept(t);
}

#define SOURCE	"commit b756a3b5e7ea"
#define FIX	"b756a3b5e7ea (5.14): mm: device exclusive memory access; in Debian's kernels since 7.2 (CONFIG_DEVICE_PRIVATE)"

const struct scenario exclusive_scenarios[] = {
	{
		.name = "exclusive.pinned",
		.promise = "a page that is pinned is not made exclusive to a device (asked for in the review of " SOURCE ", and not done)",
		.mems = BIT(MEM_ANON), .pins = PINS_PINDMA,
		.flags = SCENARIO_FULL,
		.run = pinned,
	}, {
		.name = "exclusive.pin",
		.promise = "whoever pins a page that is exclusive to a device takes it back first, and gets the same page: " SOURCE,
		.fix = FIX,
		.mems = BIT(MEM_ANON) | BIT(MEM_THP), .pins = PINS_PINDMA,
		.flags = SCENARIO_FULL,
		.run = pin,
	}, {
		.name = "exclusive.pinned_fork",
		.promise = "a page that is pinned and exclusive to a device stays the parent's over fork(): " SOURCE,
		.fix = FIX,
		.mems = BIT(MEM_ANON) | BIT(MEM_THP),
		.pins = PINS_PINDMA | BIT(PIN_PIN_CLEARED) |
			BIT(PIN_PIN_UNCOUNTED),
		.flags = SCENARIO_FULL,
		.run = pinned_fork,
	}, {
		.name = "exclusive.race",
		.promise = "a page that is pinned while a device takes it for itself stays the parent's over fork(): " SOURCE,
		.fix = FIX,
		.mems = BIT(MEM_ANON),
		.pins = BIT(PIN_GET_FAST) | BIT(PIN_PIN_FAST) |
			BIT(PIN_FAST_LONGTERM),
		.flags = SCENARIO_FULL,
		.run = race,
	}, {
		.name = "exclusive.fork_locked",
		.promise = "fork() works while a driver holds the lock of a folio that is exclusive to its device (not so: try_restore_exclusive_pte() of " SOURCE " only tries to lock it)",
		.mems = BIT(MEM_ANON),
		.flags = SCENARIO_FULL,
		.run = fork_locked,
	},
	{ }
};
