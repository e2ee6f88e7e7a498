// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pinned pages as a dma-buf, for other devices. Who has them then: this process,
 * the mr of the exporter, the dma-buf's descriptors and mappings, the mr of the
 * importer; each may go first.
 *
 * To see a case red, in guest/pindma_export.c: leave out the comparison with
 * DMA_TO_DEVICE (export); map p->pages + 1 (export); for export_orders, _killed and
 * _devices, leave out pindma_pinned_put() in pindma_export_release(), or see
 * tests/mutants/export-without-hold.patch.
 */
#include <errno.h>
#include <linux/dma-buf.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared.h"
#include "host.h"

#define SIZE	(NR_PAGES * PAGE_SIZE)

static uint32_t reg_longterm(struct test *t, uint32_t flags)
{
	uint32_t mr;

	CHECK(t, !pindma_reg_mr(t->dev, t->mem, SIZE, PINDMA_PIN_LONGTERM,
				flags, &mr));
	return mr;
}

static int export(struct test *t, uint32_t mr)
{
	int fd = -1, ret = pindma_export_dmabuf(t->dev, mr, &fd);

	if (ret == -EOPNOTSUPP)
		test_skip(t, "the kernel has no CONFIG_DMA_SHARED_BUFFER");
	CHECK(t, !ret && fd >= 0);
	return fd;
}

/* One op of a handle that is not the test's own */
static struct pindma_completion run_op(struct test *t, struct pindma *dev,
				       struct pindma_op op)
{
	struct pindma_completion c = { .status = -1u };

	CHECK(t, pindma_post(dev, &op, 1) == 1);
	CHECK(t, pindma_wait(dev, &c, 1, 10000) == 1);
	return c;
}

static void start_hammer(struct test *t, struct pindma *dev, uint32_t mr)
{
	struct pindma_op op = { .opcode = PINDMA_OP_HAMMER, .mr = mr,
				.len = SIZE, .value = 1 };

	CHECK(t, pindma_post(dev, &op, 1) == 1);
}

/* All who have the pages see the same. */
static void seen(struct test *t)
{
	struct dma_buf_sync begin = { .flags = DMA_BUF_SYNC_START |
					       DMA_BUF_SYNC_RW };
	struct dma_buf_sync end = { .flags = DMA_BUF_SYNC_END |
					     DMA_BUF_SYNC_RW };
	struct pindma_op fill = { .opcode = PINDMA_OP_FILL, .len = SIZE };
	struct pindma *other;
	uint32_t mr, theirs;
	uint8_t *map;
	size_t i;
	int fd;

	test_alloc(t);
	test_open(t);
	CHECK(t, !pindma_open(NULL, &other));
	t->mr = reg_longterm(t, 0);
	fd = export(t, t->mr);
	CHECK(t, !pindma_import_dmabuf(other, fd, 0, SIZE, 0, &theirs));
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(t, map != MAP_FAILED);

	fill.mr = theirs;
	fill.value = 0x3c;
	CHECK(t, run_op(t, other, fill).status == PINDMA_ST_OK);
	CHECK(t, !ioctl(fd, DMA_BUF_IOCTL_SYNC, &begin));
	for (i = 0; i < SIZE; i++)
		if (t->mem[i] != 0x3c || map[i] != 0x3c)
			test_lost(t, "at 0x%zx the importer wrote 0x3c, the process reads 0x%02x, and 0x%02x by the dma-buf",
				  i, t->mem[i], map[i]);
	CHECK(t, t->mem[-1] == 0x5a && t->mem[SIZE] == 0x5a);
	for (i = 0; i < NR_PAGES; i++)
		*(volatile uint64_t *)(map + i * PAGE_SIZE + 8) = i + 77;
	CHECK(t, !ioctl(fd, DMA_BUF_IOCTL_SYNC, &end));
	for (i = 0; i < NR_PAGES; i++) {
		CHECK(t, test_dma_read(t, i * PAGE_SIZE + 8) == i + 77);
		CHECK(t, *(volatile uint64_t *)(t->mem + i * PAGE_SIZE + 8) ==
			 i + 77);
	}

	/* It is not to be had in part, or as what could be changed unseen. */
	CHECK(t, mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED &&
		 errno == EINVAL);
	CHECK(t, mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, PAGE_SIZE) ==
		 MAP_FAILED && errno == EINVAL);
	/* What cannot be pinned for a process cannot be pinned by way of it. */
	CHECK(t, pindma_reg_mr(t->dev, map, SIZE, PINDMA_PIN_LONGTERM, 0, &mr) ==
		 -EFAULT);
	munmap(map, SIZE);
	close(fd);
	pindma_close(other);
	test_kept(t);
}

