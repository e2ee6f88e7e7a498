// SPDX-License-Identifier: GPL-2.0-only
/*
 * Soft-RoCE: RDMA WRITE from the guest to itself, over a link on the loopback
 * device, which has the largest MTU there is. When no completion is there an
 * event is waited for: a program that polls, as those for real adapters do, keeps
 * a vCPU from the kernel threads that do the adapter's work (measured: a tenth
 * of the ops).
 */
#define RDMA_STATIC_PROVIDERS rxe
#include <errno.h>
#include <infiniband/verbs.h>
#include <linux/netlink.h>
#include <rdma/rdma_netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define LINK	"rxe0"

static struct ibv_qp *qp;
static struct ibv_cq *cq;
static struct ibv_comp_channel *channel;
static struct ibv_mr *from, *to;

static void put_string(struct nlmsghdr *message, uint16_t type,
		       const char *text)
{
	struct nlattr *attr = (void *)((char *)message +
				       NLMSG_ALIGN(message->nlmsg_len));

	attr->nla_type = type;
	attr->nla_len = (uint16_t)(NLA_HDRLEN + strlen(text) + 1);
	strcpy((char *)attr + NLA_HDRLEN, text);
	message->nlmsg_len += NLA_ALIGN(attr->nla_len);
}

/* What "rdma link add rxe0 type rxe netdev lo" does. */
static void link_add(void)
{
	union {
		struct nlmsghdr message;
		char room[256];
	} u = {
		.message = {
			.nlmsg_len = NLMSG_HDRLEN,
			.nlmsg_type = RDMA_NL_GET_TYPE(RDMA_NL_NLDEV,
						       RDMA_NLDEV_CMD_NEWLINK),
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		},
	};
	struct nlmsgerr *answer = NLMSG_DATA(&u.message);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_RDMA);

	put_string(&u.message, RDMA_NLDEV_ATTR_DEV_NAME, LINK);
	put_string(&u.message, RDMA_NLDEV_ATTR_LINK_TYPE, "rxe");
	put_string(&u.message, RDMA_NLDEV_ATTR_NDEV_NAME, "lo");
	if (fd < 0 || send(fd, &u, u.message.nlmsg_len, 0) < 0 ||
	    recv(fd, &u, sizeof(u), 0) < 0)
		bench_fail("rxe: netlink: %s", strerror(errno));
	if (u.message.nlmsg_type != NLMSG_ERROR ||
	    (answer->error && answer->error != -EEXIST))
		bench_fail("rxe: no link on lo: %s", strerror(-answer->error));
	close(fd);
}

static struct ibv_context *link_open(void)
{
	struct ibv_device **devices = ibv_get_device_list(NULL);
	struct ibv_context *context = NULL;
	int i;

	for (i = 0; devices && devices[i] && !context; i++)
		if (!strcmp(ibv_get_device_name(devices[i]), LINK))
			context = ibv_open_device(devices[i]);
	if (!context)
		bench_fail("rxe: " LINK " cannot be opened");
	return context;
}

/* The address 127.0.0.1, without which no packet finds its way. */
static uint8_t find_gid(struct ibv_context *context, union ibv_gid *gid)
{
	uint8_t i;

	for (i = 0; i < 16; i++)
		if (!ibv_query_gid(context, 1, i, gid) && gid->raw[10] == 0xff &&
		    gid->raw[11] == 0xff && gid->raw[12] == 127)
			return i;
	bench_fail("rxe: lo has no address 127.0.0.1");
}

