// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the driver lets others see: tracepoints, counters, and words in the log
 * for what it refuses.
 *
 * To see it red: drop any trace_pindma_*(), or declare one that is never called
 * (trace), count pages where they are pinned but not where they are unpinned
 * (counters), return -EINVAL and say nothing, or say it without __ratelimit()
 * (refusals).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared.h"
#include "host.h"

#define INSTANCE	"/sys/kernel/debug/tracing/instances/pindma-test"

static char trace_text[1 << 16];

static void read_trace(struct test *t)
{
	FILE *f = fopen(INSTANCE "/trace", "re");

	CHECK(t, f);
	trace_text[fread(trace_text, 1, sizeof(trace_text) - 1, f)] = '\0';
	fclose(f);
}

/* The next event must be there, behind those that were found before. */
static const char * __attribute__((format(printf, 3, 4)))
find_event(struct test *t, const char *from, const char *fmt, ...)
{
	const char *found;
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	found = strstr(from, text);
	if (!found)
		test_lost(t, "no event '%s' where it should be", text);
	return found;
}

/* All that the driver declares: whoever adds one has it happen in trace(). */
static void check_all_events(struct test *t)
{
	DIR *dir = opendir(INSTANCE "/events/pindma");
	struct dirent *e;

	CHECK(t, dir);
	while ((e = readdir(dir))) {
		/* Beside them: enable, filter */
		if (!strncmp(e->d_name, "pindma_", 7))
			find_event(t, trace_text, " %s: ", e->d_name);
	}
	closedir(dir);
}

/* A page that the device had on demand is taken back. */
static uint32_t trace_demand(struct test *t)
{
	struct pindma_completion c;
	uint32_t pinned = t->mr, mr;

	CHECK(t, !pindma_reg_mr(t->dev, t->mem, NR_PAGES * PAGE_SIZE,
				PINDMA_PIN_ON_DEMAND, 0, &t->mr));
	test_dma_write(t, PAGE_SIZE, 8, &c);
	CHECK(t, !madvise(t->mem + PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED));
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	mr = t->mr;
	t->mr = pinned;
	return mr;
}

/*
 * A tracepoint is code that is patched. TCG before QEMU 8.1 translates what another CPU
 * patches meanwhile, and may keep a breakpoint that is gone: one guest in 1500 hung
 * here. So nobody shall be in that code, an interrupt of before least of all.
 */
static void set_events(struct test *t, const char *on)
{
	usleep(10000);
	CHECK(t, !kernel_set(INSTANCE "/events/pindma/enable", on));
}

static void trace(struct test *t)
{
	struct pindma_completion c;
	unsigned long page;
	const char *at;
	uint32_t demand;
	char pin[64];

	test_alloc(t);
	test_open(t);
	page = (unsigned long)t->mem + PAGE_SIZE;
	if (mkdir(INSTANCE, 0700) && errno != EEXIST)
		test_skip(t, "no tracefs");
	set_events(t, "1");
	CHECK(t, !test_try_reg_mr(t));
	test_dma_write(t, 0x18, 7, &c);
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	demand = trace_demand(t);
	set_events(t, "0");
	read_trace(t);
	check_all_events(t);
	rmdir(INSTANCE);

	at = find_event(t, trace_text, "pindma_pin: pindma0 key=0x%x addr=0x%lx npages=%d pin_mode=%d flags=0x0",
			t->mr, (unsigned long)t->mem, NR_PAGES, PINDMA_PIN_PIN);
	at = find_event(t, at, "pindma_map: pindma0 key=0x%x nents=", t->mr);
	at = find_event(t, at, "pindma_submit: pindma0 queue=%d tag=",
			PINDMA_QUEUE_ADMIN);
	at = find_event(t, at, "pindma_complete: pindma0 queue=%d tag=",
			PINDMA_QUEUE_ADMIN);
	at = find_event(t, at, "pindma_register: pindma0 key=0x%x domain=",
			t->mr);
	at = find_event(t, at, "pindma_submit: pindma0 queue=%d tag=0x%llx opcode=0x%x key=0x%x offset=0x18 len=0x8",
			PINDMA_QUEUE_IO, (unsigned long long)c.tag,
			PINDMA_OP_WRITE, t->mr);
	at = find_event(t, at, "pindma_complete: pindma0 queue=%d tag=0x%llx status=%d result=0x%llx",
			PINDMA_QUEUE_IO, (unsigned long long)c.tag,
			PINDMA_ST_OK, (unsigned long long)c.result);
	at = find_event(t, at, "pindma_unpin: pindma0 key=0x%x npages=%d", t->mr,
			NR_PAGES);
	at = find_event(t, at, "pindma_register: pindma0 key=0x%x domain=",
			demand);
	/* Then the device is told. It was never pinned or unpinned. */
	at = find_event(t, at, "pindma_invalidate: pindma0 key=0x%x start=0x%lx end=0x%lx",
			demand, page, page + PAGE_SIZE);
	find_event(t, at, "pindma_submit: pindma0 queue=%d tag=0x",
		   PINDMA_QUEUE_ADMIN);
	snprintf(pin, sizeof(pin), "pin: pindma0 key=0x%x ", demand);
	CHECK(t, !strstr(trace_text, pin));
	test_kept(t);
}