/* Who may only read cannot let others write. */
static void readonly(struct test *t)
{
	struct pindma *other;
	uint32_t theirs;
	int fd;

	test_alloc(t);
	test_open(t);
	CHECK(t, !pindma_open(NULL, &other));
	t->mr = reg_longterm(t, PINDMA_MR_READONLY);
	fd = export(t, t->mr);
	CHECK(t, pindma_import_dmabuf(other, fd, 0, SIZE, 0, &theirs) == -EACCES);
	CHECK(t, mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) ==
		 MAP_FAILED && errno == EACCES);
	CHECK(t, !pindma_import_dmabuf(other, fd, 0, SIZE, PINDMA_MR_READONLY,
				       &theirs));
	CHECK(t, run_op(t, other, (struct pindma_op){
		.opcode = PINDMA_OP_READ, .mode = PINDMA_READ_VALUE,
		.mr = theirs, .len = 8 }).result == 0x5a5a5a5a5a5a5a5a);
	CHECK(t, run_op(t, other, (struct pindma_op){
		.opcode = PINDMA_OP_FILL, .mr = theirs, .len = 8 }).status ==
		 PINDMA_ST_ACCESS);
	close(fd);
	pindma_close(other);
	test_kept(t);
}

/* The mr, the descriptor and the importer end in every order, by every way. */
static void orders(struct test *t)
{
	static const char order[6][3] = { "mfi", "mif", "fmi", "fim", "imf",
					  "ifm" };
	long before = kernel_pinned_pages();
	struct pindma *other;
	uint32_t mr, theirs;
	bool importer;
	int i, n, fd;

	test_alloc(t);
	for (i = 0; i < 2 * 6; i++) {
		test_open(t);
		CHECK(t, !pindma_open(NULL, &other));
		mr = reg_longterm(t, 0);
		fd = export(t, mr);
		CHECK(t, !pindma_import_dmabuf(other, fd, 0, SIZE, 0, &theirs));
		start_hammer(t, other, theirs);
		importer = true;
		for (n = 0; n < 3; n++) {
			if (kernel_pinned_pages() != before + NR_PAGES)
				test_lost(t, "order %.3s: %ld pages are pinned, not %ld, when %d of 3 have let go",
					  order[i / 2], kernel_pinned_pages(),
					  before + NR_PAGES, n);
			CHECK(t, !importer || stamps_go_on(t->mem, 5000));
			switch (order[i / 2][n]) {
			case 'f':
				close(fd);
				break;
			case 'm':
				if (i % 2) {
					CHECK(t, !pindma_dereg_mr(t->dev, mr));
				} else {
					pindma_close(t->dev);
					t->dev = NULL;
				}
				break;
			default:
				if (i % 2)
					CHECK(t, !pindma_dereg_mr(other, theirs));
				else
					pindma_close(other);
				importer = false;
				CHECK(t, !stamps_go_on(t->mem, 20));
			}
		}
		/* The last descriptor ends on the way out of close(). */
		CHECK(t, kernel_pinned_pages() == before);
		if (i % 2) {
			pindma_close(other);
			pindma_close(t->dev);
			t->dev = NULL;
		}
	}
	test_kept(t);
}

/* A process with all of it is killed, while both sides write. */
static void killed(struct test *t)
{
	long before = kernel_pinned_pages();
	volatile bool *ready = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct pindma *other;
	uint32_t theirs;
	pid_t pid;
	int i, fd;

	CHECK(t, ready != MAP_FAILED);
	for (i = 0; i < 10; i++) {
		*ready = false;
		pid = fork();
		CHECK(t, pid >= 0);
		if (!pid) {
			test_alloc(t);
			test_open(t);
			CHECK(t, !pindma_open(NULL, &other));
			t->mr = reg_longterm(t, 0);
			fd = export(t, t->mr);
			CHECK(t, mmap(NULL, SIZE, PROT_READ, MAP_SHARED |
				      MAP_POPULATE, fd, 0) != MAP_FAILED);
			CHECK(t, !pindma_import_dmabuf(other, fd, 0, SIZE, 0,
						       &theirs));
			start_hammer(t, other, theirs);
			test_start_hammer(t, 0);
			CHECK(t, stamps_go_on(t->mem, 5000));
			*ready = true;
			for (;;)
				pause();
		}
		while (!*ready)
			if (waitpid(pid, NULL, WNOHANG))
				_exit(0);	/* it has said why */
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		wait_for_unpin(t, before, 10000);
	}
	test_kept(t);
}

