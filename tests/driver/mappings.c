// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that cannot be an mr, or only in part: the right errno, and nothing stays
 * pinned or charged. All ways to pin are tried.
 *
 * To see it red: leave pindma_pin_unpin() out of pindma_pin_pin() (holes, killed),
 * pindma_pin_uncharge() out of pindma_pinned_create() (all but killed). Without the
 * fatal_signal_pending() in pindma_pin_pin() nothing is red: the kernel looks, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret	447
#endif

/* For reading only if @flags says so; the error must be @err in each mode. */
static void refused(struct test *t, void *addr, size_t len, uint32_t flags,
		    int err, const char *what)
{
	long pinned = kernel_pinned_pages(), left;
	uint32_t mode, fast, mr;
	int ret;

	for (mode = PINDMA_PIN_GET; mode <= PINDMA_PIN_LONGTERM; mode++) {
		for (fast = 0; fast <= PINDMA_MR_FAST; fast++) {
			ret = pindma_reg_mr(t->dev, addr, len, mode,
					    flags | fast, &mr);
			if (ret != -err)
				test_lost(t, "%s: mode %u, flags %u: %s, not %s",
					  what, mode, flags | fast,
					  strerror(-ret), strerror(err));
			left = kernel_pinned_pages() - pinned;
			if (left || kernel_vm_pin(getpid()))
				test_lost(t, "%s: mode %u, flags %u: %ld pages stay pinned, %ld kB charged",
					  what, mode, flags | fast, left,
					  kernel_vm_pin(getpid()));
		}
	}
}

/* The driver pins 512 pages at a time: the later hole is in the second batch. */
static void holes(struct test *t)
{
	enum { PAGES = 1000 };
	static const unsigned int hole[] = { 0, 1, 600, PAGES - 1 };
	unsigned int i;
	uint8_t *p;

	test_open(t);
	for (i = 0; i < ARRAY_SIZE(hole); i++) {
		p = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(t, p != MAP_FAILED);
		CHECK(t, !munmap(p + hole[i] * PAGE_SIZE, PAGE_SIZE));
		refused(t, p, PAGES * PAGE_SIZE, 0, EFAULT, "a hole");
		CHECK(t, !munmap(p, PAGES * PAGE_SIZE));
	}
	test_kept(t);
}

static void protections(struct test *t)
{
	void *p;

	test_alloc(t);
	test_open(t);
	CHECK(t, !mprotect(t->mem, PAGE_SIZE, PROT_READ));
	refused(t, t->buf, t->len, 0, EFAULT, "a page that is read-only");
	CHECK(t, !mprotect(t->mem, PAGE_SIZE, PROT_NONE));
	refused(t, t->buf, t->len, 0, EFAULT, "a page of PROT_NONE");
	refused(t, t->buf, t->len, PINDMA_MR_READONLY, EFAULT,
		"a page of PROT_NONE, for reading");
	p = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(t, p != MAP_FAILED);
	refused(t, p, PAGE_SIZE, PINDMA_MR_READONLY | PINDMA_MR_FORCE, EFAULT,
		"shared memory that is read-only, by force");
	test_kept(t);
}

static void no_memory(struct test *t)
{
	test_alloc(t);
	test_open(t);
	refused(t, t->mem, 0, 0, EINVAL, "no byte");
	refused(t, t->mem, SIZE_MAX, 0, EINVAL, "a wrap-around");
	refused(t, (void *)(UINTPTR_MAX - 100), 100, 0, EINVAL,
		"the last bytes");
	refused(t, NULL, PAGE_SIZE, 0, EFAULT, "NULL");
	refused(t, (void *)0x800000000000, PAGE_SIZE, 0, EFAULT,
		"beyond TASK_SIZE");
	refused(t, (void *)0xffff888000000000, PAGE_SIZE, 0, EFAULT,
		"the kernel's memory");
	test_kept(t);
}

