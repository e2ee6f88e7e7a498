// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU's edu device, which is what one would take without pindma: 4 KiB at a
 * time between guest memory and a buffer of its own, started and polled for
 * through registers. It needs no driver for that: its BAR is mapped from sysfs,
 * and a huge page has an address that one can look up.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define DEVICES		"/sys/bus/pci/devices/"
#define EDU_ID		0x11e81234u	/* device and vendor, as in config */
#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_DMA_RUN	1
#define EDU_DMA_TO_RAM	2
#define EDU_BUFFER	0x40000
#define EDU_SIZE	4088	/* with 4096, versions up to 9.2 exit */
#define HUGE		(2u << 20)

static volatile char *bar;
static uint8_t *page;
static uint64_t page_address;

static int open_in(const char *device, const char *file)
{
	char path[300];

	snprintf(path, sizeof(path), DEVICES "%s/%s", device, file);
	return open(path, O_RDWR | O_SYNC | O_CLOEXEC);
}

/* Map the BAR, allow bus mastering. False: another device. */
static bool take(const char *device)
{
	int config = open_in(device, "config"), fd;
	uint16_t command = 6;		/* memory, bus master */
	uint32_t id = 0;

	if (config < 0)
		return false;
	if (pread(config, &id, 4, 0) != 4 || id != EDU_ID) {
		close(config);
		return false;
	}
	if (pwrite(config, &command, 2, 4) != 2)
		bench_fail("edu: config: %s", strerror(errno));
	close(config);
	fd = open_in(device, "resource0");
	bar = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bar == MAP_FAILED)
		bench_fail("edu: BAR 0: %s", strerror(errno));
	close(fd);
	return true;
}

static uint64_t address_of(void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (pread(fd, &entry, 8, (off_t)((uintptr_t)p / 4096 * 8)) != 8)
		bench_fail("edu: pagemap: %s", strerror(errno));
	close(fd);
	return (entry & ((1ull << 55) - 1)) * 4096;
}

/* Until the timer of the device, which polls 10 times a second, has done it. */
static double transfer(uint64_t src, uint64_t dst, uint64_t direction)
{
	const struct timespec nap = { .tv_nsec = 200000 };
	double start = bench_now();

	*(volatile uint64_t *)(bar + EDU_DMA_SRC) = src;
	*(volatile uint64_t *)(bar + EDU_DMA_DST) = dst;
	*(volatile uint64_t *)(bar + EDU_DMA_COUNT) = EDU_SIZE;
	*(volatile uint64_t *)(bar + EDU_DMA_CMD) = EDU_DMA_RUN | direction;
	while (*(volatile uint64_t *)(bar + EDU_DMA_CMD) & EDU_DMA_RUN) {
		if (bench_now() - start > 10)
			bench_fail("edu: a transfer does not end");
		nanosleep(&nap, NULL);
	}
	return bench_now() - start;
}

static void edu_prepare(void)
{
	DIR *dir = opendir(DEVICES);
	struct dirent *entry;

	while (dir && !bar && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			take(entry->d_name);
	if (!bar)
		bench_fail("edu: no such device");
	closedir(dir);
	page = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		    MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	if (page == MAP_FAILED)
		bench_fail("edu: no huge page: %s", strerror(errno));
	page_address = address_of(page);

	/* It does move data: in, and out again to somewhere else. */
	memset(page, 0xa5, EDU_SIZE);
	transfer(page_address, EDU_BUFFER, 0);
	transfer(EDU_BUFFER, page_address + EDU_SIZE, EDU_DMA_TO_RAM);
	if (memcmp(page, page + EDU_SIZE, EDU_SIZE))
		bench_fail("edu: what comes back is not what it was given");
}

static void sample_edu(const struct bench_series *series)
{
	bench_sample(series->name, transfer(EDU_BUFFER, page_address,
					    EDU_DMA_TO_RAM));
}

static const struct bench_series edu_series[] = {
	{ .name = "write_4k_s", .sample = sample_edu },
};

const struct bench_case edu_case = {
	"edu", edu_prepare, edu_series, ARRAY_SIZE(edu_series),
};
