// SPDX-License-Identifier: MIT
/*
 * The first DMA: the device writes to a variable of this process.
 *
 *	cc first.c $(pkg-config --cflags --libs libpindma)
 */
#include <err.h>
#include <pindma.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	struct pindma_op op = {
		.opcode = PINDMA_OP_WRITE,
		.mode = PINDMA_WRITE_IMMEDIATE,
		.len = 8,
		.value = 0x1234,
	};
	struct pindma_completion done;
	struct pindma *handle;
	uint64_t word = 0;
	int ret;

	ret = pindma_open(NULL, &handle);
	if (ret)
		errx(1, "/dev/pindma0: %s", strerror(-ret));

	/* From here on the page is pinned, and the device may access the word. */
	ret = pindma_reg_mr(handle, &word, sizeof(word), PINDMA_PIN_LONGTERM,
			    PINDMA_MR_FAST, &op.mr);
	if (ret)
		errx(1, "pindma_reg_mr: %s", strerror(-ret));

	ret = pindma_post(handle, &op, 1);
	if (ret < 0)
		errx(1, "pindma_post: %s", strerror(-ret));
	ret = pindma_wait(handle, &done, 1, 10000);
	if (ret < 0)
		errx(1, "pindma_wait: %s", strerror(-ret));
	if (done.status != PINDMA_ST_OK)
		errx(1, "the op: %s", pindma_status_string(done.status));

	/* What an op wrote is in memory before there is its completion. */
	printf("the device wrote 0x%llx\n", (unsigned long long)word);

	pindma_dereg_mr(handle, op.mr);
	pindma_close(handle);
	return word != 0x1234;
}
