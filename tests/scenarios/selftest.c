// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cases with known outcomes, to test the runner and the rig (tests/rig). They
 * are in no preset.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

static void pass(struct test *t)
{
	test_kept(t);
}

static void fail(struct test *t)
{
	test_lost(t, "as it should be");
}

static void skip(struct test *t)
{
	test_skip(t, "as it should be");
}

static void crash(struct test *t)
{
	(void)t;
	raise(SIGSEGV);
}

static void hang(struct test *t)
{
	(void)t;
	for (;;)
		pause();
}

static void panic(struct test *t)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY);

	if (fd < 0 || write(fd, "c", 1) != 1)
		test_error(t, "cannot make the kernel panic");
	for (;;)
		pause();
}

/* Nothing in the guest ends this: the host's limit must. */
static void stall(struct test *t)
{
	if (kill(getppid(), SIGSTOP))
		test_error(t, "cannot stop the runner");
	for (;;)
		pause();
}

static void warn(struct test *t)
{
	int ret = negate("warn");

	if (ret)
		test_skip(t, "/dev/pindma-negate: %s", strerror(-ret));
	test_kept(t);
}

#define ROW(fn, what)						\
	{ .name = "selftest." #fn, .promise = what,		\
	  .flags = SCENARIO_HIDDEN, .run = fn }

const struct scenario selftest_scenarios[] = {
	ROW(pass, "ends well"),
	ROW(fail, "fails"),
	ROW(skip, "is skipped"),
	ROW(crash, "the case dies of a signal"),
	ROW(hang, "the case never ends"),
	ROW(panic, "the kernel panics"),
	ROW(stall, "the runner never ends"),
	ROW(warn, "the kernel warns, the case is content"),
	{ }
};
