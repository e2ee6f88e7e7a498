// SPDX-License-Identifier: GPL-2.0-only
/*
 * fork(), reclaim, splits, collapses and registration against what another CPU does
 * to the page at the same time.
 *
 * Red cells: those of GET on every kernel, where there is a fork(); while_migrating
 * also all others on 5.10, which copies a migration entry to the child without
 * asking for pins; and those of in_fork_unchecked, which takes 57efa1fe5957 away from
 * in_fork. For while_reclaiming and while_splitting the lab's swap_pinned and
 * split_pinned; for while_collapsing and while_unmapping
 * tests/mutants/no-reference.patch. For while_protecting 5.10, and -shared later. A
 * thread that does nothing to the page is an error: to see it, return from mover() at
 * once.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25	/* 6.1 */
#endif

static atomic_bool stop;
static atomic_uint forks;

static pthread_t begin(struct test *t, void *(*fn)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, fn, t))
		test_error(t, "cannot start a thread");
	return thread;
}

static void end(pthread_t thread)
{
	stop = true;
	pthread_join(thread, NULL);
}

static void fork_and_exit(struct test *t)
{
	pid_t pid = fork();

	if (pid < 0)
		test_error(t, "fork: %s", strerror(errno));
	if (!pid)
		_exit(0);
	test_wait_exit(t, pid);
}

static void *forker(void *arg)
{
	while (!stop) {
		fork_and_exit(arg);
		forks++;
	}
	return NULL;
}

/* Does the process map the pages that the device uses? As far as is known. */
static bool frames_agree(struct test *t)
{
	struct pindma_page facts[NR_PAGES];
	unsigned int page;

	if (pindma_get_pages(t->dev, t->mr, 0, facts, NR_PAGES) != NR_PAGES)
		test_error(t, "no facts about the pages of the mr");
	for (page = 0; page < NR_PAGES; page++) {
		uint64_t pfn = test_pfn(t, t->mem + page * PAGE_SIZE);

		/* 0: somebody tries to migrate it, and will put it back */
		if (pfn && pfn != facts[page].pfn)
			return false;
	}
	return true;
}

#define NR_PINS_MADE	20

/* Pins that are made at any moment of a fork() by another thread. */
static void while_forking(struct test *t)
{
	bool agree = true;
	pthread_t thread;
	unsigned int i;

	test_alloc(t);
	test_open(t);
	thread = begin(t, forker);
	for (i = 0; i < NR_PINS_MADE && agree; i++) {
		unsigned int was;

		if (i)
			test_dereg_mr(t);
		test_pin(t);
		was = forks;
		while (forks == was)	/* one was under way: let it end */
			usleep(100);
		test_cpu_write(t);
		agree = frames_agree(t);
	}
	end(thread);
	test_note(t, "%u pins, %u forks", i, forks);
	test_two_way(t, NULL);
	test_kept(t);
}

/*
 * The moment between the question whether a page is pinned and its write protection
 * is made so long that many of the pins fall into it.
 */
#define IN_FORK_SECONDS	40	/* on a busy machine; the limit of a case is 60 */

static void __attribute__((noreturn)) pin_in_fork(struct test *t, unsigned int nr)
{
	time_t start = time(NULL);
	bool agree = true;
	pthread_t thread;
	unsigned int i;

	test_alloc(t);
	test_open(t);
	thread = begin(t, forker);
	for (i = 0; i < nr && agree && time(NULL) - start < IN_FORK_SECONDS;
	     i++) {
		unsigned int was = forks;

		if (i)
			test_dereg_mr(t);
		/* Sooner or later, but all of them while it is under way */
		usleep(test_token(t) % 20000);
		test_pin(t);
		while (forks == was)
			usleep(100);
		test_cpu_write(t);
		agree = frames_agree(t);
	}
	end(thread);
	test_note(t, "%u pins, %u forks", i, forks);
	test_two_way(t, NULL);
	test_kept(t);
}

static void in_fork(struct test *t)
{
	test_negate_until_exit(t, "widen-fork-race");
	pin_in_fork(t, 100);
}

/* For the lab, where none of them may be the one: until it is lost, or the time is up. */
static void in_fork_longer(struct test *t)
{
	test_negate_until_exit(t, "widen-fork-race");
	pin_in_fork(t, 2000);
}

