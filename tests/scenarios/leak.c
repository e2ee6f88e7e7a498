// SPDX-License-Identifier: GPL-2.0-only
/*
 * The other direction: a child must not see, through a device, what its parent
 * writes after the fork (CVE-2020-29374, with a pin for vmsplice()).
 *
 * The child pins what it shares with its parent, and unmaps it. A kernel that
 * only counts who maps the page then lets the parent write in place. Red cells:
 * THP and hugetlb on 5.10, the GET cells of hugetlb everywhere; of vmsplice() THP
 * on 5.10, and hugetlb everywhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define OFFSET	0x700

static void let_parent_write(struct test *t, int ready, int go)
{
	char c = 0;

	if (munmap(t->buf, t->len))
		test_error(t, "munmap: %s", strerror(errno));
	if (write(ready, &c, 1) != 1 || read(go, &c, 1) != 1)
		test_error(t, "the parent is gone");
}

static void __attribute__((noreturn)) spy(struct test *t, const uint64_t *secret,
					  int ready, int go)
{
	unsigned int page;

	t->mr_flags = PINDMA_MR_READONLY;
	test_open(t);
	test_reg_mr(t);
	test_step(t, "the child has pinned it, and will unmap it");
	let_parent_write(t, ready, go);
	test_step(t, "the parent has written");
	for (page = 0; page < NR_PAGES; page++) {
		uint64_t seen = test_dma_read(t, page * PAGE_SIZE + OFFSET);

		if (seen == secret[page])
			test_lost(t, "the child's device reads 0x%016llx, which the parent wrote to page %u after the fork",
				  (unsigned long long)seen, page);
	}
	test_kept(t);
}

/* The references are those of a pipe. */
static void __attribute__((noreturn))
spy_with_pipe(struct test *t, const uint64_t *secret, int ready, int go)
{
	struct iovec iov = { .iov_base = t->mem,
			     .iov_len = NR_PAGES * PAGE_SIZE };
	static uint8_t seen[NR_PAGES * PAGE_SIZE];
	unsigned int page;
	int fds[2];

	if (pipe(fds) ||
	    vmsplice(fds[1], &iov, 1, 0) != NR_PAGES * PAGE_SIZE)
		test_error(t, "vmsplice: %s", strerror(errno));
	let_parent_write(t, ready, go);
	if (read(fds[0], seen, sizeof(seen)) != sizeof(seen))
		test_error(t, "read from a pipe: %s", strerror(errno));
	for (page = 0; page < NR_PAGES; page++)
		if (!memcmp(seen + page * PAGE_SIZE + OFFSET, &secret[page], 8))
			test_lost(t, "the child's pipe has what the parent wrote to page %u after the fork",
				  page);
	test_kept(t);
}

static void child_spies(struct test *t,
			void (*fn)(struct test *t, const uint64_t *secret,
				   int ready, int go))
{
	uint64_t secret[NR_PAGES];
	int ready[2], go[2];
	unsigned int page;
	pid_t pid;
	char c = 0;

	test_alloc(t);
	for (page = 0; page < NR_PAGES; page++)
		secret[page] = test_token(t);
	if (pipe(ready) || pipe(go))
		test_error(t, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		test_error(t, "fork: %s", strerror(errno));
	if (!pid) {
		close(ready[0]);
		close(go[1]);
		fn(t, secret, ready[1], go[0]);
	}
	close(ready[1]);
	close(go[0]);
	if (read(ready[0], &c, 1) == 1) {
		for (page = 0; page < NR_PAGES; page++)
			*(volatile uint64_t *)(t->mem + page * PAGE_SIZE +
					       OFFSET) = secret[page];
		if (write(go[1], &c, 1) != 1)
			test_error(t, "the child is gone");
	}
	waitpid(pid, NULL, 0);
	_exit(0);	/* the child has said what it saw */
}

static void child_pins(struct test *t)
{
	child_spies(t, spy);
}

static void vmsplice_(struct test *t)
{
	child_spies(t, spy_with_pipe);
}

const struct scenario leak_scenarios[] = {
	{
		.name = "leak.child_pins",
		.promise = "what a process writes after fork() is not seen by a device for which its child has pinned the shared page",
		.fix = "17839856fd58 (5.8), 09854ba94c6a (5.9); for THP 3bff7e3f1f16 (5.18), for pins of hugetlb a7f226604170 (5.19); see do_wp_page(), do_huge_pmd_wp_page(), gup_must_unshare()",
		.mems = MEMS_ANON_ALL, .pins = PINS_STOCK,
		.flags = SCENARIO_FULL,
		.run = child_pins,
	}, {
		.name = "leak.vmsplice",
		.promise = "what a process writes after fork() is not seen through a pipe to which its child has given the shared page: CVE-2020-29374",
		.fix = "17839856fd58 (5.8), 09854ba94c6a (5.9); for THP 3bff7e3f1f16 (5.18), for hugetlb nothing: vmsplice() takes references, not pins; see do_wp_page(), do_huge_pmd_wp_page(), hugetlb_wp()",
		.mems = MEMS_ANON_ALL,
		.flags = SCENARIO_FULL,
		.run = vmsplice_,
	},
	{ }
};
