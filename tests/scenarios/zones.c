// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is to be removed one day: nothing may be pinned in it for long.
 *
 * A block of memory is made movable, and a page of the process is taken from
 * it; or from a CMA area, if the kernel has one. Red cells: those of PIN and GET,
 * which leave the page where it is, and all of them before 5.13.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define MEMORY	"/sys/devices/system/memory/"

static uint64_t pages_per_block(struct test *t)
{
	unsigned long size;
	FILE *f = fopen(MEMORY "block_size_bytes", "re");

	if (!f || fscanf(f, "%lx", &size) != 1)
		test_skip(t, "no memory hotplug in this kernel");
	fclose(f);
	return size / PAGE_SIZE;
}

static int set_state(int block, const char *state)
{
	char path[128];

	snprintf(path, sizeof(path), MEMORY "memory%d/state", block);
	return kernel_set(path, state);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* Offlining tries again until it is interrupted: 0 or -errno. */
static int offline(int block, unsigned int ms)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval in = { .it_value = { ms / 1000, ms % 1000 * 1000 } };
	struct itimerval never = { 0 };
	int ret;

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &in, NULL);
	ret = set_state(block, "offline");
	setitimer(ITIMER_REAL, &never, NULL);
	return ret;
}

/* Make a block movable: the last one that can be. */
static int make_movable(struct test *t)
{
	int block, last = 0, n;
	struct dirent *e;
	DIR *dir = opendir(MEMORY);

	while (dir && (e = readdir(dir)))
		if (sscanf(e->d_name, "memory%d", &n) == 1 && n > last)
			last = n;
	if (dir)
		closedir(dir);
	for (block = last; block > 0; block--) {
		if (offline(block, 1000))
			continue;
		if (!set_state(block, "online_movable"))
			return block;
		set_state(block, "online");
	}
	test_skip(t, "no block of memory can be made movable");
}

/* How many pages of the mr are among these frames? */
static unsigned int pages_among(struct test *t, uint64_t first, uint64_t nr)
{
	unsigned int page, n = 0;

	for (page = 0; page < NR_PAGES; page++)
		n += test_pfn(t, t->mem + page * PAGE_SIZE) - first < nr;
	return n;
}

static unsigned int pages_in_block(struct test *t, int block)
{
	uint64_t nr = pages_per_block(t);

	return pages_among(t, block * nr, nr);
}

/*
 * New memory comes from the movable zone as long as that has some, if it comes
 * from its node.
 */
static void alloc_in_block(struct test *t, int block)
{
	unsigned long node = 0;
	char path[128];

	do {
		snprintf(path, sizeof(path), MEMORY "memory%d/node%lu", block,
			 node);
	} while (access(path, F_OK) && ++node < 8);
	node = 1ul << node;
	if (syscall(SYS_set_mempolicy, MPOL_BIND, &node, 8 * sizeof(node)))
		test_skip(t, "set_mempolicy: %s", strerror(errno));
	test_alloc(t);
	if (pages_in_block(t, block) != NR_PAGES)
		test_skip(t, "the kernel gives no memory from the movable block %d",
			  block);
}

static void pin_in(struct test *t, int block)
{
	alloc_in_block(t, block);
	test_open(t);
	test_reg_mr(t);
}

static void __attribute__((noreturn)) try_pin(struct test *t, int block)
{
	unsigned int nr;

	pin_in(t, block);
	nr = pages_in_block(t, block);
	if (nr)
		test_lost(t, "%u pages of the mr are pinned in memory that is to be movable",
			  nr);
	test_two_way(t, NULL);
	test_kept(t);
}

#define MAX_TRIES	20

/* What takes long may also be somebody else's pages: ask where ours are. */
static void __attribute__((noreturn)) try_offline(struct test *t, int block)
{
	unsigned int tries = 0, nr;
	int ret;

	pin_in(t, block);
	test_step(t, "the memory is taken offline");
	do {
		ret = offline(block, 1000);
		nr = ret ? pages_in_block(t, block) : 0;
	} while (ret && !nr && ++tries < MAX_TRIES);
	if (nr)
		test_lost(t, "memory with %u pages of the mr cannot be taken offline: %s",
			  nr, strerror(-ret));
	if (ret)
		test_skip(t, "the memory cannot be taken offline, but not because of the mr: %s",
			  strerror(-ret));
	test_two_way(t, NULL);
	test_kept(t);
}