static void in_fork_unchecked(struct test *t)
{
	test_negate_until_exit(t, "ignore-fork-race");
	pin_in_fork(t, 2000);
}

static void (*attempt)(struct test *t);	/* to move the page */
static atomic_ulong attempts;
static atomic_bool moved;

/* It must succeed once, without pins: else a pin has nothing to stop. */
static void *mover(void *arg)
{
	struct test *t = arg;

	while (!moved && !stop) {
		uint64_t pfn = test_pfn(t, t->mem);
		bool huge = test_is_huge(t, t->mem);

		attempt(t);
		moved = test_pfn(t, t->mem) != pfn ||
			test_is_huge(t, t->mem) != huge;
	}
	for (; !stop; attempts++)
		attempt(t);
	return NULL;
}

static pthread_t begin_to_move(struct test *t, void (*how)(struct test *t))
{
	double until = now_ms() + 10000;
	pthread_t thread;

	attempt = how;
	thread = begin(t, mover);
	while (!moved) {
		if (now_ms() > until)
			test_error(t, "nothing happens to the page even if it is not pinned");
		usleep(100);
	}
	return thread;
}

/* To and fro between two nodes: the pins do not let it succeed, but it tries. */
static void migrate(struct test *t)
{
	int nodes[NR_PAGES], status[NR_PAGES], i;
	void *pages[NR_PAGES];
	static int node;

	node = !node;
	for (i = 0; i < NR_PAGES; i++) {
		pages[i] = t->mem + i * PAGE_SIZE;
		nodes[i] = node;
	}
	syscall(SYS_move_pages, 0, NR_PAGES, pages, nodes, status, 2);
}

/* 5.10 has lost the page after 1 to 170 of them. */
#define NR_FORKS	300
#define MAX_SECONDS	10	/* a busy host must do with fewer */

static void while_migrating(struct test *t)
{
	time_t start = time(NULL);
	pthread_t thread;
	unsigned int i;

	if (access("/sys/devices/system/node/node1", F_OK))
		test_skip(t, "only one NUMA node: boot with numa=fake=2");
	test_negate_until_exit(t, "widen-unmap");
	test_alloc(t);
	test_open(t);
	thread = begin_to_move(t, migrate);
	test_reg_mr(t);
	for (i = 0; i < NR_FORKS && time(NULL) - start < MAX_SECONDS; i++) {
		fork_and_exit(t);
		test_cpu_write(t);
		if (!frames_agree(t))
			break;
	}
	end(thread);
	test_note(t, "%u forks, %lu attempts to migrate", i, attempts);
	test_two_way(t, NULL);
	test_kept(t);
}

/*
 * Page out, split or collapse what the process touches again. Pages that are new, or
 * back from swap, first wait on a list of the CPU that has read them, where others do
 * not see them. Moving none empties all such lists.
 */
static void reclaim(struct test *t)
{
	void *page;
	int node, status;

	syscall(SYS_move_pages, 0, 0, &page, &node, &status, 2);
	if (madvise(t->buf, t->len, MADV_PAGEOUT))
		test_error(t, "MADV_PAGEOUT: %s", strerror(errno));
}

static void split(struct test *t)
{
	char text[64];

	/* A page is locked while it is looked at, and not collapsed. */
	if (!test_is_huge(t, t->buf))
		return;
	snprintf(text, sizeof(text), "%d,0x%lx,0x%lx", getpid(),
		 (unsigned long)t->buf, (unsigned long)t->buf + t->len);
	/* EAGAIN, EBUSY: that is what the pins are for. */
	kernel_set("/sys/kernel/debug/split_huge_pages", text);
}

static void collapse(struct test *t)
{
	madvise(t->buf, t->len, MADV_COLLAPSE);
}

/*
 * Not always: EINVAL if it is just about to be split, and EAGAIN until that is over,
 * which takes its time: each of its pages is mapped again slowly.
 */
static void make_whole(struct test *t)
{
	unsigned int ms = 1000;

	while (madvise(t->buf, t->len, MADV_COLLAPSE) && errno == EAGAIN && --ms)
		usleep(1000);
}

