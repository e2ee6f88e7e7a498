// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the timeline of a case is made of: its steps and the device's accesses,
 * from the journal, and with --trace the kernel's functions that it went
 * through, from ftrace. They are reported as they are; tests/rig/timeline.py
 * puts them on one clock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "result.h"
#include "trace.h"

#define TRACEFS		"/sys/kernel/tracing/"
/* Lines of one case; what is more is counted. */
#define MAX_LINES	2000

/*
 * What mm does with memory that a device may hold. Functions, because there are
 * tracepoints for few of them; with the names that one has had, newest first. A
 * compiler may have made one a part of another: the report says what is missing.
 */
static const struct probe {
	const char *functions[3];
	const char *arguments;
} probes[] = {
	{ { "kernel_clone" }, "" },
	/* of a vma: vm_start and vm_end are its first members */
	{ { "copy_page_range" }, "start=+0($arg2):x64 end=+8($arg2):x64" },
	{ { "handle_mm_fault" }, "start=$arg2:x64 flags=$arg3:x32" },
	/* of a vm_fault: the address; flags came before it in 5.10, in 8 bytes */
	{ { "wp_page_copy", "do_wp_page" }, "start=+24($arg1):x64" },
	{ { "do_huge_pmd_wp_page" }, "start=+24($arg1):x64" },
	{ { "hugetlb_wp", "hugetlb_cow" }, "" },
	{ { "get_user_pages" }, "" },
	{ { "get_user_pages_fast" }, "" },
	{ { "pin_user_pages" }, "" },
	{ { "pin_user_pages_fast" }, "" },
	{ { "unpin_user_pages_dirty_lock" }, "" },
	{ { "change_protection" }, "" },
	{ { "__split_huge_pmd" }, "" },
	{ { "migrate_pages" }, "" },
	{ { "try_to_unmap" }, "" },
	{ { "folio_mkclean", "page_mkclean" }, "" },
	{ { "do_writepages" }, "" },
	{ { "truncate_inode_pages_range" }, "" },
	{ { "exit_mmap" }, "" },
};

static bool tracing;

uint64_t trace_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static int add_probe(const struct probe *p)
{
	char text[256];
	unsigned int i;
	int fd, ret = -ENOENT;

	fd = open(TRACEFS "kprobe_events", O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (i = 0; i < ARRAY_SIZE(p->functions) && p->functions[i] && ret; i++) {
		snprintf(text, sizeof(text), "p:pindma/%s %s %s\nr:pindma/%s_end %s\n",
			 p->functions[i], p->functions[i], p->arguments,
			 p->functions[i], p->functions[i]);
		ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	}
	close(fd);
	return ret;
}

/* Set ftrace up, once. Says what it will not see. */
void trace_start(void)
{
	unsigned int i, nr = 0;
	char missing[512] = "";
	int ret = 0;

	if (access(TRACEFS "kprobe_events", W_OK)) {
		printf("# pindma-test: trace no kernel events: " TRACEFS "kprobe_events: %s\n",
		       strerror(errno));
		return;
	}
	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		if (!add_probe(&probes[i])) {
			nr++;
		} else if (strlen(missing) + 64 < sizeof(missing)) {
			strcat(missing, " ");
			strcat(missing, probes[i].functions[0]);
		}
	}
	ret = kernel_set(TRACEFS "trace_clock", "mono") ?:
	      kernel_set(TRACEFS "tracing_on", "0") ?:
	      kernel_set(TRACEFS "buffer_size_kb", "2048") ?:
	      kernel_set(TRACEFS "events/pindma/enable", "1");
	printf("# pindma-test: trace %u functions of the kernel%s%s%s%s\n", nr,
	       missing[0] ? ", not:" : "", missing,
	       ret ? ": " : "", ret ? strerror(-ret) : "");
	tracing = !ret;
}

