// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel counts of pins. Red cells: those of GET, of which it counts
 * nothing. That all is given back the runner checks after each case. To see limit
 * red leave out the negation that counts the page's pins up.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

/*
 * 2,097,152 pins of 1024 references each are as many as an int can have. Most of
 * them are only counted; the last ones are made. By name only: the kernel warns, on
 * the console, which the host reads ahead of the runner's messages, and may put it
 * down to the case before.
 */
static void limit(struct test *t)
{
	uint32_t first, mr = 0;
	char command[64];
	int ret;

	test_tolerate_if_kept(t, "WARNING:");	/* try_grab_folio(), once */
	test_setup(t);
	first = t->mr;
	snprintf(command, sizeof(command), "saturate 0x%lx 0x%lx",
		 (unsigned long)t->mem, PAGE_SIZE);
	/* The host reads of the warning on the console: it must know whose it is. */
	sleep(1);
	ret = negate(command);
	if (ret)
		test_error(t, "/dev/pindma-negate: %s: %s", command,
			   strerror(-ret));
	test_step(t, "pinned 2,097,151 times");
	ret = test_try_reg_mr(t);
	if (!ret) {
		mr = t->mr;
		test_step(t, "and once more");
		ret = test_try_reg_mr(t);
		if (!ret)
			pindma_dereg_mr(t->dev, t->mr);
		pindma_dereg_mr(t->dev, mr);
	}
	t->mr = first;
	negate("restore");
	if (!mr)
		test_error(t, "the 2,097,152nd pin failed: %s", strerror(-ret));
	if (!ret)
		test_lost(t, "a page was pinned 2,097,153 times");
	if (ret != -ENOMEM)
		test_error(t, "the 2,097,153rd pin failed, but not for want of references: %s",
			   strerror(-ret));
	test_two_way(t, NULL);
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
	}, {
		.name = "accounting.limit",
		.promise = "a page that is pinned 2,097,152 times can be pinned no more, and all of them can be given back: commit 8fde12ca79af",
		.fix = "8fde12ca79af (5.1): mm: prevent get_user_pages() from overflowing page refcount; see try_grab_folio()",
		.mems = BIT(MEM_ANON),
		.pins = BIT(PIN_PIN) | BIT(PIN_PIN_FAST) | BIT(PIN_LONGTERM) |
			BIT(PIN_FAST_LONGTERM),
		.flags = SCENARIO_NAMED,
		.run = limit,
	},
	{ }
};
