// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is what the process sees and what the device sees the same memory?
 *
 * Three views, which must agree: what the process reads after the device
 * wrote, what the device reads after the process wrote, and which page frames
 * the two of them mean.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

/*
 * Where in a page: stamps of a hammer are at 0. Each in a sector of its own: a
 * device that is a disk writes all of the 512 bytes.
 */
#define OFF_CPU		0x400	/* test_cpu_write() */
#define OFF_DEVICE	0x800	/* the device writes, the process reads */
#define OFF_PROCESS	0xa00	/* the process writes, the device reads */

static volatile uint64_t *word(struct test *t, unsigned int page, size_t offset)
{
	return (volatile uint64_t *)(t->mem + page * PAGE_SIZE + offset);
}

/* A value that was not there before (splitmix64). */
uint64_t test_token(struct test *t)
{
	uint64_t z = t->seed + ++t->next_token * 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Write to each page, which is what breaks COW. */
void test_cpu_write(struct test *t)
{
	for (unsigned int page = 0; page < NR_PAGES; page++)
		*word(t, page, OFF_CPU) = test_token(t);
}

/* ------------------------------------------------------------- the peer */

/* What another process is asked to do with its view of the memory */
struct request {
	char cmd;		/* 'w'rite, 's'ee, 'q'uit */
	size_t offset;		/* see: where */
	uint64_t value;		/* see: is this value there? */
};

#define PEER_DIED	(~0ull)

static uint64_t ask(const struct peer *peer, struct request req)
{
	uint64_t answer;

	if (write(peer->to, &req, sizeof(req)) != sizeof(req) ||
	    read(peer->from, &answer, sizeof(answer)) != sizeof(answer))
		return PEER_DIED;
	return answer;
}

static void __attribute__((noreturn)) peer_main(struct test *t, int from,
						int to, const struct peer *inner)
{
	struct request req;
	uint64_t answer;

	while (read(from, &req, sizeof(req)) == sizeof(req)) {
		answer = 0;
		switch (req.cmd) {
		case 'w':
			test_cpu_write(t);
			break;
		case 's':
			answer = *(volatile uint64_t *)(t->mem + req.offset) ==
				 req.value;
			break;
		case 'q':
			_exit(0);
		}
		if (inner)
			answer |= ask(inner, req);
		if (write(to, &answer, sizeof(answer)) != sizeof(answer))
			break;
	}
	_exit(1);
}

/*
 * Fork a process that waits for requests. nested: it forks again, and answers
 * for both.
 */
struct peer test_fork_peer(struct test *t, bool nested)
{
	int down[2], up[2];
	struct peer peer;

	if (pipe(down) || pipe(up))
		test_error(t, "pipe: %s", strerror(errno));
	peer.pid = fork();
	if (peer.pid < 0)
		test_error(t, "fork: %s", strerror(errno));
	if (!peer.pid) {
		close(down[1]);
		close(up[0]);
		if (nested) {
			struct peer grandchild = test_fork_peer(t, false);

			peer_main(t, down[0], up[1], &grandchild);
		}
		peer_main(t, down[0], up[1], NULL);
	}
	close(down[0]);
	close(up[1]);
	peer.to = down[1];
	peer.from = up[0];
	return peer;
}

void test_peer_write(struct test *t, const struct peer *peer)
{
	if (ask(peer, (struct request){ .cmd = 'w' }) == PEER_DIED)
		test_error(t, "the child died when it wrote to the memory");
}

static bool peer_sees(struct test *t, const struct peer *peer,
		      size_t offset, uint64_t value)
{
	uint64_t answer = ask(peer, (struct request){
		.cmd = 's', .offset = offset, .value = value });

	if (answer == PEER_DIED)
		test_error(t, "the child died when it read the memory");
	return answer;
}

/* When this returns the peer, and the one that it forked, are at work. */
void test_peer_sync(struct test *t, const struct peer *peer)
{
	peer_sees(t, peer, OFF_DEVICE, 0);
}

void test_peer_exit(struct test *t, struct peer *peer)
{
	struct request req = { .cmd = 'q' };
	int status;

	if (write(peer->to, &req, sizeof(req)) != sizeof(req) ||
	    waitpid(peer->pid, &status, 0) != peer->pid || status)
		test_error(t, "the child did not exit in peace");
	close(peer->to);
	close(peer->from);
}

void test_wait_exit(struct test *t, pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		test_error(t, "waitpid: %s", strerror(errno));
	if (status)
		test_error(t, "the child ended with status 0x%x", status);
}

/*
 * Fork, and count the pages from addr on that the child maps in the frames of
 * its parent: those that fork() has not copied.
 */
unsigned int test_fork_shares(struct test *t, uint8_t *addr, size_t len)
{
	uint64_t pfn[len / PAGE_SIZE];
	unsigned int i, shared = 0;
	int up[2];
	pid_t pid;

	if (pipe(up))
		test_error(t, "pipe: %s", strerror(errno));
	for (i = 0; i < len / PAGE_SIZE; i++)
		pfn[i] = test_pfn(t, addr + i * PAGE_SIZE);
	pid = fork();
	if (pid < 0)
		test_error(t, "fork: %s", strerror(errno));
	if (!pid) {
		for (i = 0; i < len / PAGE_SIZE; i++)
			shared += test_pfn(t, addr + i * PAGE_SIZE) == pfn[i];
		_exit(write(up[1], &shared, sizeof(shared)) != sizeof(shared));
	}
	test_wait_exit(t, pid);
	if (read(up[0], &shared, sizeof(shared)) != sizeof(shared))
		test_error(t, "the child does not say what it maps");
	close(up[0]);
	close(up[1]);
	return shared;
}

/* ----------------------------------------------------------- the verdict */

struct views {
	uint64_t pinned_pfn, pfn_before, pfn_after;
	uint64_t written[2], read[2];	/* device to process, twice */
	uint64_t cpu_written, cpu_read;	/* process to device */
	uint64_t seq[2];		/* their journal entries */
	bool peer_sees;
};

/* Who writes, and the other must see it */
#define DEVICE_WRITES	BIT(0)
#define PROCESS_WRITES	BIT(1)

static void look(struct test *t, const struct peer *peer, unsigned int who,
		 unsigned int page, struct views *v)
{
	uint64_t base = page * PAGE_SIZE;
	struct pindma_completion c;
	int i;

	v->pfn_before = test_pfn(t, t->mem + base);
	for (i = 0; i < 2; i++) {
		if (who & DEVICE_WRITES) {
			v->written[i] = test_token(t);
			test_dma_write(t, base + OFF_DEVICE, v->written[i], &c);
			v->seq[i] = c.seq;
			v->read[i] = *word(t, page, OFF_DEVICE);
			v->peer_sees |= peer &&
				peer_sees(t, peer, base + OFF_DEVICE,
					  v->written[i]);
		}
		if (i || !(who & PROCESS_WRITES))
			break;
		/* The process's own write may be what breaks COW: look again */
		v->cpu_written = test_token(t);
		*word(t, page, OFF_PROCESS) = v->cpu_written;
		v->cpu_read = test_dma_read(t, base + OFF_PROCESS);
	}
	v->pfn_after = test_pfn(t, t->mem + base);
	/*
	 * On demand the device has no page before it has needed it; an exclusive
	 * one it has no more when the process looks.
	 */
	v->pinned_pfn = test_pinned_pfn(t, page);
}

static void describe(struct test *t, const struct peer *peer, unsigned int who,
		     unsigned int page, const struct views *v)
{
	static const char *const flags[] = {
		"anon", "exclusive", "dirty", "writeback", "lru", "compound",
		"hugetlb", "maybe-pinned" };
	bool moved = v->pinned_pfn && v->pfn_after != v->pinned_pfn;
	int last = v->read[1] != v->written[1];
	struct pindma_page facts;
	char text[128] = "", seq[40] = "";

	test_note(t, "frames: page %u of the mr is pinned in frame 0x%llx, the process maps frame 0x%llx: %s",
		  page, (unsigned long long)v->pinned_pfn,
		  (unsigned long long)v->pfn_after, moved ? "MOVED" : "the same");
	if (v->seq[last])
		snprintf(seq, sizeof(seq), " (journal %llu)",
			 (unsigned long long)v->seq[last]);
	if (who & DEVICE_WRITES)
		test_note(t, "process: the device wrote 0x%016llx at +0x%x%s, the process reads 0x%016llx: %s",
			  (unsigned long long)v->written[last], OFF_DEVICE, seq,
			  (unsigned long long)v->read[last],
			  v->read[last] == v->written[last] ? "seen" : "LOST");
	if (who & PROCESS_WRITES)
		test_note(t, "device: the process wrote 0x%016llx at +0x%x, the device reads 0x%016llx: %s",
			  (unsigned long long)v->cpu_written, OFF_PROCESS,
			  (unsigned long long)v->cpu_read,
			  v->cpu_read == v->cpu_written ? "seen" : "STALE");
	if (peer && who & DEVICE_WRITES)
		test_note(t, "child: it %s what the device writes for its parent",
			  v->peer_sees ? "SEES" : "does not see");
	if (!test_page_facts(t, page, &facts))
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++) {
		if (facts.flags & BIT(i)) {
			strcat(text, " ");
			strcat(text, flags[i]);
		}
	}
	test_note(t, "page: refcount %d, mapcount %d,%s", facts.refcount,
		  facts.mapcount, text);
}

