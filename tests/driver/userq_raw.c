// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues that are mapped into the process, without the library: what a process may
 * write there that the library would not. To see it red: give the queue no domain
 * (queue_domains); have the device not look at the shadow when it goes to sleep
 * (queue_shadow).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "userq.h"

#define MAX_QUEUES	64	/* more than there can be */

void raw_create(struct test *t, struct raw *raw, uint32_t entries)
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
void raw_doorbell(struct raw *raw, unsigned int reg, uint32_t value)
{
	if (reg == PINDMA_DB_SQ_TAIL)
		__atomic_store_n(&raw->shadow->sq_tail, value, __ATOMIC_RELEASE);
	if (reg == PINDMA_DB_CQ_HEAD)
		__atomic_store_n(&raw->shadow->cq_head, value, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	*(volatile uint32_t *)(raw->db + reg) = value;
}

void raw_post(struct raw *raw, const struct pindma_sqe *sqe)
{
	raw->sq[raw->tail] = *sqe;
	raw->tail = (raw->tail + 1) % raw->arg.entries;
	raw_doorbell(raw, PINDMA_DB_SQ_TAIL, raw->tail);
}

struct pindma_cqe *raw_reap(struct raw *raw, unsigned int ms)
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
	struct pindma_queue *q = userq_setup(t, ENTRIES);
	struct pindma *mine = t->dev;
	struct pindma_cqe *cqe;
	struct pindma_sqe sqe;
	struct raw other;
	uint64_t was;
	uint32_t pd;

	userq_check(t, q);
	test_open(t);	/* another file, with a queue of its own */
	raw_create(t, &other, ENTRIES);
	was = *userq_word(t, 0);
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
	CHECK(t, *userq_word(t, 0) == was);
	/* Nor can it be told to stop what it did not begin. */
	op = userq_set(t, 0, 1);
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
	CHECK(t, *userq_word(t, 0) == was);
	/* The ioctls do not reach a file's own channel, be it one's own. */
	CHECK(t, pindma_post_on(mine, pindma_queue_channel(q), &op, 1) == -EBUSY);
	CHECK(t, pindma_post_on(t->dev, pindma_queue_channel(q), &op, 1) ==
		 -EBUSY);
	CHECK(t, pindma_mark(t->dev, pindma_queue_channel(q), 7) == -EBUSY);
	CHECK(t, *userq_word(t, 0) == was);
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
		userq_check(t, q[i]);
		pindma_queue_destroy(q[i]);
	}
	/* One on which somebody has an op on its way is not taken. */
	op[0] = userq_set(t, 0, 1);
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
		op[i] = userq_set(t, i, 0);
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
		userq_collect(t, q[0], &c, 1);
	CHECK(t, pindma_queue_post(q[0], op, 1) == 1);
	userq_collect(t, q[0], &c, 1);
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
	userq_poll(t, 0);
	CHECK(t, test_run_op(t, (struct pindma_op){ 0 }).status == PINDMA_ST_OK);
	gone.channel = raw.arg.channel;
	CHECK(t, !ioctl(pindma_fd(t->dev), PINDMA_IOC_DESTROY_QUEUE, &gone));
	userq_check(t, userq_create(t, ENTRIES));
	test_check_surroundings(t);
	test_kept(t);
}

const struct scenario driver_userq_raw_scenarios[] = {
	{
		.name = "driver.queue_shadow",
		.promise = "a doorbell in memory is seen, whether the device is awake or goes to sleep",
		.flags = SCENARIO_SLOW,
		.run = shadow,
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
	},
	{ }
};
