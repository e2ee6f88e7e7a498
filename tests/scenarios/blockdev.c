// SPDX-License-Identifier: GPL-2.0-only
/*
 * Block devices that look at data twice, and a device that writes in between.
 *
 * Stable pages (BLK_FEAT_STABLE_WRITES, before 5.9 BDI_CAP_STABLE_WRITES) keep
 * processes away from a page under writeback; pins they do not know. A disk with
 * DIF/DIX compares the data with a checksum that was made at submit_bio(); RAID 1
 * writes the same page to two disks, one after the other. RAID 5 takes a copy
 * first (raid5.c:async_copy_data(), unless skip_copy is set), and is safe.
 *
 * To see them red: guard_quiet and raid1_quiet with the hammer; raid5_hammer is red
 * as raid5_skip_copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/major.h>
#include <linux/raid/md_p.h>
#include <linux/raid/md_u.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "test.h"

#define PAGES	16
#define ROUNDS	20
/* A host that is busy does not always run the device while its guest writes. */
#define TRIES	600
#define MD	"/dev/md0"

/* Pages of the block device itself: its page cache, and no filesystem. */
static void map_device(struct test *t, const char *dev)
{
	int i;

	for (i = 0; i < 300; i++) {	/* disks are found in their own time */
		t->fd = open(dev, O_RDWR | O_CLOEXEC);
		if (t->fd >= 0)
			break;
		usleep(10000);
	}
	t->len = PAGES * PAGE_SIZE;
	if (t->fd >= 0)
		t->buf = mmap(NULL, t->len, PROT_READ | PROT_WRITE, MAP_SHARED,
			      t->fd, 0);
	if (t->fd < 0 || t->buf == MAP_FAILED)
		test_error(t, "%s: %s", dev, strerror(errno));
	t->mem = t->buf + FIRST_PAGE * PAGE_SIZE;
	test_open(t);
	test_reg_mr(t);
}

/*
 * The process writes, fsync(), with the device at work or not, until it has @found
 * something, which is the last thing that was written then.
 */
static bool write_out(struct test *t, bool hammer,
			      bool (*found)(struct test *t, int err))
{
	unsigned int tries = hammer ? TRIES : ROUNDS, i;
	bool wrong = false;
	uint64_t id = 0;

	if (hammer)
		id = test_start_hammer(t, 0);
	for (i = 0; i < tries && !wrong; i++) {
		test_cpu_write(t);
		wrong = found(t, fsync(t->fd) ? errno : 0);
	}
	if (hammer)
		test_stop_hammer(t, id);
	test_note(t, "%u fsyncs, %s", i,
		  wrong ? "the last went wrong" : "none went wrong");
	return wrong;
}

static bool guard_error(struct test *t, int err)
{
	if (err && err != EIO && err != EILSEQ)
		test_error(t, "fsync: %s", strerror(err));
	return err;
}

static void guard(struct test *t, bool hammer)
{
	char dev[32];
	glob_t g;
	int i;

	if (system("modprobe -q sd_mod") ||
	    system("modprobe -q scsi_debug dif=1 dix=1 dev_size_mb=8"))
		test_skip(t, "no sd_mod or scsi_debug");
	for (i = 0; i < 300 && glob("/sys/block/sd*", 0, NULL, &g); i++)
		usleep(10000);
	if (i == 300)
		test_error(t, "scsi_debug shows no disk");
	snprintf(dev, sizeof(dev), "/dev/%.8s",
		 g.gl_pathv[0] + strlen("/sys/block/"));
	map_device(t, dev);
	if (write_out(t, hammer, guard_error))
		test_lost(t, "fsync() failed: data and guard tag did not match");
	test_kept(t);
}

static void guard_quiet(struct test *t)
{
	guard(t, false);
}

static void guard_hammer(struct test *t)
{
	guard(t, true);
}

static void md_ioctl(struct test *t, int fd, unsigned long request, void *arg,
		     const char *what)
{
	if (ioctl(fd, request, arg))
		test_error(t, "%s: %s", what, strerror(errno));
}

static void stop_array(void)
{
	int fd = open(MD, O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		ioctl(fd, STOP_ARRAY, NULL);
		close(fd);
	}
}

static bool skip_copy;

