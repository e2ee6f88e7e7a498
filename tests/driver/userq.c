// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues that are mapped into the process, as it uses them. To see it red: do not
 * look at the ring in poll() (queue_wake); in the library do not look at asleep
 * (all), or do not count those who wait (queue_quiet); take no post_lock in
 * pindma_queue_post(), or no reap_lock in pindma_queue_reap() (queue_threads).
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/seccomp.h>
#include <unistd.h>

#include "userq.h"

struct pindma_queue *userq_create(struct test *t, uint32_t entries)
{
	struct pindma_queue *q;
	int ret = pindma_queue_create(t->dev, entries, &q);

	if (ret)
		test_error(t, "no queue of %u entries: %s", entries,
			   strerror(-ret));
	return q;
}

struct pindma_queue *userq_setup(struct test *t, uint32_t entries)
{
	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	return userq_create(t, entries);
}

uint64_t *userq_word(struct test *t, unsigned int n)
{
	return (uint64_t *)(t->mem + n * 8);
}

struct pindma_op userq_set(struct test *t, unsigned int n, uint64_t value)
{
	return (struct pindma_op){
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_IMMEDIATE,
		.mr = t->mr, .user_data = ++t->next_user_data,
		.offset = n * 8, .len = 8, .value = value };
}

void userq_collect(struct test *t, struct pindma_queue *q,
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

struct pindma_completion userq_run(struct test *t, struct pindma_queue *q,
				   struct pindma_op op)
{
	struct pindma_completion c;

	CHECK(t, pindma_queue_post(q, &op, 1) == 1);
	userq_collect(t, q, &c, 1);
	CHECK(t, c.user_data == op.user_data && c.tag == op.user_data &&
		 c.channel == pindma_queue_channel(q));
	return c;
}

uint64_t userq_run_ok(struct test *t, struct pindma_queue *q,
		      struct pindma_op op)
{
	struct pindma_completion c = userq_run(t, q, op);

	if (c.status != PINDMA_ST_OK)
		test_lost(t, "op 0x%x: %s", op.opcode,
			  pindma_status_string(c.status));
	return c.result;
}

void userq_check(struct test *t, struct pindma_queue *q)
{
	uint64_t value = test_token(t);

	userq_run_ok(t, q, userq_set(t, 5, value));
	CHECK(t, *userq_word(t, 5) == value);
}

/* Another process is needed where something must not be survived. */
int userq_in_child(struct test *t, void (*fn)(struct test *, void *), void *arg)
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

short userq_poll(struct test *t, int timeout_ms)
{
	struct pollfd pfd = { .fd = pindma_fd(t->dev), .events = POLLIN };

	poll(&pfd, 1, timeout_ms);
	return pfd.revents;
}

/* --------------------------------------------------------------------- use */

static void ops(struct test *t)
{
	struct pindma_queue *q = userq_setup(t, ENTRIES);
	struct pindma_completion c[2];
	struct pindma_op op, two[2];
	unsigned int i;

	op = userq_set(t, 0, 0x1122334455667788ull);
	userq_run_ok(t, q, op);
	CHECK(t, *userq_word(t, 0) == op.value);
	op = (struct pindma_op){ .opcode = PINDMA_OP_READ,
				 .mode = PINDMA_READ_VALUE, .mr = t->mr,
				 .user_data = 77, .len = 8 };
	CHECK(t, userq_run_ok(t, q, op) == 0x1122334455667788ull);
	op = (struct pindma_op){ .opcode = PINDMA_OP_FILL, .mr = t->mr,
				 .offset = 64, .len = 64, .value = 0x5a };
	userq_run_ok(t, q, op);
	CHECK(t, *userq_word(t, 8) == 0x5a5a5a5a5a5a5a5aull);
	op = (struct pindma_op){ .opcode = PINDMA_OP_COPY, .mr = t->mr,
				 .offset = PAGE_SIZE - 32, .len = 64,
				 .src_mr = t->mr, .src_offset = 64 };
	userq_run_ok(t, q, op);
	CHECK(t, !memcmp(t->mem + PAGE_SIZE - 32, t->mem + 64, 64));
	op.opcode = PINDMA_OP_COMPARE;
	op.mode = PINDMA_COMPARE_MR;
	userq_run_ok(t, q, op);
	op = (struct pindma_op){ .opcode = PINDMA_OP_FETCH_ADD, .mr = t->mr,
				 .len = 8, .value = 1 };
	CHECK(t, userq_run_ok(t, q, op) == 0x1122334455667788ull);
	op.opcode = PINDMA_OP_CMP_SWAP;
	op.compare = 0x1122334455667789ull;
	op.value = 3;
	userq_run_ok(t, q, op);
	CHECK(t, *userq_word(t, 0) == 3);

	/* A hammer, and its end, which comes first. */
	two[0] = (struct pindma_op){ .opcode = PINDMA_OP_HAMMER, .mr = t->mr,
				     .user_data = 1000, .len = PAGE_SIZE };
	two[1] = (struct pindma_op){ .opcode = PINDMA_OP_STOP,
				     .user_data = 1001, .value = 1000 };
	CHECK(t, pindma_queue_post(q, two, 2) == 2);
	userq_collect(t, q, c, 2);
	CHECK(t, c[0].user_data == 1000 && c[1].user_data == 1001 &&
		 c[1].status == PINDMA_ST_OK);

	/* Round and round, in rings of all sizes */
	pindma_queue_destroy(q);
	for (i = PINDMA_QUEUE_MIN_ENTRIES; i <= PINDMA_QUEUE_MAX_ENTRIES;
	     i *= i < 64 ? 2 : 8) {
		unsigned int n, posted = 0, done = 0, total = 5 * i + 3;

		q = userq_create(t, i);
		while (done < total) {
			while (posted < total) {
				op = userq_set(t, posted % 512, posted);
				op.user_data = posted;
				if (pindma_queue_post(q, &op, 1) != 1)
					break;
				posted++;
			}
			userq_collect(t, q, c, 1);
			if (c[0].user_data != done ||
			    c[0].status != PINDMA_ST_OK)
				test_lost(t, "op %llu of %u entries: %s, op %u was next",
					  (unsigned long long)c[0].user_data, i,
					  pindma_status_string(c[0].status),
					  done);
			done++;
		}
		for (n = total - (total < 512 ? total : 512); n < total; n++)
			CHECK(t, *userq_word(t, n % 512) == n);
		pindma_queue_destroy(q);
	}
	test_check_surroundings(t);
	test_kept(t);
}

/* Nothing but exit(2) is allowed between the first post and the last reap. */
static void silent_child(struct test *t, void *unused)
{
	struct pindma_completion c[8];
	struct pindma_op op[8];
	struct pindma_queue *q = userq_setup(t, ENTRIES);
	unsigned int i, done = 0;
	int ret;

	(void)unused;
	for (i = 0; i < 8; i++)
		op[i] = userq_set(t, i, i + 1);
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
	syscall(SYS_exit, *userq_word(t, 7) == 8 ? 0 : 5);
}

static void silent(struct test *t)
{
	int status = userq_in_child(t, silent_child, NULL);

	if (status)
		test_lost(t, "the process that may make no system calls ended with 0x%x",
			  status);
	test_kept(t);
}

/* ------------------------------------------------------------------ waiting */

static void wake(struct test *t)
{
	struct pindma_queue *q = userq_setup(t, ENTRIES), *other;
	struct pindma_completion c;
	struct pindma_op op;
	uint64_t count;
	unsigned int i;
	int efd = eventfd(0, EFD_NONBLOCK);

	/* As long as there is something that was not reaped */
	CHECK(t, userq_poll(t, 20) == 0);
	op = userq_set(t, 0, 1);
	op.delay = 20000000;
	CHECK(t, pindma_queue_post(q, &op, 1) == 1);
	CHECK(t, userq_poll(t, TIMEOUT_MS) == POLLIN);
	CHECK(t, userq_poll(t, TIMEOUT_MS) == POLLIN);
	CHECK(t, pindma_queue_reap(q, &c, 1) == 1);
	CHECK(t, userq_poll(t, 20) == 0);
	/* The file tells of all its queues, and of the shared channels. */
	other = userq_create(t, 2);
	op = userq_set(t, 0, 2);
	CHECK(t, pindma_queue_post(other, &op, 1) == 1);
	CHECK(t, userq_poll(t, TIMEOUT_MS) == POLLIN);
	CHECK(t, pindma_queue_wait(q, &c, 1, 20) == -ETIMEDOUT);
	CHECK(t, pindma_queue_wait(other, &c, 1, TIMEOUT_MS) == 1);
	CHECK(t, pindma_reap(t->dev, &c, 1) == 0);
	test_run_ok(t, userq_set(t, 1, 1));
	pindma_queue_destroy(other);

	CHECK(t, efd >= 0 && !pindma_set_eventfd(t->dev, efd));
	userq_run_ok(t, q, userq_set(t, 0, 3));
	/* It is told after the ring has it. */
	for (i = 0; i < 1000 && read(efd, &count, 8) != 8; i++)
		usleep(1000);
	CHECK(t, i < 1000 && count >= 1);
	CHECK(t, !pindma_set_eventfd(t->dev, -1));

	/* No wake-up is lost, whether the op is faster or the process. */
	for (i = 0; i < 2000; i++) {
		op = userq_set(t, 0, i);
		op.delay = i % 3 ? i % 7 * 10000 : 0;
		userq_run_ok(t, q, op);
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
	struct pindma_queue *q = userq_setup(t, ENTRIES);
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
		op = userq_set(t, 0, i);
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
		op = userq_set(t, 0, i);
		op.delay = i % 3 ? i % 7 * 10000 : 0;
		userq_run_ok(t, q, op);
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
	op = userq_set(t, 0, 1);
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

	s->q = userq_setup(t, 16);
	s->mr = t->mr;
	for (i = 0; i < 512; i++)
		*userq_word(t, i) = content(i);
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
	userq_check(t, s->q);
	test_kept(t);
}

/* The byte is there when the store has retired. */
static void mark(struct test *t)
{
	struct pindma_queue *q = userq_setup(t, ENTRIES);
	struct pindma_completion c[2];
	struct pindma_op op[2];
	uint64_t i;

	for (i = 1; i <= 100; i++) {
		op[0] = userq_set(t, 0, i);
		op[0].flags = PINDMA_SQE_ON_MARK;
		op[0].when = i << 32;
		op[1] = userq_set(t, 1, i);
		CHECK(t, pindma_queue_post(q, op, 2) == 2);
		/* The one behind it tells that it has had its turn. */
		userq_collect(t, q, c, 1);
		CHECK(t, c[0].user_data == op[1].user_data);
		pindma_queue_mark(q, (i << 32) + 1);
		CHECK(t, *userq_word(t, 0) == i - 1 || i == 1);
		pindma_queue_mark(q, i << 32);
		if (*userq_word(t, 0) != i)
			test_lost(t, "after the mark the word is %llu, not %llu",
				  (unsigned long long)*userq_word(t, 0),
				  (unsigned long long)i);
		userq_collect(t, q, c, 1);
		CHECK(t, c[0].status == PINDMA_ST_OK);
	}
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
		.name = "driver.queue_mark",
		.promise = "an op that waits for a mark is performed by the store that writes it",
		.run = mark,
	},
	{ }
};
