// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory on demand: the device asks for a page when it needs it, and the kernel
 * takes it back when it likes.
 *
 * To see a case red, in guest/pindma_demand.c:
 *
 *	unpinned	have pindma_demand_fault() pin the page
 *	dontneed, moved	return from pindma_demand_invalidate() at once: the device
 *			stays with the old page
 *	no_memory	answer with success where pindma_demand_work() refuses:
 *			the op waits for ever
 *	dirty		not known: it stays green without set_page_dirty(), perhaps as
 *			the write fault that gets the page has dirtied it already
 *	reset		leave out pindma_demand_lost(): the op waits for ever
 *	busy_dereg	put() before the device has let go, as in
 *			tests/mutants/unpin-before-drain.patch; busy_end and
 *			busy_unbind do not notice
 *	oom		return true where pindma_demand_invalidate() must not block
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared.h"

#ifndef SYS_process_mrelease
#define SYS_process_mrelease	448
#endif

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

#define MR_SIZE		(NR_PAGES * PAGE_SIZE)

static volatile uint64_t *stamp(struct test *t, unsigned int page)
{
	return (volatile uint64_t *)(t->mem + page * PAGE_SIZE);
}

static struct pindma_page facts(struct test *t, unsigned int page)
{
	struct pindma_page info;

	CHECK(t, pindma_get_pages(t->dev, t->mr, page, &info, 1) == 1);
	return info;
}

/* How a WRITE of 8 bytes at offset ends, PINDMA_ST_* */
static unsigned int write_status(struct test *t, uint64_t offset, uint64_t value)
{
	return test_run_op(t, (struct pindma_op){
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_IMMEDIATE,
		.mr = t->mr, .offset = offset, .len = 8, .value = value }).status;
}

static unsigned int read_status(struct test *t, uint64_t offset)
{
	return test_run_op(t, (struct pindma_op){
		.opcode = PINDMA_OP_READ, .mode = PINDMA_READ_VALUE,
		.mr = t->mr, .offset = offset, .len = 8 }).status;
}

/* The hammer ends by itself, with an error. */
static unsigned int hammer_status(struct test *t, uint64_t hammer)
{
	struct pindma_completion c;

	test_collect(t, &c, 1);
	CHECK(t, c.user_data == hammer);
	return c.status;
}

/* Wait until the hammer has written all pages that the process has there now. */
static void see_stamps(struct test *t)
{
	double until = now_ms() + 10000;
	unsigned int page;
	uint64_t was;

	for (page = 0; page < NR_PAGES; page++) {
		was = *stamp(t, page);
		while (*stamp(t, page) == was)
			if (now_ms() > until)
				test_lost(t, "the device does not write to page %u of the mr: the process maps frame 0x%llx, the device has 0x%llx",
					  page,
					  (unsigned long long)test_pfn(t, (void *)stamp(t, page)),
					  (unsigned long long)facts(t, page).pfn);
	}
}

/*
 * The journal: no access to a page between the device's word that it has let go
 * and the next time that it gets one. At least want times it had to let go.
 */
static void check_taken_back(struct test *t, unsigned int want)
{
	const struct pindma_journal_entry *e;
	bool mapped[NR_PAGES] = { false };
	unsigned int times = 0, accesses = 0;
	uint64_t first = 0;
	int n, i;

	n = test_read_journal(t, &e, &first);
	if (n < 0)
		test_error(t, "cannot read the journal: %s", strerror(-n));
	/* What was overwritten is not known: then all may be mapped. */
	if (first > 1)
		memset(mapped, true, sizeof(mapped));
	for (i = 0; i < n; i++) {
		unsigned int page = e[i].offset / PAGE_SIZE, end;

		if (e[i].key != t->mr || page >= NR_PAGES)
			continue;
		end = page + e[i].len;
		switch (e[i].kind) {
		case PINDMA_JOURNAL_REG_MR:
			memset(mapped, false, sizeof(mapped));
			break;
		case PINDMA_JOURNAL_MAP:
		case PINDMA_JOURNAL_UNMAP:
			times += e[i].kind == PINDMA_JOURNAL_UNMAP;
			for (; page < end && page < NR_PAGES; page++)
				mapped[page] = e[i].kind == PINDMA_JOURNAL_MAP;
			break;
		case PINDMA_JOURNAL_READ:
		case PINDMA_JOURNAL_WRITE:
		case PINDMA_JOURNAL_ATOMIC:
			accesses++;
			if (!mapped[page])
				test_lost(t, "journal entry %llu: access to page %u of the mr, which was taken back",
					  (unsigned long long)e[i].seq, page);
		}
	}
	test_note(t, "journal: %u accesses, taken back %u times", accesses,
		  times);
	CHECK(t, accesses);
	CHECK(t, times >= want);
}

