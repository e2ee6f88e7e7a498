/* SPDX-License-Identifier: GPL-2.0-only */
/* Queues that are mapped into the process: what their tests share. */
#ifndef USERQ_H
#define USERQ_H

#include "test.h"

#define TIMEOUT_MS	10000
#define ENTRIES		64

/* userq.c */
struct pindma_queue *userq_create(struct test *t, uint32_t entries);
/* Memory, a file, an mr and a queue */
struct pindma_queue *userq_setup(struct test *t, uint32_t entries);
/* Word n of the mr, and an op that writes it */
uint64_t *userq_word(struct test *t, unsigned int n);
struct pindma_op userq_set(struct test *t, unsigned int n, uint64_t value);
void userq_collect(struct test *t, struct pindma_queue *q,
		   struct pindma_completion *c, unsigned int nr);
struct pindma_completion userq_run(struct test *t, struct pindma_queue *q,
				   struct pindma_op op);
/* ... what came of it */
uint64_t userq_run_ok(struct test *t, struct pindma_queue *q,
		      struct pindma_op op);
/* Does the queue do what it is there for? */
void userq_check(struct test *t, struct pindma_queue *q);
/* How it ended: needed where something must not be survived */
int userq_in_child(struct test *t, void (*fn)(struct test *, void *), void *arg);
/* POLL* of the file */
short userq_poll(struct test *t, int timeout_ms);

/* userq_raw.c: without the library, which would do nothing that is not right */
struct raw {
	struct pindma_create_queue arg;
	struct pindma_sqe *sq;
	struct pindma_cqe *cq;
	uint32_t *head;
	struct pindma_shadow *shadow;
	unsigned char *rings, *db;
	uint32_t tail, read;
};

void raw_create(struct test *t, struct raw *raw, uint32_t entries);
void raw_doorbell(struct raw *raw, unsigned int reg, uint32_t value);
void raw_post(struct raw *raw, const struct pindma_sqe *sqe);
/* The next cqe, or NULL if there is none for a while */
struct pindma_cqe *raw_reap(struct raw *raw, unsigned int ms);

#endif /* USERQ_H */
