// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hardware goes away, or is held up, while it writes. To see it red: leave
 * out the resets in pindma_remove(), or the test of bus mastering in
 * pindma-dma.c; or leave a device that failed alone in pindma_restart() (heal);
 * leave out pindma_dev_halt() in pindma_remove() (unbind_command); let the ioctls
 * not be those that enter by themselves (unbind_fault); let there be one lock
 * around all that pins (reg_parallel).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared.h"

/* Each case begins with a device, whose name this finds, that writes. */
static uint64_t hammer_at_work(struct test *t, char name[256])
{
	uint64_t hammer;

	test_reg_mr(t);
	find_device(t, name);
	hammer = test_start_hammer(t, 0);
	CHECK(t, stamps_go_on(t->mem, 5000));
	return hammer;
}

static void unbind(struct test *t)
{
	struct pollfd pfd = { .events = POLLIN };
	struct pindma_completion c;
	long pinned = kernel_pinned_pages();
	uint64_t hammer;
	char name[256];
	uint32_t mr;

	test_alloc(t);
	test_open(t);
	hammer = hammer_at_work(t, name);
	unbind_device(t, name);
	CHECK(t, !stamps_go_on(t->mem, 50));
	CHECK(t, kernel_pinned_pages() == pinned);
	pfd.fd = pindma_fd(t->dev);
	CHECK(t, poll(&pfd, 1, 1000) == 1 && pfd.revents & POLLHUP);
	CHECK(t, pindma_wait(t->dev, &c, 1, 1000) == 1 && c.user_data == hammer &&
		 c.status == PINDMA_ST_ABORTED);
	CHECK(t, pindma_wait(t->dev, &c, 1, 1000) == -ENODEV);
	pindma_close(t->dev);
	mr = t->mr;
	t->mr = 0;

	bind_device(t, name);
	test_open(t);
	test_check_unpinned(t, mr);
	test_kept(t);
}

/* Bit 2 of the command register */
static void set_bus_master(struct test *t, bool on)
{
	uint16_t command;

	read_config(t, 4, &command, 2);
	command = on ? command | 4 : command & ~4;
	write_config(t, 4, &command, 2);
}

static void bus_master(struct test *t)
{
	uint64_t hammer;
	char name[256];
	bool on;

	test_alloc(t);
	test_open(t);
	hammer = hammer_at_work(t, name);
	set_bus_master(t, false);
	on = stamps_go_on(t->mem, 50);
	/* Whatever was seen: the other cases need the device. */
	set_bus_master(t, true);
	CHECK(t, !on);
	CHECK(t, stamps_go_on(t->mem, 5000));
	test_stop_hammer(t, hammer);
	test_kept(t);
}

/* Between the last access to the mr and its unpin the device was reset. */
static bool was_reset_before_unpin(struct test *t)
{
	const struct pindma_journal_entry *e;
	uint64_t first = 0;
	bool reset = false, found = false;
	int n, i;

	n = test_read_journal(t, &e, &first);
	for (i = 0; i < n; i++) {
		if (e[i].kind == PINDMA_JOURNAL_RESET)
			reset = true;
		if (e[i].kind == PINDMA_JOURNAL_WRITE && e[i].key == t->mr)
			reset = false;
		if (e[i].kind == PINDMA_JOURNAL_MARK &&
		    e[i].value == (PINDMA_MARK_UNPIN | t->mr))
			found = reset;	/* the last mr of this name counts */
	}
	return found;
}

/*
 * A device that does not answer: here because it may not master the bus. The
 * driver must reset it before it unpins, and everybody must hear of it.
 */
