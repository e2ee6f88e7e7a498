// SPDX-License-Identifier: GPL-2.0-only
/* Soft-RoCE: RDMA WRITE from the guest to itself. */
#include <errno.h>
#include <string.h>

#include "bench.h"
#include "rxe.h"

static struct rxe rxe;
static struct ibv_mr *from, *to;

/* Post a write for each slot, with one call. */
static void rxe_post(const struct bench_series *series,
		     const unsigned int *slots, unsigned int nr)
{
	struct ibv_send_wr wr[BENCH_DEPTH], *bad;
	struct ibv_sge sge[BENCH_DEPTH];
	unsigned int i;

	for (i = 0; i < nr; i++) {
		uint64_t offset = (uint64_t)slots[i] * BENCH_MAX_SIZE;

		sge[i] = (struct ibv_sge) {
			.addr = (uintptr_t)from->addr + offset,
			.length = (uint32_t)series->size,
			.lkey = from->lkey,
		};
		wr[i] = (struct ibv_send_wr) {
			.wr_id = slots[i],
			.next = i + 1 < nr ? &wr[i + 1] : NULL,
			.sg_list = &sge[i],
			.num_sge = 1,
			.opcode = IBV_WR_RDMA_WRITE,
			.wr.rdma.remote_addr = (uintptr_t)to->addr + offset,
			.wr.rdma.rkey = to->rkey,
		};
	}
	if (ibv_post_send(rxe.qp, wr, &bad))
		bench_fail("rxe: post: %s", strerror(errno));
}

static unsigned int rxe_reap(const struct bench_series *series,
			     unsigned int *slots)
{
	struct ibv_wc wc[BENCH_DEPTH];
	unsigned int i, n = rxe_wait(&rxe, wc, BENCH_DEPTH);

	(void)series;
	if (!n)
		bench_fail("%s", rxe.error);
	for (i = 0; i < n; i++)
		slots[i] = (unsigned int)wc[i].wr_id;
	return n;
}

static void rxe_prepare(void)
{
	static const struct bench_series write = { .size = BENCH_MAX_SIZE };
	const size_t len = BENCH_DEPTH * BENCH_MAX_SIZE;
	unsigned int slot = 0;

	if (!rxe_open(&rxe, BENCH_DEPTH))
		bench_fail("%s", rxe.error);
	from = ibv_reg_mr(rxe.pd, bench_memory(len), len,
			  IBV_ACCESS_LOCAL_WRITE);
	to = ibv_reg_mr(rxe.pd, bench_memory(len), len,
			IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	if (!from || !to)
		bench_fail("rxe: no mr: %s", strerror(errno));

	/* It does what is going to be measured. */
	memset(from->addr, 0xa5, len);
	rxe_post(&write, &slot, 1);
	rxe_reap(&write, &slot);
	if (memcmp(from->addr, to->addr, BENCH_MAX_SIZE))
		bench_fail("rxe: RDMA WRITE did not write");
}

/* 3 or 4 at a time; in turns of 32 it is slower. */
const struct bench_peer rxe_peer = { rxe_prepare, rxe_post, rxe_reap, 1 };
