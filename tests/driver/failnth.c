// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each system call of the driver with its first allocation, or copy from or to the
 * user, failing, then with its second, and so on, until it has no more that could.
 * Whatever fails, the call says so with an error that it may have, nothing stays
 * pinned when the file is closed, and the device works.
 *
 * A failure is ordered in /proc/thread-self/fail-nth, see the kernel's
 * Documentation/fault-injection/. Stock kernels have no such thing: there it is
 * tests/modules/pindma_failnth.c, which knows fewer places.
 *
 * To see it red: leave pindma_mr_free() out of pindma_mr_enter() (reg_mr*),
 * pindma_pinned_put() out of pindma_export() (export_dmabuf); have
 * pindma_dmabuf_import() put the dma-buf only if all went well (import_dmabuf);
 * return 0 from pindma_init_queues() when there are no queues (probe).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared.h"

#define SIZED(type, ...)	((type){ .size = sizeof(type), __VA_ARGS__ })

#define FAIL_NTH		"/proc/thread-self/fail-nth"
#define STOCK_FAIL_NTH		"/dev/pindma-failnth"
#define MAX_POINTS		5000

#define SMALL			4	/* pages; more than one, not there yet */
#define LARGE			1100	/* more than two batches of pins */

/* What a call works on, made anew each time */
struct victim {
	int fd;
	uint8_t *mem;
	size_t len;
	struct pindma_reg_mr reg;
	struct pindma_create_queue queue;
	void *map;
	size_t map_len;
	int eventfd;
	int dmabuf;
};

struct call {
	void (*prepare)(struct test *t, struct victim *v);
	/* 0 or -errno. Nothing but the system call: the rest could fail, too. */
	int (*call)(struct victim *v);
	int errors[3];
};

/* ----------------------------------------------------------------- preparing */

static void prepare_file(struct test *t, struct victim *v)
{
	v->fd = open("/dev/pindma0", O_RDWR | O_CLOEXEC);
	CHECK(t, v->fd >= 0);
}