static void no_answer(struct test *t)
{
	struct pollfd pfd = { .events = POLLIN };
	long pinned = kernel_pinned_pages();
	struct pindma_completion c;
	struct pindma *other;
	uint64_t hammer;
	char name[256];
	int dereg, after, polled;
	bool aborted;

	test_alloc(t);
	test_open(t);
	CHECK(t, !pindma_open(NULL, &other));
	hammer = hammer_at_work(t, name);
	set_bus_master(t, false);
	dereg = pindma_dereg_mr(t->dev, t->mr);
	set_bus_master(t, true);
	pinned -= kernel_pinned_pages();
	pfd.fd = pindma_fd(other);
	polled = poll(&pfd, 1, 0);
	aborted = pindma_wait(t->dev, &c, 1, 1000) == 1 &&
		  c.user_data == hammer && c.status == PINDMA_ST_ABORTED;
	after = pindma_wait(t->dev, &c, 1, 1000);
	pindma_close(other);
	pindma_close(t->dev);
	t->dev = NULL;
	unbind_device(t, name);
	bind_device(t, name);
	CHECK(t, !dereg);
	CHECK(t, !stamps_go_on(t->mem, 50));
	CHECK(t, pinned == 0);
	CHECK(t, polled == 1 && pfd.revents & POLLERR);
	CHECK(t, aborted);
	CHECK(t, after == -EIO);
	test_open(t);
	test_check_unpinned(t, t->mr);
	CHECK(t, was_reset_before_unpin(t));
	test_kept(t);
}

/* The same device, which is then reset by sysfs: all files can go on. */
static void heal(struct test *t)
{
	struct pindma_info info;
	char path[512];
	uint32_t mr;

	test_alloc(t);
	test_open(t);
	CHECK(t, !pindma_reg_mr(t->dev, t->buf, PAGE_SIZE, PINDMA_PIN_PIN, 0,
				&mr));
	CHECK(t, !pindma_reg_mr(t->dev, t->mem, NR_PAGES * PAGE_SIZE,
				PINDMA_PIN_PIN, 0, &t->mr));
	snprintf(path, sizeof(path), "%s/reset", device_dir(t));
	set_bus_master(t, false);
	CHECK(t, !pindma_dereg_mr(t->dev, mr));
	CHECK(t, pindma_get_info(t->dev, &info) == -EIO);
	CHECK(t, !kernel_set(path, "1"));
	CHECK(t, !pindma_get_info(t->dev, &info));
	test_run_ok(t, (struct pindma_op){
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_IMMEDIATE,
		.mr = t->mr, .len = 8, .value = 7 });
	CHECK(t, *(volatile uint64_t *)t->mem == 7);
	test_kept(t);
}

/* ------------------------------------------------------ somebody is in the way */

#define REMOVAL_MS	5000	/* of a busy host; half of what a command may take */

static bool done_in_time(const volatile bool *done)
{
	unsigned int ms = REMOVAL_MS;

	while (!*done && --ms)
		usleep(1000);
	return *done;
}

static char unbind_name[256];
static volatile bool unbound;

static void *unbind_main(void *arg)
{
	unbind_device(arg, unbind_name);
	unbound = true;
	return NULL;
}

static pthread_t start_unbind(struct test *t)
{
	pthread_t thread;

	unbound = false;
	CHECK(t, !pthread_create(&thread, NULL, unbind_main, t));
	return thread;
}

static int dereg_result;

static void *dereg_main(void *arg)
{
	struct test *t = arg;

	dereg_result = pindma_dereg_mr(t->dev, t->mr);
	return NULL;
}

/* A command is on its way that the device will not answer any more. */
static void unbind_command(struct test *t)
{
	long pinned = kernel_pinned_pages();
	pthread_t dereg, thread;
	bool in_time;

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	find_device(t, unbind_name);
	test_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_HANG, .count = 1,
		.queues = BIT(PINDMA_QUEUE_ADMIN) });
	CHECK(t, !pthread_create(&dereg, NULL, dereg_main, t));
	while (!test_info(t).fault_hits)
		usleep(1000);
	thread = start_unbind(t);
	in_time = done_in_time(&unbound);
	pthread_join(thread, NULL);
	pthread_join(dereg, NULL);
	pindma_close(t->dev);
	t->dev = NULL;
	bind_device(t, unbind_name);
	test_open(t);
	t->mr = 0;
	CHECK(t, !dereg_result);
	CHECK(t, kernel_pinned_pages() == pinned);
	CHECK(t, in_time);
	test_kept(t);
}

