// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is on the disk when power is lost while a device writes to the page cache?
 *
 * The judge is outside: the case fills a file with blocks that say themselves what
 * they should be, fsync() returns 0, and while the device goes on the host kills
 * QEMU. Then it reads the raw disk, see tests/rig/disk.py, and says how the case
 * ended. The next case has a guest of its own.
 *
 * The disk keeps whatever it has been given: a kill of QEMU takes nothing from the
 * host's page cache. A real disk may lose more, none loses less.
 *
 * To see them red: quiet with the hammer, or with ROUNDS told to the host as one
 * more than there were; the others are controls as they are, but for hammer on
 * ext4 and xfs: have the process write in the first round only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "../driver/host.h"

#define BLOCKS		256u
#define ROUNDS		8u

/* tests/rig/disk.py reads it */
struct block {
	uint64_t stamp;		/* the device's */
	uint64_t token;		/* all else is the process's: which case, */
	uint64_t index;		/* which block, */
	uint64_t round;		/* written when, */
	uint64_t filling[507];
	uint64_t crc;		/* and crc32() of what is between @stamp and it */
};

_Static_assert(sizeof(struct block) == PAGE_SIZE, "a page");

static void write_blocks(struct block *blocks, uint64_t token, uint64_t round)
{
	unsigned int i, n;

	for (i = 0; i < BLOCKS; i++) {
		struct block *b = &blocks[i];

		b->token = token;
		b->index = i;
		b->round = round;
		for (n = 0; n < ARRAY_SIZE(b->filling); n++)
			b->filling[n] = token * (round + n);
		b->crc = crc32(0, (void *)&b->token,
			       offsetof(struct block, crc) -
			       offsetof(struct block, token));
	}
}

/* What the device has written to each block, or something newer. */
static uint64_t oldest_stamp(const struct block *blocks)
{
	uint64_t oldest = UINT64_MAX, stamp;
	unsigned int i;

	for (i = 0; i < BLOCKS; i++) {
		stamp = *(volatile const uint64_t *)&blocks[i].stamp;
		if (stamp < oldest)
			oldest = stamp;
	}
	return oldest;
}

static struct block *make_file(struct test *t)
{
	static uint8_t zeros[BLOCKS * PAGE_SIZE];
	struct block *blocks;

	test_alloc(t);
	unlink("/mnt/blocks");
	t->fd = open("/mnt/blocks", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
		     0600);
	if (t->fd < 0 || write(t->fd, zeros, sizeof(zeros)) != sizeof(zeros) ||
	    test_fsync(t))
		test_error(t, "cannot make /mnt/blocks: %s", strerror(errno));
	blocks = mmap(NULL, sizeof(zeros), PROT_READ | PROT_WRITE, MAP_SHARED,
		      t->fd, 0);
	if (blocks == MAP_FAILED)
		test_error(t, "mmap: %s", strerror(errno));
	return blocks;
}

static void start_device(struct test *t, const struct block *blocks)
{
	struct pindma_op op = {
		.opcode = PINDMA_OP_HAMMER, .mode = PINDMA_ORDER_UP,
		.mr = t->mr, .len = BLOCKS * PAGE_SIZE, .value = 1 };
	unsigned int i;

	test_post(t, 0, &op, 1);
	for (i = 0; i < 1000 && !oldest_stamp(blocks); i++)
		usleep(1000);
	if (!oldest_stamp(blocks))
		test_error(t, "the hammer does not write");
}

/* Never returns: the power is off then. */
static void cut_power(struct test *t, uint64_t token, uint64_t stamp)
{
	bool lost = expected_outcome(t->name) == OUTCOME_LOST;
	static const char *const disks[NR_MEMS] = {
		[MEM_EXT4] = "ext4", [MEM_XFS] = "xfs", [MEM_BTRFS] = "btrfs",
	};
	char line[160];

	snprintf(line, sizeof(line), "power-off %s 0x%llx %u %u %llu %s",
		 disks[t->mem_type], (unsigned long long)token, BLOCKS, ROUNDS,
		 (unsigned long long)stamp, lost ? "lost" : "kept");
	test_skip(t, "the host does not cut the power: %s", tell_host(t, line));
}

/*
 * @hammer: from the beginning, the device writes to each block. @unasked: after the
 * process's last write, too, before an fsync() that has nothing else to write.
 */
static void run(struct test *t, bool hammer, bool unasked)
{
	struct block *blocks = make_file(t);
	uint64_t token = test_token(t), stamp = 0, round;
	int ret;

	test_open(t);
	ret = pindma_reg_mr(t->dev, blocks, BLOCKS * PAGE_SIZE, PINDMA_PIN_PIN,
			    PINDMA_MR_FAST, &t->mr);
	if (ret)
		test_error(t, "cannot register the mr: %s", strerror(-ret));
	if (hammer)
		start_device(t, blocks);
	for (round = 1; round <= ROUNDS; round++) {
		write_blocks(blocks, token, round);
		stamp = oldest_stamp(blocks);
		if (fsync(t->fd))
			test_lost(t, "fsync: %s", strerror(errno));
	}
	if (unasked) {
		usleep(50000);
		stamp = oldest_stamp(blocks);
		if (fsync(t->fd))
			test_lost(t, "fsync: %s", strerror(errno));
	}
	/* So that btrfs has the checksums where its check looks for them. */
	if (syncfs(t->fd))
		test_lost(t, "syncfs: %s", strerror(errno));
	cut_power(t, token, stamp);
}

static void quiet(struct test *t)
{
	run(t, false, false);
}

static void hammer(struct test *t)
{
	run(t, true, false);
}

static void unasked(struct test *t)
{
	run(t, true, true);
}

#define MEMS	(BIT(MEM_EXT4) | BIT(MEM_XFS) | BIT(MEM_BTRFS))

const struct scenario poweroff_scenarios[] = {
	{
		.name = "poweroff.quiet",
		.promise = "what fsync() has written is on the disk after the power was cut, whole and with the right checksums: fsync(2); pinned, but the device is quiet",
		.mems = MEMS, .flags = SCENARIO_NAMED, .run = quiet,
	}, {
		.name = "poweroff.hammer",
		.promise = "the same for what the process wrote, although a device writes to other words of the same pages all the time: fsync(2)",
		.mems = MEMS, .flags = SCENARIO_NAMED, .run = hammer,
	}, {
		.name = "poweroff.unasked",
		.promise = "what the device had written before the last fsync() began is on the disk after the power was cut (not promised while it is pinned: pin_user_pages.rst, see writeback.fsync_pinned)",
		.mems = MEMS, .flags = SCENARIO_NAMED, .run = unasked,
	},
	{ }
};
