// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each ioctl with each errno that <linux/pindma.h> and the man pages document for
 * it, in a table: whoever documents another one adds a row. What cannot be
 * provoked here has a reason in place of a function.
 *
 * To see it red: have the driver return another error in any of these places, for
 * example -ENOENT for -EBADF of an eventfd, or leave out pindma_enter() (the states);
 * leave pindma_mr_put_key() out of pindma_mr_free() (mrs_full).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shared.h"

#define SIZED(type, ...)	((type){ .size = sizeof(type), __VA_ARGS__ })

/* 0 or -errno of an ioctl with a structure that is written here */
#define TRY(t, ioc, ...)						\
	({								\
		struct IOC_##ioc arg_ = SIZED(struct IOC_##ioc, __VA_ARGS__); \
									\
		ioctl(pindma_fd((t)->dev), PINDMA_IOC_##ioc, &arg_) ?	\
			-errno : 0;					\
	})
#define IOC_INFO		pindma_info
#define IOC_REG_MR		pindma_reg_mr
#define IOC_DEREG_MR		pindma_dereg_mr
#define IOC_POST		pindma_post
#define IOC_REAP		pindma_reap
#define IOC_EVENTFD		pindma_eventfd
#define IOC_PAGES		pindma_pages
#define IOC_JOURNAL		pindma_journal
#define IOC_MARK		pindma_mark
#define IOC_FAULT		pindma_fault
#define IOC_CREATE_QUEUE	pindma_create_queue
#define IOC_DESTROY_QUEUE	pindma_destroy_queue
#define IOC_IMPORT_DMABUF	pindma_import_dmabuf
#define IOC_EXPORT_DMABUF	pindma_export_dmabuf

#define NOWHERE			16	/* nothing is mapped there */

/* What rows need; each is made where nothing else is in its way. */
static uint32_t longterm;	/* an mr of the test's memory */
static int dmabuf = -1;		/* of it */
static int readonly_dmabuf = -1; /* of another one */
static struct pindma_queue *queue;

static uint64_t mem(struct test *t)
{
	return (uintptr_t)t->mem;
}

/* ------------------------------------------------------------------ one a row */

static int reg_mode(struct test *t)
{
	return TRY(t, REG_MR, .addr = mem(t), .len = 8, .pin_mode = 99);
}

static int reg_unmapped(struct test *t)
{
	return TRY(t, REG_MR, .addr = NOWHERE, .len = 8,
		   .pin_mode = PINDMA_PIN_PIN);
}

static int reg_as_anybody(struct test *t)
{
	return TRY(t, REG_MR, .addr = mem(t), .len = 8,
		   .pin_mode = PINDMA_PIN_PIN);
}

static int reg_poor(struct test *t)
{
	return as_nobody(t, reg_as_anybody);
}

static int reg_huge(struct test *t)
{
	return TRY(t, REG_MR, .addr = mem(t), .len = 1ull << 40,
		   .pin_mode = PINDMA_PIN_PIN);
}

/* 0: this kernel has it. */
static int reg_exclusive(struct test *t)
{
	return TRY(t, REG_MR, .addr = mem(t), .len = 8,
		   .pin_mode = PINDMA_PIN_EXCLUSIVE);
}

static int dereg_unknown(struct test *t)
{
	return TRY(t, DEREG_MR, .mr = 77);
}

static int post_op(struct test *t)
{
	struct pindma_op op = { .opcode = 0xff };

	return TRY(t, POST, .nr = 1, .ops = (uintptr_t)&op);
}

static int post_pointer(struct test *t)
{
	return TRY(t, POST, .nr = 1, .ops = NOWHERE);
}

static int post_owned(struct test *t)
{
	struct pindma_op op = { .opcode = PINDMA_OP_NOP };

	return TRY(t, POST, .nr = 1, .ops = (uintptr_t)&op,
		   .channel = pindma_queue_channel(queue));
}

static int post_full(struct test *t)
{
	struct pindma_op op = { .opcode = PINDMA_OP_NOP };
	struct pindma_completion c[32];
	unsigned int n = 0;
	int ret;

	while (!(ret = TRY(t, POST, .nr = 1, .ops = (uintptr_t)&op)) &&
	       n++ < 10000)
		;
	while (n) {
		int some = pindma_wait(t->dev, c, ARRAY_SIZE(c), 10000);

		CHECK(t, some > 0);
		n -= some;
	}
	return ret;
}

static int reap_pointer(struct test *t)
{
	struct pindma_op op = { .opcode = PINDMA_OP_NOP };
	struct pindma_completion c;
	int ret;

	CHECK(t, pindma_post(t->dev, &op, 1) == 1);
	do
		ret = TRY(t, REAP, .nr = 1, .completions = NOWHERE);
	while (!ret);	/* it takes a moment to complete */
	CHECK(t, pindma_wait(t->dev, &c, 1, 10000) == 1);
	return ret;
}

static int eventfd_closed(struct test *t)
{
	return TRY(t, EVENTFD, .fd = 999);
}

static int eventfd_other(struct test *t)
{
	return TRY(t, EVENTFD, .fd = pindma_fd(t->dev));
}

static int pages_of(struct test *t, uint32_t mr, uint32_t first, uint64_t to)
{
	return TRY(t, PAGES, .mr = mr, .first = first, .nr = 1, .pages = to);
}

static int pages_any(struct test *t)
{
	struct pindma_page page;

	return pages_of(t, longterm, 0, (uintptr_t)&page);
}

static int pages_nobody(struct test *t)
{
	return as_nobody(t, pages_any);
}

static int pages_unknown(struct test *t)
{
	struct pindma_page page;

	return pages_of(t, 77, 0, (uintptr_t)&page);
}

static int pages_beyond(struct test *t)
{
	struct pindma_page page;

	return pages_of(t, longterm, NR_PAGES, (uintptr_t)&page);
}

static int pages_pointer(struct test *t)
{
	return pages_of(t, longterm, 0, NOWHERE);
}

static int pages_dmabuf(struct test *t)
{
	struct pindma_page page;
	uint32_t mr;
	int ret;

	CHECK(t, !pindma_import_dmabuf(t->dev, dmabuf, 0, 8, 0, &mr));
	ret = pages_of(t, mr, 0, (uintptr_t)&page);
	CHECK(t, !pindma_dereg_mr(t->dev, mr));
	return ret;
}

static int journal_any(struct test *t)
{
	return TRY(t, JOURNAL, .nr = 0);
}

static int journal_nobody(struct test *t)
{
	return as_nobody(t, journal_any);
}

static int journal_pointer(struct test *t)
{
	return TRY(t, JOURNAL, .nr = 1, .entries = NOWHERE);
}

static int mark_channel(struct test *t)
{
	return TRY(t, MARK, .channel = -1u);
}

static int mark_owned(struct test *t)
{
	return TRY(t, MARK, .channel = pindma_queue_channel(queue));
}

static int fault_kind(struct test *t)
{
	return TRY(t, FAULT, .kind = PINDMA_NUM_FAULTS, .queues = 2);
}

static int fault_none(struct test *t)
{
	return TRY(t, FAULT, .kind = PINDMA_FAULT_NONE);
}

static int fault_nobody(struct test *t)
{
	return as_nobody(t, fault_none);
}

static int create_entries(struct test *t)
{
	return TRY(t, CREATE_QUEUE, .entries = 3);
}

static int create_all(struct test *t)
{
	struct pindma_create_queue q[64];
	unsigned int n = 0;
	int ret = 0;

	while (n < ARRAY_SIZE(q)) {
		q[n] = SIZED(struct pindma_create_queue, .entries = 16);
		ret = ioctl(pindma_fd(t->dev), PINDMA_IOC_CREATE_QUEUE, &q[n]) ?
		      -errno : 0;
		if (ret)
			break;
		n++;
	}
	while (n--)
		CHECK(t, !TRY(t, DESTROY_QUEUE, .channel = q[n].channel));
	return ret;
}

static int destroy_shared(struct test *t)
{
	return TRY(t, DESTROY_QUEUE, .channel = 0);
}

static int import_closed(struct test *t)
{
	return TRY(t, IMPORT_DMABUF, .fd = 999, .len = 8);
}

static int import_other(struct test *t)
{
	return TRY(t, IMPORT_DMABUF, .fd = pindma_fd(t->dev), .len = 8);
}

static int import_huge(struct test *t)
{
	return TRY(t, IMPORT_DMABUF, .fd = dmabuf, .len = 1ull << 40);
}

static int import_readonly(struct test *t)
{
	return TRY(t, IMPORT_DMABUF, .fd = readonly_dmabuf, .len = 8);
}

static int export_unknown(struct test *t)
{
	return TRY(t, EXPORT_DMABUF, .mr = 77);
}

static int export_flags(struct test *t)
{
	return TRY(t, EXPORT_DMABUF, .mr = longterm, .flags = 1);
}

/* What EXPORT_DMABUF says of an mr of this mode and place */
static int export_of(struct test *t, uint32_t mode, unsigned int offset)
{
	uint32_t mr;
	int ret;

	CHECK(t, !pindma_reg_mr(t->dev, t->mem + offset, PAGE_SIZE, mode, 0,
				&mr));
	ret = TRY(t, EXPORT_DMABUF, .mr = mr);
	CHECK(t, !pindma_dereg_mr(t->dev, mr));
	return ret;
}

static int export_part(struct test *t)
{
	return export_of(t, PINDMA_PIN_LONGTERM, 8);
}

static int export_short_pin(struct test *t)
{
	return export_of(t, PINDMA_PIN_PIN, 0);
}

static int export_no_fds(struct test *t)
{
	struct rlimit old, none = { 0, 0 };
	int ret;

	CHECK(t, !getrlimit(RLIMIT_NOFILE, &old));
	none.rlim_max = old.rlim_max;
	CHECK(t, !setrlimit(RLIMIT_NOFILE, &none));
	ret = TRY(t, EXPORT_DMABUF, .mr = longterm);
	CHECK(t, !setrlimit(RLIMIT_NOFILE, &old));
	return ret;
}

#define NO_MEMORY	"no allocation fails here at will: failnth.* have them fail"
#define STOCK		"every stock kernel has the option that it wants"

static const struct row {
	const char *ioctl;
	int err;
	int (*provoke)(struct test *t);
	const char *why_not;
} rows[] = {
	{ "REG_MR", EINVAL, reg_mode, NULL },
	{ "REG_MR", EFAULT, reg_unmapped, NULL },
	{ "REG_MR", ENOMEM, reg_poor, NULL },
	{ "REG_MR", ENOSPC, reg_huge, NULL },
	{ "REG_MR", EOPNOTSUPP, reg_exclusive,
	  "this kernel has device-exclusive memory" },
	{ "REG_MR", EINTR, NULL, "only a fatal signal: nobody is left to see it" },
	{ "DEREG_MR", ENOENT, dereg_unknown, NULL },
	{ "POST", EINVAL, post_op, NULL },
	{ "POST", EFAULT, post_pointer, NULL },
	{ "POST", EBUSY, post_owned, NULL },
	{ "POST", EAGAIN, post_full, NULL },
	{ "REAP", EFAULT, reap_pointer, NULL },
	{ "EVENTFD", EBADF, eventfd_closed, NULL },
	{ "EVENTFD", EINVAL, eventfd_other, NULL },
	{ "PAGES", EPERM, pages_nobody, NULL },
	{ "PAGES", ENOENT, pages_unknown, NULL },
	{ "PAGES", EINVAL, pages_beyond, NULL },
	{ "PAGES", EFAULT, pages_pointer, NULL },
	{ "PAGES", EOPNOTSUPP, pages_dmabuf, NULL },
	{ "JOURNAL", EPERM, journal_nobody, NULL },
	{ "JOURNAL", EFAULT, journal_pointer, NULL },
	{ "MARK", EINVAL, mark_channel, NULL },
	{ "MARK", EBUSY, mark_owned, NULL },
	{ "FAULT", EINVAL, fault_kind, NULL },
	{ "FAULT", EPERM, fault_nobody, NULL },
	{ "CREATE_QUEUE", EINVAL, create_entries, NULL },
	{ "CREATE_QUEUE", EBUSY, create_all, NULL },
	{ "CREATE_QUEUE", ENOMEM, NULL, NO_MEMORY },
	{ "DESTROY_QUEUE", ENOENT, destroy_shared, NULL },
	{ "IMPORT_DMABUF", EBADF, import_closed, NULL },
	{ "IMPORT_DMABUF", EINVAL, import_other, NULL },
	{ "IMPORT_DMABUF", ENOSPC, import_huge, NULL },
	{ "IMPORT_DMABUF", EACCES, import_readonly, NULL },
	{ "IMPORT_DMABUF", ENOMEM, NULL, NO_MEMORY },
	{ "IMPORT_DMABUF", EOPNOTSUPP, NULL, STOCK },
	{ "EXPORT_DMABUF", ENOENT, export_unknown, NULL },
	{ "EXPORT_DMABUF", EINVAL, export_flags, NULL },
	{ "EXPORT_DMABUF", EINVAL, export_part, NULL },
	{ "EXPORT_DMABUF", EOPNOTSUPP, export_short_pin, NULL },
	{ "EXPORT_DMABUF", EMFILE, export_no_fds, NULL },
	{ "EXPORT_DMABUF", ENFILE, NULL,
	  "the limit of the whole machine does not hold for root" },
	{ "EXPORT_DMABUF", ENOMEM, NULL, NO_MEMORY },
};

static void each(struct test *t)
{
	unsigned int i, provoked = 0;
	uint32_t mr;
	int ret;

	test_alloc(t);
	test_open(t);
	CHECK(t, !pindma_reg_mr(t->dev, t->mem, NR_PAGES * PAGE_SIZE,
				PINDMA_PIN_LONGTERM, 0, &longterm));
	CHECK(t, !pindma_export_dmabuf(t->dev, longterm, &dmabuf));
	CHECK(t, !pindma_reg_mr(t->dev, t->mem, PAGE_SIZE, PINDMA_PIN_LONGTERM,
				PINDMA_MR_READONLY, &mr));
	CHECK(t, !pindma_export_dmabuf(t->dev, mr, &readonly_dmabuf));
	CHECK(t, !pindma_queue_create(t->dev, 16, &queue));
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		ret = rows[i].provoke ? rows[i].provoke(t) : 0;
		if (ret == -rows[i].err)
			provoked++;
		else if (!ret && rows[i].why_not)
			test_note(t, "%s %s: not provoked: %s", rows[i].ioctl,
				  strerror(rows[i].err), rows[i].why_not);
		else
			test_lost(t, "%s, row %u: '%s', not '%s'", rows[i].ioctl,
				  i, strerror(-ret), strerror(rows[i].err));
	}
	test_note(t, "%u of %zu provoked", provoked, ARRAY_SIZE(rows));
	pindma_queue_destroy(queue);
	close(dmabuf);
	close(readonly_dmabuf);
	test_kept(t);
}

