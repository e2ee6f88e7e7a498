// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who pays for an mr, and when it ends, if several processes have the file; and
 * an end that nobody asks for. tests/scenarios/lifetime.c has the plain ones.
 *
 * To see it red: uncharge current->mm (charge_*), end the mrs in flush() and not
 * in release() (inherited), unpin before the device has let go (all but charge_*).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared.h"

#define KB	(PAGE_SIZE / 1024)

/*
 * From the end of the last user to the last unpin. It is a command of some us and
 * the unpinning of four pages; 2 s is a hundred times what was seen on a busy host
 * under TCG, and a fifth of the time after which the driver gives up on a device.
 */
#define END_MS		2000

/* Shared with the processes of a case */
static volatile uint32_t *shared_word(struct test *t)
{
	void *p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(t, p != MAP_FAILED);
	return p;
}

/* The child ends the parent's mr, by the file that it has inherited. */
static void charge_fork(struct test *t)
{
	pid_t pid;

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	CHECK(t, kernel_vm_pin(getpid()) == NR_PAGES * KB);
	pid = fork();
	CHECK(t, pid >= 0);
	if (!pid) {
		_exit(kernel_vm_pin(getpid()) ||
		      pindma_dereg_mr(t->dev, t->mr) ||
		      kernel_vm_pin(getpid()));
	}
	test_wait_exit(t, pid);
	CHECK(t, !kernel_vm_pin(getpid()));
	test_kept(t);
}

/* A process that executes another program has a new mm; the old one has paid. */
static void charge_exec(struct test *t)
{
	long pinned = kernel_pinned_pages();
	volatile uint32_t *mr = shared_word(t);
	char comm[32] = "";
	pid_t pid;
	FILE *f;
	int i;

	test_alloc(t);
	test_open(t);
	pid = fork();
	CHECK(t, pid >= 0);
	if (!pid) {
		test_reg_mr(t);
		*mr = t->mr;
		execl("/bin/sleep", "sleep", "100", NULL);
		_exit(1);
	}
	for (i = 0; i < 5000 && strcmp(comm, "sleep\n"); i++) {
		snprintf(comm, sizeof(comm), "/proc/%d/comm", pid);
		f = fopen(comm, "re");
		CHECK(t, f && fgets(comm, sizeof(comm), f));
		fclose(f);
		usleep(1000);
	}
	CHECK(t, *mr && !strcmp(comm, "sleep\n"));
	CHECK(t, !kernel_vm_pin(pid));
	CHECK(t, kernel_pinned_pages() == pinned + NR_PAGES);
	CHECK(t, !pindma_dereg_mr(t->dev, *mr));
	CHECK(t, !kernel_vm_pin(pid) && !kernel_vm_pin(getpid()));
	CHECK(t, kernel_pinned_pages() == pinned);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	test_kept(t);
}

/* A message of one byte with a file, or (fd < 0) to be received: returns it. */
static int pass_fd(struct test *t, int sock, int fd)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { .hdr = { .cmsg_level = SOL_SOCKET,
			       .cmsg_type = SCM_RIGHTS,
			       .cmsg_len = CMSG_LEN(sizeof(int)) } };
	char c = 0;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.hdr), &fd, sizeof(fd));
	CHECK(t, (fd < 0 ? recvmsg(sock, &msg, 0) : sendmsg(sock, &msg, 0)) == 1);
	memcpy(&fd, CMSG_DATA(&control.hdr), sizeof(fd));
	return fd;
}

