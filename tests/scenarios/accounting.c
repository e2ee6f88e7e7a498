// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel counts of pins. Red cells: those of GET, of which it counts
 * nothing. That all is given back the runner checks after each case.
 */
#include "test.h"

static void vmstat(struct test *t)
{
	long before, pinned;

	test_alloc(t);
	test_open(t);
	before = kernel_pinned_pages();
	test_reg_mr(t);
	pinned = kernel_pinned_pages() - before;
	test_note(t, "%ld pages more are pinned", pinned);
	if (pinned != NR_PAGES)
		test_lost(t, "nr_foll_pin_acquired - nr_foll_pin_released went up by %ld for %d pages",
			  pinned, NR_PAGES);
	test_dereg_mr(t);
	pinned = kernel_pinned_pages() - before;
	if (pinned)
		test_lost(t, "after the unpin %ld pages more than before are pinned",
			  pinned);
	test_kept(t);
}

const struct scenario accounting_scenarios[] = {
	{
		.name = "accounting.vmstat",
		.promise = "each pinned page is counted in nr_foll_pin_acquired, and its unpin in nr_foll_pin_released: pin_user_pages.rst",
		.fix = "1970dc6f5226 (5.7): mm/gup: /proc/vmstat: pin_user_pages (FOLL_PIN) reporting",
		.mems = MEMS_ANON_ALL, .pins = PINS_PINDMA,
		.flags = SCENARIO_FULL,
		.run = vmstat,
	},
	{ }
};
