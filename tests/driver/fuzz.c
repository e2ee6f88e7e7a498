// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random system calls on the driver, by several processes of several threads each,
 * which share files, memory and queues. Most calls are right, with what other
 * calls have returned, so that there is something to break; then a field is made
 * a boundary value, or the memory under an mr goes away.
 *
 * Red is: an errno that <linux/pindma.h> does not know, a call that never succeeds
 * (then nothing deep was reached), a page that stays pinned, a device that had to
 * be reset or does not work any more, and whatever the kernel complains of. The
 * seed of the case determines what each thread tries, not how they meet.
 *
 * To see it red: return -ENXIO somewhere, keep the dma-buf of an import that fails,
 * do not hold mr_lock in pindma_ioctl_dereg_mr() (debug kernel), do not check the
 * channel in pindma_userq_destroy(), forget a fault that is armed for the admin
 * queue.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared.h"

#define SECONDS		20
#define PROCESSES	3
#define THREADS		3
#define FILES		3
#define SLOTS		8	/* things remembered of a kind */
#define POOL_PAGES	64
#define POOL_SIZE	(POOL_PAGES * PAGE_SIZE)
#define OPS		40
#define NR_IOCTLS	14

/* What all processes have done, and the first errno that should not be */
static struct stats {
	unsigned long tried[NR_IOCTLS], done[NR_IOCTLS];
	unsigned long maps, dmabufs, doorbells;
	unsigned int bad_nr, bad_errno;
} *stats;

/* What the threads of a process share. They race for it, which is the point. */
static struct shared {
	int fd[FILES];
	uint32_t mr[FILES][SLOTS];
	struct pindma_create_queue queue[FILES];
	uint8_t *rings[FILES];
	uint32_t *doorbell[FILES];
	uint8_t *pool;
	int eventfd;
	int dmabuf;		/* of an mr of whichever file */
} sh;

static struct pindma_info limits;

struct fuzz {
	uint64_t random;
	unsigned int file;
};

/* ------------------------------------------------------------------- randomness */

static uint64_t rnd(struct fuzz *f)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random * 0x2545f4914f6cdd1dull >> 16;
}

static bool one_in(struct fuzz *f, unsigned int n)
{
	return !(rnd(f) % n);
}

/* A value at which something might end */
static uint64_t boundary(struct fuzz *f)
{
	const uint64_t values[] = {
		0, 1, 2, 7, 8, PAGE_SIZE - 8, PAGE_SIZE, POOL_SIZE, limits.num_channels,
		limits.max_ops, limits.max_chain, limits.max_mrs, limits.max_pages,
		PINDMA_NUM_FAULTS, PINDMA_NUM_QUEUES, PINDMA_QUEUE_MIN_ENTRIES,
		PINDMA_QUEUE_MAX_ENTRIES, PINDMA_OP_CMP_SWAP, PINDMA_OP_REG_MR,
		INT32_MAX, UINT32_MAX, 1ull << 32, PINDMA_MARK_UNPIN,
		INT64_MAX, UINT64_MAX, 0xffff888000000000, (uintptr_t)sh.pool,
		(uintptr_t)sh.pool + POOL_SIZE,
	};

	return values[rnd(f) % ARRAY_SIZE(values)] + (one_in(f, 3) ? rnd(f) % 3 - 1 : 0);
}

/* Now and then make one field of a structure, of 4 or 8 bytes, another value. */
static void mutate(struct fuzz *f, void *arg, size_t size)
{
	uint64_t value = boundary(f);
	size_t width = one_in(f, 2) ? 4 : 8;

	if (!one_in(f, 6))
		return;
	if (width > size)
		width = 4;
	memcpy((uint8_t *)arg + rnd(f) % (size / width) * width, &value, width);
}

/* ------------------------------------------------------------------ system calls */

#define OF(ioc)	BIT(_IOC_NR(PINDMA_IOC_##ioc))
#define OF_ALL	(~0u)

