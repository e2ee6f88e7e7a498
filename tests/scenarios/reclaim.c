// SPDX-License-Identifier: GPL-2.0-only
/*
 * Swap, and pages that a device uses.
 *
 * A pinned page is not put into the swap cache at all. A page with a mere
 * reference is: its next read finds it there and maps it read-only, and the
 * write after that used to make a copy. Red cells: GET on 5.10, -plain later; and
 * all of them without the reference (tests/mutants/no-reference.patch).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "test.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

static void pageout(struct test *t)
{
	if (madvise(t->mem, NR_PAGES * PAGE_SIZE, MADV_PAGEOUT))
		test_error(t, "MADV_PAGEOUT: %s", strerror(errno));
}

static void read_pages(struct test *t)
{
	for (unsigned int page = 0; page < NR_PAGES; page++)
		*(volatile uint8_t *)(t->mem + page * PAGE_SIZE);
}

static void begin(struct test *t)
{
	test_need_swap(t);
	test_one_cpu(t);
	test_setup(t);
	test_step(t, "MADV_PAGEOUT");
	pageout(t);
}

static void __attribute__((noreturn)) write_and_look(struct test *t)
{
	test_step(t, "the process writes");
	test_cpu_write(t);
	test_two_way(t, NULL);
	test_kept(t);
}

static void pageout_read(struct test *t)
{
	begin(t);
	test_step(t, "the process reads");
	read_pages(t);
	write_and_look(t);
}

/* A write alone takes the page out of the swap cache, and has always used it again. */
static void pageout_write(struct test *t)
{
	begin(t);
	write_and_look(t);
}

#define NR_ROUNDS	50
#define HAMMER_RATE	20000

static void under_hammer(struct test *t)
{
	uint64_t hammer;

	test_need_swap(t);
	test_one_cpu(t);
	test_setup(t);
	hammer = test_start_hammer(t, HAMMER_RATE);
	test_step(t, "hammer, MADV_PAGEOUT, read, write, 50 times");
	for (int i = 0; i < NR_ROUNDS; i++) {
		pageout(t);
		read_pages(t);
		test_cpu_write(t);
	}
	test_stop_hammer(t, hammer);
	test_two_way(t, NULL);
	test_kept(t);
}

#define PROMISE	"swap does not take a page away from a device that has it pinned: commit feb889fb40fa"
#define FIX	"feb889fb40fa (5.11, 5.10.9): mm: don't put pinned pages into the swap cache; 1493a1913e34 (5.19): exclusive swap entries; see shrink_folio_list(), do_swap_page()"

const struct scenario reclaim_scenarios[] = {
	{
		.name = "reclaim.pageout",
		.promise = PROMISE,
		.fix = FIX,
		.mems = BIT(MEM_ANON),
		.pins = PINS_STOCK | PINS_DEMAND | PINS_UNCOUNTED | PINS_PLAIN,
		.flags = SCENARIO_FULL,
		.run = pageout_read,
	}, {
		.name = "reclaim.pageout_write",
		.promise = PROMISE "; the process writes without having read",
		.fix = FIX,
		.mems = BIT(MEM_ANON),
		.pins = PINS_STOCK | PINS_DEMAND | PINS_PLAIN,
		.flags = SCENARIO_FULL,
		.run = pageout_write,
	}, {
		.name = "reclaim.under_hammer",
		.promise = PROMISE ", 50 times under a hammer",
		.fix = FIX,
		.mems = BIT(MEM_ANON),
		.pins = PINS_STOCK | PINS_DEMAND | PINS_UNCOUNTED | PINS_PLAIN,
		.flags = SCENARIO_FULL,
		.run = under_hammer,
	},
	{ }
};