/* ------------------------------------------------------------------- pages */

/* Who may not pin a single page can have it all on demand. */
static int pin_and_demand(struct test *t)
{
	uint32_t mr;

	if (pindma_reg_mr(t->dev, t->mem, MR_SIZE, PINDMA_PIN_PIN, 0, &mr) !=
	    -ENOMEM)
		return -EEXIST;
	return pindma_reg_mr(t->dev, t->mem, MR_SIZE, PINDMA_PIN_ON_DEMAND, 0,
			     &mr);
}

static void poor_man(struct test *t)
{
	CHECK(t, !as_nobody(t, pin_and_demand));
}

/* Nothing is there before it is asked for, and nothing is held then. */
static void unpinned(struct test *t)
{
	long pinned = kernel_pinned_pages();
	struct pindma_completion c;
	struct pindma_page page;

	test_alloc(t);
	test_open(t);
	CHECK(t, pindma_reg_mr(t->dev, t->mem, MR_SIZE, PINDMA_PIN_ON_DEMAND,
			       PINDMA_MR_FAST, &t->mr) == -EINVAL);
	poor_man(t);
	test_pin(t);
	page = facts(t, 0);
	CHECK(t, !page.pfn && !page.flags && !page.refcount);
	test_dma_write(t, 8, 0x1234, &c);
	CHECK(t, stamp(t, 0)[1] == 0x1234);
	page = facts(t, 0);
	CHECK(t, page.pfn == test_pfn(t, t->mem));
	CHECK(t, !facts(t, 1).pfn);
	CHECK(t, !(page.flags & PINDMA_PAGE_MAYBE_PINNED));
	CHECK(t, page.flags & PINDMA_PAGE_HUGETLB || page.refcount <= 600);
	CHECK(t, kernel_pinned_pages() == pinned);
	test_two_way(t, NULL);
	test_kept(t);
}

#define NR_ROUNDS	50

/* Whoever gets pages next: as long as nobody knows of it, it stays 0. */
static uint8_t *get_pages(struct test *t, size_t len)
{
	uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE |
			  (t->mem_type == MEM_HUGETLB ? MAP_HUGETLB : 0), -1, 0);

	CHECK(t, p != MAP_FAILED);
	return p;
}

static void check_zero(struct test *t, const uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i])
			test_lost(t, "the device has written 0x%02x to a page that the process has given away",
				  p[i]);
}

/* Under a hammer the process gives its pages away, and gets others. */
static void dontneed(struct test *t)
{
	int advice = t->mem_type == MEM_SHMEM ? MADV_REMOVE : MADV_DONTNEED;
	size_t len = t->mem_type == MEM_HUGETLB ? HUGE_SIZE : 64 * PAGE_SIZE;
	uint8_t *others;
	uint64_t hammer;
	unsigned int i;

	test_alloc(t);
	test_open(t);
	test_pin(t);
	hammer = test_start_hammer(t, 0);
	see_stamps(t);
	for (i = 0; i < NR_ROUNDS; i++) {
		/* Of a huge page in the pool, as a whole only */
		if (madvise(t->mem_type == MEM_HUGETLB ? t->buf : t->mem,
			    t->mem_type == MEM_HUGETLB ? t->len : MR_SIZE,
			    advice)) {
			if (errno == EINVAL && t->mem_type == MEM_HUGETLB)
				test_skip(t, "no MADV_DONTNEED for hugetlb, it came with 5.18");
			test_error(t, "madvise: %s", strerror(errno));
		}
		others = get_pages(t, len);
		see_stamps(t);
		check_zero(t, others, len);
		munmap(others, len);
	}
	test_stop_hammer(t, hammer);
	for (i = 0; i < NR_PAGES; i++)
		CHECK(t, facts(t, i).pfn == test_pfn(t, (void *)stamp(t, i)));
	test_note(t, "%u rounds", NR_ROUNDS);
	test_kept(t);
}