static bool is_known(unsigned int nr, int err)
{
	static const struct {
		int err;
		unsigned int of;	/* ioctls: a mask of OF() */
	} known[] = {
		{ EINVAL, OF_ALL }, { EFAULT, OF_ALL }, { ENOENT, OF_ALL },
		{ EPERM, OF_ALL }, { EIO, OF_ALL }, { ENODEV, OF_ALL },
		{ ENOTTY, OF_ALL }, { EBADF, OF_ALL }, { EAGAIN, OF_ALL },
		{ EBUSY, OF_ALL }, { ENOMEM, OF_ALL }, { ENOSPC, OF_ALL },
		{ EINTR, OF_ALL },
		{ EOPNOTSUPP, OF(REG_MR) | OF(PAGES) | OF(IMPORT_DMABUF) |
			      OF(EXPORT_DMABUF) },
		{ EACCES, OF(IMPORT_DMABUF) },
		{ EMFILE, OF(EXPORT_DMABUF) }, { ENFILE, OF(EXPORT_DMABUF) },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (err == known[i].err)
			return known[i].of & BIT(nr);
	return false;
}

static int call(struct fuzz *f, unsigned long cmd, void *arg)
{
	unsigned int nr = _IOC_NR(cmd);
	int ret = ioctl(sh.fd[f->file], cmd, arg) ? -errno : 0;

	if (nr < NR_IOCTLS) {
		__atomic_add_fetch(&stats->tried[nr], 1, __ATOMIC_RELAXED);
		if (!ret)
			__atomic_add_fetch(&stats->done[nr], 1, __ATOMIC_RELAXED);
	}
	if (ret && !is_known(nr, -ret)) {
		stats->bad_nr = nr;
		stats->bad_errno = -ret;
	}
	return ret;
}

/* The call with its structure, which is perhaps not quite what it should be */
#define CALL(f, cmd, arg)						\
	((arg)->size = sizeof(*(arg)), mutate(f, arg, sizeof(*(arg))),	\
	 call(f, cmd, arg))

static uint32_t some_mr(struct fuzz *f)
{
	return sh.mr[one_in(f, 20) ? rnd(f) % FILES : f->file][rnd(f) % SLOTS];
}

static void do_open(struct fuzz *f)
{
	int was, fd = open("/dev/pindma0", O_RDWR | O_CLOEXEC);

	was = __atomic_exchange_n(&sh.fd[f->file], fd, __ATOMIC_RELAXED);
	memset(sh.mr[f->file], 0, sizeof(sh.mr[f->file]));
	if (was >= 0)
		close(was);
}

static void do_info(struct fuzz *f)
{
	struct pindma_info arg = { 0 };

	CALL(f, PINDMA_IOC_INFO, &arg);
}

static void do_reg_mr(struct fuzz *f)
{
	uint64_t offset = rnd(f) % POOL_SIZE;
	struct pindma_reg_mr arg = {
		.pin_mode = PINDMA_PIN_GET + rnd(f) % PINDMA_PIN_EXCLUSIVE,
		.flags = rnd(f) % (PINDMA_MR_FORCE << 1),
		.addr = (uintptr_t)sh.pool + offset,
		.len = 1 + rnd(f) % (POOL_SIZE - offset),
	};

	/* Alone it is refused. */
	if (arg.flags & PINDMA_MR_FORCE && !one_in(f, 4))
		arg.flags |= PINDMA_MR_READONLY;
	/* One that can be exported: hardly another one can. */
	if (one_in(f, 3)) {
		arg.pin_mode = PINDMA_PIN_LONGTERM;
		arg.addr -= offset % PAGE_SIZE;
		arg.len = (1 + rnd(f) % 4) * PAGE_SIZE;
	}
	if (!CALL(f, PINDMA_IOC_REG_MR, &arg))
		sh.mr[f->file][rnd(f) % SLOTS] = arg.mr;
}

static void do_dereg_mr(struct fuzz *f)
{
	struct pindma_dereg_mr arg = { .mr = some_mr(f) };

	CALL(f, PINDMA_IOC_DEREG_MR, &arg);
}

static void do_export(struct fuzz *f)
{
	struct pindma_export_dmabuf arg = { .mr = some_mr(f) };
	int was;

	if (CALL(f, PINDMA_IOC_EXPORT_DMABUF, &arg))
		return;
	was = __atomic_exchange_n(&sh.dmabuf, arg.fd, __ATOMIC_RELAXED);
	if (was >= 0)
		close(was);
}

static void do_import(struct fuzz *f)
{
	uint64_t offset = one_in(f, 2) ? 0 : rnd(f) % (4 * PAGE_SIZE);
	struct pindma_import_dmabuf arg = {
		.fd = one_in(f, 16) ? sh.eventfd : sh.dmabuf,
		.flags = one_in(f, 2) ? PINDMA_MR_READONLY : 0,
		.offset = offset, .len = 1 + rnd(f) % PAGE_SIZE,
	};

	if (!CALL(f, PINDMA_IOC_IMPORT_DMABUF, &arg))
		sh.mr[f->file][rnd(f) % SLOTS] = arg.mr;
}

/* Its memory by way of a mapping that is not the process's own */
static void do_map_dmabuf(struct fuzz *f)
{
	uint8_t *p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			  sh.dmabuf, rnd(f) % 4 * PAGE_SIZE);

	if (p == MAP_FAILED)
		return;
	__atomic_add_fetch(&stats->dmabufs, 1, __ATOMIC_RELAXED);
	*(volatile uint8_t *)p = 1;
	munmap(p, PAGE_SIZE);
}

