// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues that are mapped into the process. To see it red: leave out
 * unmap_mapping_range() (queue_unbind, queue_destroyed), give the queue no domain
 * (queue_domains), do not look at the ring in poll() (queue_wake), do not disable
 * the queue when it ends (queue_killed); in the library do not look at asleep, or
 * in the device not at the shadow when it goes to sleep (queue_shadow), or do not
 * count those who wait (queue_quiet); take no post_lock in pindma_queue_post(), or
 * no reap_lock in pindma_queue_reap() (queue_threads).
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/seccomp.h>
#include <unistd.h>

#include "shared.h"

#define TIMEOUT_MS	10000
#define ENTRIES		64
#define MAX_QUEUES	64	/* more than there can be */
#define FAR_AWAY	(1ull << 60)

static struct pindma_queue *create(struct test *t, uint32_t entries)
{
	struct pindma_queue *q;
	int ret = pindma_queue_create(t->dev, entries, &q);

	if (ret)
		test_error(t, "no queue of %u entries: %s", entries,
			   strerror(-ret));
	return q;
}

static struct pindma_queue *setup(struct test *t, uint32_t entries)
{
	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	return create(t, entries);
}

static uint64_t *word(struct test *t, unsigned int n)
{
	return (uint64_t *)(t->mem + n * 8);
}

static struct pindma_op set(struct test *t, unsigned int n, uint64_t value)
{
	return (struct pindma_op){
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_IMMEDIATE,
		.mr = t->mr, .user_data = ++t->next_user_data,
		.offset = n * 8, .len = 8, .value = value };
}

static void collect(struct test *t, struct pindma_queue *q,
		    struct pindma_completion *c, unsigned int nr)
{
	unsigned int n = 0;
	int ret;

	while (n < nr) {
		ret = pindma_queue_wait(q, c + n, nr - n, TIMEOUT_MS);
		if (ret < 0)
			test_lost(t, "%u of %u ops do not complete: %s", nr - n,
				  nr, strerror(-ret));
		n += ret;
	}
}

static struct pindma_completion run(struct test *t, struct pindma_queue *q,
				    struct pindma_op op)
{
	struct pindma_completion c;

	CHECK(t, pindma_queue_post(q, &op, 1) == 1);
	collect(t, q, &c, 1);
	CHECK(t, c.user_data == op.user_data && c.tag == op.user_data &&
		 c.channel == pindma_queue_channel(q));
	return c;
}

static uint64_t run_ok(struct test *t, struct pindma_queue *q,
		       struct pindma_op op)
{
	struct pindma_completion c = run(t, q, op);

	if (c.status != PINDMA_ST_OK)
		test_lost(t, "op 0x%x: %s", op.opcode,
			  pindma_status_string(c.status));
	return c.result;
}

/* Does the queue do what it is there for? */
static void check_works(struct test *t, struct pindma_queue *q)
{
	uint64_t value = test_token(t);

	run_ok(t, q, set(t, 5, value));
	CHECK(t, *word(t, 5) == value);
}

/* --------------------------------------------------------------------- use */

static void ops(struct test *t)
{
	struct pindma_queue *q = setup(t, ENTRIES);
	struct pindma_completion c[2];
	struct pindma_op op, two[2];
	unsigned int i;

	op = set(t, 0, 0x1122334455667788ull);
	run_ok(t, q, op);
	CHECK(t, *word(t, 0) == op.value);
	op = (struct pindma_op){ .opcode = PINDMA_OP_READ,
				 .mode = PINDMA_READ_VALUE, .mr = t->mr,
				 .user_data = 77, .len = 8 };
	CHECK(t, run_ok(t, q, op) == 0x1122334455667788ull);
	op = (struct pindma_op){ .opcode = PINDMA_OP_FILL, .mr = t->mr,
				 .offset = 64, .len = 64, .value = 0x5a };
	run_ok(t, q, op);
	CHECK(t, *word(t, 8) == 0x5a5a5a5a5a5a5a5aull);
	op = (struct pindma_op){ .opcode = PINDMA_OP_COPY, .mr = t->mr,
				 .offset = PAGE_SIZE - 32, .len = 64,
				 .src_mr = t->mr, .src_offset = 64 };
	run_ok(t, q, op);
	CHECK(t, !memcmp(t->mem + PAGE_SIZE - 32, t->mem + 64, 64));
	op.opcode = PINDMA_OP_COMPARE;
	op.mode = PINDMA_COMPARE_MR;
	run_ok(t, q, op);
	op = (struct pindma_op){ .opcode = PINDMA_OP_FETCH_ADD, .mr = t->mr,
				 .len = 8, .value = 1 };
	CHECK(t, run_ok(t, q, op) == 0x1122334455667788ull);
	op.opcode = PINDMA_OP_CMP_SWAP;
	op.compare = 0x1122334455667789ull;
	op.value = 3;
	run_ok(t, q, op);
	CHECK(t, *word(t, 0) == 3);

	/* A hammer, and its end, which comes first. */
	two[0] = (struct pindma_op){ .opcode = PINDMA_OP_HAMMER, .mr = t->mr,
				     .user_data = 1000, .len = PAGE_SIZE };
	two[1] = (struct pindma_op){ .opcode = PINDMA_OP_STOP,
				     .user_data = 1001, .value = 1000 };
	CHECK(t, pindma_queue_post(q, two, 2) == 2);
	collect(t, q, c, 2);
	CHECK(t, c[0].user_data == 1000 && c[1].user_data == 1001 &&
		 c[1].status == PINDMA_ST_OK);

	/* Round and round, in rings of all sizes */
	pindma_queue_destroy(q);
	for (i = PINDMA_QUEUE_MIN_ENTRIES; i <= PINDMA_QUEUE_MAX_ENTRIES;
	     i *= i < 64 ? 2 : 8) {
		unsigned int n, posted = 0, done = 0, total = 5 * i + 3;

		q = create(t, i);
		while (done < total) {
			while (posted < total) {
				op = set(t, posted % 512, posted);
				op.user_data = posted;
				if (pindma_queue_post(q, &op, 1) != 1)
					break;
				posted++;
			}
			collect(t, q, c, 1);
			if (c[0].user_data != done ||
			    c[0].status != PINDMA_ST_OK)
				test_lost(t, "op %llu of %u entries: %s, op %u was next",
					  (unsigned long long)c[0].user_data, i,
					  pindma_status_string(c[0].status),
					  done);
			done++;
		}
		for (n = total - (total < 512 ? total : 512); n < total; n++)
			CHECK(t, *word(t, n % 512) == n);
		pindma_queue_destroy(q);
	}
	test_check_surroundings(t);
	test_kept(t);
}