static bool wait_for_second(bool there)
{
	unsigned int ms = 30000;

	while (!access("/dev/pindma1", F_OK) != there && --ms)
		usleep(1000);
	return ms;
}

/*
 * Two devices: the one that writes goes on when the driver of the other one, whose
 * pages they are, is unbound; and is pulled out in the end.
 */
static void devices(struct test *t)
{
	bool goes_on, held, unplugged, stopped, unpinned;
	unsigned int tries;
	long before = kernel_pinned_pages();
	struct pindma *other;
	char name[256];
	uint32_t theirs;
	int fd;

	test_alloc(t);
	test_open(t);
	t->mr = reg_longterm(t, 0);
	fd = export(t, t->mr);
	find_device(t, name);	/* while there is one */
	plug_in(t, "plug second");
	CHECK(t, wait_for_second(true));
	CHECK(t, !pindma_open("/dev/pindma1", &other));
	CHECK(t, !pindma_import_dmabuf(other, fd, 0, SIZE, 0, &theirs));
	close(fd);
	CHECK(t, run_op(t, other, (struct pindma_op){
		.opcode = PINDMA_OP_FILL, .mr = theirs, .len = SIZE,
		.value = 0x99 }).status == PINDMA_ST_OK);
	CHECK(t, t->mem[0] == 0x99 && t->mem[SIZE - 1] == 0x99);
	CHECK(t, test_dma_read(t, SIZE - 8) == 0x9999999999999999);
	start_hammer(t, other, theirs);
	CHECK(t, stamps_go_on(t->mem, 5000));

	/* Whatever is seen: the other cases need one device, and only one. */
	unbind_device(t, name);
	goes_on = stamps_go_on(t->mem, 5000);
	held = kernel_pinned_pages() == before + NR_PAGES;
	pindma_close(t->dev);
	t->dev = NULL;
	goes_on = goes_on && stamps_go_on(t->mem, 5000);
	held = held && kernel_pinned_pages() == before + NR_PAGES;
	ask_host(t, "unplug second");
	unplugged = wait_for_second(false);
	/* The name goes before the device stops. */
	for (tries = 0; tries < 100 && stamps_go_on(t->mem, 50); tries++)
		usleep(10000);
	stopped = tries < 100;
	wait_for_unpin(t, before, 10000);
	unpinned = kernel_pinned_pages() == before;
	pindma_close(other);
	bind_device(t, name);
	CHECK(t, goes_on);
	CHECK(t, held);
	CHECK(t, unplugged);
	CHECK(t, stopped);
	CHECK(t, unpinned);
	test_kept(t);
}

#define SOURCE	"Documentation/driver-api/dma-buf.rst"

const struct scenario driver_export_scenarios[] = {
	{
		.name = "driver.export",
		.promise = "all who have the memory of an mr by its dma-buf see the same: " SOURCE,
		.mems = MEMS_ANON_ALL | BIT(MEM_SHMEM),
		.run = seen,
	}, {
		.name = "driver.export_readonly",
		.promise = "nobody can write by the dma-buf of an mr that is for reading",
		.mems = BIT(MEM_ANON),
		.run = readonly,
	}, {
		.name = "driver.export_orders",
		.promise = "exported pages stay pinned until the mr, the descriptor and the importer are gone, in any order",
		.mems = BIT(MEM_ANON),
		.flags = SCENARIO_FULL,
		.run = orders,
	}, {
		.name = "driver.export_killed",
		.promise = "a process that exports, imports and maps leaves nothing pinned when it is killed",
		.run = killed,
	}, {
		.name = "driver.export_devices",
		.promise = "a second device writes to the pages of the first one, and goes on when that is unbound: " SOURCE,
		.flags = SCENARIO_FULL,
		.run = devices,
	},
	{ }
};
