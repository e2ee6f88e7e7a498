// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that are read-only for a while, and then written to again. No fork() and
 * no other process is involved, so the write must not make a copy.
 *
 * The -shared and -plain cells show the loss: there the kernel has forgotten
 * that the page is the process's own, and must copy it. Linux before 5.19 never
 * knew. A huge page of hugetlb is used again if nobody else maps it, whatever
 * its references: nothing turns that red, so it is not tried.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "test.h"

#define EXCLUSIVE	"6c287605fd56 (5.19): remember exclusively mapped anonymous pages with PG_anon_exclusive; see do_wp_page()"

static void write_and_look(struct test *t)
{
	test_step(t, "the process writes");
	test_cpu_write(t);
	test_two_way(t, NULL);
	test_kept(t);
}

static void readonly(struct test *t)
{
	test_setup(t);
	test_protect(t, PROT_READ);
	test_step(t, "read-only");
	test_protect(t, PROT_READ | PROT_WRITE);
	write_and_look(t);
}

static void none(struct test *t)
{
	test_setup(t);
	test_protect(t, PROT_NONE);
	test_step(t, "not accessible");
	test_protect(t, PROT_READ | PROT_WRITE);
	write_and_look(t);
}

#define NR_ROUNDS	100
#define HAMMER_RATE	20000

static void under_hammer(struct test *t)
{
	uint64_t hammer;
	unsigned int i;

	test_setup(t);
	hammer = test_start_hammer(t, HAMMER_RATE);
	test_step(t, "hammer, read-only and writable again 100 times");
	for (i = 0; i < NR_ROUNDS; i++) {
		test_protect(t, i % 2 ? PROT_NONE : PROT_READ);
		test_protect(t, PROT_READ | PROT_WRITE);
		test_cpu_write(t);
	}
	test_stop_hammer(t, hammer);
	test_two_way(t, NULL);
	test_kept(t);
}

/* Writes are tracked by taking the right to write away, for all pages. */
static void soft_dirty(struct test *t)
{
	int ret;

	test_setup(t);
	ret = kernel_set("/proc/self/clear_refs", "4");
	if (ret)
		test_error(t, "/proc/self/clear_refs: %s", strerror(-ret));
	test_step(t, "soft-dirty bits cleared");
	write_and_look(t);
}

const struct scenario mprotect_scenarios[] = {
	{
		.name = "mprotect.readonly",
		.promise = "a pinned page that was read-only for a while stays the process's when it writes again: commit 6c287605fd56",
		.fix = EXCLUSIVE,
		.mems = BIT(MEM_ANON) | BIT(MEM_THP),
		.pins = PINS_STOCK | PINS_SHARED | PINS_PLAIN,
		.flags = SCENARIO_SLOW,
		.run = readonly,
	}, {
		.name = "mprotect.none",
		.promise = "a pinned page that was not accessible for a while stays the process's when it writes again: commit 6c287605fd56",
		.fix = EXCLUSIVE,
		.mems = BIT(MEM_ANON) | BIT(MEM_THP),
		.pins = PINS_STOCK | PINS_SHARED | PINS_PLAIN,
		.flags = SCENARIO_FULL,
		.run = none,
	}, {
		.name = "mprotect.under_hammer",
		.promise = "a device that writes all the time keeps the page over 100 changes of its protection",
		.fix = EXCLUSIVE,
		.mems = BIT(MEM_ANON) | BIT(MEM_THP),
		.pins = PINS_STOCK | PINS_SHARED | PINS_PLAIN,
		.flags = SCENARIO_FULL,
		.run = under_hammer,
	}, {
		.name = "mprotect.soft_dirty",
		.promise = "clearing the soft-dirty bits does not write-protect a pinned page: commit 9348b73c2e1b",
		.fix = "9348b73c2e1b (5.11, 5.10.9): don't play games with pinned pages in clear_page_refs; see clear_soft_dirty()",
		.mems = BIT(MEM_ANON) | BIT(MEM_THP),
		.pins = PINS_STOCK | PINS_UNCOUNTED | PINS_SHARED | PINS_PLAIN,
		.flags = SCENARIO_FULL,
		.run = soft_dirty,
	},
	{ }
};
