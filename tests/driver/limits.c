// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the driver refuses. To see it red: drop a check in pindma_uapi.c or
 * pindma_mr.c, or pindma_pin_charge().
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test.h"

#define SIZED(type, ...)	((type){ .size = sizeof(type), __VA_ARGS__ })

static int try_ioctl(struct test *t, unsigned long cmd, void *arg)
{
	return ioctl(pindma_fd(t->dev), cmd, arg) ? -errno : 0;
}

#define REFUSES(t, err, cmd, type, ...)					\
	do {								\
		type arg_ = SIZED(type, __VA_ARGS__);			\
									\
		CHECK(t, try_ioctl(t, cmd, &arg_) == -(err));		\
	} while (0)

/* None of these is for a channel, or could end with the file. */
static const struct pindma_op nops[] = {
	{ .opcode = PINDMA_OP_NOP, .reserved0 = 1 },
	{ .opcode = PINDMA_OP_NOP, .reserved = { [4] = 1 } },
	{ .opcode = PINDMA_OP_NOP, .delay = 1 },
	{ .opcode = PINDMA_OP_NOP, .flags = PINDMA_SQE_NOT_BEFORE },
	{ .opcode = PINDMA_OP_NOP, .flags = PINDMA_SQE_ON_MARK },
	{ .opcode = PINDMA_OP_NOP, .flags = PINDMA_SQE_LINK },
	{ .opcode = PINDMA_OP_STOP, .delay = 1 },
	{ .opcode = PINDMA_OP_READ, .len = 8, .delay = 1 },
	{ .opcode = 0xff },
};

/* A chain is posted as a whole, or not at all. */
static void chains(struct test *t, const struct pindma_info *info)
{
	struct pindma_completion c[256];
	struct pindma_op op[256];
	unsigned int i, max = info->max_chain;

	memset(op, 0, sizeof(op));
	for (i = 0; i < ARRAY_SIZE(op); i++)
		op[i].flags = PINDMA_SQE_LINK;
	CHECK(t, max > 1 && max < 128 && info->max_ops <= ARRAY_SIZE(op));
	/* Too long, not ended, ended by something that is not known */
	op[max].flags = 0;
	CHECK(t, pindma_post(t->dev, op, max + 1) == -EINVAL);
	CHECK(t, pindma_post(t->dev, op, max) == -EINVAL);
	op[0].flags = 0;
	CHECK(t, pindma_post(t->dev, op, max) == 1);
	op[max].reserved0 = 1;
	CHECK(t, pindma_post(t->dev, op, max + 1) == 1);
	op[max].reserved0 = 0;
	test_collect(t, c, 2);
	/* As long as it may be, at an odd place; then there is no room for one. */
	CHECK(t, pindma_post(t->dev, op, max + 1) == (int)max + 1);
	test_collect(t, c, max + 1);
	for (i = 0; i < info->max_ops - max + 1; i++)
		CHECK(t, pindma_post(t->dev, op, 1) == 1);
	CHECK(t, pindma_post(t->dev, op + 1, max) == -EAGAIN);
	CHECK(t, pindma_post(t->dev, op + 2, max - 1) == (int)max - 1);
	test_collect(t, c, info->max_ops);
	for (i = 0; i < info->max_ops; i++)
		CHECK(t, c[i].status == PINDMA_ST_OK);
}

