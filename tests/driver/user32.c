// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 32-bit program: tests/user32/main.c. To see it red: leave compat_ioctl out of
 * pindma_fops.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared.h"

#define PROGRAM		"/bin/pindma-user32"
#define NO_SUCH_FORMAT	77

static void program(void *unused)
{
	(void)unused;
	execl(PROGRAM, PROGRAM, (char *)NULL);
	_exit(errno == ENOEXEC ? NO_SUCH_FORMAT : 126);
}

static void user32(struct test *t)
{
	char said[512];
	int status = run_and_read(t, program, NULL, said, sizeof(said));

	said[strcspn(said, "\n")] = '\0';
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SUCH_FORMAT)
		test_skip(t, "the kernel has no CONFIG_IA32_EMULATION");
	if (status)
		test_lost(t, "status 0x%x: %s", status, said);
	test_kept(t);
}

const struct scenario driver_user32_scenarios[] = {
	{
		.name = "driver.user32",
		.promise = "a 32-bit program on a 64-bit kernel can do what others can: <linux/pindma.h>",
		.run = user32,
	},
	{ }
};
