// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel says about a case, besides what the case itself finds. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

static int kmsg = -1;

/* Begin a case: a line in the kernel's log. What comes from now on counts. */
void kernel_mark(const char *text)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		dprintf(fd, "pindma-test: %s\n", text);
		close(fd);
	}
	if (kmsg < 0) {
		kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		lseek(kmsg, 0, SEEK_END);
	}
}

/*
 * Did it warn, oops or report a fault since? line is the first such line.
 * Lines with the text tolerated, if it is not empty, do not count.
 */
bool kernel_complained(const char *tolerated, char *line, size_t size)
{
	static const char *const complaints[] = {
		"WARNING:", "BUG:", "Oops", "KASAN:", "UBSAN:", "KFENCE:",
		"INFO: task", "INFO: rcu", "general protection fault",
		"kernel BUG at", "Bad page state", "pagealloc: memory corruption",
		"possible circular locking", "inconsistent lock state",
	};
	char record[8192], *text;
	bool found = false;
	unsigned int i;
	ssize_t n;

	while (kmsg >= 0) {
		n = read(kmsg, record, sizeof(record) - 1);
		if (n < 0 && errno == EPIPE)
			continue;	/* some were overwritten: go on */
		if (n <= 0)
			break;
		record[n] = '\0';
		text = strchr(record, ';');
		if (!text || found)
			continue;
		text[strcspn(text, "\n")] = '\0';
		if (*tolerated && strstr(text, tolerated))
			continue;
		for (i = 0; i < ARRAY_SIZE(complaints); i++) {
			if (strstr(text, complaints[i])) {
				snprintf(line, size, "%s", text + 1);
				found = true;
				break;
			}
		}
	}
	return found;
}

static long vmstat(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "re");
	char key[64];
	long val, found = 0;

	while (f && fscanf(f, "%63s %ld", key, &val) == 2)
		if (!strcmp(key, name))
			found = val;
	if (f)
		fclose(f);
	return found;
}

/* Pages of the whole system that are pinned with FOLL_PIN. */
long kernel_pinned_pages(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		dprintf(fd, "1");	/* fold in what CPUs count apart */
		close(fd);
	}
	return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released");
}

/* A file of /proc or /sys, in one write(); 0 or -errno. */
int kernel_set(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;
	int ret;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	ret = n < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* A command to tests/modules/pindma_negate.c; 0 or -errno. */
int negate(const char *command)
{
	return kernel_set("/dev/pindma-negate", command);
}

/*
 * A command to tests/modules/pindma_negate_probe.c, for as long as the case runs.
 * A kernel that lacks the function has nothing that could be negated.
 */
void test_negate_until_exit(struct test *t, const char *command)
{
	int fd = open("/dev/pindma-negate-probe", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		test_skip(t, "no /dev/pindma-negate-probe: the module is not loaded");
	if (write(fd, command, strlen(command)) >= 0)
		return;
	if (errno == ENOENT)
		test_skip(t, "this kernel has no function for '%s' to negate",
			  command);
	test_error(t, "/dev/pindma-negate-probe: %s: %s", command,
		   strerror(errno));
}