/* Still a huge page, but mapped in pieces, which a collapse copies to another one. */
static void map_in_pieces(struct test *t)
{
	make_whole(t);
	if (mprotect(t->buf, PAGE_SIZE, PROT_READ) ||
	    mprotect(t->buf, PAGE_SIZE, PROT_READ | PROT_WRITE))
		test_error(t, "mprotect: %s", strerror(errno));
}

#define NR_UNMAPS	100

/*
 * Who has found a page without pins is about to unmap it, slowly; just then it is
 * pinned. The one or the other must give way. Before each pin the page is made
 * @ready to be unmapped.
 */
static void about_to_unmap(struct test *t, void (*unmap)(struct test *),
			   void (*ready)(struct test *))
{
	time_t start = time(NULL);
	unsigned int i, gone = 0;
	bool agree = true;
	pthread_t thread;
	uint64_t pfn, pause;

	test_negate_until_exit(t, "widen-unmap");
	test_alloc(t);
	if (ready && madvise(t->buf, t->len, MADV_COLLAPSE) && errno == EINVAL)
		test_skip(t, "no MADV_COLLAPSE in this kernel");
	test_open(t);
	if (ready)
		ready(t);
	thread = begin_to_move(t, unmap);
	for (i = 0; i < NR_UNMAPS && agree && time(NULL) - start < MAX_SECONDS;
	     i++) {
		if (i)
			test_dereg_mr(t);
		if (ready)
			ready(t);
		test_cpu_write(t);
		pfn = test_pfn(t, t->mem);
		pause = test_token(t) % 1000;
		if (pause > 300)	/* or at once: a sleep takes longer */
			usleep(pause);
		gone += test_pfn(t, t->mem) != pfn;
		test_pin(t);
		test_cpu_write(t);
		agree = frames_agree(t);
	}
	end(thread);
	test_note(t, "%u pins, %lu attempts to unmap, %u times the page went just before",
		  i, attempts, gone);
	test_two_way(t, NULL);
	test_kept(t);
}

static void while_reclaiming(struct test *t)
{
	test_need_swap(t);
	about_to_unmap(t, reclaim, NULL);
}

static void while_splitting(struct test *t)
{
	about_to_unmap(t, split, make_whole);
}

static void while_collapsing(struct test *t)
{
	about_to_unmap(t, collapse, map_in_pieces);
}

static atomic_ulong changes;	/* of the mapping, which may refuse to be registered */

static void *protector(void *arg)
{
	do {
		test_protect(arg, PROT_READ);
		test_protect(arg, PROT_READ | PROT_WRITE);
		changes++;
	} while (!stop);
	return NULL;
}

/* Where each page has its number, and what the device writes to it later */
#define OFF_NUMBER	0x200
#define OFF_TOKEN	0x600
#define NUMBER(page)	(0x70616765ull << 32 | (page))

static volatile uint64_t *word(uint8_t *mem, unsigned int page, size_t offset)
{
	return (volatile uint64_t *)(mem + page * PAGE_SIZE + offset);
}

static void *remapper(void *arg)
{
	const size_t len = NR_PAGES * PAGE_SIZE;
	struct test *t = arg;
	unsigned int page;

	do {
		if (munmap(t->mem, len) ||
		    mmap(t->mem, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			 MAP_ANONYMOUS | MAP_FIXED, -1, 0) != t->mem)
			test_error(t, "munmap, mmap: %s", strerror(errno));
		for (page = 0; page < NR_PAGES; page++)
			*word(t->mem, page, OFF_NUMBER) = NUMBER(page);
		changes++;
	} while (!stop);
	return NULL;
}

static unsigned int refused;

/* Returns when the mr is registered and the other thread has ended. */
static void register_against(struct test *t, void *(*other)(void *))
{
	unsigned long was = changes;
	pthread_t thread;
	int ret;

	stop = false;
	thread = begin(t, other);
	while (changes == was)
		usleep(100);
	usleep(test_token(t) % 1000);
	while ((ret = test_try_reg_mr(t)) == -EFAULT) {
		refused++;
		usleep(10);	/* or the other thread hardly gets the mmap_lock */
	}
	if (ret)
		test_error(t, "cannot register the mr: %s", strerror(-ret));
	test_take_away(t);
	end(thread);
}

#define NR_CHANGED	100