static void prepare_mem(struct test *t, struct victim *v, size_t pages)
{
	prepare_file(t, v);
	v->len = pages * PAGE_SIZE;
	v->mem = mmap(NULL, v->len, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(t, v->mem != MAP_FAILED);
	madvise(v->mem, v->len, MADV_NOHUGEPAGE);
	v->reg = SIZED(struct pindma_reg_mr, .addr = (uintptr_t)v->mem,
		       .len = v->len);
}

static void prepare_reg(struct test *t, struct victim *v, unsigned int mode,
			unsigned int flags)
{
	prepare_mem(t, v, SMALL);
	v->reg.pin_mode = mode;
	v->reg.flags = flags;
}

static void prepare_get(struct test *t, struct victim *v)
{
	prepare_reg(t, v, PINDMA_PIN_GET, 0);
}

static void prepare_pin(struct test *t, struct victim *v)
{
	prepare_reg(t, v, PINDMA_PIN_PIN, 0);
}

static void prepare_fast(struct test *t, struct victim *v)
{
	prepare_reg(t, v, PINDMA_PIN_PIN, PINDMA_MR_FAST);
}

static void prepare_longterm(struct test *t, struct victim *v)
{
	prepare_reg(t, v, PINDMA_PIN_LONGTERM, 0);
}

static void prepare_readonly(struct test *t, struct victim *v)
{
	prepare_reg(t, v, PINDMA_PIN_LONGTERM,
		    PINDMA_MR_FAST | PINDMA_MR_READONLY);
}

static void prepare_force(struct test *t, struct victim *v)
{
	prepare_reg(t, v, PINDMA_PIN_LONGTERM,
		    PINDMA_MR_READONLY | PINDMA_MR_FORCE);
}

static void prepare_demand(struct test *t, struct victim *v)
{
	prepare_reg(t, v, PINDMA_PIN_ON_DEMAND, 0);
}

static void prepare_exclusive(struct test *t, struct victim *v)
{
	uint32_t mr;
	int ret;

	prepare_reg(t, v, PINDMA_PIN_EXCLUSIVE, 0);
	ret = pindma_reg_mr(t->dev, v->mem, v->len, v->reg.pin_mode, 0, &mr);
	if (ret == -EOPNOTSUPP)
		test_skip(t, "this kernel has no device-exclusive memory");
	CHECK(t, !ret && !pindma_dereg_mr(t->dev, mr));
}

/* Its pages are there: what fails is the driver's own. */
static void prepare_large(struct test *t, struct victim *v)
{
	prepare_mem(t, v, LARGE);
	memset(v->mem, 1, v->len);
	v->reg.pin_mode = PINDMA_PIN_PIN;
}

static void prepare_mr(struct test *t, struct victim *v)
{
	prepare_pin(t, v);
	CHECK(t, !ioctl(v->fd, PINDMA_IOC_REG_MR, &v->reg));
}

static void prepare_completion(struct test *t, struct victim *v)
{
	struct pindma_op op = { .opcode = PINDMA_OP_NOP };
	struct pindma_post post = SIZED(struct pindma_post, .nr = 1,
					.ops = (uintptr_t)&op);

	prepare_file(t, v);
	CHECK(t, !ioctl(v->fd, PINDMA_IOC_POST, &post));
	usleep(1000);
}

static void prepare_eventfd(struct test *t, struct victim *v)
{
	prepare_file(t, v);
	v->eventfd = eventfd(0, EFD_CLOEXEC);
	CHECK(t, v->eventfd >= 0);
}

static void prepare_new_queue(struct test *t, struct victim *v)
{
	prepare_file(t, v);
	v->queue = SIZED(struct pindma_create_queue, .entries = 64);
}

static void prepare_queue(struct test *t, struct victim *v)
{
	prepare_new_queue(t, v);
	CHECK(t, !ioctl(v->fd, PINDMA_IOC_CREATE_QUEUE, &v->queue));
}

/* One of the calls below, and what others need before */
static int call_map_queue(struct victim *v)
{
	v->map_len = v->queue.rings_size;
	v->map = mmap(NULL, v->map_len, PROT_READ | PROT_WRITE, MAP_SHARED,
		      v->fd, v->queue.rings_offset);
	return v->map == MAP_FAILED ? -errno : 0;
}

static void prepare_mapped_queue(struct test *t, struct victim *v)
{
	prepare_queue(t, v);
	CHECK(t, !call_map_queue(v));
}

/*
 * The lowest descriptor that is free will be the dma-buf's. Should the last copy
 * fail it is there all the same, and nobody was told: clean_up() closes it, too.
 */
static void prepare_export(struct test *t, struct victim *v)
{
	prepare_longterm(t, v);
	CHECK(t, !ioctl(v->fd, PINDMA_IOC_REG_MR, &v->reg));
	v->dmabuf = dup(v->fd);
	CHECK(t, v->dmabuf >= 0 && !close(v->dmabuf));
}

static int call_export(struct victim *v)
{
	struct pindma_export_dmabuf arg = SIZED(struct pindma_export_dmabuf,
						.mr = v->reg.mr);

	return ioctl(v->fd, PINDMA_IOC_EXPORT_DMABUF, &arg) ? -errno : 0;
}

static void prepare_dmabuf(struct test *t, struct victim *v)
{
	prepare_export(t, v);
	CHECK(t, !call_export(v));
}

static int call_map_dmabuf(struct victim *v)
{
	v->map_len = v->len;
	v->map = mmap(NULL, v->map_len, PROT_READ | PROT_WRITE, MAP_SHARED,
		      v->dmabuf, 0);
	return v->map == MAP_FAILED ? -errno : 0;
}

static void prepare_mapped_dmabuf(struct test *t, struct victim *v)
{
	prepare_dmabuf(t, v);
	CHECK(t, !call_map_dmabuf(v));
}

static void prepare_nothing(struct test *t, struct victim *v)
{
	(void)t;
	(void)v;
}

static void clean_up(struct victim *v)
{
	if (v->map && v->map != MAP_FAILED)
		munmap(v->map, v->map_len);
	if (v->eventfd >= 0)
		close(v->eventfd);
	if (v->dmabuf >= 0)
		close(v->dmabuf);
	if (v->fd >= 0)
		close(v->fd);
	if (v->mem)
		munmap(v->mem, v->len);
}

/* ------------------------------------------------------------------ the calls */

static int try(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? -errno : 0;
}

static int call_open(struct victim *v)
{
	v->fd = open("/dev/pindma0", O_RDWR | O_CLOEXEC);
	return v->fd < 0 ? -errno : 0;
}

static int call_close(struct victim *v)
{
	int fd = v->fd;

	v->fd = -1;
	return close(fd) ? -errno : 0;
}

static int call_info(struct victim *v)
{
	struct pindma_info arg = SIZED(struct pindma_info);

	return try(v->fd, PINDMA_IOC_INFO, &arg);
}

static int call_reg_mr(struct victim *v)
{
	return try(v->fd, PINDMA_IOC_REG_MR, &v->reg);
}

static int call_dereg_mr(struct victim *v)
{
	struct pindma_dereg_mr arg = SIZED(struct pindma_dereg_mr,
					   .mr = v->reg.mr);

	return try(v->fd, PINDMA_IOC_DEREG_MR, &arg);
}

static int call_post(struct victim *v)
{
	struct pindma_op op = { .opcode = PINDMA_OP_NOP };
	struct pindma_post arg = SIZED(struct pindma_post, .nr = 1,
				       .ops = (uintptr_t)&op);

	return try(v->fd, PINDMA_IOC_POST, &arg);
}

static int call_reap(struct victim *v)
{
	struct pindma_completion c;
	struct pindma_reap arg = SIZED(struct pindma_reap, .nr = 1,
				       .completions = (uintptr_t)&c);

	return try(v->fd, PINDMA_IOC_REAP, &arg);
}

static int call_eventfd(struct victim *v)
{
	struct pindma_eventfd arg = SIZED(struct pindma_eventfd,
					  .fd = v->eventfd);

	return try(v->fd, PINDMA_IOC_EVENTFD, &arg);
}

static int call_pages(struct victim *v)
{
	struct pindma_page pages[SMALL];
	struct pindma_pages arg = SIZED(struct pindma_pages, .mr = v->reg.mr,
					.nr = SMALL,
					.pages = (uintptr_t)pages);

	return try(v->fd, PINDMA_IOC_PAGES, &arg);
}

static int call_journal(struct victim *v)
{
	struct pindma_journal_entry entries[4];
	struct pindma_journal arg = SIZED(struct pindma_journal, .nr = 4,
					  .entries = (uintptr_t)entries);

	return try(v->fd, PINDMA_IOC_JOURNAL, &arg);
}

static int call_mark(struct victim *v)
{
	struct pindma_mark arg = SIZED(struct pindma_mark, .value = 1);

	return try(v->fd, PINDMA_IOC_MARK, &arg);
}

static int call_fault(struct victim *v)
{
	struct pindma_fault arg = SIZED(struct pindma_fault,
					.kind = PINDMA_FAULT_NONE);

	return try(v->fd, PINDMA_IOC_FAULT, &arg);
}

static int call_create_queue(struct victim *v)
{
	return try(v->fd, PINDMA_IOC_CREATE_QUEUE, &v->queue);
}

static int call_destroy_queue(struct victim *v)
{
	struct pindma_destroy_queue arg = SIZED(struct pindma_destroy_queue,
						.channel = v->queue.channel);

	return try(v->fd, PINDMA_IOC_DESTROY_QUEUE, &arg);
}

static int call_import(struct victim *v)
{
	struct pindma_import_dmabuf arg = SIZED(struct pindma_import_dmabuf,
						.fd = v->dmabuf, .len = v->len);

	return try(v->fd, PINDMA_IOC_IMPORT_DMABUF, &arg);
}

/* A fault that fails comes again. */
static int call_touch(struct victim *v)
{
	*(volatile uint32_t *)v->map = 0;
	return 0;
}

/* ------------------------------------------------------------------- the sweep */

static int fail_nth = -1;
static bool is_stock;		/* ours, which does not know all places */

/* All allocations may fail, also those that could wait, silently. */
static void set_up(struct test *t)
{
	static const char *const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
		{ "fail_usercopy/verbose", "0" },
	};
	char path[128];
	unsigned int i;

	fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (fail_nth < 0) {
		fail_nth = open(STOCK_FAIL_NTH, O_RDWR | O_CLOEXEC);
		if (fail_nth < 0)
			test_skip(t, "no " FAIL_NTH ", and " STOCK_FAIL_NTH ": %s",
				  strerror(errno));
		is_stock = true;
		return;
	}
	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s",
			 settings[i][0]);
		CHECK(t, !kernel_set(path, settings[i][1]));
	}
}

