// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 32-bit program, with the library built like it, on a 64-bit kernel: register,
 * write, read, post without a system call, fork. tests/driver/user32.c starts it.
 * The first thing that goes wrong is said, and the exit code is 1.
 */
#include <errno.h>
#include <pindma.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

_Static_assert(sizeof(void *) == 4, "this is about 32 bits");

#define SIZE	(4 * 4096)
#define TOKEN	0x123456789abcdef0ull

#define CHECK(cond)							\
	do {								\
		if (!(cond)) {						\
			printf("%s:%d: not true: %s (%s)\n", __FILE__,	\
			       __LINE__, #cond, strerror(errno));	\
			return 1;					\
		}							\
	} while (0)

static struct pindma *dev;
static uint32_t mr;
static volatile uint64_t *mem;

/* The value that comes back, or 0 if the op fails */
static uint64_t run(struct pindma_op op)
{
	struct pindma_completion c;

	op.mr = mr;
	op.len = 8;
	op.user_data = TOKEN;
	if (pindma_post(dev, &op, 1) != 1 ||
	    pindma_wait(dev, &c, 1, 10000) != 1 || c.user_data != TOKEN ||
	    c.status != PINDMA_ST_OK)
		return 0;
	return c.result;
}

static uint64_t dma_read(uint64_t offset)
{
	return run((struct pindma_op){
		.opcode = PINDMA_OP_READ, .mode = PINDMA_READ_VALUE,
		.offset = offset });
}

static void dma_write(uint64_t offset, uint64_t value)
{
	run((struct pindma_op){
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_IMMEDIATE,
		.offset = offset, .value = value });
}

static int queue_works(void)
{
	struct pindma_op op = {
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_IMMEDIATE,
		.mr = mr, .offset = 64, .len = 8, .value = TOKEN + 64,
		.user_data = 7 };
	struct pindma_completion c;
	struct pindma_queue *queue;
	int i;

	CHECK(!pindma_queue_create(dev, 16, &queue));
	for (i = 0; i < 40; i++) {	/* more than once around */
		op.value++;
		CHECK(pindma_queue_post(queue, &op, 1) == 1);
		CHECK(pindma_queue_wait(queue, &c, 1, 10000) == 1);
		CHECK(c.user_data == 7 && c.status == PINDMA_ST_OK);
		CHECK(mem[8] == op.value);
	}
	pindma_queue_destroy(queue);
	return 0;
}

/* Pinned pages stay with the parent, and so does what the device writes. */
static int fork_keeps(void)
{
	int status;
	pid_t pid;

	mem[0] = 1;
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		while (mem[0] == 1 && getppid() != 1)
			usleep(1000);	/* never: that is the parent's */
		_exit(0);
	}
	mem[0] = 2;
	dma_write(0, TOKEN + 2);
	CHECK(mem[0] == TOKEN + 2);
	mem[1] = TOKEN + 3;
	CHECK(dma_read(8) == TOKEN + 3);
	CHECK(!kill(pid, SIGKILL) && waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status));	/* it saw none of this */
	return 0;
}

int main(void)
{
	struct pindma_journal_entry entry;
	struct pindma_info info;
	struct pindma_page page;
	uint64_t first = 0;
	uint32_t twin;
	int fd;

	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	CHECK(!pindma_open(NULL, &dev));
	CHECK(!pindma_get_info(dev, &info) &&
	      info.uapi_version == PINDMA_UAPI_VERSION && info.time);
	CHECK(!pindma_reg_mr(dev, (void *)mem, SIZE, PINDMA_PIN_LONGTERM, 0,
			     &mr));
	dma_write(16, TOKEN);
	CHECK(mem[2] == TOKEN);
	mem[3] = TOKEN + 1;
	CHECK(dma_read(24) == TOKEN + 1);
	CHECK(pindma_get_pages(dev, mr, 3, &page, 1) == 1 && page.pfn);
	CHECK(pindma_read_journal(dev, &first, &entry, 1, NULL) == 1 &&
	      entry.seq == first);
	CHECK(!pindma_export_dmabuf(dev, mr, &fd));
	CHECK(!pindma_import_dmabuf(dev, fd, 0, SIZE, 0, &twin));
	CHECK(!pindma_dereg_mr(dev, twin) && !close(fd));
	if (queue_works() || fork_keeps())
		return 1;
	CHECK(!pindma_dereg_mr(dev, mr));
	CHECK(pindma_dereg_mr(dev, mr) == -ENOENT);
	pindma_close(dev);
	return 0;
}