void trace_begin(void)
{
	int fd;

	if (!tracing)
		return;
	fd = open(TRACEFS "trace", O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	kernel_set(TRACEFS "tracing_on", "1");
}

static void print_clock(const char *name, const struct device_clock *c)
{
	printf("# trace %s: clock %llu %llu %llu\n", name,
	       (unsigned long long)c->before, (unsigned long long)c->device,
	       (unsigned long long)c->after);
}

/* The kernel's part, as ftrace prints it, but for what this process does. */
static void print_kernel(const char *name)
{
	FILE *f = fopen(TRACEFS "trace", "re");
	unsigned int nr = 0, cut = 0;
	char line[512], self[32];

	if (!f)
		return;
	snprintf(self, sizeof(self), "-%d ", getpid());
	while (fgets(line, sizeof(line), f)) {
		char *cpu = strchr(line, '['), *task = strstr(line, self);

		if (line[0] == '#' || (task && task < cpu))
			continue;
		if (nr++ < MAX_LINES)
			printf("# trace %s: ftrace %s", name, line);
		else
			cut++;
	}
	fclose(f);
	if (cut)
		printf("# trace %s: cut %u events of the kernel\n", name, cut);
}

/* Accesses that follow each other and are of one op are one line. */
static bool same_op(const struct pindma_journal_entry *a,
		    const struct pindma_journal_entry *b)
{
	return a->tag && a->tag == b->tag && a->kind == b->kind &&
	       a->queue == b->queue && a->status == b->status;
}

static void print_accesses(const char *name,
			   const struct pindma_journal_entry *first,
			   const struct pindma_journal_entry *last,
			   unsigned int nr)
{
	printf("# trace %s: device %llu %llu %llu %u %u %u 0x%x 0x%llx %u 0x%llx 0x%llx 0x%llx %u %u\n",
	       name, (unsigned long long)first->seq,
	       (unsigned long long)first->time,
	       (unsigned long long)last->time, nr, first->kind, first->queue,
	       first->key, (unsigned long long)first->offset, first->len,
	       (unsigned long long)first->addr, (unsigned long long)first->value,
	       (unsigned long long)first->tag, first->status, first->fault);
}

/* What the journal has from the entry seq on: accesses to memory, and steps. */
static void print_journal(const char *name, uint64_t seq)
{
	static struct pindma_journal_entry e[JOURNAL_ENTRIES];
	unsigned int lines = 0, run = 0, cut = 0;
	int n, i, first = 0, last = 0;
	uint64_t there = seq;
	struct pindma *dev;

	if (pindma_open(NULL, &dev))
		return;
	n = pindma_read_journal(dev, &there, e, ARRAY_SIZE(e), NULL);
	pindma_close(dev);
	if (there > seq)
		printf("# trace %s: cut what the device did before the last %d entries of its journal\n",
		       name, n);
	for (i = 0; i < n; i++) {
		const char *step = step_of(&e[i]);

		if (e[i].kind == PINDMA_JOURNAL_FETCH ||
		    e[i].kind == PINDMA_JOURNAL_CQE ||
		    (e[i].kind == PINDMA_JOURNAL_MARK && !step))
			continue;
		if (run && !step && same_op(&e[last], &e[i])) {
			last = i;
			run++;
			continue;
		}
		if (run)
			print_accesses(name, &e[first], &e[last], run);
		run = 0;
		if (lines++ >= MAX_LINES) {
			cut++;
		} else if (step) {
			printf("# trace %s: step %llu %llu %s\n", name,
			       (unsigned long long)e[i].seq,
			       (unsigned long long)e[i].time, step);
		} else {
			first = last = i;
			run = 1;
		}
	}
	if (run)
		print_accesses(name, &e[first], &e[last], run);
	if (cut)
		printf("# trace %s: cut %u accesses of the device\n", name, cut);
}

/*
 * The case is over. Its timeline is reported if it was asked for, and if something
 * went wrong, for then somebody will want to know when.
 */
void trace_end(const char *name, const struct device_clock *start,
	       const struct device_clock *end)
{
	if (tracing)
		kernel_set(TRACEFS "tracing_on", "0");
	if (!tracing && (result->outcome == OUTCOME_KEPT ||
			 result->outcome == OUTCOME_SKIP))
		return;
	print_clock(name, start);
	print_clock(name, end);
	if (result->memory_len)
		printf("# trace %s: memory 0x%llx 0x%llx\n", name,
		       (unsigned long long)result->memory,
		       (unsigned long long)result->memory_len);
	/* A device that was plugged in meanwhile begins anew. */
	print_journal(name, end->seq < start->seq ? 1 : start->seq + 1);
	if (tracing)
		print_kernel(name);
}