/* Another process is needed where something must not be survived. */
static int in_child(struct test *t, void (*fn)(struct test *, void *), void *arg)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		alarm(60);
		fn(t, arg);
		_exit(0);
	}
	CHECK(t, pid > 0 && waitpid(pid, &status, 0) == pid);
	return status;
}

/* Nothing but exit(2) is allowed between the first post and the last reap. */
static void silent_child(struct test *t, void *unused)
{
	struct pindma_completion c[8];
	struct pindma_op op[8];
	struct pindma_queue *q = setup(t, ENTRIES);
	unsigned int i, done = 0;
	int ret;

	(void)unused;
	for (i = 0; i < 8; i++)
		op[i] = set(t, i, i + 1);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		_exit(2);
	for (i = 0; i < 100; i++) {
		if (pindma_queue_post(q, op, 8) != 8)
			syscall(SYS_exit, 3);
		for (done = 0; done < 8; done += ret) {
			ret = pindma_queue_reap(q, c, 8);
			if (ret && c[0].status != PINDMA_ST_OK)
				syscall(SYS_exit, 4);
		}
		pindma_queue_mark(q, i);
	}
	syscall(SYS_exit, *word(t, 7) == 8 ? 0 : 5);
}

static void silent(struct test *t)
{
	int status = in_child(t, silent_child, NULL);

	if (status)
		test_lost(t, "the process that may make no system calls ended with 0x%x",
			  status);
	test_kept(t);
}

/* ------------------------------------------------------------------ waiting */

static short poll_now(struct test *t, int timeout_ms)
{
	struct pollfd pfd = { .fd = pindma_fd(t->dev), .events = POLLIN };

	poll(&pfd, 1, timeout_ms);
	return pfd.revents;
}

static void wake(struct test *t)
{
	struct pindma_queue *q = setup(t, ENTRIES), *other;
	struct pindma_completion c;
	struct pindma_op op;
	uint64_t count;
	unsigned int i;
	int efd = eventfd(0, EFD_NONBLOCK);

	/* As long as there is something that was not reaped */
	CHECK(t, poll_now(t, 20) == 0);
	op = set(t, 0, 1);
	op.delay = 20000000;
	CHECK(t, pindma_queue_post(q, &op, 1) == 1);
	CHECK(t, poll_now(t, TIMEOUT_MS) == POLLIN);
	CHECK(t, poll_now(t, TIMEOUT_MS) == POLLIN);
	CHECK(t, pindma_queue_reap(q, &c, 1) == 1);
	CHECK(t, poll_now(t, 20) == 0);
	/* The file tells of all its queues, and of the shared channels. */
	other = create(t, 2);
	op = set(t, 0, 2);
	CHECK(t, pindma_queue_post(other, &op, 1) == 1);
	CHECK(t, poll_now(t, TIMEOUT_MS) == POLLIN);
	CHECK(t, pindma_queue_wait(q, &c, 1, 20) == -ETIMEDOUT);
	CHECK(t, pindma_queue_wait(other, &c, 1, TIMEOUT_MS) == 1);
	CHECK(t, pindma_reap(t->dev, &c, 1) == 0);
	test_run_ok(t, set(t, 1, 1));
	pindma_queue_destroy(other);

	CHECK(t, efd >= 0 && !pindma_set_eventfd(t->dev, efd));
	run_ok(t, q, set(t, 0, 3));
	/* It is told after the ring has it. */
	for (i = 0; i < 1000 && read(efd, &count, 8) != 8; i++)
		usleep(1000);
	CHECK(t, i < 1000 && count >= 1);
	CHECK(t, !pindma_set_eventfd(t->dev, -1));

	/* No wake-up is lost, whether the op is faster or the process. */
	for (i = 0; i < 2000; i++) {
		op = set(t, 0, i);
		op.delay = i % 3 ? i % 7 * 10000 : 0;
		run_ok(t, q, op);
	}
	test_kept(t);
}

struct patience {
	struct test *t;
	struct pindma_queue *q;
	int got;
};

static void *wait_patiently(void *arg)
{
	struct patience *p = arg;
	struct pindma_completion c;

	p->got = pindma_queue_wait(p->q, &c, 1, TIMEOUT_MS);
	return NULL;
}

