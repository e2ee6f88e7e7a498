// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process ends, in one way or another, or just closes its file, while the device
 * writes to its memory: the device must have stopped before the first page is
 * unpinned.
 *
 * The judge is the device's journal, with the driver as a witness: it marks the
 * moment of the unpin, and no access to the mr may stand behind the mark. To see it red: unpin before
 * the device has let go (tests/mutants/unpin-before-drain.patch).
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define HAMMER_RATE	200000	/* per second */
#define MAX_END_MS	20000	/* twice what the driver waits for the device */

/* What the process under test tells the one that watches */
struct shared {
	volatile uint32_t mr;	/* registered, and the hammer is on its way */
};

static struct shared *share(struct test *t)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		test_error(t, "mmap: %s", strerror(errno));
	return s;
}

static void wait_for_stamps(struct test *t)
{
	volatile uint64_t *stamp = (volatile uint64_t *)t->mem;
	uint64_t was = *stamp;
	double until = now_ms() + 5000;

	while (*stamp == was)
		if (now_ms() > until)
			test_error(t, "the hammer does not write");
}

enum end { END_KILL, END_EXIT, END_EXEC };

/* The process that is about to end: its hammer is at work when mr is set. */
static void __attribute__((noreturn)) victim(struct test *t, struct shared *s,
					     enum end how)
{
	char *const argv[] = { "pindma-test", "--exit", NULL };

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	test_start_hammer(t, HAMMER_RATE);
	wait_for_stamps(t);
	s->mr = t->mr;
	switch (how) {
	case END_EXIT:
		_exit(0);
	case END_EXEC:
		execv("/proc/self/exe", argv);
		_exit(1);
	case END_KILL:
		break;
	}
	for (;;)
		pause();
}

static void end_of_process(struct test *t, enum end how)
{
	struct shared *s = share(t);
	bool gone = false;
	double start;
	pid_t pid;
	int status;

	pid = fork();
	if (pid < 0)
		test_error(t, "fork: %s", strerror(errno));
	if (!pid)
		victim(t, s, how);
	while (!s->mr) {
		gone = waitpid(pid, &status, WNOHANG) == pid;
		if (gone && !s->mr)
			_exit(0);	/* it has said why */
		usleep(1000);
	}
	start = now_ms();
	if (how == END_KILL)
		kill(pid, SIGKILL);
	if (!gone)
		waitpid(pid, &status, 0);
	test_note(t, "the process was gone %.1f ms later", now_ms() - start);
	if (how == END_KILL ? !WIFSIGNALED(status) : status)
		test_error(t, "the process ended with status 0x%x", status);
	if (now_ms() - start > MAX_END_MS)
		test_lost(t, "the process took %.0f ms to end",
			  now_ms() - start);
	test_open(t);
	t->mr = s->mr;	/* for the timeline */
	test_check_unpinned(t, s->mr);
	test_kept(t);
}

static void kill9(struct test *t)
{
	end_of_process(t, END_KILL);
}

static void exit_(struct test *t)
{
	end_of_process(t, END_EXIT);
}

static void exec(struct test *t)
{
	end_of_process(t, END_EXEC);
}

/* Until the device has made this many more, wherever they go. */
static void wait_for_accesses(struct test *t, unsigned int nr)
{
	uint64_t first = 0, start, newest;
	double until = now_ms() + 10000;

	pindma_read_journal(t->dev, &first, NULL, 0, &start);
	do {
		if (now_ms() > until)
			test_error(t, "the device makes no accesses any more");
		usleep(1000);
		pindma_read_journal(t->dev, &first, NULL, 0, &newest);
	} while (newest - start < nr);
}

/*
 * The process gives the addresses away, the device keeps the pages: what is
 * mapped next must not be hit.
 */
