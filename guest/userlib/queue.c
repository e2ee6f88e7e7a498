// SPDX-License-Identifier: MIT
/*
 * A channel of one's own: its rings and doorbells are mapped, and posting and
 * reaping are loads and stores.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libpindma.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "what is in the rings is little endian"
#endif

/*
 * An op is an sqe but for the names of two fields, mr and user_data, and for pd,
 * which must be 0, like the reserved fields.
 */
#define SAME(a, b)							\
	_Static_assert(offsetof(struct pindma_op, a) ==			\
		       offsetof(struct pindma_sqe, b) &&		\
		       sizeof(((struct pindma_op *)0)->a) ==		\
		       sizeof(((struct pindma_sqe *)0)->b), #a)
SAME(opcode, opcode);
SAME(mode, mode);
SAME(flags, flags);
SAME(mr, key);
SAME(user_data, tag);
SAME(offset, offset);
SAME(len, len);
SAME(value, value);
SAME(compare, compare);
SAME(src_mr, src_key);
SAME(rate, rate);
SAME(src_offset, src_offset);
SAME(seed, seed);
SAME(when, when);
SAME(delay, delay);
SAME(reserved0, pd);
SAME(reserved, reserved);

struct pindma_queue {
	struct pindma *handle;
	uint32_t channel, entries;
	void *rings;
	size_t rings_size;
	struct pindma_sqe *sq;
	struct pindma_cqe *cq;
	uint32_t *head;			/* for poll(): how many cqes were read */
	struct pindma_shadow *shadow;
	unsigned char *doorbells;
	uint32_t sq_head;		/* what the last cqe said of it */
	uint32_t report_each;

	pthread_mutex_t post_lock;	/* and the doorbells that are in halves */
	uint32_t sq_tail;

	pthread_mutex_t reap_lock;
	uint32_t read;			/* cqes, and how many */
	uint32_t reported;		/* of these the device knows */
	bool quiet;			/* no interrupts but for those who wait: */
	unsigned int waiting;
};

/*
 * What was stored before is in memory before the device sees the doorbell. On
 * x86 that is so if the compiler does not put it off, and costs nothing.
 */
static void ring32(struct pindma_queue *q, unsigned int doorbell, uint32_t value)
{
	__atomic_store_n((uint32_t *)(q->doorbells + doorbell), value,
			 __ATOMIC_RELEASE);
}

static void ring64(struct pindma_queue *q, unsigned int doorbell, uint64_t value)
{
#if UINTPTR_MAX > UINT32_MAX
	__atomic_store_n((uint64_t *)(q->doorbells + doorbell), value,
			 __ATOMIC_RELEASE);
#else
	ring32(q, doorbell + 4, (uint32_t)(value >> 32));
	ring32(q, doorbell, (uint32_t)value);	/* it acts now */
#endif
}

/*
 * A doorbell in memory; the device is awake, or it gets a real one. What was stored
 * before is there when it sees the value.
 */
static void tell(struct pindma_queue *q, uint32_t *field, uint32_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELEASE);
	/* It stores asleep, and then looks at field. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&q->shadow->asleep, __ATOMIC_RELAXED))
		ring32(q, PINDMA_DB_SQ_TAIL, 0);
}

static void *map(struct pindma *handle, size_t len, uint64_t offset, int *err)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
		       handle->fd, (off_t)offset);

	if (p != MAP_FAILED)
		return p;
	*err = -errno;
	return NULL;
}

static void destroy(struct pindma *handle, uint32_t channel)
{
	struct pindma_destroy_queue arg = { .size = sizeof(arg),
					    .channel = channel };

	pindma_ioctl(handle, PINDMA_IOC_DESTROY_QUEUE, &arg);
}

struct pindma_queue *pindma_queue_new(struct pindma *handle, uint32_t channel,
				      uint32_t entries, void *rings, size_t cq,
				      size_t head, size_t shadow,
				      void *doorbells)
{
	struct pindma_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->handle = handle;
	q->channel = channel;
	q->entries = entries;
	q->rings = rings;
	q->sq = rings;
	q->cq = (void *)((char *)rings + cq);
	q->head = (void *)((char *)rings + head);
	q->shadow = (void *)((char *)rings + shadow);
	q->shadow->armed = 1;
	q->doorbells = doorbells;
	/*
	 * A doorbell for each cqe would be slow. With fewer slots, those that
	 * are read but not reported and those that are promised to ops beside
	 * the queue could be all that there are.
	 */
	q->report_each = entries < 4 * PINDMA_MAX_BESIDE ? 1 : entries / 2;
	pthread_mutex_init(&q->post_lock, NULL);
	pthread_mutex_init(&q->reap_lock, NULL);
	return q;
}

