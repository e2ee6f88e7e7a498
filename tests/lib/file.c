// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is a file: on a filesystem with a disk of its own, or on tmpfs.
 *
 * Two judges besides the process's own view of the page cache: the raw disk,
 * searched for values that occur nowhere else, and what is in the file after
 * the filesystem was unmounted, which leaves nothing in the cache, and mounted
 * again.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#define MOUNT_POINT	"/mnt"
#define FILE_NAME	MOUNT_POINT "/file"
#define FILE_PAGES	16
#define DISK_CHUNK	(1ul << 20)

static const struct filesystem {
	const char *type, *disk, *options;
} filesystems[NR_MEMS] = {
	[MEM_EXT4] = { "ext4", "ext4", "" },
	[MEM_EXT4_JOURNAL] = { "ext4", "ext4", "data=journal" },
	[MEM_XFS] = { "xfs", "xfs", "" },
	[MEM_BTRFS] = { "btrfs", "btrfs", "" },
	[MEM_TMPFS] = { "tmpfs", NULL, "" },
};

static bool find_disk(const char *serial, char *dev, size_t size)
{
	bool found = false;
	char text[64];
	glob_t g;
	size_t i;

	if (glob("/sys/block/vd*/serial", 0, NULL, &g))
		return false;
	for (i = 0; i < g.gl_pathc && !found; i++) {
		FILE *f = fopen(g.gl_pathv[i], "re");

		found = f && fgets(text, sizeof(text), f) &&
			!strcmp(text, serial);
		if (found)
			snprintf(dev, size, "/dev/%.3s",	/* vda */
				 g.gl_pathv[i] + strlen("/sys/block/"));
		if (f)
			fclose(f);
	}
	globfree(&g);
	return found;
}

/* The device node of a disk that the rig has attached, by its serial number. */
void test_disk(struct test *t, const char *serial, char *dev, size_t size)
{
	if (find_disk(serial, dev, size))
		return;
	/* There is no udev to load the driver. */
	if (system("modprobe -q virtio_blk") || !find_disk(serial, dev, size))
		test_skip(t, "no disk '%s': no virtio_blk, or started without it",
			  serial);
}

static void mount_fs(struct test *t)
{
	const struct filesystem *fs = &filesystems[t->mem_type];
	char dev[32] = "none";

	if (fs->disk)
		test_disk(t, fs->disk, dev, sizeof(dev));
	if (!mount(dev, MOUNT_POINT, fs->type, 0, fs->options))
		return;
	if (errno == ENODEV)
		test_skip(t, "this kernel has no %s", fs->type);
	test_error(t, "cannot mount %s: %s", fs->type, strerror(errno));
}

static void mix_into_seed(struct test *t, const char *text)
{
	while (text && *text)
		t->seed = (t->seed ^ *text++) * 0x100000001b3ull;
}

/*
 * A new file of FILE_PAGES pages, mapped; a case before may have left things,
 * and the disk still has the values that it wrote: others, then. The same case
 * may be run again under another variant.
 */
void test_file_alloc(struct test *t)
{
	static uint8_t zeros[FILE_PAGES * PAGE_SIZE];

	mix_into_seed(t, t->name);
	mix_into_seed(t, t->variant);
	while (!umount2(MOUNT_POINT, MNT_DETACH))
		;
	mount_fs(t);
	unlink(FILE_NAME);
	t->len = sizeof(zeros);
	t->fd = open(FILE_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (t->fd < 0 ||
	    write(t->fd, zeros, t->len) != (ssize_t)t->len || fsync(t->fd))
		test_error(t, "cannot make %s: %s", FILE_NAME, strerror(errno));
	t->buf = mmap(NULL, t->len, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd,
		      0);
	if (t->buf == MAP_FAILED)
		test_error(t, "mmap of %s: %s", FILE_NAME, strerror(errno));
}

bool test_has_disk(const struct test *t)
{
	return filesystems[t->mem_type].disk;
}

/* fsync(): 0 or an errno, which is evidence */
int test_fsync(struct test *t)
{
	int ret = fsync(t->fd) ? errno : 0;

	test_note(t, "fsync: %s", ret ? strerror(ret) : "0");
	return ret;
}

/* How many of the values are on the disk now, at this offset in any block? */
unsigned int test_find_on_disk(struct test *t, const uint64_t *values,
			       unsigned int nr, size_t offset)
{
	unsigned int found = 0, i;
	uint8_t *chunk, *p;
	char dev[32];
	ssize_t n;
	int fd;

	test_disk(t, filesystems[t->mem_type].disk, dev, sizeof(dev));
	fd = open(dev, O_RDONLY | O_DIRECT | O_CLOEXEC);
	chunk = aligned_alloc(PAGE_SIZE, DISK_CHUNK);
	if (fd < 0 || !chunk)
		test_error(t, "cannot open %s: %s", dev, strerror(errno));
	while ((n = read(fd, chunk, DISK_CHUNK)) > 0)
		for (p = chunk; p < chunk + n; p += PAGE_SIZE)
			for (i = 0; i < nr; i++)
				if (*(uint64_t *)(p + offset) == values[i])
					found |= BIT(i);
	if (n < 0)
		test_error(t, "cannot read %s: %s", dev, strerror(errno));
	free(chunk);
	close(fd);
	return __builtin_popcount(found);
}

/* The process has no mapping of the file any more. */
void test_file_unmap(struct test *t)
{
	if (munmap(t->buf, t->len))
		test_error(t, "munmap: %s", strerror(errno));
	t->buf = NULL;
}

/*
 * Throw away all that is only in memory, and open the file again: t->fd is then
 * only there to be read. tmpfs has nothing else: it stays.
 */
void test_remount(struct test *t)
{
	if (t->buf)
		test_file_unmap(t);
	close(t->fd);
	if (test_has_disk(t)) {
		if (umount(MOUNT_POINT))
			test_error(t, "umount: %s", strerror(errno));
		mount_fs(t);
	}
	t->fd = open(FILE_NAME, O_RDONLY | O_CLOEXEC);
	if (t->fd < 0)
		test_error(t, "%s is gone: %s", FILE_NAME, strerror(errno));
}

/* A word of a page of the mr, as it is in the file. 0, or the errno of read(). */
int test_file_word(struct test *t, unsigned int page, size_t offset,
		   uint64_t *val)
{
	off_t pos = (FIRST_PAGE + page) * PAGE_SIZE + offset;

	return pread(t->fd, val, sizeof(*val), pos) == sizeof(*val) ? 0 : errno;
}