/* The same, slowly: the journal must still have all of it. */
static void taken_back(struct test *t)
{
	uint64_t hammer;
	unsigned int i;

	test_alloc(t);
	test_open(t);
	test_pin(t);
	hammer = test_start_hammer(t, 2000);
	for (i = 0; i < NR_ROUNDS; i++) {
		see_stamps(t);
		if (madvise(t->mem, MR_SIZE, MADV_DONTNEED))
			test_error(t, "MADV_DONTNEED: %s", strerror(errno));
	}
	test_stop_hammer(t, hammer);
	check_taken_back(t, NR_ROUNDS);
	test_kept(t);
}

/* After a reset the device has nothing, and asks for all of it again. */
static void reset(struct test *t)
{
	struct pindma_completion c;
	char name[256], path[512];
	FILE *f;

	test_alloc(t);
	test_open(t);
	test_pin(t);
	test_dma_write(t, 0, 1, &c);
	CHECK(t, *stamp(t, 0) == 1 && facts(t, 0).pfn);
	find_device(t, name);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset", name);
	f = fopen(path, "we");
	CHECK(t, f && fputs("1", f) >= 0 && !fclose(f));
	CHECK(t, !facts(t, 0).pfn);
	test_dma_write(t, 0, 2, &c);
	CHECK(t, *stamp(t, 0) == 2 && facts(t, 0).pfn == test_pfn(t, t->mem));
	test_kept(t);
}