/* Nobody is disturbed but those who wait, be it while others stop waiting. */
static void quiet(struct test *t)
{
	struct pindma_queue *q = setup(t, ENTRIES);
	struct patience patience = { .t = t, .q = q };
	struct pindma_completion c;
	struct pindma_op op;
	pthread_t thread;
	uint64_t count;
	unsigned int i;
	int efd = eventfd(0, EFD_NONBLOCK);

	CHECK(t, efd >= 0 && !pindma_set_eventfd(t->dev, efd));
	pindma_queue_quiet(q, true);
	for (i = 0; i < 200; i++) {
		op = set(t, 0, i);
		CHECK(t, pindma_queue_post(q, &op, 1) == 1);
		while (!pindma_queue_reap(q, &c, 1))
			sched_yield();
		CHECK(t, c.user_data == op.user_data);
	}
	usleep(20000);
	if (read(efd, &count, 8) == 8)
		test_lost(t, "%llu interrupts for 200 ops of a quiet queue",
			  (unsigned long long)count);
	for (i = 0; i < 500; i++) {
		op = set(t, 0, i);
		op.delay = i % 3 ? i % 7 * 10000 : 0;
		run_ok(t, q, op);
	}
	op.delay = 1000000000;
	CHECK(t, pindma_queue_post(q, &op, 1) == 1);
	CHECK(t, !pthread_create(&thread, NULL, wait_patiently, &patience));
	usleep(50000);
	CHECK(t, pindma_queue_wait(q, &c, 1, 20) == -ETIMEDOUT);
	pthread_join(thread, NULL);
	if (patience.got != 1)
		test_lost(t, "who waited when another one stopped doing so got %s",
			  strerror(-patience.got));

	/* And loud again */
	while (read(efd, &count, 8) == 8)
		continue;
	pindma_queue_quiet(q, false);
	op = set(t, 0, 1);
	CHECK(t, pindma_queue_post(q, &op, 1) == 1);
	while (!pindma_queue_reap(q, &c, 1))
		sched_yield();
	for (i = 0; i < 1000 && read(efd, &count, 8) != 8; i++)
		usleep(1000);
	CHECK(t, i < 1000);
	CHECK(t, !pindma_set_eventfd(t->dev, -1));
	test_kept(t);
}

#define SHARERS		2	/* that post, and as many that reap */
#define SHARED_OPS	20000
#define IDLE_MS		20

/* A queue that several threads use. What is given out, and what comes back */
static struct sharing {
	struct pindma_queue *q;
	uint32_t mr;
	unsigned int posters, reaped, wrong;
	unsigned char times[SHARED_OPS];	/* it has come */
	bool over;
} sharing;

/* What the device finds there */
static uint64_t content(unsigned int n)
{
	return n * 0x9e3779b97f4a7c15ull;
}

static struct pindma_op get(uint32_t mr, unsigned int n)
{
	return (struct pindma_op){
		.opcode = PINDMA_OP_READ, .mode = PINDMA_READ_VALUE,
		.mr = mr, .user_data = n, .offset = n % 512 * 8, .len = 8 };
}

/* Each posts its share, some at a time. */
static void *post_share(void *arg)
{
	struct sharing *s = arg;
	unsigned int n = __atomic_fetch_add(&s->posters, 1, __ATOMIC_RELAXED);
	struct pindma_op op[8];
	unsigned int nr;
	int ret;

	while (n < SHARED_OPS && !__atomic_load_n(&s->over, __ATOMIC_RELAXED)) {
		for (nr = 0; nr < ARRAY_SIZE(op) &&
			     n + nr * SHARERS < SHARED_OPS; nr++)
			op[nr] = get(s->mr, n + nr * SHARERS);
		ret = pindma_queue_post(s->q, op, nr);
		if (ret > 0)
			n += ret * SHARERS;
		else
			sched_yield();
	}
	return NULL;
}

/* Each reaps what it gets, until all have come, or no more come. */
static void *reap_share(void *arg)
{
	struct sharing *s = arg;
	struct pindma_completion c[4];
	unsigned int idle = 0;
	int ret, i;

	while (__atomic_load_n(&s->reaped, __ATOMIC_RELAXED) < SHARED_OPS &&
	       idle < TIMEOUT_MS / IDLE_MS) {
		ret = pindma_queue_wait(s->q, c, ARRAY_SIZE(c), IDLE_MS);
		idle = ret > 0 ? 0 : idle + 1;
		for (i = 0; i < ret; i++) {
			unsigned char *times = &s->times[c[i].user_data % SHARED_OPS];

			if (c[i].user_data >= SHARED_OPS ||
			    c[i].status != PINDMA_ST_OK ||
			    c[i].result != content(c[i].user_data % 512))
				__atomic_fetch_add(&s->wrong, 1, __ATOMIC_RELAXED);
			__atomic_fetch_add(times, 1, __ATOMIC_RELAXED);
			__atomic_fetch_add(&s->reaped, 1, __ATOMIC_RELAXED);
		}
	}
	return NULL;
}

/* A small ring, so that it is full, and empty, again and again. */
static void threads(struct test *t)
{
	struct sharing *s = &sharing;
	pthread_t posters[SHARERS], reapers[SHARERS];
	unsigned int i, lost = 0, twice = 0;

	s->q = setup(t, 16);
	s->mr = t->mr;
	for (i = 0; i < 512; i++)
		*word(t, i) = content(i);
	for (i = 0; i < SHARERS; i++) {
		CHECK(t, !pthread_create(&reapers[i], NULL, reap_share, s));
		CHECK(t, !pthread_create(&posters[i], NULL, post_share, s));
	}
	for (i = 0; i < SHARERS; i++)
		pthread_join(reapers[i], NULL);
	__atomic_store_n(&s->over, true, __ATOMIC_RELAXED);
	for (i = 0; i < SHARERS; i++)
		pthread_join(posters[i], NULL);
	for (i = 0; i < SHARED_OPS; i++) {
		lost += !s->times[i];
		twice += s->times[i] > 1;
	}
	if (lost || twice || s->wrong)
		test_lost(t, "of %u completions %u are lost, %u came more than once, and %u are not what was posted",
			  SHARED_OPS, lost, twice, s->wrong);
	check_works(t, s->q);
	test_kept(t);
}

/* The byte is there when the store has retired. */
static void mark(struct test *t)
{
	struct pindma_queue *q = setup(t, ENTRIES);
	struct pindma_completion c[2];
	struct pindma_op op[2];
	uint64_t i;

	for (i = 1; i <= 100; i++) {
		op[0] = set(t, 0, i);
		op[0].flags = PINDMA_SQE_ON_MARK;
		op[0].when = i << 32;
		op[1] = set(t, 1, i);
		CHECK(t, pindma_queue_post(q, op, 2) == 2);
		/* The one behind it tells that it has had its turn. */
		collect(t, q, c, 1);
		CHECK(t, c[0].user_data == op[1].user_data);
		pindma_queue_mark(q, (i << 32) + 1);
		CHECK(t, *word(t, 0) == i - 1 || i == 1);
		pindma_queue_mark(q, i << 32);
		if (*word(t, 0) != i)
			test_lost(t, "after the mark the word is %llu, not %llu",
				  (unsigned long long)*word(t, 0),
				  (unsigned long long)i);
		collect(t, q, c, 1);
		CHECK(t, c[0].status == PINDMA_ST_OK);
	}
	test_kept(t);
}