/* The rings of a queue of our own are VM_PFNMAP and VM_IO, so is /dev/mem. */
static void pfnmap(struct test *t)
{
	struct pindma_create_queue create = {
		.size = sizeof(create), .entries = 16 };
	void *p;
	int fd;

	test_open(t);
	CHECK(t, !ioctl(pindma_fd(t->dev), PINDMA_IOC_CREATE_QUEUE, &create));
	p = mmap(NULL, create.rings_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		 pindma_fd(t->dev), create.rings_offset);
	CHECK(t, p != MAP_FAILED);
	*(volatile uint32_t *)(p + create.head) = 0;	/* it is present */
	refused(t, p + create.head, PAGE_SIZE, 0, EFAULT, "our own rings");
	p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		 pindma_fd(t->dev), create.doorbell_offset);
	CHECK(t, p != MAP_FAILED);
	refused(t, p, PAGE_SIZE, 0, EFAULT, "our own doorbells");
	fd = open("/dev/mem", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		p = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0xf0000);
		CHECK(t, p != MAP_FAILED);
		refused(t, p, PAGE_SIZE, PINDMA_MR_READONLY, EFAULT,
			"the BIOS, by /dev/mem");
	}
	test_kept(t);
}

static void secretmem(struct test *t)
{
	int fd = syscall(SYS_memfd_secret, 0);
	uint8_t *p;

	if (fd < 0)
		test_skip(t, "no memfd_secret(): %s", strerror(errno));
	CHECK(t, !ftruncate(fd, 2 * PAGE_SIZE));
	p = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(t, p != MAP_FAILED);
	test_open(t);
	refused(t, p, 2 * PAGE_SIZE, 0, EFAULT, "secret memory, not there yet");
	memset(p, 1, 2 * PAGE_SIZE);
	refused(t, p, 2 * PAGE_SIZE, 0, EFAULT, "secret memory");
	refused(t, p, 2 * PAGE_SIZE, PINDMA_MR_READONLY, EFAULT,
		"secret memory, for reading");
	test_kept(t);
}

/*
 * A process is killed while it pins. One batch takes some ms: 2 s is what a guest
 * needs for all of it on an emulated CPU that is shared, and without a look at
 * signals the process would have to fault in and zero all that is left.
 */
static void killed(struct test *t)
{
	enum { BYTES = 256 << 20, PAGES = BYTES >> 12 };
	long pinned = kernel_pinned_pages(), some;
	volatile int *done = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double start = now_ms();
	uint32_t mr;
	pid_t pid;
	void *p;

	test_open(t);
	CHECK(t, done != MAP_FAILED);
	p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(t, p != MAP_FAILED);
	madvise(p, BYTES, MADV_NOHUGEPAGE);
	pid = fork();
	CHECK(t, pid >= 0);
	if (!pid) {
		*done = pindma_reg_mr(t->dev, p, BYTES, PINDMA_PIN_LONGTERM, 0,
				      &mr) ? -1 : 1;
		_exit(0);
	}
	do {
		some = kernel_pinned_pages() - pinned;
	} while (!some && !*done && now_ms() < start + 10000);
	kill(pid, SIGKILL);
	start = now_ms();
	waitpid(pid, NULL, 0);
	test_note(t, "killed with about %ld of %d pages pinned, gone %.1f ms later",
		  some, PAGES, now_ms() - start);
	if (*done < 0)
		test_skip(t, "this guest has no room for an mr of %d pages", PAGES);
	if (*done)
		test_error(t, "all pages were pinned before the signal");
	CHECK(t, some > 0 && some < PAGES);
	CHECK(t, now_ms() - start < 2000);
	CHECK(t, kernel_pinned_pages() == pinned);
	test_kept(t);
}

const struct scenario driver_mappings_scenarios[] = {
	{
		.name = "driver.holes",
		.promise = "memory with a hole is EFAULT, wherever the hole is, and what was pinned before it is unpinned",
		.run = holes,
	}, {
		.name = "driver.protections",
		.promise = "memory with a page that may not be accessed so is EFAULT, and nothing stays pinned",
		.run = protections,
	}, {
		.name = "driver.no_memory",
		.promise = "what cannot be memory of a process is EINVAL or EFAULT",
		.run = no_memory,
	}, {
		.name = "driver.pfnmap",
		.promise = "VM_PFNMAP and VM_IO are EFAULT",
		.run = pfnmap,
	}, {
		.name = "driver.secretmem",
		.promise = "memfd_secret() is EFAULT",
		.run = secretmem,
	}, {
		.name = "driver.killed",
		.promise = "a process that is killed while it pins ends soon, and leaves nothing pinned",
		.run = killed,
	},
	{ }
};