struct counters {
	long mrs, pages, posted, completed, commands, interrupts, resets;
};

static struct counters read_counters(struct test *t)
{
	struct counters c;

	c.mrs = kernel_pindma_counter("mrs");
	if (c.mrs < 0)
		test_skip(t, "no debugfs");
	c.pages = kernel_pindma_counter("pages");
	c.posted = kernel_pindma_counter("posted");
	c.completed = kernel_pindma_counter("completed");
	c.commands = kernel_pindma_counter("commands");
	c.interrupts = kernel_pindma_counter("interrupts");
	c.resets = kernel_pindma_counter("resets");
	return c;
}

static void counters(struct test *t)
{
	struct pindma_completion done[10];
	struct pindma_op nops[10] = { { 0 } };
	struct counters was, is;
	char path[512];
	uint32_t mr;

	test_alloc(t);
	test_open(t);
	was = read_counters(t);
	CHECK(t, !test_try_reg_mr(t));
	CHECK(t, !pindma_reg_mr(t->dev, t->buf, 1, PINDMA_PIN_GET, 0, &mr));
	test_run_ops(t, 1, nops, 10, done);
	is = read_counters(t);
	CHECK(t, is.mrs == was.mrs + 2);
	CHECK(t, is.pages == was.pages + NR_PAGES + 1);
	CHECK(t, is.posted == was.posted + 10);
	CHECK(t, is.completed == was.completed + 10);
	CHECK(t, is.commands == was.commands + 2);
	CHECK(t, is.interrupts > was.interrupts);
	CHECK(t, is.resets == was.resets);

	/* A hammer is on its way until it ends. */
	test_start_hammer(t, 1);
	is = read_counters(t);
	CHECK(t, is.posted == was.posted + 11);
	CHECK(t, is.completed == was.completed + 10);
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	CHECK(t, !pindma_dereg_mr(t->dev, mr));
	test_collect(t, done, 1);
	is = read_counters(t);
	CHECK(t, is.mrs == was.mrs);
	CHECK(t, is.pages == was.pages);
	CHECK(t, is.completed == was.completed + 11);

	snprintf(path, sizeof(path), "%s/reset", device_dir(t));
	CHECK(t, !kernel_set(path, "1"));
	CHECK(t, read_counters(t).resets == was.resets + 1);
	test_kept(t);
}

/* Lines in the kernel's log since it was watched */
static unsigned int count_lines(struct test *t, const char *word)
{
	unsigned int n = 0;

	while (kernel_says(t, word, "", 0))
		n++;
	return n;
}

/* What is refused, each for a reason of its own. 0 or -errno */
static int dmabuf = -1;		/* of NR_PAGES */

static int refused_mode(struct test *t)
{
	uint32_t mr;

	return pindma_reg_mr(t->dev, t->mem, 1, 77, 0, &mr);
}

static int refused_flags(struct test *t)
{
	uint32_t mr;

	return pindma_reg_mr(t->dev, t->mem, 1, PINDMA_PIN_PIN, BIT(31), &mr);
}