/* --------------------------------------------------------------- protection */

/* Without the library, which would do nothing that is not right */
struct raw {
	struct pindma_create_queue arg;
	struct pindma_sqe *sq;
	struct pindma_cqe *cq;
	uint32_t *head;
	struct pindma_shadow *shadow;
	unsigned char *rings, *db;
	uint32_t tail, read;
};

static void raw_create(struct test *t, struct raw *raw, uint32_t entries)
{
	int fd = pindma_fd(t->dev);

	*raw = (struct raw){ .arg = { .size = sizeof(raw->arg),
				      .entries = entries } };
	CHECK(t, !ioctl(fd, PINDMA_IOC_CREATE_QUEUE, &raw->arg));
	raw->rings = mmap(NULL, raw->arg.rings_size, PROT_READ | PROT_WRITE,
			  MAP_SHARED, fd, (off_t)raw->arg.rings_offset);
	raw->db = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		       (off_t)raw->arg.doorbell_offset);
	CHECK(t, raw->rings != MAP_FAILED && raw->db != MAP_FAILED);
	raw->sq = (void *)raw->rings;
	raw->cq = (void *)(raw->rings + raw->arg.cq);
	raw->head = (void *)(raw->rings + raw->arg.head);
	raw->shadow = (void *)(raw->rings + raw->arg.shadow);
}

/* Wherever it counts. Another doorbell than is needed does no harm. */
static void raw_doorbell(struct raw *raw, unsigned int reg, uint32_t value)
{
	if (reg == PINDMA_DB_SQ_TAIL)
		__atomic_store_n(&raw->shadow->sq_tail, value, __ATOMIC_RELEASE);
	if (reg == PINDMA_DB_CQ_HEAD)
		__atomic_store_n(&raw->shadow->cq_head, value, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	*(volatile uint32_t *)(raw->db + reg) = value;
}

static void raw_post(struct raw *raw, const struct pindma_sqe *sqe)
{
	raw->sq[raw->tail] = *sqe;
	raw->tail = (raw->tail + 1) % raw->arg.entries;
	raw_doorbell(raw, PINDMA_DB_SQ_TAIL, raw->tail);
}

/* The next cqe, or NULL if there is none for a while. */
static struct pindma_cqe *raw_reap(struct raw *raw, unsigned int ms)
{
	struct pindma_cqe *cqe = &raw->cq[raw->read % raw->arg.entries];

	while (__atomic_load_n(&cqe->phase, __ATOMIC_ACQUIRE) !=
	       !(raw->read & raw->arg.entries)) {
		if (!ms--)
			return NULL;
		usleep(1000);
	}
	*raw->head = ++raw->read;
	raw_doorbell(raw, PINDMA_DB_CQ_HEAD, raw->read % raw->arg.entries);
	return cqe;
}

/*
 * Stores at all times around the moment when the device goes to sleep: none is
 * overlooked. It does go to sleep, and it is not awake all the time.
 */
static void shadow(struct test *t)
{
	unsigned int i, rings = 0, seed = (unsigned int)t->seed;
	struct pindma_cqe *cqe;
	struct timespec from, now;
	struct raw raw;
	long pause;

	test_open(t);
	raw_create(t, &raw, ENTRIES);
	/* The ring is full of NOPs: zeros. */
	for (i = 0; i < 30000; i++) {
		pause = i % 100 ? rand_r(&seed) % 60000 : 1000000;
		clock_gettime(CLOCK_MONOTONIC, &from);
		do {
			clock_gettime(CLOCK_MONOTONIC, &now);
		} while ((now.tv_sec - from.tv_sec) * 1000000000 +
			 now.tv_nsec - from.tv_nsec < pause);
		raw.tail = (raw.tail + 1) % ENTRIES;
		__atomic_store_n(&raw.shadow->sq_tail, raw.tail,
				 __ATOMIC_RELEASE);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(&raw.shadow->asleep, __ATOMIC_RELAXED)) {
			*(volatile uint32_t *)(raw.db + PINDMA_DB_SQ_TAIL) = 0;
			rings++;
		}
		cqe = &raw.cq[raw.read % ENTRIES];
		clock_gettime(CLOCK_MONOTONIC, &from);
		while (__atomic_load_n(&cqe->phase, __ATOMIC_ACQUIRE) !=
		       !(raw.read & ENTRIES)) {
			clock_gettime(CLOCK_MONOTONIC, &now);
			if (now.tv_sec - from.tv_sec > TIMEOUT_MS / 1000)
				test_lost(t, "store %u was overlooked, after %ld ns of silence",
					  i, pause);
		}
		raw.read++;
		__atomic_store_n(&raw.shadow->cq_head, raw.read % ENTRIES,
				 __ATOMIC_RELEASE);
	}
	test_note(t, "%u of %u stores needed a doorbell", rings, i);
	CHECK(t, rings && rings < i);
	test_kept(t);
}