void pindma_queue_free(struct pindma_queue *queue)
{
	if (!queue)
		return;
	pthread_mutex_destroy(&queue->post_lock);
	pthread_mutex_destroy(&queue->reap_lock);
	free(queue);
}

int pindma_queue_create(struct pindma *handle, uint32_t entries,
			struct pindma_queue **queue)
{
	struct pindma_create_queue arg = { .size = sizeof(arg),
					   .entries = entries };
	void *rings, *doorbells;
	int ret;

	ret = pindma_ioctl(handle, PINDMA_IOC_CREATE_QUEUE, &arg);
	if (ret)
		return ret;
	rings = map(handle, arg.rings_size, arg.rings_offset, &ret);
	if (!rings)
		goto err_destroy;
	doorbells = map(handle, PINDMA_PAGE_SIZE, arg.doorbell_offset, &ret);
	if (!doorbells)
		goto err_rings;
	*queue = pindma_queue_new(handle, arg.channel, entries, rings, arg.cq,
				  arg.head, arg.shadow, doorbells);
	ret = -ENOMEM;
	if (!*queue)
		goto err_doorbells;
	(*queue)->rings_size = arg.rings_size;
	return 0;

err_doorbells:
	munmap(doorbells, PINDMA_PAGE_SIZE);
err_rings:
	munmap(rings, arg.rings_size);
err_destroy:
	destroy(handle, arg.channel);
	return ret;
}

void pindma_queue_destroy(struct pindma_queue *queue)
{
	if (!queue)
		return;
	munmap(queue->doorbells, PINDMA_PAGE_SIZE);
	munmap(queue->rings, queue->rings_size);
	destroy(queue->handle, queue->channel);
	pindma_queue_free(queue);
}

uint32_t pindma_queue_channel(const struct pindma_queue *queue)
{
	return queue->channel;
}

/* How many ops from the first on are linked to each other? 0: no end of it. */
static unsigned int chain(const struct pindma_op *ops, unsigned int nr)
{
	unsigned int n;

	for (n = 0; n < nr; n++)
		if (!(ops[n].flags & PINDMA_SQE_LINK))
			return n + 1;
	return 0;
}

int pindma_queue_post(struct pindma_queue *queue, const struct pindma_op *ops,
		      unsigned int nr)
{
	uint32_t mask = queue->entries - 1, room, tail;
	unsigned int n = 0, linked;
	int ret = 0;

	pthread_mutex_lock(&queue->post_lock);
	tail = queue->sq_tail;
	/* Pairs with the reaper: the device has read what was there. */
	room = (__atomic_load_n(&queue->sq_head, __ATOMIC_ACQUIRE) - tail - 1) &
	       mask;
	while (n < nr) {
		linked = chain(ops + n, nr - n);
		if (!linked || linked > mask) {
			ret = -EINVAL;
			break;
		}
		if (n + linked > room) {
			ret = -EAGAIN;
			break;
		}
		for (; linked; linked--, tail = (tail + 1) & mask)
			memcpy(&queue->sq[tail], &ops[n++], sizeof(*ops));
	}
	if (n) {
		queue->sq_tail = tail;
		tell(queue, &queue->shadow->sq_tail, tail);
	}
	pthread_mutex_unlock(&queue->post_lock);
	return n ? (int)n : ret;
}