/* An array of RAM disks, in sync from the start as all are zero, without mdadm. */
static void make_array(struct test *t, int level, int disks)
{
	mdu_array_info_t array = {
		.level = level, .raid_disks = disks, .nr_disks = disks,
		.not_persistent = 1, .state = 1 << MD_SB_CLEAN,
		.layout = level == 5 ? 2 : 0, .chunk_size = 65536,
	};
	mdu_param_t param = { 0 };
	struct stat st;
	char path[32];
	int fd, i;

	if (system(level == 5 ? "modprobe -q raid456" : "modprobe -q raid1") ||
	    system("modprobe -q brd rd_nr=3 rd_size=4096"))
		test_skip(t, "no brd or raid%d", level);
	stop_array();
	if (access(MD, F_OK) &&
	    kernel_set("/sys/module/md_mod/parameters/new_array", "md0"))
		test_skip(t, "this kernel makes no array by sysfs");
	fd = open(MD, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		test_error(t, MD ": %s", strerror(errno));
	md_ioctl(t, fd, SET_ARRAY_INFO, &array, "SET_ARRAY_INFO");
	for (i = 0; i < disks; i++) {
		mdu_disk_info_t disk = {
			.number = i, .raid_disk = i,
			.state = 1 << MD_DISK_SYNC | 1 << MD_DISK_ACTIVE,
		};

		snprintf(path, sizeof(path), "/dev/ram%d", i);
		if (stat(path, &st))
			test_error(t, "no %s", path);
		disk.major = major(st.st_rdev);
		disk.minor = minor(st.st_rdev);
		md_ioctl(t, fd, ADD_NEW_DISK, &disk, "ADD_NEW_DISK");
	}
	md_ioctl(t, fd, RUN_ARRAY, &param, "RUN_ARRAY");
	close(fd);
	if (skip_copy && kernel_set("/sys/block/md0/md/skip_copy", "1"))
		test_skip(t, "this kernel's RAID 5 always makes a copy");
}

static int members;

/*
 * Copies, or data and parity: all of them in exclusive or are 0. What is mapped is
 * one chunk, at the same place of each disk.
 */
static bool members_differ(struct test *t, int err)
{
	static uint64_t data[PAGES * PAGE_SIZE / sizeof(uint64_t)]
		__attribute__((aligned(PAGE_SIZE)));
	static uint64_t sum[ARRAY_SIZE(data)];
	char path[32];
	unsigned int n;
	int fd, i;

	if (err)
		test_error(t, "fsync: %s", strerror(err));
	memset(sum, 0, sizeof(sum));
	for (i = 0; i < members; i++) {
		snprintf(path, sizeof(path), "/dev/ram%d", i);
		fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
		if (fd < 0 || pread(fd, data, sizeof(data), 0) != sizeof(data))
			test_error(t, "%s: %s", path, strerror(errno));
		close(fd);
		for (n = 0; n < ARRAY_SIZE(sum); n++)
			sum[n] ^= data[n];
	}
	for (n = 0; n < ARRAY_SIZE(sum); n++)
		if (sum[n])
			return true;
	return false;
}

/* What md's own check finds */
static unsigned int mismatches(struct test *t)
{
	char text[64];
	int i;

	if (kernel_set("/sys/block/md0/md/sync_action", "check"))
		test_error(t, "md does not start a check");
	for (i = 0; i < 1000; i++) {
		usleep(10000);
		if (kernel_get("/sys/block/md0/md/sync_action", text,
			       sizeof(text)) && !strcmp(text, "idle"))
			break;
	}
	if (i == 1000 || !kernel_get("/sys/block/md0/md/mismatch_cnt", text,
				     sizeof(text)))
		test_error(t, "md does not end its check");
	return atoi(text);
}

static void raid(struct test *t, int level, int disks, bool hammer)
{
	unsigned int bad;
	bool seen;

	members = disks;
	make_array(t, level, disks);
	map_device(t, MD);
	seen = write_out(t, hammer, members_differ);
	/* Pinned and clean: nobody writes them again. */
	bad = mismatches(t);
	test_dereg_mr(t);
	munmap(t->buf, t->len);
	t->buf = NULL;
	close(t->fd);
	stop_array();
	if (bad)
		test_lost(t, "after fsync() returned 0, %u sectors do not match, says md's check",
			  bad);
	if (seen)
		test_error(t, "the members differ, and md's check does not see it");
	test_kept(t);
}

static void raid1_quiet(struct test *t)
{
	raid(t, 1, 2, false);
}

static void raid1_hammer(struct test *t)
{
	raid(t, 1, 2, true);
}

static void raid5_hammer(struct test *t)
{
	raid(t, 5, 3, true);
}

static void raid5_skip_copy(struct test *t)
{
	skip_copy = true;
	raid(t, 5, 3, true);
}

#define PINS	BIT(PIN_PIN_FAST)

const struct scenario blockdev_scenarios[] = {
	{
		.name = "blockdev.guard_quiet",
		.promise = "what a process writes through a mapping reaches a disk with DIF/DIX: Documentation/block/data-integrity.rst; pinned, but the device is quiet",
		.pins = PINS, .flags = SCENARIO_FULL,
		.run = guard_quiet,
	}, {
		.name = "blockdev.guard_hammer",
		.promise = "the same while a device writes to the page (not promised: Documentation/ABI/stable/sysfs-block, stable_writes, \"memory must not be modified\", which pins do not know of)",
		.pins = PINS, .flags = SCENARIO_FULL,
		.run = guard_hammer,
	}, {
		.name = "blockdev.raid1_quiet",
		.promise = "RAID 1 has the same on both disks after fsync(): md(4); pinned, but the device is quiet",
		.pins = PINS, .flags = SCENARIO_FULL,
		.run = raid1_quiet,
	}, {
		.name = "blockdev.raid1_hammer",
		.promise = "the same while a device writes to the page (not promised: md(4), \"SCRUBBING AND MISMATCHES\", expects differences in pages that change meanwhile)",
		.pins = PINS, .flags = SCENARIO_FULL,
		.run = raid1_hammer,
	}, {
		.name = "blockdev.raid5_hammer",
		.promise = "RAID 5 has matching parity after fsync() although a device writes to the page: it writes a copy, drivers/md/raid5.c:async_copy_data()",
		.pins = PINS, .flags = SCENARIO_FULL,
		.run = raid5_hammer,
	}, {
		.name = "blockdev.raid5_skip_copy",
		.promise = "control: blockdev.raid5_hammer, when RAID 5 takes parity from the page itself (md/skip_copy)",
		.pins = PINS, .flags = SCENARIO_FULL,
		.run = raid5_skip_copy,
	},
	{ }
};