static void make_op(struct fuzz *f, struct pindma_op *op)
{
	*op = (struct pindma_op){
		.opcode = rnd(f) % (PINDMA_OP_CMP_SWAP + 1),
		.mode = rnd(f) % 4,
		.flags = one_in(f, 4) ? rnd(f) % 64 : 0,
		.mr = some_mr(f),
		.user_data = rnd(f) % 16,
		.offset = rnd(f) % POOL_SIZE & ~7ull,
		.len = one_in(f, 2) ? 8 : rnd(f) % PAGE_SIZE,
		.value = rnd(f) % 16,
		.src_mr = some_mr(f),
		.rate = one_in(f, 2) ? 1000 : 0,
		.delay = one_in(f, 8) ? rnd(f) % 1000000 : 0,
	};
	mutate(f, op, sizeof(*op));
}

static void do_post(struct fuzz *f)
{
	struct pindma_op ops[OPS];
	struct pindma_post arg = {
		.nr = 1 + rnd(f) % OPS, .ops = (uintptr_t)ops,
		.channel = rnd(f) % limits.num_channels,
	};
	unsigned int i;

	for (i = 0; i < OPS; i++)
		make_op(f, &ops[i]);
	CALL(f, PINDMA_IOC_POST, &arg);
}

static void do_reap(struct fuzz *f)
{
	struct pindma_completion c[OPS];
	struct pindma_reap arg = { .nr = OPS, .completions = (uintptr_t)c };

	/* Into an array of its own, whatever becomes of it: this is the stack. */
	if (one_in(f, 8))
		arg.completions = boundary(f) & ~(uint64_t)POOL_SIZE;
	arg.size = sizeof(arg);
	call(f, PINDMA_IOC_REAP, &arg);
}

static void do_eventfd(struct fuzz *f)
{
	struct pindma_eventfd arg = { .fd = one_in(f, 3) ? -1 : sh.eventfd };

	CALL(f, PINDMA_IOC_EVENTFD, &arg);
}

static void do_pages(struct fuzz *f)
{
	struct pindma_page pages[POOL_PAGES];
	struct pindma_pages arg = {
		.size = sizeof(arg), .mr = some_mr(f), .nr = rnd(f) % POOL_PAGES,
		.first = one_in(f, 4) ? boundary(f) : 0,
		.pages = one_in(f, 8) ? 16 : (uintptr_t)pages,
	};

	call(f, PINDMA_IOC_PAGES, &arg);
}