static void domains(struct test *t)
{
	struct pindma_op op;
	struct pindma_queue *q = setup(t, ENTRIES);
	struct pindma *mine = t->dev;
	struct pindma_cqe *cqe;
	struct pindma_sqe sqe;
	struct raw other;
	uint64_t was;
	uint32_t pd;

	check_works(t, q);
	test_open(t);	/* another file, with a queue of its own */
	raw_create(t, &other, ENTRIES);
	was = *word(t, 0);
	for (pd = 0; pd < 1000; pd++) {
		sqe = (struct pindma_sqe){
			.opcode = PINDMA_OP_WRITE, .key = t->mr, .tag = pd,
			.len = 8, .value = ~was, .pd = pd };
		raw_post(&other, &sqe);
		cqe = raw_reap(&other, TIMEOUT_MS);
		CHECK(t, cqe && cqe->tag == pd);
		if (cqe->status != (pd ? PINDMA_ST_BAD_FIELD :
					 PINDMA_ST_BAD_KEY))
			test_lost(t, "an op in domain %u on another file's mr: %s",
				  pd, pindma_status_string(cqe->status));
	}
	CHECK(t, *word(t, 0) == was);
	/* Nor can it be told to stop what it did not begin. */
	op = set(t, 0, 1);
	op.flags = PINDMA_SQE_ON_MARK;
	op.when = 7;
	CHECK(t, pindma_queue_post(q, &op, 1) == 1);
	usleep(10000);
	*(volatile uint64_t *)(other.db + PINDMA_DB_MARK) = 7;
	sqe = (struct pindma_sqe){ .opcode = PINDMA_OP_STOP,
				   .value = op.user_data };
	raw_post(&other, &sqe);
	cqe = raw_reap(&other, TIMEOUT_MS);
	CHECK(t, cqe && cqe->status == PINDMA_ST_NOT_FOUND);
	CHECK(t, *word(t, 0) == was);
	/* The ioctls do not reach a file's own channel, be it one's own. */
	CHECK(t, pindma_post_on(mine, pindma_queue_channel(q), &op, 1) == -EBUSY);
	CHECK(t, pindma_post_on(t->dev, pindma_queue_channel(q), &op, 1) ==
		 -EBUSY);
	CHECK(t, pindma_mark(t->dev, pindma_queue_channel(q), 7) == -EBUSY);
	CHECK(t, *word(t, 0) == was);
	/* What is another file's cannot be mapped. */
	CHECK(t, mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, pindma_fd(mine),
		      (off_t)other.arg.rings_offset) == MAP_FAILED &&
		 errno == EINVAL);
	CHECK(t, mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, pindma_fd(mine),
		      (off_t)other.arg.doorbell_offset) == MAP_FAILED);
	test_kept(t);
}

static bool refused(struct test *t, size_t len, int prot, int flags,
		    uint64_t offset)
{
	void *p = mmap(NULL, len, prot, flags, pindma_fd(t->dev), (off_t)offset);

	return p == MAP_FAILED && errno == EINVAL;
}

static void limits(struct test *t)
{
	static const uint32_t bad[] = { 0, 1, 3, 100, 8192, 1u << 31, ~0u };
	struct pindma_destroy_queue gone = { .size = sizeof(gone) };
	struct pindma_queue *q[MAX_QUEUES];
	struct pindma_create_queue arg;
	const int rw = PROT_READ | PROT_WRITE;
	struct pindma_completion c;
	struct pindma_op op[ENTRIES];
	uint32_t mr, n = 0, again, shared;
	struct raw raw;
	unsigned int i;
	int fd, ret;

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	fd = pindma_fd(t->dev);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(t, pindma_queue_create(t->dev, bad[i], &q[0]) == -EINVAL);
	arg = (struct pindma_create_queue){ .size = sizeof(arg), .entries = 2,
					    .flags = 1 };
	CHECK(t, ioctl(fd, PINDMA_IOC_CREATE_QUEUE, &arg) && errno == EINVAL);
	gone.channel = 5;
	CHECK(t, ioctl(fd, PINDMA_IOC_DESTROY_QUEUE, &gone) && errno == ENOENT);
	gone.channel = ~0u;
	CHECK(t, ioctl(fd, PINDMA_IOC_DESTROY_QUEUE, &gone) && errno == ENOENT);

	raw_create(t, &raw, 2);
	CHECK(t, refused(t, PAGE_SIZE, rw, MAP_PRIVATE, raw.arg.rings_offset));
	CHECK(t, refused(t, PAGE_SIZE, rw, MAP_PRIVATE, raw.arg.doorbell_offset));
	CHECK(t, refused(t, PAGE_SIZE, rw | PROT_EXEC, MAP_SHARED,
			 raw.arg.rings_offset));
	CHECK(t, refused(t, raw.arg.rings_size + PAGE_SIZE, rw, MAP_SHARED,
			 raw.arg.rings_offset));
	CHECK(t, refused(t, 2 * PAGE_SIZE, rw, MAP_SHARED,
			 raw.arg.doorbell_offset));
	CHECK(t, refused(t, 2 * PAGE_SIZE, rw, MAP_SHARED,
			 raw.arg.doorbell_offset - PAGE_SIZE));
	CHECK(t, refused(t, PAGE_SIZE, rw, MAP_SHARED, 0));
	CHECK(t, refused(t, PAGE_SIZE, rw, MAP_SHARED, 1ull << 40));
	CHECK(t, mprotect(raw.db, PAGE_SIZE, PROT_READ | PROT_EXEC) &&
		 errno == EACCES);
	/* Not memory for the device: it would write its own doorbells. */
	ret = pindma_reg_mr(t->dev, raw.rings, PAGE_SIZE, PINDMA_PIN_PIN, 0, &mr);
	CHECK(t, ret == -EFAULT);
	ret = pindma_reg_mr(t->dev, raw.db, PAGE_SIZE, PINDMA_PIN_PIN, 0, &mr);
	CHECK(t, ret == -EFAULT);
	gone.channel = raw.arg.channel;
	CHECK(t, !ioctl(fd, PINDMA_IOC_DESTROY_QUEUE, &gone));

	/* Whoever takes all that can be had leaves some for the others. */
	while (n < MAX_QUEUES &&
	       !(ret = pindma_queue_create(t->dev, ENTRIES, &q[n])))
		n++;
	CHECK(t, ret == -EBUSY && n >= 1);
	shared = test_info(t).num_channels - n;
	CHECK(t, shared >= 2);
	for (i = 0; i < shared; i++) {
		struct pindma_op nop = { .opcode = PINDMA_OP_NOP };

		test_run_ops(t, i, &nop, 1, &c);
	}
	for (i = 0; i < n; i++) {
		check_works(t, q[i]);
		pindma_queue_destroy(q[i]);
	}
	/* One on which somebody has an op on its way is not taken. */
	op[0] = set(t, 0, 1);
	op[0].flags = PINDMA_SQE_ON_MARK;
	test_post(t, shared, op, 1);
	/* One behind it tells that it has had its turn, and waits. */
	test_run_ops(t, shared, &(struct pindma_op){ 0 }, 1, &c);
	for (again = 0; again < MAX_QUEUES; again++)
		if (pindma_queue_create(t->dev, ENTRIES, &q[again]))
			break;
	CHECK(t, again == n - 1);
	CHECK(t, !pindma_mark(t->dev, shared, 0));
	test_collect(t, &c, 1);
	CHECK(t, c.status == PINDMA_ST_OK);

	/* As many as the ring has room for, in whole chains */
	for (i = 0; i < ENTRIES; i++) {
		op[i] = set(t, i, 0);
		op[i].flags = PINDMA_SQE_LINK;
	}
	CHECK(t, pindma_queue_post(q[0], op, ENTRIES) == -EINVAL);
	op[ENTRIES - 1].flags = 0;
	CHECK(t, pindma_queue_post(q[0], op, ENTRIES) == -EINVAL);
	CHECK(t, pindma_queue_post(q[0], op + 1, ENTRIES - 1) == ENTRIES - 1);
	ret = pindma_queue_post(q[0], op, 1);
	CHECK(t, ret == -EINVAL);
	op[0].flags = 0;
	CHECK(t, pindma_queue_post(q[0], op, 1) == -EAGAIN);
	for (i = 0; i < ENTRIES - 1; i++)
		collect(t, q[0], &c, 1);
	CHECK(t, pindma_queue_post(q[0], op, 1) == 1);
	collect(t, q[0], &c, 1);
	CHECK(t, pindma_queue_wait(q[0], &c, 0, 1) == -EINVAL);
	CHECK(t, pindma_queue_wait(q[0], &c, 1, 1) == -ETIMEDOUT);
	test_kept(t);
}

