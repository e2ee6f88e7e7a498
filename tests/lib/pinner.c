// SPDX-License-Identifier: GPL-2.0-only
/* What the pinners besides pindma.ko have in common. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pinner.h"

void pinner_modprobe(struct test *t, const char *module)
{
	char *const argv[] = { "modprobe", "-q", (char *)module, NULL };
	char path[64];
	int status;
	pid_t pid;

	snprintf(path, sizeof(path), "/sys/module/%s", module);
	if (!access(path, F_OK))
		return;
	pid = vfork();
	if (pid < 0)
		test_error(t, "vfork: %s", strerror(errno));
	if (!pid) {
		execvp(argv[0], argv);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		test_skip(t, "the module %s cannot be loaded", module);
}

/*
 * Shared, so that a copy at fork() is not for it: with the fixes taken away the
 * pinner would lose its own buffers as well, and the case said nothing.
 */
void *pinner_shared(struct test *t, size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		test_error(t, "mmap of %zu bytes: %s", len, strerror(errno));
	return p;
}
