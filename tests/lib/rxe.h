/* SPDX-License-Identifier: GPL-2.0-only */
/* Soft-RoCE: a queue pair whose other end is itself, for tests and bench. */
#ifndef RXE_H
#define RXE_H

#include <infiniband/verbs.h>
#include <stdbool.h>

struct rxe {
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	char error[128];
};

/*
 * For so many requests at a time. The modules ib_uverbs and rdma_rxe are loaded,
 * and lo has the address 127.0.0.1. False: error says what is amiss.
 */
bool rxe_open(struct rxe *rxe, unsigned int depth);

/* Wait for at least one completion, fetch up to nr. 0: error says why not. */
unsigned int rxe_wait(struct rxe *rxe, struct ibv_wc *wc, int nr);

#endif /* RXE_H */
