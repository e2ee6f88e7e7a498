// SPDX-License-Identifier: MIT
/*
 * fork() with a live pin: what the device writes afterwards arrives with PIN. With
 * GET it is lost, although the child does nothing and is gone by then.
 *
 *	cc fork.c $(pkg-config --cflags --libs libpindma)
 */
#include <err.h>
#include <pindma.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Does it arrive in this process? */
static int arrives(struct pindma *handle, uint32_t pin_mode)
{
	struct pindma_op op = {
		.opcode = PINDMA_OP_WRITE,
		.mode = PINDMA_WRITE_IMMEDIATE,
		.len = 8,
		.value = 2,
	};
	struct pindma_completion done;
	uint64_t *word;
	pid_t child;

	word = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (word == MAP_FAILED)
		err(1, "mmap");
	if (pindma_reg_mr(handle, word, 8, pin_mode, PINDMA_MR_FAST, &op.mr))
		errx(1, "cannot register memory");
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (!child)
		_exit(0);
	waitpid(child, NULL, 0);

	/* GET: a copy of the page for us, the device stays with the old one. */
	*word = 1;
	if (pindma_post(handle, &op, 1) != 1 ||
	    pindma_wait(handle, &done, 1, 10000) != 1 || done.status)
		errx(1, "the device did not write");
	pindma_dereg_mr(handle, op.mr);
	return *word == 2;
}

int main(void)
{
	struct pindma *handle;
	int ret, get, pin;

	ret = pindma_open(NULL, &handle);
	if (ret)
		errx(1, "/dev/pindma0: %s", strerror(-ret));
	get = arrives(handle, PINDMA_PIN_GET);
	pin = arrives(handle, PINDMA_PIN_PIN);
	printf("GET: %s, PIN: %s\n", get ? "kept" : "lost", pin ? "kept" : "lost");
	pindma_close(handle);
	return get || !pin;
}