static void bad_arguments(struct test *t)
{
	static const unsigned long cmds[] = {
		PINDMA_IOC_INFO, PINDMA_IOC_REG_MR, PINDMA_IOC_DEREG_MR,
		PINDMA_IOC_POST, PINDMA_IOC_REAP, PINDMA_IOC_EVENTFD,
		PINDMA_IOC_PAGES, PINDMA_IOC_JOURNAL, PINDMA_IOC_MARK,
		PINDMA_IOC_FAULT,
	};
	struct pindma_op op = { .opcode = PINDMA_OP_NOP };
	struct pindma_info info;
	uint32_t wrong[64] = { 4 };
	uint64_t addr, end = -PAGE_SIZE;
	unsigned int i;

	test_alloc(t);
	test_open(t);
	addr = (uintptr_t)t->mem;
	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		CHECK(t, try_ioctl(t, cmds[i], NULL) == -EFAULT);
		CHECK(t, try_ioctl(t, cmds[i], wrong) == -EINVAL);
	}
	CHECK(t, try_ioctl(t, _IO(PINDMA_IOC_TYPE, 0x7f), NULL) == -ENOTTY);
	CHECK(t, try_ioctl(t, 0, NULL) == -ENOTTY);

	/* REG_MR: mode, flags, reserved, length, wrap-around, a hole, kernel */
	REFUSES(t, EINVAL, PINDMA_IOC_REG_MR, struct pindma_reg_mr,
		.addr = addr, .len = 8);
	REFUSES(t, EINVAL, PINDMA_IOC_REG_MR, struct pindma_reg_mr,
		.pin_mode = 99, .addr = addr, .len = 8);
	/* The last bit: it will be some time until that is a flag. */
	for (i = PINDMA_PIN_GET; i <= PINDMA_PIN_ON_DEMAND; i++)
		REFUSES(t, EINVAL, PINDMA_IOC_REG_MR, struct pindma_reg_mr,
			.pin_mode = i, .flags = 1u << 31, .addr = addr,
			.len = 8);
	REFUSES(t, EINVAL, PINDMA_IOC_REG_MR, struct pindma_reg_mr,
		.pin_mode = PINDMA_PIN_PIN, .mr = 1, .addr = addr, .len = 8);
	REFUSES(t, EINVAL, PINDMA_IOC_REG_MR, struct pindma_reg_mr,
		.pin_mode = PINDMA_PIN_PIN, .addr = addr);
	REFUSES(t, EINVAL, PINDMA_IOC_REG_MR, struct pindma_reg_mr,
		.pin_mode = PINDMA_PIN_PIN, .addr = addr, .len = -addr);
	REFUSES(t, EINVAL, PINDMA_IOC_REG_MR, struct pindma_reg_mr,
		.pin_mode = PINDMA_PIN_PIN, .addr = end, .len = PAGE_SIZE);
	REFUSES(t, ENOSPC, PINDMA_IOC_REG_MR, struct pindma_reg_mr,
		.pin_mode = PINDMA_PIN_PIN, .addr = addr, .len = 1ull << 40);
	REFUSES(t, EFAULT, PINDMA_IOC_REG_MR, struct pindma_reg_mr,
		.pin_mode = PINDMA_PIN_PIN, .addr = 0xffff888000000000, .len = 8);
	munmap(t->buf + 8 * PAGE_SIZE, PAGE_SIZE);
	for (i = PINDMA_PIN_GET; i <= PINDMA_PIN_LONGTERM; i++) {
		REFUSES(t, EFAULT, PINDMA_IOC_REG_MR, struct pindma_reg_mr,
			.pin_mode = i, .addr = addr, .len = 8 * PAGE_SIZE);
		REFUSES(t, EFAULT, PINDMA_IOC_REG_MR, struct pindma_reg_mr,
			.pin_mode = i, .flags = PINDMA_MR_FAST, .addr = addr,
			.len = 8 * PAGE_SIZE);
	}
	REFUSES(t, ENOENT, PINDMA_IOC_DEREG_MR, struct pindma_dereg_mr, .mr = 0);
	REFUSES(t, ENOENT, PINDMA_IOC_DEREG_MR, struct pindma_dereg_mr, .mr = 77);

	/* POST: unknown op, reserved, waiting without an mr, channel, pointer */
	info = test_info(t);
	REFUSES(t, EFAULT, PINDMA_IOC_POST, struct pindma_post, .nr = 1);
	REFUSES(t, EINVAL, PINDMA_IOC_POST, struct pindma_post, .reserved = 1);
	REFUSES(t, EINVAL, PINDMA_IOC_POST, struct pindma_post,
		.channel = info.num_channels);
	REFUSES(t, EINVAL, PINDMA_IOC_POST, struct pindma_post, .channel = -1u);
	op.opcode = PINDMA_OP_REG_MR;
	CHECK(t, pindma_post(t->dev, &op, 1) == -EINVAL);
	for (i = 0; i < ARRAY_SIZE(nops); i++)
		CHECK(t, pindma_post(t->dev, &nops[i], 1) == -EINVAL);
	chains(t, &info);

	REFUSES(t, EBADF, PINDMA_IOC_EVENTFD, struct pindma_eventfd, .fd = 999);
	REFUSES(t, EBADF, PINDMA_IOC_EVENTFD, struct pindma_eventfd, .fd = -2);
	REFUSES(t, EINVAL, PINDMA_IOC_EVENTFD, struct pindma_eventfd,
		.fd = STDERR_FILENO);
	REFUSES(t, ENOENT, PINDMA_IOC_PAGES, struct pindma_pages, .nr = 1);
	REFUSES(t, EINVAL, PINDMA_IOC_MARK, struct pindma_mark,
		.channel = info.num_channels);
	REFUSES(t, EINVAL, PINDMA_IOC_MARK, struct pindma_mark,
		.value = PINDMA_MARK_UNPIN);
	REFUSES(t, EINVAL, PINDMA_IOC_FAULT, struct pindma_fault,
		.kind = PINDMA_NUM_FAULTS, .queues = 2);
	REFUSES(t, EINVAL, PINDMA_IOC_FAULT, struct pindma_fault,
		.kind = PINDMA_FAULT_DROP);
	REFUSES(t, EINVAL, PINDMA_IOC_FAULT, struct pindma_fault,
		.kind = PINDMA_FAULT_DROP, .queues = 2u << info.num_channels);
	REFUSES(t, EINVAL, PINDMA_IOC_FAULT, struct pindma_fault, .reserved = 1);
	test_kept(t);
}

