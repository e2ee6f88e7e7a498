// SPDX-License-Identifier: GPL-2.0-only
/*
 * fork() of pinned hugetlb memory when there is no huge page for the copy.
 *
 * Red cells: those of GET, and of pins that are taken away, on every kernel.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define POOL	"/proc/sys/vm/nr_hugepages"

/* The child reads its memory when its parent has written. */
static void __attribute__((noreturn)) reader(struct test *t, int go)
{
	char c;

	if (read(go, &c, 1) != 1)
		_exit(1);
	_exit(*(volatile uint8_t *)t->mem != 0x5a);
}

static void __attribute__((noreturn)) with_one_page(struct test *t)
{
	int go[2], status;
	pid_t pid;

	test_setup(t);
	if (pipe(go))
		test_error(t, "pipe: %s", strerror(errno));
	test_step(t, "fork");
	pid = fork();
	if (pid < 0 && errno != ENOMEM)
		test_error(t, "fork: %s", strerror(errno));
	if (!pid)
		reader(t, go[0]);
	test_step(t, "the parent writes");
	test_cpu_write(t);
	if (pid > 0) {
		if (write(go[1], "", 1) != 1 || waitpid(pid, &status, 0) != pid)
			test_error(t, "the child does not end");
		if (WIFSIGNALED(status))
			test_lost(t, "the child was killed by signal %d (%s) when it read its memory",
				  WTERMSIG(status), strsignal(WTERMSIG(status)));
		if (status)
			test_lost(t, "the child does not find in its memory what was there before fork()");
	}
	test_note(t, "fork: %s", pid < 0 ? strerror(ENOMEM) : "done");
	test_two_way(t, NULL);
	test_kept(t);
}

/* The pool is put back by a process that does not end in between. */
static void no_spare_page(struct test *t)
{
	pid_t pid;
	int ret;

	ret = kernel_set(POOL, "1");
	if (ret)
		test_skip(t, "no hugetlb pool: %s", strerror(-ret));
	pid = fork();
	if (pid < 0)
		test_error(t, "fork: %s", strerror(errno));
	if (!pid)
		with_one_page(t);
	waitpid(pid, NULL, 0);
	kernel_set(POOL, "32");
	_exit(0);	/* it has said how it ended */
}

const struct scenario hugetlb_scenarios[] = {
	{
		.name = "hugetlb.no_spare_page",
		.promise = "fork() fails if there is no huge page for the early copy, instead of leaving a child that will miss its memory",
		.fix = "4eae4efa2c29 (5.12): hugetlb: do early cow when page pinned on src mm; see copy_hugetlb_page_range()",
		.mems = BIT(MEM_HUGETLB),
		.pins = PINS_STOCK | PINS_CLEARED | PINS_UNCOUNTED,
		.flags = SCENARIO_FULL,
		.run = no_spare_page,
	},
	{ }
};
