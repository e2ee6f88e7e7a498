// SPDX-License-Identifier: GPL-2.0-only
/*
 * Again and again, under load: processes are killed, the driver is unbound and
 * bound, the device is pulled out and put back, or reset. Each round finds the
 * others in the middle of something else. How many rounds there are by default
 * fits the limit of a case; --storm says how many there shall be.
 *
 * After all of it no page is pinned, the device has accessed none that was given
 * back (the runner looks for that after each case), no process is stuck and the
 * device works.
 *
 * To see it red: unpin before the device is told (kill), leave out the reset in
 * pindma_remove() (unbind), forget to wake up who waits in poll() (unbind, plug),
 * leave out the call of pindma_restart_mrs() (reset).
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared.h"
#include "host.h"

#define WORKERS		4
#define WORK_PAGES	16
#define OPS		16

static unsigned int rounds(const struct test *t, unsigned int by_default)
{
	return t->storm ? t->storm : by_default;
}

/* -------------------------------------------------------------------- the load */

static void use(struct pindma *dev, uint8_t *mem, unsigned int *seed)
{
	static const uint8_t opcodes[] = { PINDMA_OP_WRITE, PINDMA_OP_READ,
					   PINDMA_OP_FETCH_ADD,
					   PINDMA_OP_HAMMER };
	struct pindma_completion c[OPS];
	struct pindma_op op[OPS];
	unsigned int i, turns = rand_r(seed) % 8;
	uint32_t mr;

	while (turns--) {
		if (pindma_reg_mr(dev, mem, 1 + rand_r(seed) % (WORK_PAGES * PAGE_SIZE),
				  PINDMA_PIN_GET + rand_r(seed) % 3,
				  rand_r(seed) % 8, &mr))
			return;
		memset(op, 0, sizeof(op));
		for (i = 0; i < OPS; i++) {
			op[i].opcode = opcodes[rand_r(seed) % ARRAY_SIZE(opcodes)];
			op[i].mr = mr;
			op[i].len = op[i].opcode == PINDMA_OP_FETCH_ADD ? 8 :
				    rand_r(seed) % (WORK_PAGES * PAGE_SIZE);
		}
		pindma_post_on(dev, rand_r(seed) % 4, op, OPS);
		pindma_wait(dev, c, OPS, rand_r(seed) % 3);
		/* What is left of them ends with the mr, or with the file. */
		if (rand_r(seed) % 2 && pindma_dereg_mr(dev, mr))
			return;
	}
}