/* A completion that cannot be delivered is not lost. */
static void reap_fault(struct test *t)
{
	struct pindma_op op = { .opcode = PINDMA_OP_NOP, .user_data = 5 };
	struct pindma_completion c;

	test_open(t);
	CHECK(t, pindma_post(t->dev, &op, 1) == 1);
	CHECK(t, pindma_wait(t->dev, (void *)16, 1, 10000) == -EFAULT);
	CHECK(t, pindma_wait(t->dev, &c, 1, 0) == 1 && c.user_data == 5);
	test_kept(t);
}

/* Who has registered an mr has paid for it, and gets it back, whoever lets it go. */
static void charge_owner(struct test *t)
{
	volatile struct {
		uint32_t mr;
		long before, charged, after;
		bool registered, released;
	} *child;
	long before = kernel_vm_pin(getpid());
	uint32_t mr;
	pid_t pid;

	test_alloc(t);
	test_open(t);
	child = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(t, child != MAP_FAILED);
	pid = fork();
	if (!pid) {
		child->before = kernel_vm_pin(getpid());
		if (!pindma_reg_mr(t->dev, t->mem, NR_PAGES * PAGE_SIZE,
				   PINDMA_PIN_PIN, 0, &mr))
			child->mr = mr;
		child->charged = kernel_vm_pin(getpid());
		child->registered = true;
		while (!child->released)
			usleep(1000);
		child->after = kernel_vm_pin(getpid());
		_exit(0);
	}
	while (!child->registered)
		usleep(1000);
	CHECK(t, child->mr && !pindma_dereg_mr(t->dev, child->mr));
	child->released = true;
	test_wait_exit(t, pid);
	CHECK(t, child->charged == child->before + (long)(NR_PAGES * PAGE_SIZE / 1024));
	CHECK(t, child->after == child->before);
	CHECK(t, kernel_vm_pin(getpid()) == before);
	test_kept(t);
}

/* The number that the kernel has given an eventfd: the lowest that is free */
static long eventfd_id(struct test *t, int fd)
{
	char path[64], line[128];
	long id = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "eventfd-id: %ld", &id);
	if (f)
		fclose(f);
	CHECK(t, id >= 0);
	return id;
}