static void while_protecting(struct test *t)
{
	time_t start = time(NULL);
	bool agree = true;
	unsigned int i;

	test_alloc(t);
	test_open(t);
	for (i = 0; i < NR_CHANGED && agree && time(NULL) - start < MAX_SECONDS;
	     i++) {
		if (i)
			test_dereg_mr(t);
		register_against(t, protector);
		test_cpu_write(t);
		agree = frames_agree(t);
	}
	test_note(t, "%u pins, refused %u times; %lu times read-only and back",
		  i, refused, changes);
	if (agree && !refused)
		test_error(t, "no registration has met pages that were read-only");
	test_two_way(t, NULL);
	test_kept(t);
}

/* The process has it still: then both use the same. */
static void check_own(struct test *t, unsigned int page, uint64_t written)
{
	uint64_t offset = page * PAGE_SIZE + OFF_TOKEN;
	volatile uint64_t *own = word(t->mem, page, OFF_TOKEN);

	if (*own != written)
		test_lost(t, "the device wrote 0x%016llx to page %u of the mr, the process reads 0x%016llx",
			  (unsigned long long)written, page,
			  (unsigned long long)*own);
	*own = test_token(t);
	if (test_dma_read(t, offset) != *own)
		test_lost(t, "the device does not read what the process wrote to page %u of the mr",
			  page);
}

/* It has unmapped it: then it is the device's alone. */
static void check_alone(struct test *t, unsigned int page, uint64_t written,
			const struct pindma_page *facts)
{
	unsigned int i;

	for (i = 0; i < t->len / PAGE_SIZE; i++)
		if (*word(t->buf, i, OFF_TOKEN) == written)
			test_lost(t, "page %u of the mr was unmapped, and page %u of the buffer has what the device writes to it (frame 0x%llx)",
				  page, i, (unsigned long long)facts->pfn);
	if (facts->refcount < 1 || facts->mapcount)
		test_lost(t, "page %u of the mr was unmapped, and is somebody else's: refcount %d, mapcount %d",
			  page, facts->refcount, facts->mapcount);
}

/* Returns whether the process has unmapped it since. */
static bool check_page(struct test *t, unsigned int page)
{
	uint64_t base = page * PAGE_SIZE, number, token = test_token(t);
	struct pindma_completion c;
	struct pindma_page facts;
	bool own;

	test_page_facts(t, page, &facts);
	own = facts.pfn == test_pfn(t, t->mem + base);
	/* 0: it was pinned before its number was there, and then unmapped */
	number = test_dma_read(t, base + OFF_NUMBER);
	if (number != NUMBER(page) && (own || number))
		test_lost(t, "page %u of the mr is none that the process had there: it has 0x%llx",
			  page, (unsigned long long)number);
	test_dma_write(t, base + OFF_TOKEN, token, &c);
	if (own)
		check_own(t, page, token);
	else
		check_alone(t, page, token, &facts);
	return !own;
}

static void while_unmapping(struct test *t)
{
	unsigned int i, page, own = 0, alone = 0;
	time_t start = time(NULL);

	test_alloc(t);
	test_open(t);
	for (i = 0; i < NR_CHANGED && time(NULL) - start < MAX_SECONDS; i++) {
		if (i)
			test_dereg_mr(t);
		register_against(t, remapper);
		for (page = 0; page < NR_PAGES; page++)
			if (check_page(t, page))
				alone++;
			else
				own++;
	}
	test_note(t, "%u pins, refused %u times; %u pages still mapped, %u unmapped meanwhile",
		  i, refused, own, alone);
	if (!alone)
		test_error(t, "no page was unmapped after it was pinned");
	test_check_surroundings(t);
	test_kept(t);
}

/* What each of them takes is too long to do it for the slow and the fast way. */
#define PINS_EACH	(BIT(PIN_GET_FAST) | BIT(PIN_PIN_FAST) | \
			 BIT(PIN_FAST_LONGTERM))
#define PINS_FAST	(BIT(PIN_PIN_FAST) | BIT(PIN_FAST_LONGTERM))

