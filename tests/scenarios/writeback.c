// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writeback and pages of a file that a device writes to.
 *
 * Writeback write-protects a page in all page tables before it writes it out, to
 * learn of the next write. A device does not go through page tables: what it
 * writes after that is in the page cache, and nobody knows. The driver makes the
 * page dirty again when it unpins it, and that must find the page as the
 * filesystem wants a dirty page to be: with buffers, with space reserved, on a
 * filesystem that may be written to. See "the four-step story" above
 * writable_file_mapping_allowed() in mm/gup.c.
 *
 * Who tells the truth: the raw disk, or the file after umount and mount.
 *
 * To see a cell red that is green on all kernels: unpin_dirty without the dirty
 * (tests/mutants/no-dirty.patch), pin_racing with PINDMA_MR_NODIRTY at its last
 * pin, cpu_write with the negation of cpu_write_unnoticed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define OFF_TOKEN	0x800
#define PINS_FILE	(BIT(PIN_GET) | BIT(PIN_PIN))

/* "page does not have buffers": instead of a BUG() since cc5095747edf (5.18) */
#define EXT4_COMPLAINT	"fs/ext4/inode.c:"

/* Registered, written to by the process, and clean: nobody expects a write. */
static void setup(struct test *t)
{
	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	test_cpu_write(t);
	test_step(t, "fsync");
	if (test_fsync(t))
		test_error(t, "fsync of what the process wrote failed");
}

static void write_pages(struct test *t, uint64_t *tokens)
{
	struct pindma_completion c;
	unsigned int page;

	for (page = 0; page < NR_PAGES; page++) {
		tokens[page] = test_token(t);
		test_dma_write(t, page * PAGE_SIZE + OFF_TOKEN, tokens[page],
			       &c);
	}
}

/* The device writes a new value to each page; they are seen in the page cache. */
static void device_write(struct test *t, uint64_t *tokens)
{
	struct pindma_page facts;

	test_step(t, "the device writes");
	write_pages(t, tokens);
	if (pindma_get_pages(t->dev, t->mr, 0, &facts, 1) != 1)
		test_error(t, "no facts about page 0 of the mr");
	test_note(t, "page 0: frame 0x%llx, refcount %d, mapcount %d, %s%s",
		  (unsigned long long)facts.pfn, facts.refcount, facts.mapcount,
		  facts.flags & PINDMA_PAGE_DIRTY ? "dirty" : "clean",
		  facts.flags & PINDMA_PAGE_MAYBE_PINNED ? ", maybe-pinned" : "");
}

/* Everything on disk that fsync() has said is there? */
static void check_disk(struct test *t, const uint64_t *tokens, int err)
{
	unsigned int found = test_find_on_disk(t, tokens, NR_PAGES, OFF_TOKEN);

	test_note(t, "raw disk: %u of the %d pages that the device wrote",
		  found, NR_PAGES);
	if (found != NR_PAGES)
		test_lost(t, "fsync() returned %s, the disk has %u of the %d pages that the device wrote",
			  err ? strerror(err) : "0", found, NR_PAGES);
	if (err)
		test_lost(t, "fsync(): %s", strerror(err));
}

/* Is it in the file when nothing is left of the page cache? */
static void check_file(struct test *t, const uint64_t *tokens)
{
	unsigned int page;
	uint64_t val;
	int err;

	test_remount(t);
	for (page = 0; page < NR_PAGES; page++) {
		err = test_file_word(t, page, OFF_TOKEN, &val);
		if (err)
			test_lost(t, "page %u cannot be read: %s", page,
				  strerror(err));
		if (val == tokens[page])
			continue;
		test_note(t, "page %u: the device wrote 0x%016llx, after umount and mount the file has 0x%016llx",
			  page, (unsigned long long)tokens[page],
			  (unsigned long long)val);
		test_lost(t, "what the device wrote is not in the file");
	}
}

/*
 * fsync twice: a failure is reported once, and after that all is said to be
 * well. If it says so while a worker of btrfs still has the pages, which is what
 * unpin_fsync() looks for, the worker gets a second: the other cases want to know
 * whether it does its work.
 */