/* The next cqe, if it is there. Its last 8 bytes come last, and at once. */
static bool next_cqe(struct pindma_queue *q, struct pindma_completion *c)
{
	const struct pindma_cqe *cqe = &q->cq[q->read & (q->entries - 1)];
	union {
		uint64_t word;
		uint16_t field[4];	/* status, sq_head, phase, reserved */
	} last;

#if UINTPTR_MAX > UINT32_MAX
	last.word = __atomic_load_n((const uint64_t *)&cqe->status,
				    __ATOMIC_ACQUIRE);
	if (last.field[2] != !(q->read & q->entries))
		return false;
#else
	if (__atomic_load_n(&cqe->phase, __ATOMIC_ACQUIRE) !=
	    !(q->read & q->entries))
		return false;
	memcpy(&last, &cqe->status, sizeof(last));
#endif
	*c = (struct pindma_completion) {
		.user_data = cqe->tag,
		.result = cqe->result,
		.seq = cqe->seq,
		.tag = cqe->tag,
		.status = last.field[0],
		.channel = q->channel,
	};
	__atomic_store_n(&q->sq_head, last.field[1], __ATOMIC_RELEASE);
	return true;
}

int pindma_queue_reap(struct pindma_queue *queue,
		      struct pindma_completion *completions, unsigned int nr)
{
	unsigned int n = 0;

	pthread_mutex_lock(&queue->reap_lock);
	while (n < nr && next_cqe(queue, &completions[n])) {
		queue->read++;
		n++;
	}
	if (n)
		__atomic_store_n(queue->head, queue->read, __ATOMIC_RELEASE);
	if (queue->read - queue->reported >= queue->report_each) {
		queue->reported = queue->read;
		tell(queue, &queue->shadow->cq_head,
		     queue->read & (queue->entries - 1));
	}
	pthread_mutex_unlock(&queue->reap_lock);
	return (int)n;
}

/* With reap_lock: as the program wants it, or those who wait. */
static void arm(struct pindma_queue *q)
{
	__atomic_store_n(&q->shadow->armed, !q->quiet || q->waiting,
			 __ATOMIC_RELAXED);
	/* The device writes a cqe, and then looks at armed. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void pindma_queue_quiet(struct pindma_queue *queue, bool quiet)
{
	pthread_mutex_lock(&queue->reap_lock);
	queue->quiet = quiet;
	arm(queue);
	pthread_mutex_unlock(&queue->reap_lock);
}

/* poll() looks at the ring first: a cqe that came before this is seen, too. */
static int wait_poll(struct pindma_queue *q, struct pollfd *pfd, int timeout_ms)
{
	int ret;

	pthread_mutex_lock(&q->reap_lock);
	q->waiting++;
	arm(q);
	pthread_mutex_unlock(&q->reap_lock);
	ret = poll(pfd, 1, timeout_ms);
	if (ret < 0)
		ret = -errno;
	pthread_mutex_lock(&q->reap_lock);
	q->waiting--;
	arm(q);
	pthread_mutex_unlock(&q->reap_lock);
	return ret;
}

int pindma_queue_wait(struct pindma_queue *queue,
		      struct pindma_completion *completions, unsigned int nr,
		      int timeout_ms)
{
	struct pollfd pfd = { .fd = queue->handle->fd, .events = POLLIN };
	int64_t end = pindma_now_ms() + timeout_ms;
	bool timed_out = false;
	int ret;

	if (!nr)
		return -EINVAL;
	for (;;) {
		ret = pindma_queue_reap(queue, completions, nr);
		if (ret)
			return ret;
		if (timed_out)
			return -ETIMEDOUT;
		ret = wait_poll(queue, &pfd, timeout_ms);
		if (ret < 0)
			return ret;
		if (!ret)
			return -ETIMEDOUT;
		if (pfd.revents & POLLERR) {
			struct pindma_info info;

			/*
			 * Why? Until the device is gone the rings are there. If
			 * it is back, it has forgotten the handle's queues.
			 */
			ret = pindma_get_info(queue->handle, &info);
			return ret ? ret : -EIO;
		}
		/* It may have been news of another queue: wait for the rest. */
		if (timeout_ms >= 0) {
			timeout_ms = pindma_left_ms(end);
			timed_out = !timeout_ms;
		}
	}
}

void pindma_queue_mark(struct pindma_queue *queue, uint64_t value)
{
	pthread_mutex_lock(&queue->post_lock);
	ring64(queue, PINDMA_DB_MARK, value);
	pthread_mutex_unlock(&queue->post_lock);
}