/* ------------------------------------------------------- a table that is full */

/* The device has so many mrs and no more; one that goes makes room for one. */
static void full(struct test *t)
{
	unsigned int max, n;
	uint32_t *mrs;
	uint8_t *mem;
	int ret = 0;

	test_alloc(t);
	test_open(t);
	max = test_info(t).max_mrs;
	mrs = calloc(max, sizeof(*mrs));
	/* A page for each: dma-debug warns of a page that is mapped too often. */
	mem = mmap(NULL, max * PAGE_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(t, mrs && max > 1 && mem != MAP_FAILED);
	for (n = 0; n < max && !ret; n++)
		ret = pindma_reg_mr(t->dev, mem + n * PAGE_SIZE, PAGE_SIZE,
				    PINDMA_PIN_LONGTERM, 0, &mrs[n]);
	if (ret)
		test_lost(t, "mr %u of %u: '%s'", n, max, strerror(-ret));
	CHECK(t, !pindma_export_dmabuf(t->dev, mrs[0], &dmabuf));
	for (n = 0; n < 3; n++) {
		CHECK(t, reg_as_anybody(t) == -ENOSPC);
		CHECK(t, TRY(t, IMPORT_DMABUF, .fd = dmabuf, .len = 8) ==
			 -ENOSPC);
		CHECK(t, !pindma_dereg_mr(t->dev, mrs[n]));
		if (n % 2)
			CHECK(t, !pindma_import_dmabuf(t->dev, dmabuf, 0, 8, 0,
						       &mrs[n]));
		else
			CHECK(t, !pindma_reg_mr(t->dev, t->mem, 8,
						PINDMA_PIN_PIN, 0, &mrs[n]));
	}
	free(mrs);
	close(dmabuf);
	test_kept(t);
}

/* ------------------------------------------------------ what all of them have */

#define CMD(ioc)	{ #ioc, PINDMA_IOC_##ioc, sizeof(struct IOC_##ioc) }

static const struct {
	const char *name;
	unsigned long cmd;
	unsigned int size;
} cmds[] = {
	CMD(INFO), CMD(REG_MR), CMD(DEREG_MR), CMD(POST), CMD(REAP),
	CMD(EVENTFD), CMD(PAGES), CMD(JOURNAL), CMD(MARK), CMD(FAULT),
	CMD(CREATE_QUEUE), CMD(DESTROY_QUEUE), CMD(IMPORT_DMABUF),
	CMD(EXPORT_DMABUF),
};

static void expect(struct test *t, unsigned int i, void *arg, int err)
{
	int ret = ioctl(pindma_fd(t->dev), cmds[i].cmd, arg) ? errno : 0;

	if (ret != err)
		test_lost(t, "%s: '%s', not '%s'", cmds[i].name, strerror(ret),
			  strerror(err));
}

/* All of them, with a structure of which nothing but the size is set */
static void expect_of_all(struct test *t, int err)
{
	uint32_t arg[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		memset(arg, 0, sizeof(arg));
		arg[0] = cmds[i].size;
		expect(t, i, arg, err);
	}
}

static void common(struct test *t)
{
	uint32_t arg[64];
	unsigned int i;

	test_open(t);
	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		expect(t, i, NULL, EFAULT);
		memset(arg, 0, sizeof(arg));
		arg[0] = cmds[i].size - 1;
		expect(t, i, arg, EINVAL);
		arg[0] = PAGE_SIZE + 1;
		expect(t, i, arg, EINVAL);
		/* A newer program's structure, with what we do not know */
		arg[0] = cmds[i].size + 4;
		arg[cmds[i].size / 4] = 1;
		expect(t, i, arg, EINVAL);
		/* The same number, but neither read nor written */
		CHECK(t, ioctl(pindma_fd(t->dev),
			       _IO(PINDMA_IOC_TYPE, _IOC_NR(cmds[i].cmd)), arg) &&
			 errno == ENOTTY);
	}
	CHECK(t, ioctl(pindma_fd(t->dev), _IO(PINDMA_IOC_TYPE, i), arg) &&
		 errno == ENOTTY);
	test_kept(t);
}