/* A queue pair whose other end is itself. */
static void connect_to_self(struct ibv_context *context)
{
	union ibv_gid gid;
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE,
		.path_mtu = IBV_MTU_4096,
		.dest_qp_num = qp->qp_num,
		.max_dest_rd_atomic = 1,
		.max_rd_atomic = 1,
		.min_rnr_timer = 1,
		.timeout = 14,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.ah_attr = {
			.is_global = 1,
			.port_num = 1,
			.grh.sgid_index = find_gid(context, &gid),
			.grh.hop_limit = 1,
		},
	};

	attr.ah_attr.grh.dgid = gid;
	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
			  IBV_QP_PORT | IBV_QP_ACCESS_FLAGS))
		bench_fail("rxe: INIT: %s", strerror(errno));
	attr.qp_state = IBV_QPS_RTR;
	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_AV |
			  IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
			  IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER))
		bench_fail("rxe: RTR: %s", strerror(errno));
	attr.qp_state = IBV_QPS_RTS;
	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_TIMEOUT |
			  IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
			  IBV_QP_MAX_QP_RD_ATOMIC))
		bench_fail("rxe: RTS: %s", strerror(errno));
}

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
	if (ibv_post_send(qp, wr, &bad))
		bench_fail("rxe: post: %s", strerror(errno));
}

static unsigned int poll_cq(unsigned int *slots)
{
	struct ibv_wc wc[BENCH_DEPTH];
	int i, n = ibv_poll_cq(cq, BENCH_DEPTH, wc);

	for (i = 0; i < n; i++) {
		if (wc[i].status != IBV_WC_SUCCESS)
			bench_fail("rxe: %s", ibv_wc_status_str(wc[i].status));
		slots[i] = (unsigned int)wc[i].wr_id;
	}
	return n > 0 ? (unsigned int)n : 0;
}

/* At least one. Armed first, then looked again: none is missed in between. */
static unsigned int rxe_reap(const struct bench_series *series,
			     unsigned int *slots)
{
	unsigned int n = poll_cq(slots);
	struct ibv_cq *of;
	void *context;

	(void)series;
	while (!n) {
		if (ibv_req_notify_cq(cq, 0))
			bench_fail("rxe: notify: %s", strerror(errno));
		n = poll_cq(slots);
		if (n)
			break;
		if (ibv_get_cq_event(channel, &of, &context))
			bench_fail("rxe: event: %s", strerror(errno));
		ibv_ack_cq_events(of, 1);
		n = poll_cq(slots);
	}
	return n;
}

static void rxe_prepare(void)
{
	const size_t len = BENCH_DEPTH * BENCH_MAX_SIZE;
	struct ibv_qp_init_attr init = {
		.cap = {
			.max_send_wr = BENCH_DEPTH,
			.max_recv_wr = 1,
			.max_send_sge = 1,
			.max_recv_sge = 1,
		},
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = 1,
	};
	static const struct bench_series write = { .size = BENCH_MAX_SIZE };
	struct ibv_context *context;
	unsigned int slot = 0;
	struct ibv_pd *pd;

	link_add();
	context = link_open();
	pd = ibv_alloc_pd(context);
	channel = ibv_create_comp_channel(context);
	cq = ibv_create_cq(context, BENCH_DEPTH, NULL, channel, 0);
	init.send_cq = cq;
	init.recv_cq = cq;
	qp = pd && cq ? ibv_create_qp(pd, &init) : NULL;
	if (!qp || !channel)
		bench_fail("rxe: no queue pair: %s", strerror(errno));
	from = ibv_reg_mr(pd, bench_memory(len), len, IBV_ACCESS_LOCAL_WRITE);
	to = ibv_reg_mr(pd, bench_memory(len), len, IBV_ACCESS_LOCAL_WRITE |
						    IBV_ACCESS_REMOTE_WRITE);
	if (!from || !to)
		bench_fail("rxe: no mr: %s", strerror(errno));
	connect_to_self(context);

	/* It does what is going to be measured. */
	memset(from->addr, 0xa5, len);
	rxe_post(&write, &slot, 1);
	rxe_reap(&write, &slot);
	if (memcmp(from->addr, to->addr, BENCH_MAX_SIZE))
		bench_fail("rxe: RDMA WRITE did not write");
}

/* 3 or 4 at a time; in turns of 32 it is slower. */
const struct bench_peer rxe_peer = { rxe_prepare, rxe_post, rxe_reap, 1 };
