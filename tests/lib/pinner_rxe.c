// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory regions of soft-RoCE, which are pinned as those of a real adapter are
 * (ib_umem_get()); only that the kernel moves the data, by the frames that it
 * has pinned, and not a device.
 */
#include <errno.h>
#include <string.h>

#include "pinner.h"
#include "rxe.h"

static struct rxe rxe;
static struct ibv_mr *mr, *own;
static uint64_t *word;		/* two, own is of them */

static void rxe_pinner_open(struct test *t)
{
	pinner_modprobe(t, "ib_uverbs");
	pinner_modprobe(t, "rdma_rxe");
	if (!rxe_open(&rxe, 1))
		test_error(t, "%s", rxe.error);
	word = pinner_shared(t, PAGE_SIZE);
	own = ibv_reg_mr(rxe.pd, word, 2 * sizeof(*word),
			 IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ);
	if (!own)
		test_error(t, "rxe: no mr: %s", strerror(errno));
}

static int rxe_reg(struct test *t)
{
	int access = IBV_ACCESS_REMOTE_READ;

	if (t->mr_flags & ~PINDMA_MR_READONLY)
		return -EOPNOTSUPP;
	if (!t->mr_flags)
		access |= IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
	mr = ibv_reg_mr(rxe.pd, t->mem, NR_PAGES * PAGE_SIZE, access);
	return mr ? 0 : -errno;
}

/* Between the first word and the 8 bytes at remote, which rkey allows for. */
static void transfer(struct test *t, enum ibv_wr_opcode opcode, void *remote,
		     uint32_t rkey)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)word,
		.length = sizeof(*word),
		.lkey = own->lkey,
	};
	struct ibv_send_wr wr = {
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = opcode,
		.wr.rdma.remote_addr = (uintptr_t)remote,
		.wr.rdma.rkey = rkey,
	}, *bad;
	struct ibv_wc wc;
	int err = ibv_post_send(rxe.qp, &wr, &bad);

	if (err)
		test_error(t, "rxe: post: %s", strerror(err));
	if (!rxe_wait(&rxe, &wc, 1))
		test_error(t, "%s", rxe.error);
}

static void rxe_write(struct test *t, uint64_t offset, uint64_t value,
		      struct pindma_completion *c)
{
	(void)c;
	*word = value;
	transfer(t, IBV_WR_RDMA_WRITE, t->mem + offset, mr->rkey);
}

static uint64_t rxe_read(struct test *t, uint64_t offset)
{
	transfer(t, IBV_WR_RDMA_READ, t->mem + offset, mr->rkey);
	return *word;
}

/*
 * rxe keeps the mr of the last READ, and with it the pages, in case the answer
 * gets lost: so the last one is of something else (seen on 5.10).
 */
static int rxe_dereg(struct test *t)
{
	transfer(t, IBV_WR_RDMA_READ, word + 1, own->rkey);
	return -ibv_dereg_mr(mr);
}

const struct pinner pinner_rxe = {
	.open = rxe_pinner_open,
	.reg = rxe_reg,
	.dereg = rxe_dereg,
	.write = rxe_write,
	.read = rxe_read,
};