/* An mr on demand is about addresses, not about what was there once. */
static void moved(struct test *t)
{
	struct pindma_completion c;
	uint8_t *elsewhere, *p;
	uint64_t hammer;

	test_alloc(t);
	test_open(t);
	test_pin(t);
	test_dma_write(t, 0, 1, &c);
	hammer = test_start_hammer(t, 20000);
	see_stamps(t);
	elsewhere = mremap(t->mem, MR_SIZE, MR_SIZE, MREMAP_MAYMOVE |
			   MREMAP_FIXED, t->buf + 10 * PAGE_SIZE);
	CHECK(t, elsewhere != MAP_FAILED);
	CHECK(t, hammer_status(t, hammer) == PINDMA_ST_DMA_ERROR);
	memset(elsewhere, 0, MR_SIZE);
	CHECK(t, write_status(t, 0, 2) == PINDMA_ST_DMA_ERROR);
	CHECK(t, !*(volatile uint64_t *)elsewhere);

	p = mmap(t->mem, MR_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(t, p == t->mem);
	CHECK(t, write_status(t, 0, 3) == PINDMA_ST_OK);
	CHECK(t, *stamp(t, 0) == 3 && !*(volatile uint64_t *)elsewhere);
	CHECK(t, !munmap(t->mem, MR_SIZE));
	CHECK(t, write_status(t, 0, 4) == PINDMA_ST_DMA_ERROR);
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	t->mr = 0;
	test_kept(t);
}

/* What cannot be had: the op ends, and others go on. */
static void no_memory(struct test *t)
{
	struct pindma_completion c;
	uint64_t hammer;
	uint32_t good;

	test_alloc(t);
	test_open(t);
	test_pin(t);
	CHECK(t, !mprotect(t->buf, t->len, PROT_READ));
	CHECK(t, write_status(t, 0, 1) == PINDMA_ST_DMA_ERROR);
	CHECK(t, read_status(t, 0) == PINDMA_ST_DMA_ERROR);
	good = t->mr;
	CHECK(t, !pindma_reg_mr(t->dev, t->mem, MR_SIZE, PINDMA_PIN_ON_DEMAND,
				PINDMA_MR_READONLY, &t->mr));
	CHECK(t, read_status(t, 0) == PINDMA_ST_OK);
	CHECK(t, write_status(t, 0, 1) == PINDMA_ST_ACCESS);
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));

	/* Writable again, and then not under a hammer */
	t->mr = good;
	CHECK(t, !mprotect(t->buf, t->len, PROT_READ | PROT_WRITE));
	CHECK(t, write_status(t, 0, 1) == PINDMA_ST_OK);
	hammer = test_start_hammer(t, 0);
	see_stamps(t);
	CHECK(t, !mprotect(t->buf, t->len, PROT_READ));
	CHECK(t, hammer_status(t, hammer) == PINDMA_ST_DMA_ERROR);
	CHECK(t, !mprotect(t->buf, t->len, PROT_READ | PROT_WRITE));

	/* A hole in the middle: what comes before it is written. */
	CHECK(t, !munmap(t->mem + PAGE_SIZE, PAGE_SIZE));
	c = test_run_op(t, (struct pindma_op){
		.opcode = PINDMA_OP_FILL, .mr = t->mr, .len = MR_SIZE,
		.value = 0x77 });
	CHECK(t, c.status == PINDMA_ST_DMA_ERROR && c.result == PAGE_SIZE);
	CHECK(t, t->mem[PAGE_SIZE - 1] == 0x77);
	CHECK(t, write_status(t, 2 * PAGE_SIZE, 1) == PINDMA_ST_OK);
	test_kept(t);
}

/*
 * The process that registered it is gone, and with it what the addresses meant.
 * The file, which its parent has open, is not.
 */
static void owner_exits(struct test *t)
{
	uint32_t *shared = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double until;
	pid_t pid;

	CHECK(t, shared != MAP_FAILED);
	test_alloc(t);
	test_open(t);
	pid = fork();
	CHECK(t, pid >= 0);
	if (!pid) {
		struct pindma_completion c;

		test_pin(t);
		test_dma_write(t, 0, 1, &c);
		*shared = t->mr;
		_exit(*stamp(t, 0) != 1);
	}
	test_wait_exit(t, pid);
	t->mr = *shared;
	/* The driver may be the last who has its memory: not for long. */
	until = now_ms() + 5000;
	while (write_status(t, 0, 2) == PINDMA_ST_OK && now_ms() < until)
		usleep(1000);
	CHECK(t, write_status(t, 0, 2) == PINDMA_ST_DMA_ERROR);
	CHECK(t, write_status(t, PAGE_SIZE, 2) == PINDMA_ST_DMA_ERROR);
	CHECK(t, *stamp(t, 0) == 0x5a5a5a5a5a5a5a5a);
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	t->mr = 0;
	test_kept(t);
}

#define OTHER_MEMORY	(16ul << 20)

/* Between a process that ends and one that looks on */
struct victim {
	volatile uint64_t hammer, word;	/* an op, and an address that it writes */
	volatile uint32_t mr;
	volatile bool end;
};

/* A process with a hammer on demand, and with memory that is its alone */
static pid_t start_victim(struct test *t, struct victim *v)
{
	pid_t pid = fork();
	void *other;

	CHECK(t, pid >= 0);
	if (pid)
		return pid;
	test_alloc(t);
	test_pin(t);
	other = mmap(NULL, OTHER_MEMORY, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	/* Not one with the mr's, which is left alone as a whole */
	CHECK(t, other != MAP_FAILED &&
		 !madvise(other, OTHER_MEMORY, MADV_DONTDUMP));
	v->hammer = test_start_hammer(t, 1000);
	see_stamps(t);
	v->mr = t->mr;
	v->word = (uintptr_t)stamp(t, 0);
	while (!v->end)
		usleep(1000);
	_exit(0);
}

/* A word of another process, which is stopped */
static long peek(struct test *t, pid_t pid, uint64_t addr)
{
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, pid, addr, 0);
	CHECK(t, !errno);
	return word;
}

