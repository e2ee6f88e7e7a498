// SPDX-License-Identifier: GPL-2.0-only
/*
 * mremap() of memory that a device uses: the pages go along to the new address, and
 * what the kernel knows of their pins does, too.
 *
 * Red cells: those of GET, and of pins that are taken away, since a fork() follows.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "test.h"

#define HAMMER_RATE	20000

/* To an address that is offset bytes off what a huge page would want */
static void move_to(struct test *t, size_t offset)
{
	size_t room = t->len + 2 * HUGE_SIZE;
	uint8_t *to = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);

	if (to == MAP_FAILED)
		test_error(t, "mmap: %s", strerror(errno));
	to = (uint8_t *)(((uintptr_t)to + HUGE_SIZE - 1) & -HUGE_SIZE) + offset;
	if (mremap(t->buf, t->len, t->len, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		test_error(t, "mremap: %s", strerror(errno));
	t->mem = to + (t->mem - t->buf);
	t->buf = to;
}

static void move(struct test *t)
{
	uint64_t hammer;

	test_setup(t);
	hammer = test_start_hammer(t, HAMMER_RATE);
	test_step(t, "hammer, mremap");
	move_to(t, 0);
	test_stop_hammer(t, hammer);
	test_fork_and_write(t);
}

/* A huge page is mapped in small pieces then. */
static void move_split(struct test *t)
{
	test_setup(t);
	test_step(t, "mremap to where no huge page fits");
	move_to(t, 5 * PAGE_SIZE);
	test_fork_and_write(t);
}

#define FIX	"70e806e4e645, d042035eaf5f (5.9): do early cow for pinned pages during fork(), split huge pages for it; see copy_present_page(), copy_huge_pmd()"

const struct scenario mremap_scenarios[] = {
	{
		.name = "mremap.move",
		.promise = "mremap() under a hammer takes pinned pages along, and they stay the parent's over fork(): mremap(2)",
		.fix = FIX,
		.mems = BIT(MEM_ANON) | BIT(MEM_THP),
		.pins = PINS_PINDMA | BIT(PIN_PIN_CLEARED) |
			BIT(PIN_PIN_UNCOUNTED),
		.flags = SCENARIO_FULL,
		.run = move,
	}, {
		.name = "mremap.move_split",
		.promise = "mremap() that splits a huge mapping takes pinned pages along, and they stay the parent's over fork(): mremap(2)",
		.fix = FIX,
		.mems = BIT(MEM_THP),
		.pins = PINS_PINDMA | BIT(PIN_PIN_CLEARED) |
			BIT(PIN_PIN_UNCOUNTED),
		.flags = SCENARIO_FULL,
		.run = move_split,
	},
	{ }
};