/*
 * What a hostile process writes into its rings: everything that has been posted
 * gets a cqe, nobody else is disturbed. What does not end by itself ends with
 * the mr.
 */
static void garbage(struct test *t)
{
	enum { OPS = 4000 };
	unsigned int posted = 0, reaped = 0, i, j;
	struct pindma_destroy_queue gone = { .size = sizeof(gone) };
	struct pindma_cqe *cqe;
	struct pindma_sqe sqe;
	struct raw raw;
	unsigned int seed = (unsigned int)t->seed;
	bool seen[OPS] = { false };

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	raw_create(t, &raw, ENTRIES);
	while (reaped < OPS) {
		if (posted < OPS && (posted - reaped) < ENTRIES - 1) {
			unsigned char *p = (unsigned char *)&sqe;

			for (i = 0; i < sizeof(sqe); i++)
				p[i] = (unsigned char)rand_r(&seed);
			/* From nonsense to what is nearly right */
			if (posted % 4) {
				memset(&sqe.reserved, 0, sizeof(sqe.reserved));
				sqe.pd = 0;
				sqe.opcode %= 12;
				sqe.mode %= 4;
				sqe.key = posted % 3 ? t->mr : sqe.key;
				sqe.src_key = posted % 5 ? t->mr : 0;
				sqe.flags &= 0x3f;
				sqe.offset %= 3 * PAGE_SIZE;
				sqe.src_offset %= 3 * PAGE_SIZE;
				sqe.len %= 2 * PAGE_SIZE;
				sqe.delay %= 100000;
			}
			if (posted % 8 == 7) {
				sqe.flags = 0;
				sqe.delay = 0;
				sqe.value = sqe.compare = sqe.seed = sqe.when = 0;
				sqe.rate = 0;
			}
			sqe.tag = posted++;
			raw_post(&raw, &sqe);
			continue;
		}
		cqe = raw_reap(&raw, 50);
		if (!cqe) {
			/* All wait for each other, or for a mark: end it. */
			CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
			CHECK(t, !pindma_reg_mr(t->dev, t->mem,
						NR_PAGES * PAGE_SIZE,
						PINDMA_PIN_PIN, 0, &t->mr));
			cqe = raw_reap(&raw, TIMEOUT_MS);
		}
		if (!cqe)
			test_lost(t, "%u ops of %u have no cqe",
				  posted - reaped, posted);
		CHECK(t, cqe->tag < OPS && !seen[cqe->tag]);
		seen[cqe->tag] = true;
		reaped++;
	}
	/* Doorbells that lie, rings that are written when the device reads them */
	for (i = 0; i < 5000; i++) {
		for (j = 0; j < 16; j++)
			raw.rings[rand_r(&seed) % raw.arg.rings_size] =
				(unsigned char)rand_r(&seed);
		raw_doorbell(&raw, (unsigned int)rand_r(&seed) % 16 * 4,
			     i % 2 ? (uint32_t)rand_r(&seed) :
				     (uint32_t)rand_r(&seed) % ENTRIES);
	}
	/* Stores that lie, faster than the device reads, and all of them */
	for (i = 0; i < 200000; i++) {
		uint32_t *words = (uint32_t *)raw.shadow;

		__atomic_store_n(&words[rand_r(&seed) % 4],
				 i % 3 ? (uint32_t)rand_r(&seed) % ENTRIES :
					 (uint32_t)rand_r(&seed),
				 __ATOMIC_RELAXED);
		if (i % 64 == 0)
			raw_doorbell(&raw, PINDMA_DB_SQ_TAIL, i % ENTRIES);
	}
	poll_now(t, 0);
	CHECK(t, test_run_op(t, (struct pindma_op){ 0 }).status == PINDMA_ST_OK);
	gone.channel = raw.arg.channel;
	CHECK(t, !ioctl(pindma_fd(t->dev), PINDMA_IOC_DESTROY_QUEUE, &gone));
	check_works(t, create(t, ENTRIES));
	test_check_surroundings(t);
	test_kept(t);
}

