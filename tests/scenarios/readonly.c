// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pins for a device that only reads: it must read what the process writes later.
 *
 * Such a pin asks for no write fault, so that it may get a page that is not the
 * process's own. The process's first write then makes a copy, and the device
 * keeps the old page. The cells of GET show the loss on every kernel; without
 * PINDMA_MR_FORCE forced is first_write, and red where that is.
 */
#include "test.h"

/* Pin without a write fault unless it is forced, then let the process write. */
static void pin_and_write(struct test *t)
{
	t->mr_flags |= PINDMA_MR_READONLY;
	test_open(t);
	test_reg_mr(t);
	test_step(t, "the process writes");
	test_process_to_device(t, NULL);
}

static void shared(struct test *t)
{
	struct peer child;

	test_alloc(t);
	child = test_fork_peer(t, false);
	pin_and_write(t);
	test_peer_exit(t, &child);
	test_kept(t);
}

static void first_write(struct test *t)
{
	test_alloc(t);
	pin_and_write(t);
	test_kept(t);
}

static void forced(struct test *t)
{
	t->mr_flags = PINDMA_MR_FORCE;
	first_write(t);
}

static void fork_(struct test *t)
{
	struct peer child;

	t->mr_flags = PINDMA_MR_READONLY;
	test_setup(t);
	test_step(t, "fork");
	child = test_fork_peer(t, false);
	test_step(t, "the parent writes");
	test_cpu_write(t);
	test_process_to_device(t, NULL);
	test_peer_exit(t, &child);
	test_kept(t);
}

const struct scenario readonly_scenarios[] = {
	{
		.name = "readonly.shared",
		.promise = "a page that is shared since a fork() is unshared before it is pinned for reading: commit a7f226604170",
		.fix = "a7f226604170 (5.19): mm/gup: trigger FAULT_FLAG_UNSHARE when R/O-pinning a possibly shared anonymous page; see gup_must_unshare()",
		.mems = MEMS_ANON_ALL, .pins = PINS_STOCK,
		.flags = SCENARIO_SLOW,
		.run = shared,
	}, {
		.name = "readonly.first_write",
		.promise = "a longterm pin for reading gets a page of the process's own in place of the zero page or the page cache's: commit 84209e87c696",
		.fix = "84209e87c696 (6.2): mm/gup: reliable R/O long-term pinning in COW mappings; see gup_must_unshare()",
		.mems = BIT(MEM_ZERO) | BIT(MEM_FILE), .pins = PINS_STOCK,
		.flags = SCENARIO_FULL,
		.run = first_write,
	}, {
		.name = "readonly.forced",
		.promise = "a pin for reading that asks for writing by force, as RDMA's did, gets a page of the process's own: commit b40656aa7d55",
		.mems = BIT(MEM_ZERO) | BIT(MEM_FILE), .pins = PINS_STOCK,
		.flags = SCENARIO_FULL,
		.run = forced,
	}, {
		.name = "readonly.fork",
		.promise = "a page that was pinned for reading before fork() stays the parent's when the parent writes to it",
		.fix = "70e806e4e645 (5.9): do early cow for pinned pages during fork(); for hugetlb 4eae4efa2c29 (5.12); see copy_present_page(), copy_hugetlb_page_range()",
		.mems = MEMS_ANON_ALL,
		.pins = PINS_STOCK | PINS_CLEARED | PINS_UNCOUNTED,
		.flags = SCENARIO_FULL,
		.run = fork_,
	},
	{ }
};