static void do_journal(struct fuzz *f)
{
	struct pindma_journal_entry entries[64];
	struct pindma_journal arg = {
		.size = sizeof(arg), .nr = rnd(f) % 64,
		.first = one_in(f, 2) ? boundary(f) : 0,
		.entries = one_in(f, 8) ? 16 : (uintptr_t)entries,
	};

	call(f, PINDMA_IOC_JOURNAL, &arg);
}

static void do_mark(struct fuzz *f)
{
	struct pindma_mark arg = { .channel = rnd(f) % limits.num_channels,
				   .value = rnd(f) % 16 };

	CALL(f, PINDMA_IOC_MARK, &arg);
}

/*
 * Of the channels only: a driver whose admin commands are not answered resets the
 * device, and then there is nothing left to try. None that never ends, and none
 * that writes where it must not.
 */
static void do_fault(struct fuzz *f)
{
	struct pindma_fault arg = {
		.size = sizeof(arg), .kind = rnd(f) % PINDMA_FAULT_HANG,
		.queues = rnd(f) % (1u << PINDMA_NUM_QUEUES) & ~1u,
		.skip = rnd(f) % 4, .count = 1 + rnd(f) % 4,
		.arg = boundary(f), .delay = rnd(f) % 100000,
	};

	if (one_in(f, 8))
		arg.kind = boundary(f);
	if (arg.kind >= PINDMA_FAULT_HANG && arg.kind < PINDMA_NUM_FAULTS)
		arg.kind = PINDMA_FAULT_NONE;
	call(f, PINDMA_IOC_FAULT, &arg);
}

/* ----------------------------------------------------------------------- queues */

static void unmap(struct fuzz *f)
{
	void *rings = __atomic_exchange_n(&sh.rings[f->file], NULL, __ATOMIC_RELAXED);
	void *doorbell = __atomic_exchange_n(&sh.doorbell[f->file], NULL,
					     __ATOMIC_RELAXED);

	if (rings)
		munmap(rings, sh.queue[f->file].rings_size);
	if (doorbell)
		munmap(doorbell, PAGE_SIZE);
}

static void do_create_queue(struct fuzz *f)
{
	struct pindma_create_queue arg = { .entries = 2u << rnd(f) % 8 };

	if (CALL(f, PINDMA_IOC_CREATE_QUEUE, &arg))
		return;
	unmap(f);
	sh.queue[f->file] = arg;
}

static void do_destroy_queue(struct fuzz *f)
{
	struct pindma_destroy_queue arg = { .channel = sh.queue[f->file].channel };

	CALL(f, PINDMA_IOC_DESTROY_QUEUE, &arg);
}

static void *map(struct fuzz *f, uint64_t offset, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       sh.fd[f->file], offset);

	if (p == MAP_FAILED)
		return NULL;
	__atomic_add_fetch(&stats->maps, 1, __ATOMIC_RELAXED);
	return p;
}

static void do_map(struct fuzz *f)
{
	const struct pindma_create_queue q = sh.queue[f->file];
	uint64_t offset = (boundary(f) & UINT32_MAX) / PAGE_SIZE * PAGE_SIZE;
	void *p;

	if (one_in(f, 4)) {
		p = map(f, offset, PAGE_SIZE);
		if (p)
			munmap(p, PAGE_SIZE);
		return;
	}
	unmap(f);
	sh.rings[f->file] = map(f, q.rings_offset, q.rings_size);
	sh.doorbell[f->file] = map(f, q.doorbell_offset, PAGE_SIZE);
}

