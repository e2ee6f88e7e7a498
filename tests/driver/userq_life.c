// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues that are mapped into the process come to their end, and with them what the
 * process has mapped. To see it red: leave out unmap_mapping_range() (queue_unbind,
 * queue_destroyed), do not disable the queue when it ends (queue_killed).
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared.h"
#include "userq.h"

#define FAR_AWAY	(1ull << 60)

static sigjmp_buf fault_env;
static volatile sig_atomic_t fault_signal;

static void on_fault(int sig)
{
	fault_signal = sig;
	siglongjmp(fault_env, 1);
}

/* The signal that a store there is answered with, or 0 */
static int touch(volatile void *p)
{
	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	fault_signal = 0;
	if (!sigsetjmp(fault_env, 1))
		*(volatile uint32_t *)p = 0;
	signal(SIGBUS, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	return fault_signal;
}

static void destroyed(struct test *t)
{
	struct pindma_destroy_queue gone = { .size = sizeof(gone) };
	struct raw raw, other;
	struct pindma *mine;

	test_open(t);
	mine = t->dev;
	raw_create(t, &raw, ENTRIES);
	CHECK(t, !touch(raw.rings) && !touch(raw.db) && !touch(raw.head));
	gone.channel = raw.arg.channel;
	CHECK(t, !ioctl(pindma_fd(mine), PINDMA_IOC_DESTROY_QUEUE, &gone));
	CHECK(t, touch(raw.rings) == SIGBUS);
	CHECK(t, touch(raw.db) == SIGBUS && touch(raw.head) == SIGBUS);
	/* Nor does it come back when the channel is somebody else's. */
	test_open(t);
	raw_create(t, &other, ENTRIES);
	CHECK(t, touch(raw.rings) == SIGBUS && touch(raw.db) == SIGBUS);
	test_kept(t);
}

static void hammer_doorbell(struct test *t, void *arg)
{
	struct raw *raw = arg;
	uint32_t i;

	*raw = (struct raw){ 0 };
	test_open(t);
	raw_create(t, raw, ENTRIES);
	kill(getppid(), SIGUSR1);
	for (i = 0;; i++)
		raw_doorbell(raw, PINDMA_DB_SQ_TAIL, i % ENTRIES);
}

/* The driver is unbound while processes use their queues with all their might. */
static void unbind(struct test *t)
{
	struct pindma_queue *q = userq_setup(t, ENTRIES);
	struct pindma_completion c;
	int status, sig, before, after, waited;
	char name[256];
	sigset_t set;
	struct raw raw;
	short polled;
	pid_t pid;

	find_device(t, name);
	raw_create(t, &raw, ENTRIES);
	CHECK(t, !touch(raw.rings) && !touch(raw.db));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid = fork();
	if (!pid) {
		hammer_doorbell(t, &raw);
		_exit(0);
	}
	sigwait(&set, &sig);
	unbind_device(t, name);
	before = touch(raw.rings) == SIGBUS && touch(raw.db) == SIGBUS;
	polled = userq_poll(t, 0);
	/* Not even when it, or another one, is there again, as pindma1. */
	bind_device(t, name);
	after = touch(raw.rings) == SIGBUS && touch(raw.db) == SIGBUS;
	usleep(100000);
	kill(pid, SIGKILL);
	CHECK(t, waitpid(pid, &status, 0) == pid);
	waited = pindma_wait(t->dev, &c, 1, 0);
	/* Whatever was seen: the other cases need pindma0. */
	munmap(raw.rings, raw.arg.rings_size);
	munmap(raw.db, PAGE_SIZE);
	pindma_queue_destroy(q);
	pindma_close(t->dev);
	unbind_device(t, name);
	bind_device(t, name);
	CHECK(t, before && after);
	CHECK(t, WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	CHECK(t, polled & POLLHUP);
	CHECK(t, waited == -ENODEV);
	t->mr = 0;
	test_open(t);
	test_reg_mr(t);
	userq_check(t, userq_create(t, ENTRIES));
	test_kept(t);
}

static void fork_child(struct test *t, void *arg)
{
	struct raw *raw = arg;

	if (touch(raw->rings) != SIGSEGV || touch(raw->db) != SIGSEGV)
		_exit(1);
	/* It has the file, though: it may map them itself. */
	raw->rings = mmap(NULL, raw->arg.rings_size, PROT_READ | PROT_WRITE,
			  MAP_SHARED, pindma_fd(t->dev),
			  (off_t)raw->arg.rings_offset);
	if (raw->rings == MAP_FAILED || touch(raw->rings))
		_exit(2);
}

static void forked(struct test *t)
{
	struct pindma_queue *q = userq_setup(t, ENTRIES);
	struct raw raw;

	raw_create(t, &raw, ENTRIES);
	CHECK(t, userq_in_child(t, fork_child, &raw) == 0);
	/* The child's end does not end the queue. */
	CHECK(t, !touch(raw.rings) && !touch(raw.db));
	userq_check(t, q);
	CHECK(t, madvise(raw.db, PAGE_SIZE, MADV_DOFORK));
	test_kept(t);
}

/* A mapping holds the file, and with it all that is the file's. */
static void closed(struct test *t)
{
	long pinned = kernel_pinned_pages();
	struct pindma_completion c;
	struct pindma_cqe *cqe;
	struct pindma_sqe sqe;
	struct raw raw;
	uint32_t mr;

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	raw_create(t, &raw, ENTRIES);
	pindma_close(t->dev);
	t->dev = NULL;
	sqe = (struct pindma_sqe){ .opcode = PINDMA_OP_WRITE, .key = t->mr,
				   .len = 8, .value = 4711 };
	raw_post(&raw, &sqe);
	cqe = raw_reap(&raw, TIMEOUT_MS);
	CHECK(t, cqe && cqe->status == PINDMA_ST_OK && *userq_word(t, 0) == 4711);
	CHECK(t, kernel_pinned_pages() == pinned + NR_PAGES);
	/* A hammer is at work when the last mapping goes. */
	sqe = (struct pindma_sqe){ .opcode = PINDMA_OP_HAMMER, .key = t->mr,
				   .len = NR_PAGES * PAGE_SIZE, .rate = 20000 };
	raw_post(&raw, &sqe);
	usleep(20000);
	munmap(raw.rings, raw.arg.rings_size);
	CHECK(t, kernel_pinned_pages() == pinned + NR_PAGES);
	munmap(raw.db, PAGE_SIZE);
	wait_for_unpin(t, pinned, 10000);
	mr = t->mr;
	t->mr = 0;
	test_open(t);
	test_check_unpinned(t, mr);
	CHECK(t, pindma_reap(t->dev, &c, 1) == 0);
	test_kept(t);
}

static void killed_child(struct test *t, void *arg)
{
	struct pindma_queue *q;
	struct pindma_op op[3];
	unsigned int i;

	test_open(t);
	test_reg_mr(t);
	*(volatile uint32_t *)arg = t->mr;
	for (i = 0; !pindma_queue_create(t->dev, ENTRIES, &q); i++) {
		op[0] = userq_set(t, i, 0);
		op[0].opcode = PINDMA_OP_HAMMER;
		op[0].rate = 5000;
		op[1] = userq_set(t, 8, 0);
		op[1].flags = PINDMA_SQE_NOT_BEFORE | PINDMA_SQE_LINK;
		op[1].when = FAR_AWAY;
		op[2] = userq_set(t, 9, 0);
		CHECK(t, pindma_queue_post(q, op, 3) == 3);
	}
	usleep(20000);
	kill(getpid(), SIGKILL);
}

static void killed(struct test *t)
{
	long pinned = kernel_pinned_pages();
	volatile uint32_t *mr = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct pindma_op nop = { .opcode = PINDMA_OP_NOP };
	struct pindma_completion c;
	struct pindma_queue *q;
	unsigned int n = 0;
	uint32_t channel;
	int status;

	test_alloc(t);
	status = userq_in_child(t, killed_child, (void *)mr);
	CHECK(t, WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(t, kernel_pinned_pages() == pinned);
	test_open(t);
	test_check_unpinned(t, *mr);
	test_reg_mr(t);
	/* All channels are shared again, and can be had again. */
	for (channel = 0; channel < test_info(t).num_channels; channel++) {
		test_run_ops(t, channel, &nop, 1, &c);
		CHECK(t, c.status == PINDMA_ST_OK);
	}
	while (!pindma_queue_create(t->dev, ENTRIES, &q)) {
		userq_check(t, q);
		n++;
	}
	CHECK(t, n >= 2);
	test_kept(t);
}

/* An mr goes while the queue works on it. */
static void dereg(struct test *t)
{
	struct pindma_queue *q = userq_setup(t, ENTRIES);
	struct pindma_op op = userq_set(t, 0, 0);
	struct pindma_completion c;

	op.opcode = PINDMA_OP_HAMMER;
	op.rate = 20000;
	op.len = NR_PAGES * PAGE_SIZE;
	CHECK(t, pindma_queue_post(q, &op, 1) == 1);
	CHECK(t, stamps_go_on(t->mem, TIMEOUT_MS));
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	userq_collect(t, q, &c, 1);
	CHECK(t, c.user_data == op.user_data && c.status == PINDMA_ST_ABORTED);
	CHECK(t, userq_run(t, q, userq_set(t, 0, 1)).status == PINDMA_ST_BAD_KEY);
	test_check_unpinned(t, t->mr);
	t->mr = 0;
	test_kept(t);
}

const struct scenario driver_userq_life_scenarios[] = {
	{
		.name = "driver.queue_destroyed",
		.promise = "nothing is mapped any more when the queue is destroyed",
		.run = destroyed,
	}, {
		.name = "driver.queue_unbind",
		.promise = "nothing is mapped any more when the device goes, even under use",
		.run = unbind,
	}, {
		.name = "driver.queue_forked",
		.promise = "a child does not inherit the rings, and its end does not end the queue",
		.run = forked,
	}, {
		.name = "driver.queue_closed",
		.promise = "a mapping holds the file; when it goes all ends, the device first",
		.run = closed,
	}, {
		.name = "driver.queue_killed",
		.promise = "a process that is killed leaves channels that can be used again, and no page pinned",
		.run = killed,
	}, {
		.name = "driver.queue_dereg",
		.promise = "ops of a queue end with their mr, before its pages are unpinned",
		.run = dereg,
	},
	{ }
};