static void order_failure(struct test *t, unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	CHECK(t, pwrite(fail_nth, text, len, 0) == len);
}

/*
 * Has it come? To ask is a copy to the user, which may be the one that fails; so
 * may be the order to fail none.
 */
static bool failure_came(void)
{
	char text[16] = "";
	bool came = pread(fail_nth, text, sizeof(text) - 1, 0) > 0 &&
		    text[0] == '0';

	while (pwrite(fail_nth, "0", 1, 0) < 0)
		;
	return came;
}

static bool is_expected(const struct call *call, int ret)
{
	unsigned int i;

	/* Some can do without what failed. */
	for (i = 0; ret && i < ARRAY_SIZE(call->errors); i++)
		if (-ret == call->errors[i])
			return true;
	return !ret;
}

static void works(struct test *t)
{
	struct pindma_op nop = { .opcode = PINDMA_OP_NOP };

	test_run_ok(t, nop);
}

static void sweep(struct test *t, const struct call *call)
{
	unsigned int nth, failed = 0;
	long pinned;
	bool came;
	int ret;

	set_up(t);
	test_open(t);
	works(t);
	pinned = kernel_pinned_pages();
	for (nth = 1; nth < MAX_POINTS; nth++) {
		struct victim v = { .fd = -1, .eventfd = -1, .dmabuf = -1 };

		call->prepare(t, &v);
		order_failure(t, nth);
		ret = call->call(&v);
		came = failure_came();
		if (!came && ret)
			test_lost(t, "without any failure the call returns %s",
				  strerror(-ret));
		if (!is_expected(call, ret))
			test_lost(t, "failure %u: the call returns %s", nth,
				  strerror(-ret));
		clean_up(&v);
		if (!came)
			break;
		failed += ret != 0;
		if (kernel_pinned_pages() != pinned)
			test_lost(t, "failure %u: %ld pages are pinned after close()",
				  nth, kernel_pinned_pages() - pinned);
		works(t);
	}
	if (nth == MAX_POINTS)
		test_error(t, "no end of failures after %u", nth);
	test_note(t, "%u failures, of which %u made the call fail", nth - 1,
		  failed);
	if (!failed && call->errors[0] && is_stock)
		test_skip(t, "no place inside that " STOCK_FAIL_NTH " knows: -k debug has some");
	if (!failed && call->errors[0])
		test_error(t, "no failure made the call fail: nothing was tried");
	test_kept(t);
}