/* System calls that touch memory of the user, which @at is */
static int post_at(struct test *t, void *at)
{
	return pindma_post(t->dev, at, 1);
}

static int reap_at(struct test *t, void *at)
{
	return pindma_reap(t->dev, at, 1);
}

static int pages_at(struct test *t, void *at)
{
	return pindma_get_pages(t->dev, t->mr, 0, at, 1);
}

static int journal_at(struct test *t, void *at)
{
	uint64_t first = 0;

	return pindma_read_journal(t->dev, &first, at, 1, NULL);
}

/* FAST: the slow variants do not wait for userfaultfd, but fail. */
static int reg_at(struct test *t, void *at)
{
	uint32_t mr;

	return pindma_reg_mr(t->dev, at, 8, PINDMA_PIN_PIN, PINDMA_MR_FAST,
			     &mr);
}

/* What each returns once it can go on */
struct stalled {
	const char *name;
	int (*fn)(struct test *t, void *at);
	int ret;
};

/* When there is no device any more */
static const struct stalled stalled[] = {
	{ "POST", post_at, -ENODEV },
	{ "REAP", reap_at, 1 },
	{ "PAGES", pages_at, 1 },
	{ "JOURNAL", journal_at, 1 },
	{ "REG_MR", reg_at, -ENODEV },
};

struct call {
	struct test *t;
	const struct stalled *s;
	void *at;
	int uffd;		/* says what is there */
	pthread_t thread;
	volatile bool done;
	int ret;
};

static void *call_main(void *arg)
{
	struct call *call = arg;

	call->ret = call->s->fn(call->t, call->at);
	call->done = true;
	return NULL;
}

/* Memory whose first access waits until somebody says what is there */
static int watch(struct test *t, void *at)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)at, .len = PAGE_SIZE },
		.mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		test_skip(t, "userfaultfd: %s", strerror(errno));
	CHECK(t, !ioctl(fd, UFFDIO_API, &api));
	CHECK(t, !ioctl(fd, UFFDIO_REGISTER, &reg));
	return fd;
}

/* Have a thread call it with such memory. Does it wait there? */
static bool stall(struct call *call)
{
	struct test *t = call->t;
	struct pollfd pfd = { .events = POLLIN };

	call->at = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(t, call->at != MAP_FAILED);
	call->uffd = watch(t, call->at);
	CHECK(t, !pthread_create(&call->thread, NULL, call_main, call));
	pfd.fd = call->uffd;
	return poll(&pfd, 1, 10000) == 1;
}

/* It goes on, and ends. */
static void let_go(struct call *call)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)call->at, .len = PAGE_SIZE } };

	CHECK(call->t, !ioctl(call->uffd, UFFDIO_ZEROPAGE, &zero));
	pthread_join(call->thread, NULL);
	close(call->uffd);
	munmap(call->at, PAGE_SIZE);
}

static void unbind_stalled(struct test *t, const struct stalled *s)
{
	struct pindma_op nop = { .opcode = PINDMA_OP_NOP };
	struct pollfd done = { .events = POLLIN };
	struct call call = { .t = t, .s = s };
	bool in_time, stalls;
	pthread_t thread;

	test_open(t);
	test_reg_mr(t);
	/* For REAP */
	CHECK(t, pindma_post(t->dev, &nop, 1) == 1);
	done.fd = pindma_fd(t->dev);
	CHECK(t, poll(&done, 1, 10000) == 1);
	stalls = stall(&call);
	thread = start_unbind(t);
	in_time = done_in_time(&unbound);
	let_go(&call);
	pthread_join(thread, NULL);
	pindma_close(t->dev);
	t->dev = NULL;
	bind_device(t, unbind_name);
	if (!stalls)
		test_lost(t, "%s does not wait for memory of the user", s->name);
	if (!in_time)
		test_lost(t, "the driver cannot be unbound as long as %s waits for memory of the user",
			  s->name);
	if (call.ret != s->ret)
		test_lost(t, "%s returns %d, not %d", s->name, call.ret, s->ret);
}