static int fsync_all(struct test *t, const uint64_t *tokens)
{
	int err = test_fsync(t), again = test_fsync(t);
	double until = now_ms() + 1000;

	while (t->mem_type == MEM_BTRFS && !err && !again && now_ms() < until &&
	       test_find_on_disk(t, tokens, NR_PAGES, OFF_TOKEN) != NR_PAGES) {
		usleep(10000);
		again = test_fsync(t);
	}
	return err ? err : again;
}

/* Then what counts is what is in the file. */
static void judge_file(struct test *t, const uint64_t *tokens)
{
	int err = fsync_all(t, tokens);

	check_file(t, tokens);
	if (err)
		test_lost(t, "fsync(): %s", strerror(err));
	test_kept(t);
}

static void fsync_pinned(struct test *t)
{
	uint64_t tokens[NR_PAGES];

	setup(t);
	device_write(t, tokens);
	test_step(t, "fsync");
	check_disk(t, tokens, test_fsync(t));
	test_kept(t);
}

static void unpin_dirty(struct test *t)
{
	uint64_t tokens[NR_PAGES];

	setup(t);
	device_write(t, tokens);
	test_dereg_mr(t);
	judge_file(t, tokens);
}

/*
 * btrfs leaves a page that became dirty without its knowledge to a worker, and
 * fsync() does not wait for it: who is first is a matter of luck.
 */
static void unpin_fsync(struct test *t)
{
	unsigned int rounds = t->mem_type == MEM_BTRFS ? 20 : 1;
	uint64_t tokens[NR_PAGES];

	setup(t);
	while (1) {
		device_write(t, tokens);
		test_dereg_mr(t);
		check_disk(t, tokens, test_fsync(t));
		if (!--rounds)
			break;
		test_reg_mr(t);
		test_cpu_write(t);
		test_fsync(t);
	}
	test_kept(t);
}

static void unpin_clean(struct test *t)
{
	t->mr_flags = PINDMA_MR_NODIRTY;
	unpin_dirty(t);
}

/* Reclaim sees the page: clean, and only a reference keeps it. */
static void pageout(struct test *t)
{
	uint64_t tokens[NR_PAGES];

	test_tolerate(t, EXT4_COMPLAINT);
	setup(t);
	test_step(t, "MADV_PAGEOUT");
	if (madvise(t->buf, t->len, MADV_PAGEOUT))
		test_error(t, "MADV_PAGEOUT: %s", strerror(errno));
	device_write(t, tokens);
	test_dereg_mr(t);
	judge_file(t, tokens);
}

static void drop_caches(struct test *t)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "3", 1) != 1)
		test_error(t, "drop_caches: %s", strerror(errno));
	close(fd);
}

/* As a device that goes on after the process has unmapped its buffer. */
static void munmap_(struct test *t)
{
	uint64_t tokens[NR_PAGES];

	test_tolerate(t, EXT4_COMPLAINT);
	setup(t);
	test_step(t, "munmap, drop_caches");
	test_file_unmap(t);
	drop_caches(t);
	device_write(t, tokens);
	test_dereg_mr(t);
	judge_file(t, tokens);
}

/*
 * The page may stay by chance: btrfs does not give it away, and writes buffered,
 * while the last writeback of it is being finished. Then once more.
 */
static void direct_write(struct test *t)
{
	uint8_t *data = aligned_alloc(PAGE_SIZE, NR_PAGES * PAGE_SIZE);
	unsigned int tries = 20;
	int fd;

	setup(t);
	fd = open("/mnt/file", O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || !data)
		test_error(t, "open with O_DIRECT: %s", strerror(errno));
	memset(data, 0xa5, NR_PAGES * PAGE_SIZE);
	test_step(t, "O_DIRECT write to the same pages of the file");
	do {
		if (pwrite(fd, data, NR_PAGES * PAGE_SIZE,
			   FIRST_PAGE * PAGE_SIZE) !=
		    (ssize_t)(NR_PAGES * PAGE_SIZE))
			test_error(t, "O_DIRECT write: %s", strerror(errno));
		usleep(10000);
	} while (test_pfn(t, t->mem) && --tries);
	test_two_way(t, NULL);
	test_kept(t);
}

/*
 * btrfs takes the checksum of a page, and then writes it out: if the device hits
 * the page in between, they do not match. Filesystems without checksums notice
 * nothing; there it only counts what is in the file in the end.
 */
#define ENOUGH_BAD	3

