// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which memory may be pinned for long, with FOLL_LONGTERM?
 *
 * To see file_refused red: a kernel before 6.5, or file_allowed, which takes the
 * check away.
 */
#include <errno.h>
#include <string.h>

#include "test.h"

#define PINS_LONGTERM	(BIT(PIN_LONGTERM) | BIT(PIN_FAST_LONGTERM))

static void file_refused(struct test *t)
{
	int ret;

	test_alloc(t);
	test_open(t);
	ret = test_try_reg_mr(t);
	if (!ret)
		test_lost(t, "the file was pinned for as long as the device likes");
	if (ret != -EFAULT)
		test_error(t, "the file was refused, but for another reason: %s",
			   strerror(-ret));
	test_kept(t);
}

static void file_allowed(struct test *t)
{
	test_negate_until_exit(t, "allow-longterm-file");
	file_refused(t);
}

const struct scenario longterm_scenarios[] = {
	{
		.name = "longterm.file_refused",
		.promise = "a shared mapping of a file that needs dirty tracking cannot be pinned for long to be written to",
		.fix = "8ac268436e6d, for pin_user_pages_fast() a6e79df92e4a (6.5): disallow FOLL_LONGTERM on file-backed mappings; see writable_file_mapping_allowed(), gup_fast_folio_allowed()",
		.mems = MEMS_DISK, .pins = PINS_LONGTERM,
		.flags = SCENARIO_SLOW,
		.run = file_refused,
	}, {
		.name = "longterm.file_allowed",
		.promise = "control: longterm.file_refused, when the kernel is made to believe that no file needs dirty tracking",
		.mems = MEMS_DISK, .pins = PINS_LONGTERM,
		.flags = SCENARIO_SLOW,
		.run = file_allowed,
	},
	{ }
};