static long anon_kib(struct test *t, pid_t pid)
{
	char path[64], line[256];
	long kib = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "RssAnon: %ld", &kib);
	if (f)
		fclose(f);
	CHECK(t, kib >= 0);
	return kib;
}

/*
 * The OOM killer takes the memory of those who are about to die, and cannot wait
 * for a device: it has to do without what the device has. process_mrelease() does
 * the same when it is asked to, here with a process that is held on its way out,
 * still with its memory.
 */
static void oom_reaper(struct test *t)
{
	struct victim *v = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double until;
	long was, kib, last;
	int status, fd;
	pid_t pid;

	CHECK(t, v != MAP_FAILED);
	if (syscall(SYS_process_mrelease, -1, 0) && errno == ENOSYS)
		test_skip(t, "no process_mrelease(), it came with 5.15");
	test_open(t);
	pid = start_victim(t, v);
	while (!v->word && !waitpid(pid, &status, WNOHANG))
		usleep(1000);
	if (!v->word)
		_exit(0);	/* it has said why */
	t->mr = v->mr;
	CHECK(t, !ptrace(PTRACE_SEIZE, pid, 0,
			 PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL));
	v->end = true;
	CHECK(t, waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) &&
		 status >> 16 == PTRACE_EVENT_EXIT);

	was = anon_kib(t, pid);
	fd = syscall(SYS_pidfd_open, pid, 0);
	CHECK(t, fd >= 0);
	if (!syscall(SYS_process_mrelease, fd, 0))
		test_lost(t, "process_mrelease: 0: the memory that the device has on demand is gone without it");
	CHECK(t, errno == EAGAIN);
	close(fd);
	kib = anon_kib(t, pid);
	test_note(t, "process_mrelease: EAGAIN; anonymous memory: %ld KiB before, %ld KiB after",
		  was, kib);
	/* Until 6.1 the last 64 pages of a thread are not counted yet. */
	CHECK(t, was - kib >= (long)(OTHER_MEMORY >> 10) - 64 * 4);

	/* What the device has it goes on with. */
	last = peek(t, pid, v->word);
	until = now_ms() + 10000;
	while (peek(t, pid, v->word) == last)
		if (now_ms() > until)
			test_lost(t, "the device does not write any more");
	CHECK(t, !ptrace(PTRACE_CONT, pid, 0, 0));
	CHECK(t, waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	CHECK(t, hammer_status(t, v->hammer) == PINDMA_ST_DMA_ERROR);
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	t->mr = 0;
	test_kept(t);
}

static void pageout(struct test *t)
{
	if (madvise(t->mem, MR_SIZE, MADV_PAGEOUT))
		test_error(t, "MADV_PAGEOUT: %s", strerror(errno));
}

/*
 * A page that came back from swap to be read is clean, and may be dropped: swap
 * has it. Only the driver knows that the device has written to it since.
 */
static void dirty(struct test *t)
{
	struct pindma_completion c;
	unsigned int i, page, out = 0;
	uint64_t token;

	test_need_swap(t);
	test_one_cpu(t);
	test_alloc(t);
	test_open(t);
	test_pin(t);
	for (i = 0; i < 20; i++) {
		pageout(t);
		for (page = 0; page < NR_PAGES; page++)
			*stamp(t, page);
		token = test_token(t);
		for (page = 0; page < NR_PAGES; page++)
			test_dma_write(t, page * PAGE_SIZE + 8, token, &c);
		pageout(t);
		for (page = 0; page < NR_PAGES; page++)
			out += !test_pfn(t, (void *)stamp(t, page));
		for (page = 0; page < NR_PAGES; page++)
			if (stamp(t, page)[1] != token)
				test_lost(t, "round %u: the device wrote 0x%016llx to page %u, the process reads 0x%016llx",
					  i, (unsigned long long)token, page,
					  (unsigned long long)stamp(t, page)[1]);
	}
	test_note(t, "%u of %u pages had gone to swap", out, 20 * NR_PAGES);
	if (!out)
		test_skip(t, "MADV_PAGEOUT does not take a page that was just swapped in");
	test_kept(t);
}