static int import(struct test *t, int fd, uint64_t len, uint32_t flags)
{
	uint32_t mr;

	return pindma_import_dmabuf(t->dev, fd, 0, len, flags, &mr);
}

static int refused_import_flags(struct test *t)
{
	return import(t, dmabuf, 8, PINDMA_MR_FAST);
}

static int refused_import_len(struct test *t)
{
	return import(t, dmabuf, NR_PAGES * PAGE_SIZE + 1, 0);
}

static int refused_import_fd(struct test *t)
{
	return import(t, pindma_fd(t->dev), 8, 0);
}

static int refused_eventfd(struct test *t)
{
	return pindma_set_eventfd(t->dev, pindma_fd(t->dev));
}

static int map(struct test *t, size_t size, int flags, off_t offset)
{
	void *p = mmap(NULL, size, PROT_READ, flags, pindma_fd(t->dev), offset);

	return p == MAP_FAILED ? -errno : munmap(p, size);
}

static int refused_map_size(struct test *t)
{
	return map(t, 1ul << 30, MAP_SHARED, 0);
}

static int refused_map_private(struct test *t)
{
	return map(t, PAGE_SIZE, MAP_PRIVATE, 0);
}

static int refused_map_queue(struct test *t)
{
	return map(t, PAGE_SIZE, MAP_SHARED, 0);
}

static const struct refusal {
	int (*ask)(struct test *t);
	const char *says;
} refused[] = {
	{ refused_mode, ": REG_MR: pin_mode 77" },
	{ refused_flags, ": REG_MR: flags 0x80000000" },
	{ refused_import_flags, ": IMPORT_DMABUF: flags 0x1 " },
	{ refused_import_len, ": IMPORT_DMABUF: 0x4001 bytes at 0x0 " },
	{ refused_import_fd, " is not a dma-buf" },
	{ refused_eventfd, " is not an eventfd" },
	{ refused_map_size, ": mmap: pages 0x0 to 0x3ffff " },
	{ refused_map_private, ": mmap: not MAP_SHARED" },
	{ refused_map_queue, ": mmap: pages 0x0 to 0x0 are of no queue" },
};

/* Others may have been refused a lot just now: then it is silent for 5 s. */
static void check_refused(struct test *t, const struct refusal *r)
{
	unsigned int tries = 20;

	do {
		CHECK(t, r->ask(t) == -EINVAL);
		if (kernel_says(t, r->says, "pindma-test", 1))
			return;
	} while (--tries);
	test_lost(t, "the log does not say '%s'", r->says);
}

static void refusals(struct test *t)
{
	unsigned int i, n;
	uint32_t mr;

	test_alloc(t);
	test_open(t);
	CHECK(t, !pindma_reg_mr(t->dev, t->mem, NR_PAGES * PAGE_SIZE,
				PINDMA_PIN_LONGTERM, 0, &mr));
	CHECK(t, !pindma_export_dmabuf(t->dev, mr, &dmabuf));
	watch_kernel_log(t);
	for (i = 0; i < ARRAY_SIZE(refused); i++)
		check_refused(t, &refused[i]);
	for (i = 0; i < 1000; i++)
		CHECK(t, pindma_reg_mr(t->dev, t->mem, 1, 78, 0, &mr) == -EINVAL);
	n = count_lines(t, "REG_MR: pin_mode 78");
	if (n > 100)
		test_lost(t, "%u lines in the log for 1000 bad calls", n);
	close(dmabuf);	/* its pages are pinned as long as it is there */
	test_kept(t);
}

const struct scenario driver_observe_scenarios[] = {
	{
		.name = "driver.trace",
		.promise = "each step in the life of an mr and an op is a tracepoint, in order, with its values; no tracepoint is never called",
		.run = trace,
	}, {
		.name = "driver.counters",
		.promise = "the counters in debugfs are what was done",
		.run = counters,
	}, {
		.name = "driver.refusals",
		.promise = "the log says which value was refused, but not a thousand times",
		.flags = SCENARIO_SLOW,
		.run = refusals,
	},
	{ }
};
