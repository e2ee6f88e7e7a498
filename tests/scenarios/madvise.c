// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the process has given away, or offered, while a device uses it.
 *
 * MADV_DONTNEED gives it away: the loss is the process's own doing, and a
 * control for the oracle that no kernel and no way to pin may pass. After
 * MADV_FREE the kernel may drop a page that nobody has written to since, and
 * the CPU does not see the device write: what saves the data is the reference,
 * and then the driver that says at the unpin that it has written.
 * unpin_clean is a driver that does not: it loses the data on every kernel.
 * Without the reference (tests/mutants/no-reference.patch) the two cases under a
 * hammer are red: pages are freed, and the device writes to what they become.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

#define OFFSET		0x800

static void advise_again(struct test *t, int advice, const char *name)
{
	if (madvise(t->mem, NR_PAGES * PAGE_SIZE, advice))
		test_error(t, "%s: %s", name, strerror(errno));
}

static void advise(struct test *t, int advice, const char *name)
{
	test_step(t, name);
	advise_again(t, advice, name);
}

static volatile uint64_t *word(struct test *t, unsigned int page, size_t offset)
{
	return (volatile uint64_t *)(t->mem + page * PAGE_SIZE + offset);
}

static void dontneed(struct test *t)
{
	test_setup(t);
	advise(t, MADV_DONTNEED, "MADV_DONTNEED");
	test_two_way(t, NULL);
	test_kept(t);
}

#define NR_ROUNDS	50
#define HAMMER_RATE	20000

/* The page is new: it has zeros and what the process wrote, and no stamps. */
static void check_new(struct test *t, unsigned int page, uint64_t token)
{
	uint64_t old = test_pinned_pfn(t, page);
	uint64_t pfn = test_pfn(t, t->mem + page * PAGE_SIZE);
	size_t i;

	for (i = 0; i < PAGE_SIZE; i += sizeof(uint64_t)) {
		uint64_t seen = *word(t, page, i);

		if (seen != (i == OFFSET ? token : 0))
			test_lost(t, "page %u was given away, and the new one (frame 0x%llx, the old one was 0x%llx) has 0x%016llx at +0x%zx",
				  page, (unsigned long long)pfn,
				  (unsigned long long)old,
				  (unsigned long long)seen, i);
	}
	if (pfn == old)
		test_lost(t, "page %u was given away, and is there again: frame 0x%llx",
			  page, (unsigned long long)old);
}

static void dontneed_hammer(struct test *t)
{
	uint64_t hammer, tokens[NR_PAGES];
	unsigned int i, page;

	test_one_cpu(t);	/* what it frees it gets again */
	test_setup(t);
	hammer = test_start_hammer(t, HAMMER_RATE);
	test_step(t, "hammer, MADV_DONTNEED and new pages, 50 times");
	for (i = 0; i < NR_ROUNDS; i++) {
		advise_again(t, MADV_DONTNEED, "MADV_DONTNEED");
		for (page = 0; page < NR_PAGES; page++) {
			tokens[page] = test_token(t);
			*word(t, page, OFFSET) = tokens[page];
		}
		usleep(1000);	/* some stamps for each page of the mr */
		for (page = 0; page < NR_PAGES; page++)
			check_new(t, page, tokens[page]);
	}
	test_hammer_goes_on(t);
	test_stop_hammer(t, hammer);
	test_check_surroundings(t);
	test_kept(t);
}

/* The memory is offered to the kernel, and then the device writes to it. */
static void free_and_dma(struct test *t, uint64_t *tokens)
{
	struct pindma_completion c;
	unsigned int page;

	test_one_cpu(t);
	test_setup(t);
	advise(t, MADV_FREE, "MADV_FREE");
	test_step(t, "the device writes");
	for (page = 0; page < NR_PAGES; page++) {
		tokens[page] = test_token(t);
		test_dma_write(t, page * PAGE_SIZE + OFFSET, tokens[page], &c);
	}
}

static void check_tokens(struct test *t, const uint64_t *tokens)
{
	unsigned int page;

	for (page = 0; page < NR_PAGES; page++) {
		uint64_t seen = *word(t, page, OFFSET);

		if (seen != tokens[page])
			test_lost(t, "the device wrote 0x%016llx to page %u of the mr, the process reads 0x%016llx",
				  (unsigned long long)tokens[page], page,
				  (unsigned long long)seen);
	}
}

static void free_pinned(struct test *t)
{
	uint64_t tokens[NR_PAGES];

	free_and_dma(t, tokens);
	advise(t, MADV_PAGEOUT, "MADV_PAGEOUT");
	check_tokens(t, tokens);
	test_two_way(t, NULL);
	test_kept(t);
}

/* Stamps only grow: what the device has seen the process must see, or a later one. */
static void check_stamps(struct test *t)
{
	unsigned int page;

	for (page = 0; page < NR_PAGES; page++) {
		uint64_t was = test_dma_read(t, page * PAGE_SIZE);
		uint64_t seen = *word(t, page, 0);

		if (seen < was)
			test_lost(t, "the device had written stamp %llu to page %u of the mr, the process reads %llu",
				  (unsigned long long)was, page,
				  (unsigned long long)seen);
	}
}