/* -------------------------------------------------- with requests on their way */

#define BUSY_PAGES	64

/* Wait until the device has written to any of the pages. */
static void see_any_stamp(struct test *t)
{
	double until = now_ms() + 10000;
	unsigned int page = 0;

	while (!*stamp(t, page++ % BUSY_PAGES))
		if (now_ms() > until)
			test_lost(t, "the device does not write any more");
}

/*
 * The device asks all the time: hammers in random order over many pages, which
 * are given away as soon as one of them is there.
 */
static void busy(struct test *t, unsigned int rounds)
{
	size_t len = BUSY_PAGES * PAGE_SIZE;
	struct pindma_op op = {
		.opcode = PINDMA_OP_HAMMER, .mode = PINDMA_ORDER_RANDOM,
		.len = len, .value = 1, .seed = t->seed };
	uint32_t channel;

	t->mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(t, t->mem != MAP_FAILED);
	CHECK(t, !pindma_reg_mr(t->dev, t->mem, len, PINDMA_PIN_ON_DEMAND, 0,
				&t->mr));
	op.mr = t->mr;
	for (channel = 0; channel < 3; channel++)
		test_post(t, channel, &op, 1);
	while (rounds--) {
		see_any_stamp(t);
		if (madvise(t->mem, len, MADV_DONTNEED))
			test_error(t, "MADV_DONTNEED: %s", strerror(errno));
	}
}