static void check(struct test *t, const struct peer *peer, unsigned int who)
{
	unsigned int page;
	struct views v;

	test_step(t, "look at it from both sides");
	for (page = 0; page < NR_PAGES; page++) {
		bool seen, fresh, moved;

		memset(&v, 0, sizeof(v));
		look(t, peer, who, page, &v);
		seen = v.read[0] == v.written[0] && v.read[1] == v.written[1];
		fresh = v.cpu_read == v.cpu_written;
		moved = v.pinned_pfn && v.pfn_after != v.pinned_pfn;
		if (seen && fresh && !moved && !v.peer_sees)
			continue;
		describe(t, peer, who, page, &v);
		if (seen && fresh && moved)
			test_error(t, "frame 0x%llx became 0x%llx, but no data was lost: the views disagree",
				   (unsigned long long)v.pinned_pfn,
				   (unsigned long long)v.pfn_after);
		if (!moved && !(seen && fresh))
			test_error(t, "data was lost within frame 0x%llx: the views disagree",
				   (unsigned long long)v.pinned_pfn);
		test_lost(t, "%s%s%s%s%s (frame 0x%llx pinned, 0x%llx mapped)",
			  seen ? "" : "process does not see the DMA",
			  seen || fresh ? "" : ", ",
			  fresh ? "" : "device reads stale data",
			  (seen && fresh) || !v.peer_sees ? "" : ", ",
			  v.peer_sees ? "child sees the DMA" : "",
			  (unsigned long long)v.pinned_pfn,
			  (unsigned long long)v.pfn_after);
	}
	describe(t, peer, who, NR_PAGES - 1, &v);
	test_check_surroundings(t);
}

/*
 * The end of most scenarios: do process and device share each page of the mr?
 * peer, if not NULL, must not see what the device writes for the process.
 */
void test_two_way(struct test *t, const struct peer *peer)
{
	check(t, peer, DEVICE_WRITES | PROCESS_WRITES);
}

/* The same if the process may not write, for that would be another case. */
void test_device_to_process(struct test *t, const struct peer *peer)
{
	check(t, peer, DEVICE_WRITES);
}

/* The same if the device may not write. */
void test_process_to_device(struct test *t, const struct peer *peer)
{
	check(t, peer, PROCESS_WRITES);
}

/* What most of the cases come to: does the process keep its pages over a fork()? */
void test_fork_and_write(struct test *t)
{
	struct peer child;

	test_step(t, "fork");
	child = test_fork_peer(t, false);
	test_step(t, "the parent writes");
	test_cpu_write(t);
	test_two_way(t, &child);
	test_peer_exit(t, &child);
	test_kept(t);
}
