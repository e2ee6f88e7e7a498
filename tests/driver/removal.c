// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hardware goes away, or is held up, while it writes. To see it red: leave
 * out the reset in pindma_remove(), or the test of bus mastering in
 * pindma-dma.c; or leave a device that failed alone in pindma_restart() (heal).
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "device.h"

static bool stamps_go_on(struct test *t, unsigned int ms)
{
	volatile uint64_t *stamp = (volatile uint64_t *)t->mem;
	uint64_t was = *stamp;

	while (ms-- && *stamp == was)
		usleep(1000);
	return *stamp != was;
}

/* Each case begins with a device, whose name this finds, that writes. */
static uint64_t hammer_at_work(struct test *t, char name[256])
{
	uint64_t hammer;

	test_reg_mr(t);
	find_device(t, name);
	hammer = test_start_hammer(t, 0);
	CHECK(t, stamps_go_on(t, 5000));
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
	CHECK(t, !stamps_go_on(t, 50));
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
	on = stamps_go_on(t, 50);
	/* Whatever was seen: the other cases need the device. */
	set_bus_master(t, true);
	CHECK(t, !on);
	CHECK(t, stamps_go_on(t, 5000));
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
	CHECK(t, !stamps_go_on(t, 50));
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
	},
	{ }
};