/* Requests that nobody has checked, and doorbells of all kinds */
static void do_ring(struct fuzz *f)
{
	const struct pindma_create_queue q = sh.queue[f->file];
	struct pindma_sqe *sq = (void *)sh.rings[f->file];
	volatile uint32_t *doorbell = sh.doorbell[f->file];
	struct pindma_op op;
	unsigned int i;

	if (!sq || !doorbell || !q.entries)
		return;
	for (i = 0; i < q.entries && i < OPS; i++) {
		/* Its fields are where those of an op are, but for a few. */
		make_op(f, &op);
		memcpy(&sq[i], &op, sizeof(sq[i]));
		if (!one_in(f, 8))
			sq[i].pd = 0;
	}
	doorbell[PINDMA_DB_SQ_TAIL / 4] = one_in(f, 8) ? boundary(f) :
							 rnd(f) % q.entries;
	doorbell[PINDMA_DB_CQ_HEAD / 4] = one_in(f, 8) ? boundary(f) :
							 rnd(f) % q.entries;
	__atomic_add_fetch(&stats->doorbells, 1, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------- all the rest */

static void do_poll(struct fuzz *f)
{
	struct pollfd pfd = { .fd = sh.fd[f->file], .events = POLLIN };

	poll(&pfd, 1, 0);
}

/* A call that is not there, or one with a bad pointer, a size that is none */
static void do_rubbish(struct fuzz *f)
{
	uint32_t arg[64] = { boundary(f) };
	unsigned long cmd = _IOC(rnd(f) % 4, PINDMA_IOC_TYPE, rnd(f) % 16,
				 one_in(f, 2) ? rnd(f) % 16384 : 24);

	if (cmd == PINDMA_IOC_FAULT)
		return;
	if (one_in(f, 2))
		call(f, cmd, (void *)(boundary(f) % (1ull << 63) / PAGE_SIZE % 8));
	else
		call(f, cmd, arg);
}

/* What else may happen to memory that is registered */
static void do_memory(struct fuzz *f)
{
	uint8_t *p = sh.pool + rnd(f) % (POOL_PAGES - 4) * PAGE_SIZE;
	size_t len = (1 + rnd(f) % 4) * PAGE_SIZE;
	pid_t pid;

	switch (rnd(f) % 5) {
	case 0:
		madvise(p, len, MADV_DONTNEED);
		break;
	case 1:
		mprotect(p, len, PROT_READ);
		mprotect(p, len, PROT_READ | PROT_WRITE);
		break;
	case 2:
		mmap(p, len, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;
	case 3:
		*(volatile uint8_t *)p = 1;
		break;
	case 4:
		pid = fork();
		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
}

static const struct action {
	unsigned int weight;
	void (*act)(struct fuzz *f);
} actions[] = {
	{ 1, do_open }, { 2, do_info }, { 8, do_reg_mr }, { 6, do_dereg_mr },
	{ 12, do_post }, { 12, do_reap }, { 2, do_eventfd }, { 2, do_pages },
	{ 2, do_journal }, { 3, do_mark }, { 1, do_fault }, { 3, do_create_queue },
	{ 2, do_destroy_queue }, { 4, do_map }, { 8, do_ring }, { 3, do_poll },
	{ 3, do_rubbish }, { 3, do_memory }, { 3, do_export }, { 3, do_import },
	{ 1, do_map_dmabuf },
};

static void *fuzz_thread(void *arg)
{
	struct fuzz f = { .random = (uintptr_t)arg };
	unsigned int i, total = 0;
	int64_t pick;

	for (i = 0; i < ARRAY_SIZE(actions); i++)
		total += actions[i].weight;
	for (;;) {
		f.file = rnd(&f) % FILES;
		pick = rnd(&f) % total;
		for (i = 0; pick >= actions[i].weight; i++)
			pick -= actions[i].weight;
		actions[i].act(&f);
	}
	return NULL;
}

/*
 * A queue that another thread destroys is a SIGBUS, memory that it unmaps a
 * SIGSEGV: the process ends, as it would in real life, and gets a successor.
 */
static pid_t start_process(uint64_t seed)
{
	pid_t pid = fork();
	pthread_t thread;
	unsigned int i;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Between two pages that nobody may use: an mr does not reach beyond. */
	sh.pool = mmap(NULL, POOL_SIZE + 2 * PAGE_SIZE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sh.pool += PAGE_SIZE;
	mprotect(sh.pool, POOL_SIZE, PROT_READ | PROT_WRITE);
	sh.eventfd = eventfd(0, EFD_NONBLOCK);
	sh.dmabuf = -1;
	for (i = 0; i < FILES; i++)
		sh.fd[i] = open("/dev/pindma0", O_RDWR | O_CLOEXEC);
	for (i = 1; i < THREADS; i++)
		pthread_create(&thread, NULL, fuzz_thread,
			       (void *)(seed * THREADS + i));
	fuzz_thread((void *)(seed * THREADS + THREADS));
	_exit(1);
}

static void ioctls(struct test *t)
{
	static const char *const names[NR_IOCTLS] = {
		"INFO", "REG_MR", "DEREG_MR", "POST", "REAP", "EVENTFD", "PAGES",
		"JOURNAL", "MARK", "FAULT", "CREATE_QUEUE", "DESTROY_QUEUE",
		"IMPORT_DMABUF", "EXPORT_DMABUF",
	};
	double end = now_ms() + 1e3 * (t->storm ? t->storm : SECONDS);
	long pinned = kernel_pinned_pages();
	struct pindma_op nop = { .opcode = PINDMA_OP_NOP };
	unsigned int i, ended = 0, signaled = 0;
	uint64_t seed = t->seed << 20;
	pid_t pids[PROCESSES];
	int status;

	test_open(t);
	limits = test_info(t);
	stats = mmap(NULL, sizeof(*stats), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(t, stats != MAP_FAILED);
	for (i = 0; i < PROCESSES; i++)
		pids[i] = start_process(++seed);
	while (now_ms() < end) {
		usleep(5000);
		for (i = 0; i < PROCESSES; i++) {
			if (waitpid(pids[i], &status, WNOHANG) != pids[i])
				continue;
			ended++;
			signaled += WIFSIGNALED(status);
			pids[i] = start_process(++seed);
		}
	}
	for (i = 0; i < PROCESSES; i++) {
		kill(pids[i], SIGKILL);
		CHECK(t, waitpid(pids[i], NULL, 0) == pids[i]);
	}

	for (i = 0; i < NR_IOCTLS; i++)
		test_note(t, "%s: %lu tried, %lu succeeded", names[i],
			  stats->tried[i], stats->done[i]);
	test_note(t, "%lu mappings, %lu of dma-bufs, %lu times rung; %u processes ended",
		  stats->maps, stats->dmabufs, stats->doorbells, ended);
	if (stats->bad_errno)
		test_lost(t, "%s returned %s, which no ioctl is said to",
			  stats->bad_nr < NR_IOCTLS ? names[stats->bad_nr] : "rubbish",
			  strerror(stats->bad_errno));
	CHECK(t, ended == signaled);
	for (i = 0; i < NR_IOCTLS; i++)
		if (!stats->done[i])
			test_error(t, "no %s has succeeded: what is behind it was not tried",
				   names[i]);
	CHECK(t, stats->maps && stats->dmabufs && stats->doorbells);
	/* The driver may be the last who has the memory of a process, and its files. */
	wait_for_unpin(t, pinned, 10000);
	pindma_close(t->dev);
	test_open(t);
	test_fault(t, (struct pindma_fault){ .kind = PINDMA_FAULT_NONE });
	test_run_ok(t, nop);
	test_kept(t);
}

const struct scenario driver_fuzz_scenarios[] = {
	{
		.name = "fuzz.ioctls",
		.promise = "whatever processes ask of the driver, it says what is wrong with it, and goes on",
		.flags = SCENARIO_HIDDEN,
		.run = ioctls,
	},
	{ }
};