#define CALL(name, prepares, calls, ...)				\
	static void name(struct test *t)				\
	{								\
		static const struct call call = {			\
			.prepare = prepares,				\
			.call = calls,					\
			.errors = { __VA_ARGS__ },			\
		};							\
									\
		sweep(t, &call);					\
	}

/* EFAULT: the name of the file, where the kernel itself has fail-nth */
CALL(open_file, prepare_nothing, call_open, ENOMEM, EFAULT)
CALL(close_file, prepare_mr, call_close)
CALL(info, prepare_file, call_info, EFAULT)
CALL(reg_mr_get, prepare_get, call_reg_mr, ENOMEM, EFAULT)
CALL(reg_mr, prepare_pin, call_reg_mr, ENOMEM, EFAULT)
CALL(reg_mr_fast, prepare_fast, call_reg_mr, ENOMEM, EFAULT)
CALL(reg_mr_longterm, prepare_longterm, call_reg_mr, ENOMEM, EFAULT)
CALL(reg_mr_readonly, prepare_readonly, call_reg_mr, ENOMEM, EFAULT)
CALL(reg_mr_large, prepare_large, call_reg_mr, ENOMEM, EFAULT)
CALL(reg_mr_force, prepare_force, call_reg_mr, ENOMEM, EFAULT)
CALL(reg_mr_demand, prepare_demand, call_reg_mr, ENOMEM, EFAULT)
CALL(reg_mr_exclusive, prepare_exclusive, call_reg_mr, ENOMEM, EFAULT)
CALL(dereg_mr, prepare_mr, call_dereg_mr, EFAULT)
CALL(post, prepare_file, call_post, EFAULT)
CALL(reap, prepare_completion, call_reap, EFAULT)
CALL(set_eventfd, prepare_eventfd, call_eventfd, EFAULT)
CALL(pages, prepare_mr, call_pages, EFAULT)
CALL(journal, prepare_file, call_journal, EFAULT)
CALL(mark, prepare_file, call_mark, EFAULT)
CALL(fault, prepare_file, call_fault, EFAULT)
CALL(create_queue, prepare_new_queue, call_create_queue, ENOMEM, EFAULT)
CALL(destroy_queue, prepare_queue, call_destroy_queue, EFAULT)
CALL(map_queue, prepare_queue, call_map_queue, ENOMEM)
CALL(touch_queue, prepare_mapped_queue, call_touch)
CALL(import_dmabuf, prepare_dmabuf, call_import, ENOMEM, EFAULT)
CALL(export_dmabuf, prepare_export, call_export, ENOMEM, EFAULT)
CALL(map_dmabuf, prepare_dmabuf, call_map_dmabuf, ENOMEM)
CALL(touch_dmabuf, prepare_mapped_dmabuf, call_touch)

/* ----------------------------------------------------------------------- probe */