static void end_busy_child(struct test *t, unsigned int round)
{
	volatile uint32_t *shared = mmap(NULL, PAGE_SIZE,
					 PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;
	int status;

	CHECK(t, shared != MAP_FAILED);
	pid = fork();
	CHECK(t, pid >= 0);
	if (!pid) {
		test_open(t);
		busy(t, 20);
		*shared = t->mr;
		if (round & 1)
			_exit(0);
		for (;;)
			madvise(t->mem, BUSY_PAGES * PAGE_SIZE, MADV_DONTNEED);
	}
	while (!*shared && waitpid(pid, &status, WNOHANG) != pid)
		usleep(1000);
	CHECK(t, *shared);
	usleep(1000 * (round % 7));
	kill(pid, SIGKILL);
	CHECK(t, waitpid(pid, &status, 0) == pid);
	test_check_unpinned(t, *shared);
	munmap((void *)shared, PAGE_SIZE);
}

static void busy_end(struct test *t)
{
	unsigned int round;

	test_open(t);
	for (round = 0; round < 10; round++)
		end_busy_child(t, round);
	test_kept(t);
}

static void busy_dereg(struct test *t)
{
	struct pindma_completion c[3];
	unsigned int round, i;

	test_open(t);
	for (round = 0; round < 20; round++) {
		busy(t, 1 + round);
		CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
		test_check_unpinned(t, t->mr);
		test_collect(t, c, 3);
		for (i = 0; i < 3; i++)
			CHECK(t, c[i].status == PINDMA_ST_ABORTED ||
				 c[i].status == PINDMA_ST_BAD_KEY);
		munmap(t->mem, BUSY_PAGES * PAGE_SIZE);
	}
	t->mr = 0;
	test_kept(t);
}

static void busy_unbind(struct test *t)
{
	char name[256];
	pid_t pid;
	uint32_t mr;

	test_open(t);
	find_device(t, name);
	busy(t, 20);
	mr = t->mr;
	t->mr = 0;
	/* It goes on giving its pages away while the driver goes. */
	pid = fork();
	CHECK(t, pid >= 0);
	if (!pid) {
		unbind_device(t, name);
		_exit(0);
	}
	while (waitpid(pid, NULL, WNOHANG) != pid)
		madvise(t->mem, BUSY_PAGES * PAGE_SIZE, MADV_DONTNEED);
	CHECK(t, !munmap(t->mem, BUSY_PAGES * PAGE_SIZE));
	pindma_close(t->dev);
	bind_device(t, name);
	test_open(t);
	test_check_unpinned(t, mr);
	test_kept(t);
}

#define SOURCE	"Documentation/mm/hmm.rst"

const struct scenario driver_demand_scenarios[] = {
	{
		.name = "driver.demand_unpinned",
		.promise = "an mr on demand holds no page, needs no RLIMIT_MEMLOCK, and the device finds what the process has there: " SOURCE,
		.mems = MEMS_ANON_ALL | BIT(MEM_SHMEM) | BIT(MEM_ZERO) |
			BIT(MEM_FILE) | BIT(MEM_EXT4),
		.pins = PINS_DEMAND,
		.run = unpinned,
	}, {
		.name = "driver.demand_dontneed",
		.promise = "the device writes to the pages that the process has, not to those that it had: " SOURCE,
		.mems = MEMS_ANON_ALL | BIT(MEM_SHMEM),
		.pins = PINS_DEMAND,
		.flags = SCENARIO_SLOW,
		.run = dontneed,
	}, {
		.name = "driver.demand_taken_back",
		.promise = "what was taken back the device does not access, until it gets it again: " SOURCE,
		.mems = BIT(MEM_ANON),
		.pins = PINS_DEMAND,
		.run = taken_back,
	}, {
		.name = "driver.demand_reset",
		.promise = "an mr on demand is had on demand after a reset, too: <linux/pindma.h>",
		.mems = BIT(MEM_ANON),
		.pins = PINS_DEMAND,
		.run = reset,
	}, {
		.name = "driver.demand_moved",
		.promise = "an mr on demand stays where it is when its memory is moved away, unmapped or replaced",
		.mems = BIT(MEM_ANON),
		.pins = PINS_DEMAND,
		.run = moved,
	}, {
		.name = "driver.demand_no_memory",
		.promise = "an op that comes to what the process has not, or may not write, ends with PINDMA_ST_DMA_ERROR",
		.mems = BIT(MEM_ANON),
		.pins = PINS_DEMAND,
		.run = no_memory,
	}, {
		.name = "driver.demand_owner_exits",
		.promise = "when the process that has registered it is gone an mr on demand has no memory",
		.mems = BIT(MEM_ANON),
		.pins = PINS_DEMAND,
		.run = owner_exits,
	}, {
		.name = "driver.demand_oom",
		.promise = "the OOM reaper, which cannot wait, leaves what the device has on demand: mmu_notifier_range_blockable()",
		.mems = BIT(MEM_ANON),
		.pins = PINS_DEMAND,
		.run = oom_reaper,
	}, {
		.name = "driver.demand_dirty",
		.promise = "what the device wrote is not dropped by reclaim, though no CPU has dirtied it",
		.mems = BIT(MEM_ANON),
		.pins = PINS_DEMAND,
		.run = dirty,
	}, {
		.name = "driver.demand_busy_end",
		.promise = "a process may end while the device waits for its pages",
		.mems = BIT(MEM_ANON),
		.pins = PINS_DEMAND,
		.flags = SCENARIO_SLOW,
		.run = busy_end,
	}, {
		.name = "driver.demand_busy_dereg",
		.promise = "an mr may end while the device waits for its pages",
		.mems = BIT(MEM_ANON),
		.pins = PINS_DEMAND,
		.flags = SCENARIO_SLOW,
		.run = busy_dereg,
	}, {
		.name = "driver.demand_busy_unbind",
		.promise = "the driver may be unbound while the device waits for pages",
		.mems = BIT(MEM_ANON),
		.pins = PINS_DEMAND,
		.run = busy_unbind,
	},
	{ }
};
