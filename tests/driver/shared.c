// SPDX-License-Identifier: GPL-2.0-only
/* What the tests of the driver share, see shared.h. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared.h"

#define DRIVER	"/sys/bus/pci/drivers/pindma/"

void find_device(struct test *t, char name[256])
{
	DIR *dir = opendir(DRIVER);
	struct dirent *e;

	*name = '\0';
	while (dir && (e = readdir(dir)))
		if (strchr(e->d_name, ':'))
			strcpy(name, e->d_name);
	if (dir)
		closedir(dir);
	CHECK(t, *name);
}

const char *device_dir(struct test *t)
{
	static char path[512];
	char name[256];

	find_device(t, name);
	snprintf(path, sizeof(path), DRIVER "%s", name);
	return path;
}

static void write_file(struct test *t, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	CHECK(t, fd >= 0);
	CHECK(t, write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

void unbind_device(struct test *t, const char *name)
{
	write_file(t, DRIVER "unbind", name);
}

void bind_device(struct test *t, const char *name)
{
	write_file(t, DRIVER "bind", name);
}

static int open_config(struct test *t)
{
	char path[600];
	int fd;

	snprintf(path, sizeof(path), "%s/config", device_dir(t));
	fd = open(path, O_RDWR);
	CHECK(t, fd >= 0);
	return fd;
}

void read_config(struct test *t, off_t offset, void *buf, size_t len)
{
	int fd = open_config(t);

	CHECK(t, pread(fd, buf, len, offset) == (ssize_t)len);
	close(fd);
}

void write_config(struct test *t, off_t offset, const void *buf, size_t len)
{
	int fd = open_config(t);

	CHECK(t, pwrite(fd, buf, len, offset) == (ssize_t)len);
	close(fd);
}

/* " 26:  3  0  PCI-MSIX-0000:01:00.0  0-edge  pindma0", a number for each CPU */
long count_interrupts(struct test *t)
{
	FILE *f = fopen("/proc/interrupts", "r");
	long n, sum = 0;
	char line[1024], *p, *end;

	CHECK(t, f);
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, "pindma"))
			continue;
		p = strchr(line, ':');
		CHECK(t, p);
		for (p++; n = strtol(p, &end, 10), end != p; p = end)
			sum += n;
	}
	fclose(f);
	return sum;
}

bool stamps_go_on(volatile void *mem, unsigned int ms)
{
	volatile uint64_t *stamp = mem;
	uint64_t was = *stamp;

	while (ms-- && *stamp == was)
		usleep(1000);
	return *stamp != was;
}

double wait_for_unpin(struct test *t, long pinned, unsigned int ms)
{
	double start = now_ms();
	long left = kernel_wait_for_unpin(pinned, ms);

	if (left)
		test_lost(t, "%ld pages are still pinned after %u ms", left, ms);
	return now_ms() - start;
}

int as_nobody(struct test *t, int (*fn)(struct test *t))
{
	struct rlimit none = { 0, 0 };
	int status;
	pid_t pid = fork();

	CHECK(t, pid >= 0);
	if (!pid) {
		if (setrlimit(RLIMIT_MEMLOCK, &none) ||
		    setresgid(65534, 65534, 65534) ||
		    setresuid(65534, 65534, 65534))
			_exit(255);
		_exit(-fn(t));
	}
	CHECK(t, waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return -WEXITSTATUS(status);
}

int run_and_read(struct test *t, void (*fn)(void *arg), void *arg, char *text,
		 size_t size)
{
	size_t len = 0;
	int out[2], status;
	ssize_t n;
	pid_t pid;

	CHECK(t, !pipe(out));
	pid = fork();
	CHECK(t, pid >= 0);
	if (!pid) {
		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		fn(arg);
		exit(126);
	}
	close(out[1]);
	while (len < size - 1 && (n = read(out[0], text + len, size - 1 - len)) > 0)
		len += n;
	text[len] = '\0';
	close(out[0]);
	CHECK(t, waitpid(pid, &status, 0) == pid);
	return status;
}