/*
 * Binding the driver is one write(), which fails as probe() does. The device is
 * enabled all the time, so that probe() does not have to: ACPICA frees an object
 * twice when it is out of memory as it looks for the interrupt (seen with 6.12).
 * A file in /proc/irq that could not be made is missed when it is to be removed:
 * unregister_irq_proc() warns.
 */
static void probe(struct test *t)
{
	unsigned int nth, failed = 0;
	char name[256], enable[300];
	bool came;
	int ret;

	set_up(t);
	test_tolerate_if_kept(t, "remove_proc_entry+");
	find_device(t, name);
	snprintf(enable, sizeof(enable), "/sys/bus/pci/devices/%s/enable", name);
	unbind_device(t, name);
	CHECK(t, !kernel_set(enable, "1"));
	bind_device(t, name);
	for (nth = 1; nth < MAX_POINTS; nth++) {
		unbind_device(t, name);
		order_failure(t, nth);
		ret = kernel_set("/sys/bus/pci/drivers/pindma/bind", name);
		came = failure_came();
		/* Whatever was seen: the other cases need the device. */
		if (ret)
			bind_device(t, name);
		/*
		 * EBUSY is what PCI makes of no memory for a region. EFAULT is
		 * of the names of file and device; probe() is not called.
		 */
		if (ret && (!came || (ret != -ENOMEM && ret != -EBUSY &&
				      ret != -ENOSPC && ret != -EFAULT)))
			test_lost(t, "failure %u: bind returns %s", nth,
				  strerror(-ret));
		failed += ret && ret != -EFAULT;
		if (!came)
			break;
	}
	if (nth == MAX_POINTS || !failed)
		test_error(t, "%u failures, of which %u made probe() fail", nth,
			   failed);
	test_note(t, "%u failures, of which %u made probe() fail", nth - 1,
		  failed);
	/* A failure may have cost it MSI-X. */
	unbind_device(t, name);
	CHECK(t, !kernel_set(enable, "0"));
	bind_device(t, name);
	test_open(t);
	works(t);
	test_kept(t);
}

#define ROW(fn, what)							\
	{								\
		.name = "failnth." #fn,					\
		.promise = what " says that something failed inside, or does without it, and leaves nothing behind", \
		.flags = SCENARIO_HIDDEN,					\
		.run = fn,						\
	}

const struct scenario driver_failnth_scenarios[] = {
	ROW(open_file, "open()"),
	ROW(close_file, "close()"),
	ROW(info, "PINDMA_IOC_INFO"),
	ROW(reg_mr_get, "PINDMA_IOC_REG_MR (get)"),
	ROW(reg_mr, "PINDMA_IOC_REG_MR (pin)"),
	ROW(reg_mr_fast, "PINDMA_IOC_REG_MR (pin, fast)"),
	ROW(reg_mr_longterm, "PINDMA_IOC_REG_MR (longterm)"),
	ROW(reg_mr_readonly, "PINDMA_IOC_REG_MR (longterm, fast, readonly)"),
	ROW(reg_mr_large, "PINDMA_IOC_REG_MR (several batches)"),
	ROW(reg_mr_force, "PINDMA_IOC_REG_MR (longterm, readonly, force)"),
	ROW(reg_mr_demand, "PINDMA_IOC_REG_MR (on demand)"),
	ROW(reg_mr_exclusive, "PINDMA_IOC_REG_MR (exclusive)"),
	ROW(dereg_mr, "PINDMA_IOC_DEREG_MR"),
	ROW(post, "PINDMA_IOC_POST"),
	ROW(reap, "PINDMA_IOC_REAP"),
	ROW(set_eventfd, "PINDMA_IOC_EVENTFD"),
	ROW(pages, "PINDMA_IOC_PAGES"),
	ROW(journal, "PINDMA_IOC_JOURNAL"),
	ROW(mark, "PINDMA_IOC_MARK"),
	ROW(fault, "PINDMA_IOC_FAULT"),
	ROW(create_queue, "PINDMA_IOC_CREATE_QUEUE"),
	ROW(destroy_queue, "PINDMA_IOC_DESTROY_QUEUE"),
	ROW(map_queue, "mmap() of a queue"),
	ROW(touch_queue, "a first access to a queue"),
	ROW(import_dmabuf, "PINDMA_IOC_IMPORT_DMABUF"),
	ROW(export_dmabuf, "PINDMA_IOC_EXPORT_DMABUF"),
	ROW(map_dmabuf, "mmap() of a dma-buf"),
	ROW(touch_dmabuf, "a first access to a dma-buf"),
	ROW(probe, "probe()"),
	{ }
};