/* An eventfd goes with the last who has it, and the file is not that for ever. */
static void eventfd_released(struct test *t)
{
	long id, first = 0;
	int fd, i;

	for (i = 0; i < 8; i++) {
		test_open(t);
		fd = eventfd(0, EFD_CLOEXEC);
		CHECK(t, fd >= 0);
		id = eventfd_id(t, fd);
		if (!i)
			first = id;
		CHECK(t, id == first);
		CHECK(t, !pindma_set_eventfd(t->dev, fd));
		/* Another one in its place, none, or what close() finds */
		if (i % 3)
			CHECK(t, !pindma_set_eventfd(t->dev, i % 3 == 1 ? -1 : fd));
		close(fd);
		pindma_close(t->dev);
		t->dev = NULL;
	}
	test_kept(t);
}

static void become_nobody(struct test *t)
{
	CHECK(t, !setresgid(65534, 65534, 65534));
	CHECK(t, !setresuid(65534, 65534, 65534));
}

/* RLIMIT_MEMLOCK, to the page, and the charge comes back. */
static void memlock(struct test *t)
{
	struct rlimit rl = { 8 * PAGE_SIZE, 8 * PAGE_SIZE };
	uint32_t a, b, mode;

	test_alloc(t);
	test_open(t);
	CHECK(t, !setrlimit(RLIMIT_MEMLOCK, &rl));
	become_nobody(t);
	for (mode = PINDMA_PIN_GET; mode <= PINDMA_PIN_LONGTERM; mode++) {
		CHECK(t, pindma_reg_mr(t->dev, t->buf, 8 * PAGE_SIZE + 1, mode,
				       0, &a) == -ENOMEM);
		CHECK(t, kernel_vm_pin(getpid()) == 0);
		CHECK(t, !pindma_reg_mr(t->dev, t->buf, 7 * PAGE_SIZE, mode, 0,
					&a));
		/* Two bytes, but in two pages */
		CHECK(t, pindma_reg_mr(t->dev, t->buf + PAGE_SIZE - 1, 2, mode,
				       0, &b) == -ENOMEM);
		CHECK(t, !pindma_reg_mr(t->dev, t->buf, 1, mode, 0, &b));
		CHECK(t, kernel_vm_pin(getpid()) == 8 * PAGE_SIZE / 1024);
		CHECK(t, !pindma_dereg_mr(t->dev, a));
		CHECK(t, kernel_vm_pin(getpid()) == PAGE_SIZE / 1024);
		CHECK(t, !pindma_dereg_mr(t->dev, b));
		CHECK(t, kernel_vm_pin(getpid()) == 0);
	}
	test_kept(t);
}

/* Frame numbers, the journal and faults are not for everybody. */
static void privilege(struct test *t)
{
	struct pindma_fault none = { .kind = PINDMA_FAULT_NONE };
	struct pindma_page page;
	uint64_t first = 0;

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	CHECK(t, pindma_get_pages(t->dev, t->mr, 0, &page, 1) == 1);
	CHECK(t, pindma_get_pages(t->dev, t->mr, NR_PAGES, &page, 1) == -EINVAL);
	become_nobody(t);
	CHECK(t, pindma_get_pages(t->dev, t->mr, 0, &page, 1) == -EPERM);
	CHECK(t, pindma_read_journal(t->dev, &first, NULL, 0, NULL) == -EPERM);
	CHECK(t, pindma_fault(t->dev, &none) == -EPERM);
	CHECK(t, !test_info(t).stale_addr);
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	t->mr = 0;
	test_kept(t);
}

/* The device may not be made to write where the process may not. */
static void readonly_mapping(struct test *t)
{
	uint32_t mode, flags, mr;

	test_alloc(t);
	test_open(t);
	CHECK(t, !mprotect(t->buf, t->len, PROT_READ));
	for (mode = PINDMA_PIN_GET; mode <= PINDMA_PIN_LONGTERM; mode++) {
		for (flags = 0; flags <= PINDMA_MR_FAST; flags++) {
			CHECK(t, pindma_reg_mr(t->dev, t->buf, t->len, mode,
					       flags, &mr) == -EFAULT);
			CHECK(t, !pindma_reg_mr(t->dev, t->buf, t->len, mode,
						flags | PINDMA_MR_READONLY, &mr));
			CHECK(t, !pindma_dereg_mr(t->dev, mr));
			CHECK(t, pindma_reg_mr(t->dev, t->buf, t->len, mode,
					       flags | PINDMA_MR_FORCE, &mr) ==
				 -EINVAL);
		}
	}
	test_kept(t);
}