static void munmap_(struct test *t)
{
	uint64_t hammer;
	uint8_t *canary;
	size_t i;
	uint32_t mr;

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	mr = t->mr;
	hammer = test_start_hammer(t, HAMMER_RATE);
	wait_for_stamps(t);
	test_step(t, "munmap");
	if (munmap(t->buf, t->len))
		test_error(t, "munmap: %s", strerror(errno));
	canary = mmap(t->buf, t->len, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (canary != t->buf)
		test_error(t, "mmap: %s", strerror(errno));
	memset(canary, 0xa5, t->len);
	wait_for_accesses(t, 1000);
	for (i = 0; i < t->len; i++)
		if (canary[i] != 0xa5)
			test_lost(t, "byte %zu of memory that was mapped after the munmap was overwritten with 0x%02x",
				  i, canary[i]);
	test_stop_hammer(t, hammer);
	if (pindma_dereg_mr(t->dev, mr))
		test_error(t, "the mr cannot be deregistered");
	test_check_unpinned(t, mr);
	test_kept(t);
}

/* The process lives on, with its memory, and would see each write. */
static void close_(struct test *t)
{
	static uint8_t as_left[NR_PAGES * PAGE_SIZE];
	long pinned, charged, pinned_after, charged_after;
	uint32_t mr;
	bool written;

	test_alloc(t);
	test_open(t);
	pinned = kernel_pinned_pages();
	charged = kernel_vm_pin(getpid());
	test_reg_mr(t);
	mr = t->mr;
	test_start_hammer(t, HAMMER_RATE);
	wait_for_stamps(t);
	test_step(t, "close");
	pindma_close(t->dev);
	memcpy(as_left, t->mem, sizeof(as_left));
	pinned_after = kernel_pinned_pages();
	charged_after = kernel_vm_pin(getpid());
	usleep(50000);
	written = memcmp(as_left, t->mem, sizeof(as_left));
	test_open(t);	/* for the journal; t->mr is for the timeline */
	if (written)
		test_lost(t, "the device writes to the pages after the close()");
	if (pinned_after != pinned || charged_after != charged)
		test_lost(t, "after the close() %ld pages are pinned, and VmPin is %ld kB: before the mr it was %ld, and %ld kB",
			  pinned_after, charged_after, pinned, charged);
	test_check_unpinned(t, mr);
	test_kept(t);
}

#define DRAINED	"no access after the last unpin (left to the driver: pin_user_pages.rst, \"No special synchronization with [...] munmap()\")"

const struct scenario lifetime_scenarios[] = {
	{
		.name = "lifetime.kill9",
		.promise = DRAINED ": a process is killed under a hammer",
		.mems = MEMS_ANON_ALL, .pins = PINS_PINDMA | PINS_DEMAND,
		.flags = SCENARIO_SLOW,
		.run = kill9,
	}, {
		.name = "lifetime.exit",
		.promise = DRAINED ": a process exits under a hammer",
		.mems = MEMS_ANON_ALL, .pins = PINS_PINDMA | PINS_DEMAND,
		.flags = SCENARIO_SLOW,
		.run = exit_,
	}, {
		.name = "lifetime.exec",
		.promise = DRAINED ": a process executes another program under a hammer",
		.mems = MEMS_ANON_ALL, .pins = PINS_PINDMA | PINS_DEMAND,
		.flags = SCENARIO_SLOW,
		.run = exec,
	}, {
		.name = "lifetime.munmap",
		.promise = DRAINED ", and none to what is mapped at the address next: munmap() under a hammer",
		.mems = MEMS_ANON_ALL, .pins = PINS_PINDMA,
		.flags = SCENARIO_SLOW,
		.run = munmap_,
	}, {
		.name = "lifetime.close",
		.promise = DRAINED ", and nothing is charged any more: the file is closed under a hammer, and the process lives on",
		.mems = MEMS_ANON_ALL, .pins = PINS_PINDMA | PINS_DEMAND,
		.flags = SCENARIO_SLOW,
		.run = close_,
	},
	{ }
};