static void free_hammer(struct test *t)
{
	unsigned int i, page;
	uint64_t hammer;

	test_one_cpu(t);
	test_setup(t);
	for (page = 0; page < NR_PAGES; page++)
		*word(t, page, 0) = 0;
	hammer = test_start_hammer(t, HAMMER_RATE);
	test_step(t, "hammer, MADV_FREE and MADV_PAGEOUT, 50 times");
	for (i = 0; i < NR_ROUNDS; i++) {
		advise_again(t, MADV_FREE, "MADV_FREE");
		advise_again(t, MADV_PAGEOUT, "MADV_PAGEOUT");
		check_stamps(t);
	}
	test_hammer_goes_on(t);
	test_stop_hammer(t, hammer);
	test_two_way(t, NULL);
	test_kept(t);
}

static void unpin_and_pageout(struct test *t, const uint64_t *tokens)
{
	test_step(t, "unpin");
	test_dereg_mr(t);
	advise(t, MADV_PAGEOUT, "MADV_PAGEOUT");
	check_tokens(t, tokens);
	test_kept(t);
}

static void unpin_dirty(struct test *t)
{
	uint64_t tokens[NR_PAGES];

	free_and_dma(t, tokens);
	unpin_and_pageout(t, tokens);
}

static void unpin_clean(struct test *t)
{
	uint64_t tokens[NR_PAGES];

	t->mr_flags = PINDMA_MR_NODIRTY;
	free_and_dma(t, tokens);
	unpin_and_pageout(t, tokens);
}

static void pageout_twice(struct test *t)
{
	uint64_t tokens[NR_PAGES];

	t->mr_flags = PINDMA_MR_NODIRTY;
	free_and_dma(t, tokens);
	advise(t, MADV_PAGEOUT, "MADV_PAGEOUT");
	unpin_and_pageout(t, tokens);
}

const struct scenario madvise_scenarios[] = {
	{
		.name = "madvise.dontneed",
		.promise = "none, but on demand: MADV_DONTNEED gives the page away, pinned or not, and the process gets another: madvise(2)",
		.mems = BIT(MEM_ANON) | BIT(MEM_THP), .pins = PINS_STOCK | PINS_DEMAND,
		.flags = SCENARIO_FULL,
		.run = dontneed,
	}, {
		.name = "madvise.dontneed_hammer",
		.promise = "a page that was given away is the device's alone: what it writes meanwhile is in none of those that the process gets for it, 50 times: madvise(2)",
		.mems = BIT(MEM_ANON) | BIT(MEM_THP), .pins = PINS_STOCK,
		.flags = SCENARIO_FULL,
		.run = dontneed_hammer,
	}, {
		.name = "madvise.free",
		.promise = "MADV_FREE and reclaim do not drop a page that a device is using: commit 6c8e2a256915",
		.fix = "6c8e2a256915 (5.18, 5.10.111): mm: fix race between MADV_FREE reclaim and blkdev direct IO read; see try_to_unmap_one()",
		.mems = BIT(MEM_ANON), .pins = PINS_STOCK | PINS_DEMAND,
		.flags = SCENARIO_FULL,
		.run = free_pinned,
	}, {
		.name = "madvise.free_hammer",
		.promise = "the same, 50 times under a hammer: commit 6c8e2a256915",
		.fix = "6c8e2a256915 (5.18, 5.10.111): mm: fix race between MADV_FREE reclaim and blkdev direct IO read",
		.mems = BIT(MEM_ANON), .pins = PINS_STOCK,
		.flags = SCENARIO_FULL,
		.run = free_hammer,
	}, {
		.name = "madvise.unpin_dirty",
		.promise = "after MADV_FREE, a page that was unpinned as dirty keeps what the device wrote: mm/gup.c, unpin_user_pages_dirty_lock()",
		.mems = BIT(MEM_ANON), .pins = PINS_STOCK,
		.flags = SCENARIO_FULL,
		.run = unpin_dirty,
	}, {
		.name = "madvise.unpin_clean",
		.promise = "none: a driver that has written and does not dirty the page at the unpin loses its data: mm/gup.c, get_user_pages_remote(): set_page_dirty() \"must be called after the page is finished with\"",
		.mems = BIT(MEM_ANON), .pins = PINS_STOCK,
		.flags = SCENARIO_FULL,
		.run = unpin_clean,
	}, {
		.name = "madvise.pageout_twice",
		.promise = "a page after MADV_FREE that reclaim could not drop because it was in use is no more on offer (not since 6.15: \"mm: set folio swapbacked iff folios are dirty in try_to_unmap_one\", mail of 14 Feb 2025)",
		.mems = BIT(MEM_ANON), .pins = PINS_STOCK,
		.flags = SCENARIO_FULL,
		.run = pageout_twice,
	},
	{ }
};
