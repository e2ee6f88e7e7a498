// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages that are mapped otherwise than whole: the pin is counted once for
 * all of the huge page, the mark of the page's owner for each small one.
 *
 * Red cells: those of GET, and of pins that are taken away, on every kernel.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "test.h"

#define EARLY_COPY	"70e806e4e645, d042035eaf5f (5.9): do early cow for pinned pages during fork(), split huge pages for it; see copy_present_page(), copy_huge_pmd()"

/* Other rights for one half of it: the huge page is mapped in small pieces. */
static void split(struct test *t)
{
	uint8_t *half = t->buf + t->len / 2;

	if (mprotect(half, t->len / 2, PROT_READ) ||
	    mprotect(half, t->len / 2, PROT_READ | PROT_WRITE))
		test_error(t, "mprotect: %s", strerror(errno));
}

static void pin_split(struct test *t)
{
	test_setup(t);
	split(t);
	test_fork_and_write(t);
}

static void split_pin(struct test *t)
{
	test_alloc(t);
	split(t);
	test_open(t);
	test_reg_mr(t);
	test_fork_and_write(t);
}

/* The first fork() splits the huge page, the second one finds the pieces. */
static void fork_twice(struct test *t)
{
	struct peer child;

	test_setup(t);
	test_step(t, "fork");
	child = test_fork_peer(t, false);
	test_peer_sync(t, &child);
	test_fork_and_write(t);
}

static void fork_(struct test *t)
{
	test_setup(t);
	test_fork_and_write(t);
}

static void whole(struct test *t)
{
	unsigned int shared;

	test_setup(t);
	shared = test_fork_shares(t, t->buf, t->len);
	if (shared)
		test_lost(t, "the child shares %u pages of a huge page of which %u are pinned",
			  shared, (unsigned int)NR_PAGES);
	test_two_way(t, NULL);
	test_kept(t);
}

const struct scenario thp_scenarios[] = {
	{
		.name = "thp.pin_split",
		.promise = "a page that was pinned in a huge page stays the parent's over fork() when the mapping was split since",
		.fix = EARLY_COPY,
		.mems = BIT(MEM_THP),
		.pins = PINS_STOCK | PINS_CLEARED | PINS_UNCOUNTED,
		.flags = SCENARIO_FULL,
		.run = pin_split,
	}, {
		.name = "thp.split_pin",
		.promise = "a page that was pinned in a huge page whose mapping is split stays the parent's over fork()",
		.fix = EARLY_COPY,
		.mems = BIT(MEM_THP),
		.pins = PINS_STOCK | PINS_CLEARED | PINS_UNCOUNTED,
		.flags = SCENARIO_FULL,
		.run = split_pin,
	}, {
		.name = "thp.fork_twice",
		.promise = "a page that was pinned in a huge page stays the parent's over a second fork(), too",
		.fix = EARLY_COPY,
		.mems = BIT(MEM_THP),
		.pins = PINS_STOCK | PINS_CLEARED | PINS_UNCOUNTED,
		.flags = SCENARIO_FULL,
		.run = fork_twice,
	}, {
		.name = "thp.whole",
		.promise = "fork() shares nothing of a huge page of which something is pinned: each page of it may be the one",
		.fix = EARLY_COPY,
		.mems = BIT(MEM_THP),
		.pins = PINS_STOCK | PINS_CLEARED | PINS_UNCOUNTED,
		.flags = SCENARIO_FULL,
		.run = whole,
	}, {
		.name = "thp.mthp",
		.promise = "a page that was pinned in a huge page of 64 KiB stays the parent's over fork(), which copies such pages in batches",
		.fix = EARLY_COPY,
		.mems = BIT(MEM_MTHP),
		.pins = PINS_STOCK | PINS_CLEARED | PINS_UNCOUNTED,
		.flags = SCENARIO_FULL,
		.run = fork_,
	},
	{ }
};