/* Whoever paid hands the file over, and is gone before the mr is. */
static void charge_passed(struct test *t)
{
	struct pindma_dereg_mr dereg = { .size = sizeof(dereg) };
	long pinned = kernel_pinned_pages();
	volatile uint32_t *mr = shared_word(t);
	int sock[2], fd;
	pid_t pid;

	CHECK(t, !socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	pid = fork();
	CHECK(t, pid >= 0);
	if (!pid) {
		test_alloc(t);
		test_open(t);
		test_reg_mr(t);
		test_start_hammer(t, 1000);
		*mr = t->mr;
		pass_fd(t, sock[0], pindma_fd(t->dev));
		_exit(0);
	}
	fd = pass_fd(t, sock[1], -1);
	test_wait_exit(t, pid);
	CHECK(t, *mr);
	CHECK(t, kernel_pinned_pages() == pinned + NR_PAGES);

	/* Something of our own, so that what is taken off too much would show. */
	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	CHECK(t, kernel_vm_pin(getpid()) == NR_PAGES * KB);
	dereg.mr = *mr;
	CHECK(t, !ioctl(fd, PINDMA_IOC_DEREG_MR, &dereg));
	CHECK(t, kernel_vm_pin(getpid()) == NR_PAGES * KB);
	CHECK(t, kernel_pinned_pages() == pinned + NR_PAGES);
	close(fd);
	test_check_unpinned(t, *mr);
	test_kept(t);
}

/* --------------------------------------------------------------------- ends */

static void wait_for_stamps(struct test *t)
{
	volatile uint64_t *stamp = (volatile uint64_t *)t->mem;
	uint64_t was = *stamp;
	double start = now_ms();

	while (*stamp == was)
		if (now_ms() > start + 5000)
			test_error(t, "the hammer does not write");
}

static void hammer_at_work(struct test *t, volatile uint32_t *mr)
{
	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	test_start_hammer(t, 1000);
	wait_for_stamps(t);
	*mr = t->mr;
}

static uint64_t journal_newest(struct test *t)
{
	uint64_t first = 0, newest = 0;

	CHECK(t, pindma_read_journal(t->dev, &first, NULL, 0, &newest) >= 0);
	return newest;
}

/*
 * The process with the hammer is killed, but a child of it has the file: the
 * device goes on writing to pages that nobody maps any more, until the child ends.
 */
static void inherited(struct test *t)
{
	long pinned = kernel_pinned_pages();
	volatile uint32_t *word = shared_word(t);
	uint64_t newest;
	pid_t pid, heir;

	pid = fork();
	CHECK(t, pid >= 0);
	if (!pid) {
		hammer_at_work(t, &word[0]);
		heir = fork();
		if (heir)
			word[1] = heir;
		for (;;)
			pause();
	}
	while (!word[1])
		if (waitpid(pid, NULL, WNOHANG))
			_exit(0);	/* it has said why */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	test_open(t);
	CHECK(t, kernel_pinned_pages() == pinned + NR_PAGES);
	newest = journal_newest(t);
	usleep(300000);
	CHECK(t, journal_newest(t) > newest + 10);
	kill(word[1], SIGKILL);
	test_note(t, "unpinned within %.1f ms",
		  wait_for_unpin(t, pinned, END_MS));
	test_check_unpinned(t, word[0]);
	test_kept(t);
}

#define CGROUP	"/tmp/pindma-cgroup"

/* A memory cgroup with room for 32 MiB, and no swap */
static void make_cgroup(struct test *t)
{
	mkdir(CGROUP, 0700);
	if (mount("cgroup2", CGROUP, "cgroup2", 0, NULL) && errno != EBUSY)
		test_skip(t, "no cgroup2: %s", strerror(errno));
	if (kernel_set(CGROUP "/cgroup.subtree_control", "+memory") ||
	    (mkdir(CGROUP "/small", 0700) && errno != EEXIST) ||
	    kernel_set(CGROUP "/small/memory.max", "32M"))
		test_skip(t, "no memory cgroup");
	kernel_set(CGROUP "/small/memory.swap.max", "0");
}

static void oom(struct test *t)
{
	long pinned = kernel_pinned_pages();
	volatile uint32_t *mr = shared_word(t);
	int status;
	pid_t pid;
	char *p;

	make_cgroup(t);
	pid = fork();
	CHECK(t, pid >= 0);
	if (!pid) {
		CHECK(t, !kernel_set(CGROUP "/small/cgroup.procs", "0"));
		hammer_at_work(t, mr);
		p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(t, p != MAP_FAILED);
		memset(p, 1, 64 << 20);
		test_lost(t, "64 MiB fit into 32 MiB");
	}
	waitpid(pid, &status, 0);
	if (!WIFSIGNALED(status))
		_exit(0);	/* it has said why */
	test_note(t, "unpinned within %.1f ms",
		  wait_for_unpin(t, pinned, END_MS));
	CHECK(t, WTERMSIG(status) == SIGKILL && *mr);
	rmdir(CGROUP "/small");
	umount2(CGROUP, MNT_DETACH);
	test_open(t);
	test_check_unpinned(t, *mr);
	test_kept(t);
}

const struct scenario driver_life_scenarios[] = {
	{
		.name = "driver.charge_fork",
		.promise = "an mr that a child ends is given back to the parent, who paid",
		.run = charge_fork,
	}, {
		.name = "driver.charge_exec",
		.promise = "exec() leaves the charge with the old mm; the new one neither pays nor gets anything back",
		.run = charge_exec,
	}, {
		.name = "driver.charge_passed",
		.promise = "an mr whose file was passed on outlives its payer; whoever ends it gets nothing back",
		.run = charge_passed,
	}, {
		.name = "driver.inherited",
		.promise = "a file that a child has inherited keeps the hammer at work when the parent is killed, until the child ends",
		.run = inherited,
	}, {
		.name = "driver.oom",
		.promise = "no access after the unpin, which comes soon: a process is killed under a hammer because there is no memory",
		.flags = SCENARIO_SLOW,
		.run = oom,
	},
	{ }
};
