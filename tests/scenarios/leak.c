// SPDX-License-Identifier: GPL-2.0-only
/*
 * The other direction: a child must not see, through a device, what its parent
 * writes after the fork (CVE-2020-29374, with a pin for vmsplice()).
 *
 * The child pins what it shares with its parent, and unmaps it. A kernel that
 * only counts who maps the page then lets the parent write in place. Red cells:
 * THP and hugetlb on 5.10, the GET cells of hugetlb everywhere.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define OFFSET	0x700

static void __attribute__((noreturn)) spy(struct test *t, const uint64_t *secret,
					  int ready, int go)
{
	unsigned int page;
	char c = 0;

	t->mr_flags = PINDMA_MR_READONLY;
	test_open(t);
	test_reg_mr(t);
	if (munmap(t->buf, t->len))
		test_error(t, "munmap: %s", strerror(errno));
	test_step(t, "the child has pinned and unmapped it");
	if (write(ready, &c, 1) != 1 || read(go, &c, 1) != 1)
		test_error(t, "the parent is gone");
	test_step(t, "the parent has written");
	for (page = 0; page < NR_PAGES; page++) {
		uint64_t seen = test_dma_read(t, page * PAGE_SIZE + OFFSET);

		if (seen == secret[page])
			test_lost(t, "the child's device reads 0x%016llx, which the parent wrote to page %u after the fork",
				  (unsigned long long)seen, page);
	}
	test_kept(t);
}

static void child_pins(struct test *t)
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
		spy(t, secret, ready[1], go[0]);
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

const struct scenario leak_scenarios[] = {
	{
		.name = "leak.child_pins",
		.promise = "what a process writes after fork() is not seen by a device for which its child has pinned the shared page",
		.fix = "17839856fd58 (5.8), 09854ba94c6a (5.9); for THP 3bff7e3f1f16 (5.18), for pins of hugetlb a7f226604170 (5.19)",
		.mems = MEMS_ANON_ALL, .pins = PINS_STOCK,
		.flags = SCENARIO_FULL,
		.run = child_pins,
	},
	{ }
};