/* A user who does not say what is in his memory stalls himself, and nobody else. */
static void unbind_fault(struct test *t)
{
	long pinned = kernel_pinned_pages();
	unsigned int i;

	test_alloc(t);
	find_device(t, unbind_name);
	for (i = 0; i < ARRAY_SIZE(stalled); i++)
		unbind_stalled(t, &stalled[i]);
	t->mr = 0;
	test_open(t);
	CHECK(t, kernel_pinned_pages() == pinned);
	test_kept(t);
}

/* Another mr of the same file, from its first day to its last; 0 or -errno */
static int other_mr(struct test *t, void *at)
{
	struct pindma_op op = {
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_IMMEDIATE,
		.len = 8, .value = 7 };
	struct pindma_completion c;
	int ret;

	ret = pindma_reg_mr(t->dev, at, 8, PINDMA_PIN_PIN, 0, &op.mr);
	if (ret)
		return ret;
	ret = pindma_post(t->dev, &op, 1);
	if (ret == 1)
		ret = pindma_wait(t->dev, &c, 1, 10000);
	if (ret != 1 || c.status != PINDMA_ST_OK)
		return -EIO;
	return pindma_dereg_mr(t->dev, op.mr);
}

/*
 * A thread that pins, and waits meanwhile, is in the way of no other: one lock
 * around pinning would hide the races that are looked for here.
 */
static void reg_parallel(struct test *t)
{
	static const struct stalled first = { "REG_MR", reg_at, 0 },
				    second = { "another mr", other_mr, 0 };
	struct call waits = { .t = t, .s = &first },
		    other = { .t = t, .s = &second };
	long pinned = kernel_pinned_pages();
	bool stalls, in_time, too_early;

	test_alloc(t);
	test_open(t);
	other.at = t->mem;
	stalls = stall(&waits);
	CHECK(t, !pthread_create(&other.thread, NULL, call_main, &other));
	in_time = done_in_time(&other.done);
	too_early = waits.done;
	let_go(&waits);
	pthread_join(other.thread, NULL);
	CHECK(t, stalls && !too_early);
	if (!in_time)
		test_lost(t, "an mr cannot be registered and used while another thread's REG_MR waits for memory of the user");
	CHECK(t, !other.ret && *(volatile uint64_t *)t->mem == 7);
	CHECK(t, !waits.ret);
	CHECK(t, kernel_pinned_pages() == pinned + 1);
	pindma_close(t->dev);
	t->dev = NULL;
	CHECK(t, kernel_pinned_pages() == pinned);
	test_kept(t);
}

const struct scenario driver_removal_scenarios[] = {
	{
		.name = "driver.bus_master",
		.promise = "with bus mastering off the device writes nothing; on again it goes on",
		.run = bus_master,
	}, {
		.name = "driver.no_answer",
		.promise = "a device that does not answer is reset before the pages are unpinned, and all its users hear of it",
		.flags = SCENARIO_SLOW,
		.run = no_answer,
	}, {
		.name = "driver.heal",
		.promise = "a device that did not answer works again once it was reset by sysfs, with the mrs of all files",
		.flags = SCENARIO_SLOW,
		.run = heal,
	}, {
		.name = "driver.unbind",
		.promise = "unbinding the driver under a hammer stops the device before the pages are unpinned",
		.run = unbind,
	}, {
		.name = "driver.unbind_command",
		.promise = "the driver can be unbound at once while a command waits for an answer that does not come",
		.run = unbind_command,
	}, {
		.name = "driver.unbind_fault",
		.promise = "the driver can be unbound while system calls wait for memory of their users",
		.run = unbind_fault,
	}, {
		.name = "driver.reg_parallel",
		.promise = "threads of a file register memory in parallel: who waits for a page is in nobody's way",
		.run = reg_parallel,
	},
	{ }
};