const struct scenario race_scenarios[] = {
	{
		.name = "race.while_forking",
		.promise = "a page that is pinned while another thread forks is either copied for the child or seen to be pinned: commit 57efa1fe5957",
		.fix = "57efa1fe5957 (5.11, 5.10.4): mm/gup: prevent gup_fast from racing with COW during fork; see gup_fast(), mm->write_protect_seq",
		.mems = BIT(MEM_ANON), .pins = PINS_EACH,
		.flags = SCENARIO_FULL,
		.run = while_forking,
	}, {
		.name = "race.in_fork",
		.promise = "the same when pins come just before fork() write-protects a page: commit 57efa1fe5957",
		.fix = "57efa1fe5957 (5.11, 5.10.4): mm/gup: prevent gup_fast from racing with COW during fork; see gup_fast(), mm->write_protect_seq",
		.mems = BIT(MEM_ANON),
		.pins = PINS_FAST,
		.flags = SCENARIO_FULL,
		.run = in_fork,
	}, {
		.name = "race.in_fork_longer",
		.promise = "race.in_fork, as long as it takes",
		.fix = "57efa1fe5957 (5.11, 5.10.4): mm/gup: prevent gup_fast from racing with COW during fork; see gup_fast(), mm->write_protect_seq",
		.mems = BIT(MEM_ANON), .pins = BIT(PIN_PIN_FAST),
		.flags = SCENARIO_HIDDEN,
		.run = in_fork_longer,
	}, {
		.name = "race.in_fork_unchecked",
		.promise = "control: race.in_fork, when pin_user_pages_fast() does not notice the fork()",
		.mems = BIT(MEM_ANON), .pins = BIT(PIN_PIN_FAST),
		.flags = SCENARIO_FULL,
		.run = in_fork_unchecked,
	}, {
		.name = "race.while_migrating",
		.promise = "a pinned page stays the parent's over fork() also if somebody tries to migrate it at that moment, which a probe makes 300 us long",
		.fix = "6c287605fd56 (5.19): remember exclusively mapped anonymous pages with PG_anon_exclusive, which a migration entry takes along; see copy_nonpresent_pte(), try_to_migrate_one()",
		.mems = BIT(MEM_ANON), .pins = PINS_EACH,
		.flags = SCENARIO_FULL,
		.run = while_migrating,
	}, {
		.name = "race.while_reclaiming",
		.promise = "a page that is pinned just after reclaim found it without pins stays the process's: __folio_try_share_anon_rmap() in try_to_unmap_one()",
		.fix = "6c287605fd56 (5.19): remember exclusively mapped anonymous pages with PG_anon_exclusive, which a swap entry takes along",
		.mems = BIT(MEM_ANON), .pins = PINS_FAST,
		.flags = SCENARIO_FULL,
		.run = while_reclaiming,
	}, {
		.name = "race.while_splitting",
		.promise = "a THP that is pinned just after split_huge_page() found it without pins stays as it is: __folio_try_share_anon_rmap() in __split_huge_pmd_locked()",
		.fix = "6c287605fd56 (5.19): remember exclusively mapped anonymous pages with PG_anon_exclusive",
		.mems = BIT(MEM_THP), .pins = PINS_FAST,
		.flags = SCENARIO_FULL,
		.run = while_splitting,
	}, {
		.name = "race.while_collapsing",
		.promise = "a page that is pinned while MADV_COLLAPSE looks at it stays the process's, or is the huge page's: commit 70cbc3cc78a9",
		.fix = "70cbc3cc78a9 (6.1): mm: gup: fix the fast GUP race against THP collapse; see gup_fast_pte_range(), collapse_huge_page()",
		.mems = BIT(MEM_THP), .pins = PINS_FAST,
		.flags = SCENARIO_FULL,
		.run = while_collapsing,
	}, {
		.name = "race.while_protecting",
		.promise = "pages that are registered while another thread makes them read-only and writable again stay the process's: commit 6c287605fd56",
		.fix = "6c287605fd56 (5.19): remember exclusively mapped anonymous pages with PG_anon_exclusive",
		.mems = BIT(MEM_ANON),
		.pins = PINS_EACH | BIT(PIN_PIN) | PINS_SHARED,
		.flags = SCENARIO_FULL,
		.run = while_protecting,
	}, {
		.name = "race.while_unmapping",
		.promise = "pages that are registered while another thread unmaps them are those that were there, and nobody gets them as long as the device has them: gup_fast looks at the page table again when it has its reference, mm/gup.c",
		.mems = BIT(MEM_ANON), .pins = PINS_EACH | BIT(PIN_PIN),
		.flags = SCENARIO_FULL,
		.run = while_unmapping,
	},
	{ }
};