/* A page that the device wrote to is dirty at the unpin, unless not wanted. */
static void dirty(struct test *t)
{
	struct pindma_page page;
	uint32_t mode, mr;
	uint8_t *p;

	test_alloc(t);
	test_open(t);
	p = t->buf;
	for (mode = PINDMA_PIN_GET; mode <= PINDMA_PIN_LONGTERM; mode++) {
		CHECK(t, !pindma_reg_mr(t->dev, p, PAGE_SIZE, mode,
					PINDMA_MR_NODIRTY, &mr));
		CHECK(t, !pindma_dereg_mr(t->dev, mr));
		CHECK(t, !pindma_reg_mr(t->dev, p, PAGE_SIZE, mode, 0, &mr));
		CHECK(t, pindma_get_pages(t->dev, mr, 0, &page, 1) == 1);
		CHECK(t, !(page.flags & PINDMA_PAGE_DIRTY));
		CHECK(t, !pindma_dereg_mr(t->dev, mr));
		CHECK(t, !pindma_reg_mr(t->dev, p, PAGE_SIZE, mode, 0, &mr));
		CHECK(t, pindma_get_pages(t->dev, mr, 0, &page, 1) == 1);
		CHECK(t, page.flags & PINDMA_PAGE_DIRTY);
		CHECK(t, page.pfn == test_pfn(t, p));
		CHECK(t, !pindma_dereg_mr(t->dev, mr));
		p += PAGE_SIZE;
	}
	test_kept(t);
}

/* A reference of GET is in no counter of the kernel, but in the page's own. */
static void references(struct test *t)
{
	struct pindma_page page;
	uint32_t mode, flags, mr;
	int before = 0, i;

	test_alloc(t);
	test_open(t);
	for (mode = PINDMA_PIN_GET; mode <= PINDMA_PIN_LONGTERM; mode++) {
		for (flags = 0; flags <= PINDMA_MR_FAST; flags++) {
			for (i = 0; i < 200; i++) {
				CHECK(t, !pindma_reg_mr(t->dev, t->buf, 1, mode,
							flags, &mr));
				CHECK(t, pindma_get_pages(t->dev, mr, 0, &page,
							  1) == 1);
				CHECK(t, !pindma_dereg_mr(t->dev, mr));
				if (!i)
					before = page.refcount;
			}
			/* LRU batches of CPUs may hold some dozens, for a while. */
			CHECK(t, page.refcount < before + 100);
		}
	}
	test_kept(t);
}

const struct scenario driver_limits_scenarios[] = {
	{
		.name = "driver.bad_arguments",
		.promise = "each ioctl refuses what it does not know, with the errno of <linux/pindma.h>",
		.run = bad_arguments,
	}, {
		.name = "driver.reap_fault",
		.promise = "a completion that could not be copied out is there again",
		.run = reap_fault,
	}, {
		.name = "driver.memlock",
		.promise = "RLIMIT_MEMLOCK holds to the page, and what was charged comes back",
		.run = memlock,
	}, {
		.name = "driver.charge_owner",
		.promise = "RLIMIT_MEMLOCK is charged to who registers, and given back to the same, whoever deregisters",
		.run = charge_owner,
	}, {
		.name = "driver.eventfd_released",
		.promise = "an eventfd is let go of when another takes its place, and with the file",
		.run = eventfd_released,
	}, {
		.name = "driver.privilege",
		.promise = "frame numbers and the journal need CAP_SYS_ADMIN, faults CAP_SYS_RAWIO",
		.run = privilege,
	}, {
		.name = "driver.readonly_mapping",
		.promise = "memory that the process may only read is registered for reading only",
		.run = readonly_mapping,
	}, {
		.name = "driver.references",
		.promise = "what was taken of a page is given back, GET references, too",
		.run = references,
	}, {
		.name = "driver.dirty",
		.promise = "unpinning dirties the pages, unless PINDMA_MR_NODIRTY is given",
		.run = dirty,
	},
	{ }
};
