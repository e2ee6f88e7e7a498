// SPDX-License-Identifier: GPL-2.0-only
/*
 * Soft-RoCE: RDMA from the guest to itself, over a link on the loopback device,
 * which has the largest MTU there is.
 */
#define RDMA_STATIC_PROVIDERS rxe
#include <errno.h>
#include <linux/netlink.h>
#include <rdma/rdma_netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rxe.h"

#define LINK	"rxe0"

static bool fail(struct rxe *rxe, const char *what, int err)
{
	snprintf(rxe->error, sizeof(rxe->error), "rxe: %s: %s", what,
		 strerror(err));
	return false;
}

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
static bool link_add(struct rxe *rxe)
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
		return fail(rxe, "netlink", errno);
	close(fd);
	if (u.message.nlmsg_type != NLMSG_ERROR ||
	    (answer->error && answer->error != -EEXIST))
		return fail(rxe, "no link on lo", -answer->error);
	return true;
}

static struct ibv_context *link_open(void)
{
	struct ibv_device **devices = ibv_get_device_list(NULL);
	struct ibv_context *context = NULL;
	int i;

	for (i = 0; devices && devices[i] && !context; i++)
		if (!strcmp(ibv_get_device_name(devices[i]), LINK))
			context = ibv_open_device(devices[i]);
	return context;
}

/* The address 127.0.0.1, without which no packet finds its way; -1: none. */
static int find_gid(struct ibv_context *context, union ibv_gid *gid)
{
	int i;

	for (i = 0; i < 16; i++)
		if (!ibv_query_gid(context, 1, i, gid) && gid->raw[10] == 0xff &&
		    gid->raw[11] == 0xff && gid->raw[12] == 127)
			return i;
	return -1;
}

static bool connect_to_self(struct rxe *rxe, struct ibv_context *context)
{
	union ibv_gid gid;
	int index = find_gid(context, &gid);
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE |
				   IBV_ACCESS_REMOTE_READ,
		.path_mtu = IBV_MTU_4096,
		.dest_qp_num = rxe->qp->qp_num,
		.max_dest_rd_atomic = 1,
		.max_rd_atomic = 1,
		.min_rnr_timer = 1,
		.timeout = 14,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.ah_attr = {
			.is_global = 1,
			.port_num = 1,
			.grh.hop_limit = 1,
		},
	};

	if (index < 0)
		return fail(rxe, "127.0.0.1 of lo", EADDRNOTAVAIL);
	attr.ah_attr.grh.sgid_index = (uint8_t)index;
	attr.ah_attr.grh.dgid = gid;
	if (ibv_modify_qp(rxe->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
			  IBV_QP_PORT | IBV_QP_ACCESS_FLAGS))
		return fail(rxe, "INIT", errno);
	attr.qp_state = IBV_QPS_RTR;
	if (ibv_modify_qp(rxe->qp, &attr, IBV_QP_STATE | IBV_QP_AV |
			  IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
			  IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER))
		return fail(rxe, "RTR", errno);
	attr.qp_state = IBV_QPS_RTS;
	if (ibv_modify_qp(rxe->qp, &attr, IBV_QP_STATE | IBV_QP_TIMEOUT |
			  IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
			  IBV_QP_MAX_QP_RD_ATOMIC))
		return fail(rxe, "RTS", errno);
	return true;
}

bool rxe_open(struct rxe *rxe, unsigned int depth)
{
	struct ibv_qp_init_attr init = {
		.cap = {
			.max_send_wr = depth,
			.max_recv_wr = 1,
			.max_send_sge = 1,
			.max_recv_sge = 1,
		},
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = 1,
	};
	struct ibv_context *context;

	if (!link_add(rxe))
		return false;
	context = link_open();
	if (!context)
		return fail(rxe, LINK, errno);
	rxe->pd = ibv_alloc_pd(context);
	rxe->channel = ibv_create_comp_channel(context);
	rxe->cq = ibv_create_cq(context, (int)depth, NULL, rxe->channel, 0);
	init.send_cq = rxe->cq;
	init.recv_cq = rxe->cq;
	rxe->qp = rxe->pd && rxe->cq ? ibv_create_qp(rxe->pd, &init) : NULL;
	if (!rxe->qp || !rxe->channel)
		return fail(rxe, "no queue pair", errno);
	return connect_to_self(rxe, context);
}

/*
 * Armed first, then looked again: none is missed in between. A program that
 * polls, as those for real adapters do, keeps a vCPU from the kernel threads that
 * do the adapter's work (measured: a tenth of the ops).
 */
unsigned int rxe_wait(struct rxe *rxe, struct ibv_wc *wc, int nr)
{
	int i, n = ibv_poll_cq(rxe->cq, nr, wc);
	struct ibv_cq *of;
	void *context;

	while (!n) {
		if (ibv_req_notify_cq(rxe->cq, 0))
			return fail(rxe, "notify", errno);
		n = ibv_poll_cq(rxe->cq, nr, wc);
		if (n)
			break;
		if (ibv_get_cq_event(rxe->channel, &of, &context))
			return fail(rxe, "event", errno);
		ibv_ack_cq_events(of, 1);
		n = ibv_poll_cq(rxe->cq, nr, wc);
	}
	if (n < 0)
		return fail(rxe, "poll", EIO);
	for (i = 0; i < n; i++) {
		if (wc[i].status == IBV_WC_SUCCESS)
			continue;
		snprintf(rxe->error, sizeof(rxe->error), "rxe: %s",
			 ibv_wc_status_str(wc[i].status));
		return 0;
	}
	return (unsigned int)n;
}