/* A process that uses the device in all ways, until it is killed. */
static pid_t start_worker(unsigned int seed)
{
	pid_t pid = fork();
	struct pindma *dev;
	uint8_t *mem;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	mem = mmap(NULL, WORK_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		_exit(1);
	for (;;) {
		/* While the device is away there is nothing to open. */
		if (pindma_open(NULL, &dev)) {
			usleep(1000);
			continue;
		}
		use(dev, mem, &seed);
		pindma_close(dev);
	}
}

static void kill_worker(struct test *t, pid_t pid)
{
	int status;

	CHECK(t, !kill(pid, SIGKILL));
	CHECK(t, waitpid(pid, &status, 0) == pid);
	/* Nothing else has ended it. */
	CHECK(t, WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

struct load {
	pid_t pids[WORKERS];
	long pinned;		/* before it */
};

static void start_load(struct test *t, struct load *load)
{
	unsigned int i;

	load->pinned = kernel_pinned_pages();
	for (i = 0; i < WORKERS; i++) {
		load->pids[i] = start_worker(t->seed + i);
		CHECK(t, load->pids[i] > 0);
	}
}

static void stop_load(struct test *t, struct load *load)
{
	struct pindma_op nop = { .opcode = PINDMA_OP_NOP };
	unsigned int i;

	for (i = 0; i < WORKERS; i++)
		kill_worker(t, load->pids[i]);
	CHECK(t, kernel_pinned_pages() == load->pinned);
	test_open(t);
	test_run_ok(t, nop);
}

/* ------------------------------------------------------------------- the rounds */

static void kill_storm(struct test *t)
{
	unsigned int i, n = rounds(t, 300), seed = t->seed;
	struct load load;

	start_load(t, &load);
	for (i = 0; i < n; i++) {
		pid_t *pid = &load.pids[i % WORKERS];

		usleep(rand_r(&seed) % 20000);
		kill_worker(t, *pid);
		*pid = start_worker(t->seed + WORKERS + i);
		CHECK(t, *pid > 0);
	}
	stop_load(t, &load);
	test_note(t, "%u processes killed", n);
	test_kept(t);
}

/* Our own file, in poll() while it happens: it must hear of it. */
static void check_told(struct test *t)
{
	struct pollfd pfd = { .events = POLLIN, .fd = pindma_fd(t->dev) };

	CHECK(t, poll(&pfd, 1, 10000) == 1);
	CHECK(t, pfd.revents & (POLLHUP | POLLERR));
	pindma_close(t->dev);
	t->dev = NULL;
}

static void unbind_storm(struct test *t)
{
	unsigned int i, n = rounds(t, 20);
	struct load load;
	char name[256];

	find_device(t, name);
	start_load(t, &load);
	for (i = 0; i < n; i++) {
		test_open(t);
		usleep(20000);
		unbind_device(t, name);
		check_told(t);
		bind_device(t, name);
	}
	stop_load(t, &load);
	test_note(t, "unbound and bound %u times", n);
	test_kept(t);
}

static void plug_storm(struct test *t)
{
	unsigned int i, ms, n = rounds(t, 2);
	struct load load;
	char name[256], path[300];

	find_device(t, name);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", name);
	ask_host(t, "fault none");	/* is somebody there? */
	start_load(t, &load);
	for (i = 0; i < n; i++) {
		test_open(t);
		usleep(20000);
		ask_host(t, "unplug");
		for (ms = 30000; !access(path, F_OK) && ms; ms--)
			usleep(1000);
		CHECK(t, ms);
		check_told(t);
		plug_in(t, "plug");
		for (ms = 20000; access("/dev/pindma0", F_OK) && ms; ms--)
			usleep(1000);
		CHECK(t, ms);
	}
	stop_load(t, &load);
	test_note(t, "pulled out and put back %u times", n);
	test_kept(t);
}

/* What <linux/pindma.h> says of a file that was there: ops end, its mr stays. */
static void check_lived_through(struct test *t, uint64_t hammer)
{
	uint64_t value = test_token(t);
	struct pindma_completion c;

	CHECK(t, pindma_wait(t->dev, &c, 1, 10000) == 1);
	CHECK(t, c.user_data == hammer && c.status == PINDMA_ST_ABORTED);
	c = test_run_op(t, (struct pindma_op){
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_IMMEDIATE,
		.mr = t->mr, .len = 8, .value = value });
	CHECK(t, c.status == PINDMA_ST_OK);
	CHECK(t, *(volatile uint64_t *)t->mem == value);
}

/*
 * A function level reset, the first of the kernel's methods that the device has.
 * When the write returns the device is back; our own file lives through all of it.
 */
static void reset_storm(struct test *t)
{
	unsigned int i, n = rounds(t, 20);
	struct load load;
	char path[600];
	uint64_t hammer;

	snprintf(path, sizeof(path), "%s/reset", device_dir(t));
	start_load(t, &load);
	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	for (i = 0; i < n; i++) {
		hammer = test_start_hammer(t, 0);
		usleep(20000);
		CHECK(t, !kernel_set(path, "1"));
		check_lived_through(t, hammer);
	}
	pindma_close(t->dev);
	t->mr = 0;
	stop_load(t, &load);
	test_note(t, "reset %u times", n);
	test_kept(t);
}

const struct scenario driver_storm_scenarios[] = {
	{
		.name = "storm.kill",
		.promise = "processes that are killed while the device works for them leave nothing behind",
		.flags = SCENARIO_HIDDEN,
		.run = kill_storm,
	}, {
		.name = "storm.unbind",
		.promise = "the driver can be unbound and bound under load, again and again",
		.flags = SCENARIO_HIDDEN,
		.run = unbind_storm,
	}, {
		.name = "storm.plug",
		.promise = "the device can be pulled out and put back under load, again and again",
		.flags = SCENARIO_HIDDEN,
		.run = plug_storm,
	}, {
		.name = "storm.reset",
		.promise = "the device can be reset under load, again and again, and files live through it",
		.flags = SCENARIO_HIDDEN,
		.run = reset_storm,
	},
	{ }
};
