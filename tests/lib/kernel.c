// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel says about a case, besides what the case itself finds. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static int kmsg = -1;

/*
 * Begin a case: a line in the kernel's log. What comes from now on counts. Not with
 * dprintf(), which asks first where it is (EINVAL), and writes nothing then.
 */
void kernel_mark(const char *text)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	char line[256];
	ssize_t len;

	snprintf(line, sizeof(line), "pindma-test: %s\n", text);
	len = strlen(line);
	if (fd >= 0) {
		if (write(fd, line, len) != len)
			printf("# pindma-test: nolog %s\n", strerror(errno));
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

/* The number behind name in a file of such lines; -1: it is not there. */
static long number_of(const char *path, const char *name)
{
	FILE *f = fopen(path, "re");
	char key[64];
	long val, found = -1;

	/* Lines with something else than a number are for others. */
	while (f && fscanf(f, "%63s %ld%*[^\n]", key, &val) != EOF)
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
	return number_of("/proc/vmstat", "nr_foll_pin_acquired") -
	       number_of("/proc/vmstat", "nr_foll_pin_released");
}

/* Until as many are pinned as there were, for at most ms: how many more still are */
long kernel_wait_for_unpin(long pinned, unsigned int ms)
{
	double start = now_ms();
	long left;

	while ((left = kernel_pinned_pages() - pinned) && now_ms() - start < ms)
		usleep(1000);
	return left;
}

/* kB that a process is charged for pins; -1: there is no such process. */
long kernel_vm_pin(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return number_of(path, "VmPin:");
}

/* See guest/pindma_debugfs.c; -1: no debugfs */
long kernel_pindma_counter(const char *name)
{
	return number_of("/sys/kernel/debug/pindma/pindma0/counters", name);
}

#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
#define DMA_API_ERRORS	"/sys/kernel/debug/dma-api/error_count"

/* The first line of a file */
bool kernel_get(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(line, size, f);

	if (f)
		fclose(f);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

/* A process that was killed may still be closing its files. */
static long mrs_left(void)
{
	unsigned int ms = 10000;
	long mrs;

	while ((mrs = kernel_pindma_counter("mrs")) > 0 && --ms)
		usleep(1000);
	return mrs;
}

/*
 * After a case: has anything been left behind, as far as this kernel can tell?
 * kmemleak only tells of what is 5 s old: the leak may be that of an earlier case.
 */
bool kernel_leaked(char *line, size_t size)
{
	static long errors_before;
	long mrs = mrs_left(), errors;
	char text[128];

	if (mrs > 0) {
		snprintf(line, size, "the driver still has %ld mrs", mrs);
		return true;
	}
	if (kernel_get(DMA_API_ERRORS, text, sizeof(text))) {
		errors = atol(text);
		if (errors > errors_before) {
			snprintf(line, size, "DMA-API debug has counted %ld errors",
				 errors - errors_before);
			errors_before = errors;
			return true;
		}
	}
	if (!kernel_set(KMEMLEAK, "scan") &&
	    kernel_get(KMEMLEAK, text, sizeof(text))) {
		snprintf(line, size, "kmemleak, of this or an earlier case: %s",
			 text);
		kernel_set(KMEMLEAK, "clear");
		return true;
	}
	return false;
}

/* CLOCK_MONOTONIC */
double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
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

static void other_cpus(const char *online)
{
	char path[64];
	int cpu;

	for (cpu = 1; cpu < sysconf(_SC_NPROCESSORS_CONF); cpu++) {
		snprintf(path, sizeof(path),
			 "/sys/devices/system/cpu/cpu%d/online", cpu);
		kernel_set(path, online);
	}
}

/*
 * kernel_set() of what patches the scheduler's code, with one CPU: under TCG,
 * QEMU 7.2 has been seen to translate an int3 of text_poke_bp() on another, and to
 * run that long after it is gone.
 */
int kernel_set_alone(const char *path, const char *text)
{
	int ret;

	other_cpus("0");
	ret = kernel_set(path, text);
	other_cpus("1");
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
	if (errno == EOPNOTSUPP)
		test_skip(t, "this kernel would stop at '%s' (CONFIG_DEBUG_VM)",
			  command);
	test_error(t, "/dev/pindma-negate-probe: %s: %s", command,
		   strerror(errno));
}
