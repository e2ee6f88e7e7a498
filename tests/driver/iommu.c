// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that goes on writing after it was told to stop, which the faults
 * AFTER_STOP and STALE_ATC make it do. What stops it then is an IOMMU, and without
 * one nothing does. The pages stay the case's own, so that it can see what lands.
 *
 * To see them red: leave out dma_unmap_sgtable() in pindma_pin.c (the IOMMU lets
 * the writes pass), arm no fault (nothing is stale), or let STALE_ATC use
 * pindma_dma() (then it does not get through; poisoned, too).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared.h"
#include "host.h"

#define STAMPS	8u
#define MS	1000000ull

/* An unmapped address is forgotten some 10 ms later at most, if it is so at all. */
#define LATE	(300 * MS)
#define AT_ONCE	(5 * MS)

/* A mark in the journal: dereg_mr has returned, so that nothing is mapped now. */
#define GONE		0x676f6e65ull

enum iommu { IOMMU_NONE, IOMMU_LAZY, IOMMU_STRICT };

/* How the kernel has the device's addresses translated */
static enum iommu iommu_of(struct test *t)
{
	char path[600], type[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s/iommu_group/type", device_dir(t));
	f = fopen(path, "re");
	if (f && !fgets(type, sizeof(type), f))
		*type = '\0';
	if (f)
		fclose(f);
	type[strcspn(type, "\n")] = '\0';
	if (!strcmp(type, "DMA-FQ"))
		return IOMMU_LAZY;
	if (!strcmp(type, "DMA"))
		return IOMMU_STRICT;
	if (!*type || !strcmp(type, "identity"))
		return IOMMU_NONE;
	test_skip(t, "cannot tell what an IOMMU of type %s does", type);
}

/* A hammer loses its mr, and goes on a while later. How many pages show it? */
static unsigned int write_late(struct test *t, uint32_t kind, uint64_t delay)
{
	struct pindma_completion c;
	uint64_t hammer, stale;
	unsigned int landed = 0, i;

	hammer = test_start_hammer(t, 1000);
	for (i = 0; i < 5000 && !*(volatile uint64_t *)t->mem; i++)
		usleep(1000);
	stale = test_info(t).stale;
	test_fault(t, (struct pindma_fault){ .kind = kind, .queues = 1u << 1,
					     .count = 1, .arg = STAMPS,
					     .delay = delay });
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	CHECK(t, !pindma_mark(t->dev, 0, GONE));
	test_collect(t, &c, 1);
	CHECK(t, c.user_data == hammer && c.status == PINDMA_ST_ABORTED);
	usleep(delay / 1000 + 200000);
	/* Stamps begin with 1, so the result is also the last that was due. */
	for (i = 0; i < NR_PAGES; i++) {
		uint64_t stamp;

		memcpy(&stamp, t->mem + i * PAGE_SIZE, sizeof(stamp));
		landed += stamp > c.result;
	}
	CHECK(t, test_info(t).stale == stale + STAMPS);
	return landed;
}

/* Writes to the mr since it was gone: how many passed, of how many? */
static unsigned int passed_since_gone(struct test *t, unsigned int *all)
{
	const struct pindma_journal_entry *e;
	unsigned int passed = 0;
	uint64_t first = 0;
	bool gone = false;
	int n, i;

	*all = 0;
	n = test_read_journal(t, &e, &first);
	for (i = 0; i < n; i++) {
		if (e[i].kind == PINDMA_JOURNAL_MARK && e[i].value == GONE) {
			gone = true;
			*all = passed = 0;
		}
		if (!gone || e[i].kind != PINDMA_JOURNAL_WRITE ||
		    e[i].key != t->mr)
			continue;
		++*all;
		passed += e[i].status != PINDMA_ST_DMA_ERROR;
	}
	return passed;
}

static enum iommu begin(struct test *t)
{
	test_alloc(t);
	test_open(t);
	watch_kernel_log(t);
	return iommu_of(t);
}

static void register_anew(struct test *t)
{
	memset(t->buf, 0, t->len);
	test_reg_mr(t);
	memset(t->mem, 0, NR_PAGES * PAGE_SIZE);
}

static bool iommu_reports(struct test *t, unsigned int seconds)
{
	char name[256];

	find_device(t, name);
	/* "DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr" */
	return kernel_says(t, "DMAR: [DMA Write", strchr(name, ':') + 1,
			   seconds);
}

static void after_stop(struct test *t)
{
	enum iommu iommu = begin(t);
	unsigned int landed, passed, all;

	register_anew(t);
	landed = write_late(t, PINDMA_FAULT_AFTER_STOP, LATE);
	if (iommu == IOMMU_NONE) {
		test_note(t, "no IOMMU: %u of %lu pages written after their mr was gone",
			  landed, (unsigned long)NR_PAGES);
		CHECK(t, landed == NR_PAGES);
		CHECK(t, !iommu_reports(t, 0));
		test_kept(t);
	}
	if (landed)
		test_lost(t, "%u pages written through the IOMMU %llu ms after they were unmapped",
			  landed, LATE / MS);
	CHECK(t, iommu_reports(t, 5));

	/* Sooner. In strict mode that does not help, in lazy mode it may. */
	register_anew(t);
	write_late(t, PINDMA_FAULT_AFTER_STOP, AT_ONCE);
	passed = passed_since_gone(t, &all);
	test_note(t, "%s mode: %u of %u writes passed within %llu ms of the device's stop, and after dereg_mr",
		  iommu == IOMMU_LAZY ? "lazy" : "strict", passed, all,
		  AT_ONCE / MS);
	CHECK(t, !passed || iommu == IOMMU_LAZY);
	test_kept(t);
}

/* Translations that the device has kept, as a broken ATS does: no IOMMU helps. */
static void stale_atc(struct test *t)
{
	begin(t);
	register_anew(t);
	CHECK(t, write_late(t, PINDMA_FAULT_STALE_ATC, LATE) == NR_PAGES);
	CHECK(t, !iommu_reports(t, 0));
	test_kept(t);
}

/* Enough memory that ours is given away for something else only when we ask. */
#define MANY		(16ul << 20)
#define MOST_MEMORY	(700ul << 20)

static void *take_memory(struct test *t, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		test_error(t, "mmap: %s", strerror(errno));
	madvise(p, size, MADV_NOHUGEPAGE);
	memset(p, 1, size);
	return p;
}

/*
 * Without an IOMMU, and against STALE_ATC with one, only who looks at free pages
 * can tell. The kernel does when it gives them away again.
 */
static void poisoned(struct test *t)
{
	struct pindma_completion c;
	char line[1024];
	size_t taken;
	void *many;

	if (!kernel_get("/proc/cmdline", line, sizeof(line)) ||
	    !strstr(line, "page_poison=1"))
		test_skip(t, "wants --append page_poison=1");
	test_tolerate_if_kept(t, "pagealloc: memory corruption");
	many = take_memory(t, MANY);
	begin(t);
	register_anew(t);
	test_start_hammer(t, 1000);
	test_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_STALE_ATC, .queues = 1u << 1, .count = 1,
		.arg = STAMPS, .delay = LATE });
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	CHECK(t, !munmap(t->buf, t->len));
	t->buf = NULL;
	munmap(many, MANY);
	test_collect(t, &c, 1);
	usleep(LATE / 1000 + 200000);
	for (taken = 0; taken < MOST_MEMORY; taken += MANY) {
		take_memory(t, MANY);
		if (kernel_says(t, "pagealloc: memory corruption", "", 0))
			test_kept(t);
	}
	test_lost(t, "the device has written to pages that were free, and nothing was reported when they were given away");
}

const struct scenario driver_iommu_scenarios[] = {
	{
		.name = "driver.after_stop",
		.promise = "what a broken device writes after dereg_mr is refused and reported by an IOMMU, lands without, and is counted",
		.flags = SCENARIO_SLOW,
		.run = after_stop,
	}, {
		.name = "driver.stale_atc",
		.promise = "what a device writes with translations that it should have forgotten passes an IOMMU, and is counted",
		.flags = SCENARIO_SLOW,
		.run = stale_atc,
	}, {
		.name = "driver.poisoned",
		.promise = "page_poison=1 has the kernel report what a broken device writes to pages that are free: Documentation/admin-guide/kernel-parameters.txt",
		.fix = "8f424750baaa (5.11): mm, page_poison: remove CONFIG_PAGE_POISONING_NO_SANITY",
		.run = poisoned,
	},
	{ }
};
