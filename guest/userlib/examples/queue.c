// SPDX-License-Identifier: MIT
/*
 * Posting without system calls: a queue of one's own, on which the device is
 * given work and asked for results by loads and stores alone. As long as there
 * is something to do strace(1) is silent.
 *
 *	cc queue.c $(pkg-config --cflags --libs libpindma)
 */
#include <err.h>
#include <pindma.h>
#include <string.h>

#define OPS	1000
#define DEPTH	32

/* Lets the device write OPS words, with up to DEPTH ops on their way. */
static void write_words(struct pindma_queue *queue, uint32_t mr)
{
	struct pindma_completion done[DEPTH];
	unsigned int posted = 0, completed = 0;
	int ret, i;

	while (completed < OPS) {
		if (posted < OPS && posted - completed < DEPTH) {
			struct pindma_op op = {
				.opcode = PINDMA_OP_WRITE,
				.mode = PINDMA_WRITE_IMMEDIATE,
				.mr = mr,
				.user_data = posted,
				.offset = posted * 8,
				.len = 8,
				.value = posted + 1,
			};

			ret = pindma_queue_post(queue, &op, 1);
			if (ret < 0)
				errx(1, "pindma_queue_post: %s", strerror(-ret));
			posted++;
			continue;
		}
		/* Nothing to post: sleep, if need be, until something is done. */
		ret = pindma_queue_wait(queue, done, DEPTH, 10000);
		if (ret < 0)
			errx(1, "pindma_queue_wait: %s", strerror(-ret));
		for (i = 0; i < ret; i++) {
			if (done[i].status != PINDMA_ST_OK)
				errx(1, "op %llu: %s",
				     (unsigned long long)done[i].user_data,
				     pindma_status_string(done[i].status));
		}
		completed += (unsigned int)ret;
	}
}

int main(void)
{
	static uint64_t words[OPS];
	struct pindma_queue *queue;
	struct pindma *handle;
	uint32_t mr, i;
	int ret;

	ret = pindma_open(NULL, &handle);
	if (ret)
		errx(1, "/dev/pindma0: %s", strerror(-ret));
	ret = pindma_reg_mr(handle, words, sizeof(words), PINDMA_PIN_LONGTERM,
			    PINDMA_MR_FAST, &mr);
	if (ret)
		errx(1, "pindma_reg_mr: %s", strerror(-ret));
	ret = pindma_queue_create(handle, 4 * DEPTH, &queue);
	if (ret)
		errx(1, "pindma_queue_create: %s", strerror(-ret));
	write_words(queue, mr);
	for (i = 0; i < OPS; i++) {
		if (words[i] != i + 1)
			errx(1, "word %u is %llu", i,
			     (unsigned long long)words[i]);
	}
	pindma_queue_destroy(queue);
	pindma_dereg_mr(handle, mr);
	pindma_close(handle);
	return 0;
}
