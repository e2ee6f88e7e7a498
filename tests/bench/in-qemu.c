// SPDX-License-Identifier: GPL-2.0-only
/*
 * What memcpy() does in the very process that the device runs in: the same C
 * library, the same kind of memory (anonymous, huge pages advised, as QEMU's guest
 * RAM), the same cores, the same moment. LD_PRELOAD brings this thread into
 * QEMU, which neither knows of it nor has any code for it; a TCG plugin would do
 * as well, but wants a QEMU that was built for plugins, and no KVM.
 *
 * The guest asks, through a virtio-serial port whose chardev is a pair of FIFOs
 * with their other ends here:
 *
 *	memcpy BYTES	-> nanoseconds that it took
 *	clock		-> nanoseconds, monotonic
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define HUGE	(2ul << 20)

static long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

/* Aligned and touched, so that no page fault is measured. */
static char *memory(size_t len)
{
	char *p = mmap(NULL, len + HUGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	p += -(unsigned long)p & (HUGE - 1);
	madvise(p, len, MADV_HUGEPAGE);
	memset(p, 1, len);
	return p;
}

/* -1: no memory */
static long long time_memcpy(size_t len)
{
	static char *from, *to;
	static size_t room;
	long long start;

	if (room < len) {
		from = memory(len);	/* there is one length a run */
		to = memory(len);
		room = from && to ? len : 0;
	}
	if (room < len)
		return -1;
	start = now_ns();
	memcpy(to, from, len);
	/* Nobody reads the copy, and yet it must be made. */
	__asm__ volatile("" : : "r"(to) : "memory");
	return now_ns() - start;
}

static void *serve(void *name)
{
	char path[200];
	FILE *in, *out;
	size_t len;

	/* Both ends of both: no open waits for QEMU, no read ends with it. */
	snprintf(path, sizeof(path), "%s.out", (char *)name);
	in = fopen(path, "r+e");
	snprintf(path, sizeof(path), "%s.in", (char *)name);
	out = fopen(path, "r+e");
	while (in && out && fgets(path, sizeof(path), in)) {
		if (sscanf(path, "memcpy %zu", &len) == 1)
			fprintf(out, "%lld\n", time_memcpy(len));
		else if (!strcmp(path, "clock\n"))
			fprintf(out, "%lld\n", now_ns());
		else
			fprintf(out, "?\n");
		fflush(out);
	}
	return NULL;
}

/* QEMU's signals are for QEMU's threads. */
static void __attribute__((constructor)) start(void)
{
	char *name = getenv("PINDMA_BENCH_FIFO");
	sigset_t all, old;
	pthread_t thread;

	unsetenv("LD_PRELOAD");		/* not for what QEMU may start */
	if (!name)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (!pthread_create(&thread, NULL, serve, name))
		pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}
