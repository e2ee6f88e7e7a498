// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hardware goes away, or is held up, while it writes. To see it red: leave
 * out the reset in pindma_remove(), or the test of bus mastering in pindma.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

#define DRIVER	"/sys/bus/pci/drivers/pindma/"

/* "0000:01:00.0" */
static void find_device(struct test *t, char name[256])
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

static void write_file(struct test *t, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	CHECK(t, fd >= 0);
	CHECK(t, write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static bool stamps_go_on(struct test *t, unsigned int ms)
{
	volatile uint64_t *stamp = (volatile uint64_t *)t->mem;
	uint64_t was = *stamp;

	while (ms-- && *stamp == was)
		usleep(1000);
	return *stamp != was;
}

static void unbind(struct test *t)
{
	struct pollfd pfd = { .events = POLLIN };
	struct pindma_completion c;
	long pinned = kernel_pinned_pages();
	uint64_t hammer;
	char name[256];
	uint32_t mr;

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	find_device(t, name);
	hammer = test_start_hammer(t, 0);
	CHECK(t, stamps_go_on(t, 5000));
	write_file(t, DRIVER "unbind", name);
	CHECK(t, !stamps_go_on(t, 50));
	CHECK(t, kernel_pinned_pages() == pinned);
	pfd.fd = pindma_fd(t->dev);
	CHECK(t, poll(&pfd, 1, 1000) == 1 && pfd.revents & POLLHUP);
	CHECK(t, pindma_wait(t->dev, &c, 1, 1000) == 1 && c.user_data == hammer &&
		 c.status == PINDMA_ST_ABORTED);
	CHECK(t, pindma_wait(t->dev, &c, 1, 1000) == -ENODEV);
	pindma_close(t->dev);
	mr = t->mr;
	t->mr = 0;

	write_file(t, DRIVER "bind", name);
	test_open(t);
	test_check_unpinned(t, mr);
	test_kept(t);
}

static void bus_master(struct test *t)
{
	char name[256], path[512];
	uint16_t command;
	uint64_t hammer;
	bool on;
	int fd;

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	find_device(t, name);
	snprintf(path, sizeof(path), DRIVER "%s/config", name);
	fd = open(path, O_RDWR);
	CHECK(t, fd >= 0);
	CHECK(t, pread(fd, &command, 2, 4) == 2 && command & 4);
	hammer = test_start_hammer(t, 0);
	CHECK(t, stamps_go_on(t, 5000));
	command &= ~4;
	CHECK(t, pwrite(fd, &command, 2, 4) == 2);
	on = stamps_go_on(t, 50);
	command |= 4;	/* whatever was seen: the other cases need the device */
	CHECK(t, pwrite(fd, &command, 2, 4) == 2);
	CHECK(t, !on);
	CHECK(t, stamps_go_on(t, 5000));
	test_stop_hammer(t, hammer);
	test_kept(t);
}

const struct scenario driver_removal_scenarios[] = {
	{
		.name = "driver.bus_master",
		.promise = "with bus mastering off the device writes nothing; on again it goes on",
		.run = bus_master,
	}, {
		.name = "driver.unbind",
		.promise = "unbinding the driver under a hammer stops the device before the pages are unpinned",
		.run = unbind,
	},
	{ }
};