/* The block is put back by a process that does not end in between. */
static void with_block(struct test *t,
		       void (*fn)(struct test *t, int block))
{
	double start = now_ms();
	int block = make_movable(t);
	pid_t pid;

	test_note(t, "block %d made movable in %.0f ms", block,
		  now_ms() - start);
	pid = fork();
	if (pid < 0)
		test_error(t, "fork: %s", strerror(errno));
	if (!pid)
		fn(t, block);
	waitpid(pid, NULL, 0);
	offline(block, 5000);
	set_state(block, "online_kernel");
	_exit(0);	/* it has said how it ended */
}

static void movable(struct test *t)
{
	with_block(t, try_pin);
}

static void offline_(struct test *t)
{
	with_block(t, try_offline);
}

/*
 * The area that the kernel was booted with (cma=), its first frame and how many.
 * Without CONFIG_CMA_DEBUGFS only the kernel's log has it.
 */
static bool find_cma(uint64_t *first, uint64_t *nr)
{
	char line[1024], *found;
	unsigned long mib, addr;
	ssize_t n;
	int fd;

	if (kernel_get("/sys/kernel/debug/cma/reserved/base_pfn", line,
		       sizeof(line))) {
		*first = strtoull(line, NULL, 0);
		if (!kernel_get("/sys/kernel/debug/cma/reserved/count", line,
				sizeof(line)))
			return false;
		*nr = strtoull(line, NULL, 0);
		return true;
	}
	fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	while (fd >= 0 && (n = read(fd, line, sizeof(line) - 1)) > 0) {
		line[n] = '\0';
		found = strstr(line, "cma: Reserved ");
		if (!found || sscanf(found, "cma: Reserved %lu MiB at %lx",
				     &mib, &addr) != 2)
			continue;
		close(fd);
		*first = addr / PAGE_SIZE;
		*nr = (mib << 20) / PAGE_SIZE;
		return true;
	}
	close(fd);
	return false;
}

#define CMA_TRIES	64

static void cma(struct test *t)
{
	unsigned long node;
	unsigned int try, nr = 0;
	uint64_t first, size;

	if (!find_cma(&first, &size))
		test_skip(t, "wants --append cma=320M, and a kernel with CONFIG_CMA");
	for (try = 0; try < CMA_TRIES && !nr; try++) {
		node = 1ul << try % 2;
		syscall(SYS_set_mempolicy, MPOL_BIND, &node, 8 * sizeof(node));
		test_alloc(t);
		nr = pages_among(t, first, size);
	}
	if (!nr)
		test_skip(t, "the kernel gives no memory from the CMA area");
	test_note(t, "%u pages of the mr are in the CMA area", nr);
	test_open(t);
	test_reg_mr(t);
	nr = pages_among(t, first, size);
	if (nr)
		test_lost(t, "%u pages of the mr are pinned in the CMA area",
			  nr);
	test_two_way(t, NULL);
	test_kept(t);
}

/* What each of them takes is too long to do it for the slow and the fast way. */
#define PINS_EACH	(BIT(PIN_GET_FAST) | BIT(PIN_PIN_FAST) | \
			 BIT(PIN_FAST_LONGTERM))

#define FIX	"d1e153fea2a8 (5.13): mm/gup: migrate pinned pages out of movable zone; see check_and_migrate_movable_pages()"

const struct scenario zones_scenarios[] = {
	{
		.name = "zones.movable",
		.promise = "a longterm pin moves the page out of ZONE_MOVABLE first: memory-hotplug.rst",
		.fix = FIX,
		.mems = BIT(MEM_ANON), .pins = PINS_EACH,
		.flags = SCENARIO_FULL,
		.run = movable,
	}, {
		.name = "zones.offline",
		.promise = "movable memory can be taken offline although there are longterm pins: memory-hotplug.rst",
		.fix = FIX,
		.mems = BIT(MEM_ANON), .pins = PINS_EACH,
		.flags = SCENARIO_FULL,
		.run = offline_,
	}, {
		.name = "zones.cma",
		.promise = "a longterm pin moves the page out of a CMA area first: FOLL_LONGTERM in linux/mm_types.h",
		.fix = FIX "; 9a4e9f3b2d73 (5.2) for CMA",
		.mems = BIT(MEM_ANON), .pins = PINS_EACH,
		.flags = SCENARIO_FULL,
		.run = cma,
	},
	{ }
};