/* What is on disk, read past the page cache. 0 or the errno of read(). */
static int read_direct(struct test *t)
{
	static uint8_t data[NR_PAGES * PAGE_SIZE]
		__attribute__((aligned(PAGE_SIZE)));
	int fd = open("/mnt/file", O_RDONLY | O_DIRECT | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		test_error(t, "open with O_DIRECT: %s", strerror(errno));
	memset(data, 0, sizeof(data));	/* no page fault: 7.2 would not be direct */
	n = pread(fd, data, sizeof(data), FIRST_PAGE * PAGE_SIZE);
	close(fd);
	return n == sizeof(data) ? 0 : errno;
}

static int flush_file(struct test *t)
{
	return fsync(t->fd);
}

static int flush_mapping(struct test *t)
{
	return msync(t->buf, t->len, MS_SYNC);
}

/* What a flush has written must be what its checksum was computed from. */
static void flush_under_hammer(struct test *t, int (*flush)(struct test *))
{
	bool checksums = t->mem_type == MEM_BTRFS;
	unsigned int rounds = checksums ? 100 : 10, i, bad = 0;
	uint64_t hammer;

	setup(t);
	hammer = test_start_hammer(t, 0);
	test_step(t, "hammer, flushes");
	for (i = 0; i < rounds && bad < ENOUGH_BAD; i++) {
		test_cpu_write(t);
		if (flush(t))
			test_lost(t, "flush %u: %s", i, strerror(errno));
		if (checksums && read_direct(t))
			bad++;
	}
	test_stop_hammer(t, hammer);
	if (bad)
		test_lost(t, "after %u of %u flushes that returned 0 the file could not be read from disk",
			  bad, i);
}

static void hammer_and(struct test *t, int (*flush)(struct test *))
{
	static uint8_t copy[NR_PAGES * PAGE_SIZE];
	unsigned int page;

	flush_under_hammer(t, flush);
	memcpy(copy, t->mem, sizeof(copy));
	test_dereg_mr(t);
	if (test_fsync(t))
		test_lost(t, "fsync() after the end of the hammer failed");
	test_remount(t);
	for (page = 0; page < NR_PAGES; page++) {
		uint64_t val, *want = (uint64_t *)(copy + page * PAGE_SIZE);
		int ret = test_file_word(t, page, 0, &val);

		if (ret)
			test_lost(t, "page %u cannot be read: %s", page,
				  strerror(ret));
		if (val != *want)
			test_lost(t, "page %u: 0x%llx was the device's last stamp, the file has 0x%llx",
				  page, (unsigned long long)*want,
				  (unsigned long long)val);
	}
	test_kept(t);
}

/* Without what becomes of the page at the unpin, for the lab */
static void fsync_checksum(struct test *t)
{
	flush_under_hammer(t, flush_file);
	test_kept(t);
}

static void fsync_hammer(struct test *t)
{
	hammer_and(t, flush_file);
}

static void msync_hammer(struct test *t)
{
	hammer_and(t, flush_mapping);
}

/* Writes and fsyncs of another thread, as often as it can, until stopped. */
struct flusher {
	struct test *t;
	pthread_t thread;
	volatile bool stop;
	unsigned int rounds;
	int err;
};

static void *flusher_main(void *arg)
{
	struct flusher *f = arg;

	for (; !f->stop && !f->err; f->rounds++) {
		f->t->mem[f->rounds % NR_PAGES * PAGE_SIZE]++;
		if (fsync(f->t->fd))
			f->err = errno;
	}
	return NULL;
}

/*
 * Pages are pinned, written to and unpinned dirty, in any state that writeback can
 * have them in. Then writeback stops, the device has the last word, and that
 * must be in the file.
 */
static void pin_racing(struct test *t)
{
	struct flusher f = { .t = t };
	uint64_t tokens[NR_PAGES];
	unsigned int i;
	int err;

	setup(t);
	err = pthread_create(&f.thread, NULL, flusher_main, &f);
	if (err)
		test_error(t, "no thread: %s", strerror(err));
	test_step(t, "pins and fsyncs");
	for (i = 0; i < 60; i++) {
		write_pages(t, tokens);
		test_dereg_mr(t);
		test_pin(t);
	}
	f.stop = true;
	pthread_join(f.thread, NULL);
	if (f.err)
		test_lost(t, "fsync() while pages are pinned and unpinned: %s",
			  strerror(f.err));
	test_note(t, "%u pins, %u fsyncs", i, f.rounds);
	/* The pin has made the pages dirty, too: now it is up to the unpin. */
	test_fsync(t);
	device_write(t, tokens);
	test_dereg_mr(t);
	judge_file(t, tokens);
}

static int make_clone(struct test *t)
{
	int clone;

	unlink("/mnt/clone");
	clone = open("/mnt/clone", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (clone < 0)
		test_error(t, "/mnt/clone: %s", strerror(errno));
	test_step(t, "FICLONE");
	if (ioctl(clone, FICLONE, t->fd))
		test_error(t, "FICLONE: %s", strerror(errno));
	if (fsync(clone))
		test_error(t, "fsync of the clone: %s", strerror(errno));
	return clone;
}

static void reflink(struct test *t)
{
	uint64_t tokens[NR_PAGES], val;
	unsigned int page;
	int clone;

	setup(t);
	close(make_clone(t));
	device_write(t, tokens);
	test_dereg_mr(t);
	fsync_all(t, tokens);
	test_remount(t);
	clone = open("/mnt/clone", O_RDONLY | O_CLOEXEC);
	for (page = 0; page < NR_PAGES; page++) {
		off_t pos = (FIRST_PAGE + page) * PAGE_SIZE + OFF_TOKEN;

		if (pread(clone, &val, sizeof(val), pos) != sizeof(val))
			test_lost(t, "page %u of the clone cannot be read: %s",
				  page, strerror(errno));
		if (val == tokens[page])
			test_lost(t, "page %u of the clone has what the device wrote to the original after the clone was made",
				  page);
	}
	close(clone);
	check_file(t, tokens);
	test_kept(t);
}

/* What is in the clone, one word of each page of the mr; 0 or the errno of read(). */
static int read_clone(int clone, uint64_t *words)
{
	unsigned int page;

	for (page = 0; page < NR_PAGES; page++)
		if (pread(clone, words + page, sizeof(*words),
			  (FIRST_PAGE + page) * PAGE_SIZE) != sizeof(*words))
			return errno;
	return 0;
}

/* The clone is made while the device writes: whatever it has then, it keeps. */
static void reflink_hammer(struct test *t)
{
	uint64_t before[NR_PAGES], after[NR_PAGES], hammer;
	unsigned int page;
	int clone, err;

	setup(t);
	hammer = test_start_hammer(t, 0);
	test_cpu_write(t);
	clone = make_clone(t);
	err = read_clone(clone, before);
	close(clone);
	if (err)
		test_lost(t, "a new clone cannot be read: %s", strerror(err));
	test_stop_hammer(t, hammer);
	test_dereg_mr(t);
	test_fsync(t);
	test_remount(t);
	clone = open("/mnt/clone", O_RDONLY | O_CLOEXEC);
	err = read_clone(clone, after);
	close(clone);
	if (err)
		test_lost(t, "the clone cannot be read: %s", strerror(err));
	for (page = 0; page < NR_PAGES; page++)
		if (before[page] != after[page])
			test_lost(t, "page %u of the clone had the device's stamp 0x%llx, and has 0x%llx after the original was written to",
				  page, (unsigned long long)before[page],
				  (unsigned long long)after[page]);
	test_kept(t);
}

/*
 * fsync() in another process: it may wait until the filesystem is thawed. Not
 * sync() or syncfs(): btrfs (5.10, 6.1) then waits for the thaw with s_umount
 * held, which the thaw needs, and both wait for ever.
 */
static pid_t start_fsync(struct test *t)
{
	pid_t pid = fork();

	if (pid < 0)
		test_error(t, "fork: %s", strerror(errno));
	if (pid)
		return pid;
	/* btrfs only starts a worker the first time, see unpin_fsync() */
	for (int i = 0; i < 3; i++) {
		fsync(t->fd);
		usleep(20000);
	}
	_exit(0);
}

static void frozen(struct test *t)
{
	uint64_t tokens[NR_PAGES];
	unsigned int found;
	int status = -1;
	pid_t pid;

	setup(t);
	test_step(t, "freeze");
	if (ioctl(t->fd, FIFREEZE, 0))
		test_error(t, "FIFREEZE: %s", strerror(errno));
	device_write(t, tokens);
	test_dereg_mr(t);
	pid = start_fsync(t);
	for (int i = 0; i < 50 && waitpid(pid, &status, WNOHANG) != pid; i++)
		usleep(10000);
	found = test_find_on_disk(t, tokens, NR_PAGES, OFF_TOKEN);
	test_note(t, "while frozen: fsync() %s; raw disk: %u of the %d pages that the device wrote",
		  status == -1 ? "does not return" : "returned", found, NR_PAGES);
	test_step(t, "thaw");
	if (ioctl(t->fd, FITHAW, 0))
		test_error(t, "FITHAW: %s", strerror(errno));
	if (status == -1)
		waitpid(pid, &status, 0);
	if (found)
		test_lost(t, "%u pages were written to the disk while the filesystem was frozen",
			  found);
	judge_file(t, tokens);
}

/* No device, no pin: what writeback promises to everybody. */
static void cpu_write(struct test *t)
{
	uint64_t tokens[NR_PAGES];
	unsigned int page, found;

	test_alloc(t);
	for (page = 0; page < NR_PAGES; page++)
		*(volatile uint64_t *)(t->mem + page * PAGE_SIZE + OFF_TOKEN) =
			test_token(t);
	if (test_fsync(t))
		test_error(t, "fsync failed");
	for (page = 0; page < NR_PAGES; page++) {
		tokens[page] = test_token(t);
		*(volatile uint64_t *)(t->mem + page * PAGE_SIZE + OFF_TOKEN) =
			tokens[page];
	}
	if (test_fsync(t))
		test_error(t, "fsync failed");
	found = test_find_on_disk(t, tokens, NR_PAGES, OFF_TOKEN);
	if (found != NR_PAGES)
		test_lost(t, "fsync() returned 0, the disk has %u of the %d pages that the process wrote",
			  found, NR_PAGES);
	test_kept(t);
}

static void cpu_write_unnoticed(struct test *t)
{
	test_tolerate(t, EXT4_COMPLAINT);
	test_negate_until_exit(t, "skip-page-cleaning");
	cpu_write(t);
}

const struct scenario writeback_scenarios[] = {
	{
		.name = "writeback.fsync_pinned",
		.promise = "what a device has written is on the disk when fsync() returns, although the page is still pinned (not promised: Documentation/core-api/pin_user_pages.rst, \"no special synchronization with page_mkclean()\")",
		.mems = MEMS_DISK, .pins = PINS_FILE,
		.flags = SCENARIO_SLOW,
		.run = fsync_pinned,
	}, {
		.name = "writeback.unpin_dirty",
		.promise = "what a device has written is in the file after unpin_user_pages_dirty_lock() and fsync(): mm/gup.c, fsync(2)",
		.fix = "for data=journal 265e72efa99f (6.4): ext4: Keep pages with journalled data dirty; for btrfs \"btrfs: restore fixup worker\" (7.2-rc7); see ext4_journalled_dirty_folio()",
		.mems = MEMS_DISK | BIT(MEM_TMPFS),
		.pins = PINS_FILE | BIT(PIN_PIN_FAST) | BIT(PIN_LONGTERM),
		.flags = SCENARIO_SLOW,
		.run = unpin_dirty,
	}, {
		.name = "writeback.unpin_fsync",
		.promise = "what a device has written is on the disk as soon as the fsync() after unpin_user_pages_dirty_lock() returns: fsync(2)",
		.mems = MEMS_DISK, .pins = PINS_FILE,
		.flags = SCENARIO_SLOW,
		.run = unpin_fsync,
	}, {
		.name = "writeback.unpin_clean",
		.promise = "what a device has written is in the file although the driver does not dirty the page at unpin (only tmpfs promises it; elsewhere it is a driver's bug: mm/gup.c, get_user_pages_remote(): set_page_dirty() \"must be called after the page is finished with\")",
		.mems = MEMS_DISK | BIT(MEM_TMPFS), .pins = PINS_FILE,
		.flags = SCENARIO_SLOW,
		.run = unpin_clean,
	}, {
		.name = "writeback.pageout",
		.promise = "a pinned page that reclaim has looked at still has what it needs to become dirty",
		.fix = "d824ec2a1546 (6.4, 6.1.28): mm: do not reclaim private data from pinned page; see shrink_folio_list()",
		.mems = MEMS_DISK, .pins = PINS_FILE,
		.flags = SCENARIO_SLOW,
		.run = pageout,
	}, {
		.name = "writeback.munmap",
		.promise = "a pinned page of a file that is not mapped any more still has what it needs to become dirty, after caches were dropped, too",
		.fix = "d824ec2a1546 (6.4, 6.1.28): mm: do not reclaim private data from pinned page; see shrink_folio_list()",
		.mems = MEMS_DISK, .pins = PINS_FILE,
		.flags = SCENARIO_SLOW,
		.run = munmap_,
	}, {
		.name = "writeback.direct_write",
		.promise = "an O_DIRECT write to the same part of the file leaves the pinned page in the page cache (not promised: open(2), NOTES, warns of mixing O_DIRECT with mmap())",
		.fix = "for btrfs 968f19c5b1b7 (6.15, 6.12.77): btrfs: always fallback to buffered write if the inode requires checksum",
		.mems = BIT(MEM_EXT4) | BIT(MEM_XFS) | BIT(MEM_BTRFS),
		.pins = PINS_FILE,
		.flags = SCENARIO_SLOW,
		.run = direct_write,
	}, {
		.name = "writeback.fsync_hammer",
		.promise = "what fsync() has written can be read back, although a device writes to the page all the time: fsync(2)",
		.mems = MEMS_DISK, .pins = PINS_FILE,
		.flags = SCENARIO_SLOW,
		.run = fsync_hammer,
	}, {
		.name = "writeback.fsync_checksum",
		.promise = "what fsync() has written fits its checksum, although a device writes to the page all the time: fsync(2)",
		.mems = BIT(MEM_BTRFS), .pins = BIT(PIN_PIN),
		.flags = SCENARIO_HIDDEN,
		.run = fsync_checksum,
	}, {
		.name = "writeback.msync_hammer",
		.promise = "the same with msync(MS_SYNC), which POSIX has write a mapping to its file",
		.mems = BIT(MEM_EXT4) | BIT(MEM_XFS) | BIT(MEM_BTRFS),
		.pins = BIT(PIN_PIN_FAST),
		.flags = SCENARIO_SLOW,
		.run = msync_hammer,
	}, {
		.name = "writeback.pin_racing",
		.promise = "pages may be pinned, written to by a device and unpinned dirty while they are being written back: nothing of it is lost: Documentation/core-api/pin_user_pages.rst, CASE 1",
		.mems = BIT(MEM_EXT4) | BIT(MEM_XFS) | BIT(MEM_BTRFS),
		.pins = BIT(PIN_PIN) | BIT(PIN_PIN_FAST),
		.flags = SCENARIO_SLOW,
		.run = pin_racing,
	}, {
		.name = "writeback.reflink_hammer",
		.promise = "a clone that is made while a device writes to the original keeps what it had then: ioctl_ficlone(2)",
		.mems = BIT(MEM_XFS) | BIT(MEM_BTRFS),
		.pins = BIT(PIN_PIN_FAST),
		.flags = SCENARIO_SLOW,
		.run = reflink_hammer,
	}, {
		.name = "writeback.reflink",
		.promise = "a clone does not change when a device writes to the original: ioctl_ficlone(2)",
		.mems = BIT(MEM_XFS) | BIT(MEM_BTRFS), .pins = PINS_FILE,
		.flags = SCENARIO_SLOW,
		.run = reflink,
	}, {
		.name = "writeback.frozen",
		.promise = "nothing is written to the disk of a frozen filesystem, and after the thaw nothing is lost: fsfreeze(8), a stable image on disk",
		.mems = BIT(MEM_EXT4) | BIT(MEM_XFS) | BIT(MEM_BTRFS),
		.pins = PINS_FILE,
		.flags = SCENARIO_SLOW,
		.run = frozen,
	}, {
		.name = "writeback.cpu_write",
		.promise = "what a process writes through its mapping after an fsync() is on the disk after the next one: fsync(2), mmap(2)",
		.mems = BIT(MEM_EXT4) | BIT(MEM_XFS) | BIT(MEM_BTRFS),
		.flags = SCENARIO_SLOW,
		.run = cpu_write,
	}, {
		.name = "writeback.cpu_write_unnoticed",
		.promise = "control: writeback.cpu_write, when writeback does not write-protect pages any more (folio_mkclean() is skipped)",
		.mems = BIT(MEM_EXT4) | BIT(MEM_XFS) | BIT(MEM_BTRFS),
		.flags = SCENARIO_SLOW,
		.run = cpu_write_unnoticed,
	},
	{ }
};