/* The device is dead: it did not answer. Then it is gone. */
static void dead(struct test *t)
{
	char name[256];

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	find_device(t, name);
	test_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_HANG, .count = 1,
		.queues = BIT(PINDMA_QUEUE_ADMIN) });
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	t->mr = 0;
	expect_of_all(t, EIO);
	unbind_device(t, name);
	expect_of_all(t, ENODEV);
	pindma_close(t->dev);
	t->dev = NULL;
	bind_device(t, name);
	test_open(t);
	test_kept(t);
}

const struct scenario driver_errnos_scenarios[] = {
	{
		.name = "driver.errnos",
		.promise = "each ioctl fails with each errno that is documented for it: <linux/pindma.h>, pindma(4)",
		.run = each,
	}, {
		.name = "driver.mrs_full",
		.promise = "an mr that the device has no room for is ENOSPC, whatever its kind, until another one goes: pindma_reg_mr(3)",
		.flags = SCENARIO_SLOW,
		.run = full,
	}, {
		.name = "driver.errnos_common",
		.promise = "all ioctls refuse pointers, sizes and numbers that are wrong in the same way: pindma(4)",
		.run = common,
	}, {
		.name = "driver.errnos_dead",
		.promise = "all ioctls say EIO of a device that is dead, and ENODEV of one that is gone: pindma(4)",
		.flags = SCENARIO_SLOW,
		.run = dead,
	},
	{ }
};
