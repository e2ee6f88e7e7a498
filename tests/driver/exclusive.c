// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that a device has to itself for as long as no CPU wants it.
 *
 * To see a case red: have pindma_exclusive_get() set pindma_demand_fault(); for
 * cpu, have pindma_demand_invalidate() return at once. counter has its control:
 * on demand, which any CPU may access at the same time. It does not lose each
 * time, and so is only run by its name.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

static struct pindma_page facts(struct test *t, unsigned int page)
{
	struct pindma_page info;

	CHECK(t, pindma_get_pages(t->dev, t->mr, page, &info, 1) == 1);
	return info;
}

/* A CPU that reads takes the page back: data is there, the device has it no more. */
static void cpu(struct test *t)
{
	volatile uint64_t *word;
	struct pindma_completion c;
	unsigned int i;
	uint64_t pfn;

	test_alloc(t);
	test_open(t);
	CHECK(t, pindma_reg_mr(t->dev, t->mem, PAGE_SIZE, PINDMA_PIN_EXCLUSIVE,
			       PINDMA_MR_READONLY, &t->mr) < 0);
	test_pin(t);
	word = (volatile uint64_t *)(t->mem + PAGE_SIZE);
	for (i = 0; i < 20; i++) {
		test_dma_write(t, PAGE_SIZE, i, &c);
		/* The page table has no page there, but the device has. */
		CHECK(t, !test_pfn(t, (void *)word));
		CHECK(t, facts(t, 1).pfn);
		CHECK(t, !(facts(t, 1).flags & PINDMA_PAGE_MAYBE_PINNED));
		pfn = facts(t, 1).pfn;
		CHECK(t, *word == i);
		CHECK(t, !facts(t, 1).pfn);
		CHECK(t, test_pfn(t, (void *)word) == pfn);
		*word = i + 1000;
		CHECK(t, test_dma_read(t, PAGE_SIZE) == i + 1000);
	}
	test_kept(t);
}

static void forked(struct test *t)
{
	struct pindma_completion c;
	struct peer child;
	unsigned int page;

	test_alloc(t);
	test_open(t);
	test_pin(t);
	for (page = 0; page < NR_PAGES; page++)
		test_dma_write(t, page * PAGE_SIZE, page + 1, &c);
	test_step(t, "fork");
	child = test_fork_peer(t, false);
	for (page = 0; page < NR_PAGES; page++)
		CHECK(t, *(volatile uint64_t *)(t->mem + page * PAGE_SIZE) ==
			 page + 1);
	test_step(t, "the parent writes");
	test_cpu_write(t);
	test_two_way(t, &child);
	test_peer_exit(t, &child);
	test_kept(t);
}

/* Only anonymous pages can be taken from CPUs. */
static void refused(struct test *t)
{
	struct pindma_completion c;

	test_alloc(t);
	test_open(t);
	test_pin(t);
	c = test_run_op(t, (struct pindma_op){
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_IMMEDIATE,
		.mr = t->mr, .len = 8, .value = 1 });
	CHECK(t, c.status == PINDMA_ST_DMA_ERROR);
	CHECK(t, *(volatile uint64_t *)t->mem == 0x5a5a5a5a5a5a5a5a);
	test_kept(t);
}

static volatile bool counting;

/* Load, add, store: one instruction, but atomic only for its own CPU */
static void *count(void *arg)
{
	uint64_t n = 0;

	while (counting) {
		asm volatile("addq $1, %0" : "+m" (*(uint64_t *)arg));
		n++;
	}
	return (void *)n;
}

/*
 * The device adds by an atomic operation; the CPU adds as if there were nobody
 * else. Nothing may get lost.
 */
static void counter(struct test *t)
{
	enum { BATCH = 50, BATCHES = 20 };
	volatile uint64_t *word;
	struct pindma_completion c[BATCH];
	struct pindma_op op[BATCH];
	unsigned int i, n;
	pthread_t thread;
	void *by_cpu;

	test_alloc(t);
	test_open(t);
	test_pin(t);
	word = (volatile uint64_t *)t->mem;
	*word = 0;
	counting = true;
	if (pthread_create(&thread, NULL, count, (void *)word))
		test_error(t, "no thread");
	for (n = 0; n < BATCHES; n++) {
		for (i = 0; i < BATCH; i++)
			op[i] = (struct pindma_op){
				.opcode = PINDMA_OP_FETCH_ADD, .mr = t->mr,
				.len = 8, .value = 1 };
		test_post(t, 0, op, BATCH);
		test_collect(t, c, BATCH);
		for (i = 0; i < BATCH; i++)
			CHECK(t, c[i].status == PINDMA_ST_OK);
	}
	counting = false;
	pthread_join(thread, &by_cpu);
	test_note(t, "the CPU has added 1 %llu times, the device %u times: %llu",
		  (unsigned long long)(uintptr_t)by_cpu, BATCH * BATCHES,
		  (unsigned long long)*word);
	if (*word != (uintptr_t)by_cpu + BATCH * BATCHES)
		test_lost(t, "of %llu additions, %llu of them by the device, %lld are lost",
			  (unsigned long long)(uintptr_t)by_cpu + BATCH * BATCHES,
			  (unsigned long long)BATCH * BATCHES,
			  (long long)((uintptr_t)by_cpu + BATCH * BATCHES - *word));
	test_kept(t);
}

#define SOURCE	"commit b756a3b5e7ea"

const struct scenario driver_exclusive_scenarios[] = {
	{
		.name = "driver.exclusive_cpu",
		.promise = "no CPU maps a page that is exclusive to a device, and one that accesses it takes it back: " SOURCE,
		.mems = BIT(MEM_ANON) | BIT(MEM_THP),
		.pins = PINS_EXCLUSIVE,
		.run = cpu,
	}, {
		.name = "driver.exclusive_fork",
		.promise = "fork() takes exclusive pages back, and the device stays with the parent: " SOURCE,
		.mems = BIT(MEM_ANON) | BIT(MEM_THP),
		.pins = PINS_EXCLUSIVE,
		.run = forked,
	}, {
		.name = "driver.exclusive_refused",
		.promise = "an op ends with PINDMA_ST_DMA_ERROR where the kernel does not make memory exclusive",
		.mems = BIT(MEM_SHMEM) | BIT(MEM_HUGETLB) | BIT(MEM_EXT4),
		.pins = PINS_EXCLUSIVE,
		.run = refused,
	}, {
		.name = "driver.exclusive_counter",
		.promise = "atomic ops to exclusive memory are atomic against CPUs that do not lock the bus: " SOURCE,
		.mems = BIT(MEM_ANON),
		.pins = PINS_EXCLUSIVE | PINS_DEMAND,
		.run = counter,
	},
	{ }
};