/* -------------------------------------------------------------- life and end */

static sigjmp_buf fault_env;
static volatile sig_atomic_t fault_signal;

static void on_fault(int sig)
{
	fault_signal = sig;
	siglongjmp(fault_env, 1);
}

/* The signal that a store there is answered with, or 0 */
static int touch(volatile void *p)
{
	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	fault_signal = 0;
	if (!sigsetjmp(fault_env, 1))
		*(volatile uint32_t *)p = 0;
	signal(SIGBUS, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	return fault_signal;
}

static void destroyed(struct test *t)
{
	struct pindma_destroy_queue gone = { .size = sizeof(gone) };
	struct raw raw, other;
	struct pindma *mine;

	test_open(t);
	mine = t->dev;
	raw_create(t, &raw, ENTRIES);
	CHECK(t, !touch(raw.rings) && !touch(raw.db) && !touch(raw.head));
	gone.channel = raw.arg.channel;
	CHECK(t, !ioctl(pindma_fd(mine), PINDMA_IOC_DESTROY_QUEUE, &gone));
	CHECK(t, touch(raw.rings) == SIGBUS);
	CHECK(t, touch(raw.db) == SIGBUS && touch(raw.head) == SIGBUS);
	/* Nor does it come back when the channel is somebody else's. */
	test_open(t);
	raw_create(t, &other, ENTRIES);
	CHECK(t, touch(raw.rings) == SIGBUS && touch(raw.db) == SIGBUS);
	test_kept(t);
}

static void hammer_doorbell(struct test *t, void *arg)
{
	struct raw *raw = arg;
	uint32_t i;

	*raw = (struct raw){ 0 };
	test_open(t);
	raw_create(t, raw, ENTRIES);
	kill(getppid(), SIGUSR1);
	for (i = 0;; i++)
		raw_doorbell(raw, PINDMA_DB_SQ_TAIL, i % ENTRIES);
}

/* The driver is unbound while processes use their queues with all their might. */
static void unbind(struct test *t)
{
	struct pindma_queue *q = setup(t, ENTRIES);
	struct pindma_completion c;
	int status, sig, before, after, waited;
	char name[256];
	sigset_t set;
	struct raw raw;
	short polled;
	pid_t pid;

	find_device(t, name);
	raw_create(t, &raw, ENTRIES);
	CHECK(t, !touch(raw.rings) && !touch(raw.db));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid = fork();
	if (!pid) {
		hammer_doorbell(t, &raw);
		_exit(0);
	}
	sigwait(&set, &sig);
	unbind_device(t, name);
	before = touch(raw.rings) == SIGBUS && touch(raw.db) == SIGBUS;
	polled = poll_now(t, 0);
	/* Not even when it, or another one, is there again, as pindma1. */
	bind_device(t, name);
	after = touch(raw.rings) == SIGBUS && touch(raw.db) == SIGBUS;
	usleep(100000);
	kill(pid, SIGKILL);
	CHECK(t, waitpid(pid, &status, 0) == pid);
	waited = pindma_wait(t->dev, &c, 1, 0);
	/* Whatever was seen: the other cases need pindma0. */
	munmap(raw.rings, raw.arg.rings_size);
	munmap(raw.db, PAGE_SIZE);
	pindma_queue_destroy(q);
	pindma_close(t->dev);
	unbind_device(t, name);
	bind_device(t, name);
	CHECK(t, before && after);
	CHECK(t, WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	CHECK(t, polled & POLLHUP);
	CHECK(t, waited == -ENODEV);
	t->mr = 0;
	test_open(t);
	test_reg_mr(t);
	check_works(t, create(t, ENTRIES));
	test_kept(t);
}

static void fork_child(struct test *t, void *arg)
{
	struct raw *raw = arg;

	if (touch(raw->rings) != SIGSEGV || touch(raw->db) != SIGSEGV)
		_exit(1);
	/* It has the file, though: it may map them itself. */
	raw->rings = mmap(NULL, raw->arg.rings_size, PROT_READ | PROT_WRITE,
			  MAP_SHARED, pindma_fd(t->dev),
			  (off_t)raw->arg.rings_offset);
	if (raw->rings == MAP_FAILED || touch(raw->rings))
		_exit(2);
}

static void forked(struct test *t)
{
	struct pindma_queue *q = setup(t, ENTRIES);
	struct raw raw;

	raw_create(t, &raw, ENTRIES);
	CHECK(t, in_child(t, fork_child, &raw) == 0);
	/* The child's end does not end the queue. */
	CHECK(t, !touch(raw.rings) && !touch(raw.db));
	check_works(t, q);
	CHECK(t, madvise(raw.db, PAGE_SIZE, MADV_DOFORK));
	test_kept(t);
}

/* A mapping holds the file, and with it all that is the file's. */
static void closed(struct test *t)
{
	long pinned = kernel_pinned_pages();
	struct pindma_completion c;
	struct pindma_cqe *cqe;
	struct pindma_sqe sqe;
	struct raw raw;
	unsigned int i;
	uint32_t mr;

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	raw_create(t, &raw, ENTRIES);
	pindma_close(t->dev);
	sqe = (struct pindma_sqe){ .opcode = PINDMA_OP_WRITE, .key = t->mr,
				   .len = 8, .value = 4711 };
	raw_post(&raw, &sqe);
	cqe = raw_reap(&raw, TIMEOUT_MS);
	CHECK(t, cqe && cqe->status == PINDMA_ST_OK && *word(t, 0) == 4711);
	CHECK(t, kernel_pinned_pages() == pinned + NR_PAGES);
	/* A hammer is at work when the last mapping goes. */
	sqe = (struct pindma_sqe){ .opcode = PINDMA_OP_HAMMER, .key = t->mr,
				   .len = NR_PAGES * PAGE_SIZE, .rate = 20000 };
	raw_post(&raw, &sqe);
	usleep(20000);
	munmap(raw.rings, raw.arg.rings_size);
	CHECK(t, kernel_pinned_pages() == pinned + NR_PAGES);
	munmap(raw.db, PAGE_SIZE);
	for (i = 0; i < 1000 && kernel_pinned_pages() != pinned; i++)
		usleep(1000);
	CHECK(t, kernel_pinned_pages() == pinned);
	mr = t->mr;
	t->mr = 0;
	test_open(t);
	test_check_unpinned(t, mr);
	CHECK(t, pindma_reap(t->dev, &c, 1) == 0);
	test_kept(t);
}

static void killed_child(struct test *t, void *arg)
{
	struct pindma_queue *q;
	struct pindma_op op[3];
	unsigned int i;

	test_open(t);
	test_reg_mr(t);
	*(volatile uint32_t *)arg = t->mr;
	for (i = 0; !pindma_queue_create(t->dev, ENTRIES, &q); i++) {
		op[0] = set(t, i, 0);
		op[0].opcode = PINDMA_OP_HAMMER;
		op[0].rate = 5000;
		op[1] = set(t, 8, 0);
		op[1].flags = PINDMA_SQE_NOT_BEFORE | PINDMA_SQE_LINK;
		op[1].when = FAR_AWAY;
		op[2] = set(t, 9, 0);
		CHECK(t, pindma_queue_post(q, op, 3) == 3);
	}
	usleep(20000);
	kill(getpid(), SIGKILL);
}

static void killed(struct test *t)
{
	long pinned = kernel_pinned_pages();
	volatile uint32_t *mr = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct pindma_op nop = { .opcode = PINDMA_OP_NOP };
	struct pindma_completion c;
	struct pindma_queue *q;
	unsigned int n = 0;
	uint32_t channel;
	int status;

	test_alloc(t);
	status = in_child(t, killed_child, (void *)mr);
	CHECK(t, WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(t, kernel_pinned_pages() == pinned);
	test_open(t);
	test_check_unpinned(t, *mr);
	test_reg_mr(t);
	/* All channels are shared again, and can be had again. */
	for (channel = 0; channel < test_info(t).num_channels; channel++) {
		test_run_ops(t, channel, &nop, 1, &c);
		CHECK(t, c.status == PINDMA_ST_OK);
	}
	while (!pindma_queue_create(t->dev, ENTRIES, &q)) {
		check_works(t, q);
		n++;
	}
	CHECK(t, n >= 2);
	test_kept(t);
}

/* An mr goes while the queue works on it. */
static void dereg(struct test *t)
{
	struct pindma_queue *q = setup(t, ENTRIES);
	struct pindma_op op = set(t, 0, 0);
	struct pindma_completion c;

	op.opcode = PINDMA_OP_HAMMER;
	op.rate = 20000;
	op.len = NR_PAGES * PAGE_SIZE;
	CHECK(t, pindma_queue_post(q, &op, 1) == 1);
	CHECK(t, stamps_go_on(t->mem, TIMEOUT_MS));
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	collect(t, q, &c, 1);
	CHECK(t, c.user_data == op.user_data && c.status == PINDMA_ST_ABORTED);
	CHECK(t, run(t, q, set(t, 0, 1)).status == PINDMA_ST_BAD_KEY);
	test_check_unpinned(t, t->mr);
	t->mr = 0;
	test_kept(t);
}

const struct scenario driver_userq_scenarios[] = {
	{
		.name = "driver.queue_ops",
		.promise = "a process posts to a queue of its own and reaps from it, all data ops, round and round",
		.run = ops,
	}, {
		.name = "driver.queue_silent",
		.promise = "posting, reaping and marks need no system call",
		.run = silent,
	}, {
		.name = "driver.queue_wake",
		.promise = "poll() and the eventfd tell of completions, and no wake-up is lost",
		.flags = SCENARIO_SLOW,
		.run = wake,
	}, {
		.name = "driver.queue_quiet",
		.promise = "a queue that is quiet sends no interrupts, but wakes up those who wait",
		.flags = SCENARIO_SLOW,
		.run = quiet,
	}, {
		.name = "driver.queue_threads",
		.promise = "threads may post to a queue and reap from it at the same time: each completion comes once, to one of them",
		.flags = SCENARIO_SLOW,
		.run = threads,
	}, {
		.name = "driver.queue_shadow",
		.promise = "a doorbell in memory is seen, whether the device is awake or goes to sleep",
		.flags = SCENARIO_SLOW,
		.run = shadow,
	}, {
		.name = "driver.queue_mark",
		.promise = "an op that waits for a mark is performed by the store that writes it",
		.run = mark,
	}, {
		.name = "driver.queue_domains",
		.promise = "a queue does not reach mrs, queues and marks of other files",
		.flags = SCENARIO_SLOW,
		.run = domains,
	}, {
		.name = "driver.queue_limits",
		.promise = "what cannot be had is refused, and there is always a channel for the others",
		.run = limits,
	}, {
		.name = "driver.queue_garbage",
		.promise = "whatever a process writes to its rings and doorbells, each sqe gets a cqe and nobody else notices",
		.run = garbage,
	}, {
		.name = "driver.queue_destroyed",
		.promise = "nothing is mapped any more when the queue is destroyed",
		.run = destroyed,
	}, {
		.name = "driver.queue_unbind",
		.promise = "nothing is mapped any more when the device goes, even under use",
		.run = unbind,
	}, {
		.name = "driver.queue_forked",
		.promise = "a child does not inherit the rings, and its end does not end the queue",
		.run = forked,
	}, {
		.name = "driver.queue_closed",
		.promise = "a mapping holds the file; when it goes all ends, the device first",
		.run = closed,
	}, {
		.name = "driver.queue_killed",
		.promise = "a process that is killed leaves channels that can be used again, and no page pinned",
		.run = killed,
	}, {
		.name = "driver.queue_dereg",
		.promise = "ops of a queue end with their mr, before its pages are unpinned",
		.run = dereg,
	},
	{ }
};
