/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: the life of an mr and of an op, as the driver sees it. The device's
 * view of the same is its journal, with the same keys and tags.
 *
 *	echo 1 >/sys/kernel/tracing/events/pindma/enable
 *
 * Commands to register and deregister mrs are ops on queue 0.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM pindma

#if !defined(PINDMA_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define PINDMA_TRACE_H

#include <linux/tracepoint.h>

#include "pindma_drv.h"

/* Pinned, of the calling process, as PINDMA_IOC_REG_MR asked for */
TRACE_EVENT(pindma_pin,
	TP_PROTO(const struct pindma_mr *mr),
	TP_ARGS(mr),
	TP_STRUCT__entry(
		__field(int, dev)
		__field(u32, key)
		__field(u32, pin_mode)
		__field(u32, flags)
		__field(unsigned long, addr)
		__field(unsigned long, npages)
	),
	TP_fast_assign(
		__entry->dev = mr->pd->id;
		__entry->key = mr->key;
		__entry->pin_mode = mr->pin_mode;
		__entry->flags = mr->flags;
		__entry->addr = mr->addr;
		__entry->npages = mr->npages;
	),
	TP_printk("pindma%d key=0x%x addr=0x%lx npages=%lu pin_mode=%u flags=0x%x",
		  __entry->dev, __entry->key, __entry->addr, __entry->npages,
		  __entry->pin_mode, __entry->flags)
);

/* Mapped for DMA, to so many pieces of bus addresses, of which this is the first */
TRACE_EVENT(pindma_map,
	TP_PROTO(const struct pindma_mr *mr),
	TP_ARGS(mr),
	TP_STRUCT__entry(
		__field(int, dev)
		__field(u32, key)
		__field(unsigned int, nents)
		__field(u64, bus)
	),
	TP_fast_assign(
		__entry->dev = mr->pd->id;
		__entry->key = mr->key;
		__entry->nents = mr->sgt->nents;
		__entry->bus = sg_dma_address(mr->sgt->sgl);
	),
	TP_printk("pindma%d key=0x%x nents=%u bus=0x%llx",
		  __entry->dev, __entry->key, __entry->nents, __entry->bus)
);

/* The device knows it, for the first time or again after a reset. */
TRACE_EVENT(pindma_register,
	TP_PROTO(const struct pindma_mr *mr),
	TP_ARGS(mr),
	TP_STRUCT__entry(
		__field(int, dev)
		__field(u32, key)
		__field(u32, domain)
		__field(u64, len)
	),
	TP_fast_assign(
		__entry->dev = mr->pd->id;
		__entry->key = mr->key;
		__entry->domain = mr->domain;
		__entry->len = mr->len;
	),
	TP_printk("pindma%d key=0x%x domain=%u len=0x%llx",
		  __entry->dev, __entry->key, __entry->domain, __entry->len)
);

/* The kernel takes memory of the process back, and with it what the device has. */
TRACE_EVENT(pindma_invalidate,
	TP_PROTO(const struct pindma_mr *mr, unsigned long start,
		 unsigned long end),
	TP_ARGS(mr, start, end),
	TP_STRUCT__entry(
		__field(int, dev)
		__field(u32, key)
		__field(unsigned long, start)
		__field(unsigned long, end)
	),
	TP_fast_assign(
		__entry->dev = mr->pd->id;
		__entry->key = mr->key;
		__entry->start = start;
		__entry->end = end;
	),
	TP_printk("pindma%d key=0x%x start=0x%lx end=0x%lx",
		  __entry->dev, __entry->key, __entry->start, __entry->end)
);

/* About to be unpinned: neither the device nor an importer accesses it any more. */
TRACE_EVENT(pindma_unpin,
	TP_PROTO(const struct pindma_pinned *p),
	TP_ARGS(p),
	TP_STRUCT__entry(
		__field(int, dev)
		__field(u32, key)
		__field(unsigned long, npages)
	),
	TP_fast_assign(
		__entry->dev = p->dev;
		__entry->key = p->key;
		__entry->npages = p->npinned;
	),
	TP_printk("pindma%d key=0x%x npages=%lu",
		  __entry->dev, __entry->key, __entry->npages)
);

/* In the submission ring; the doorbell comes next. */
TRACE_EVENT(pindma_submit,
	TP_PROTO(const struct pindma_queue *q, const struct pindma_sqe *sqe),
	TP_ARGS(q, sqe),
	TP_STRUCT__entry(
		__field(int, dev)
		__field(int, queue)
		__field(u64, tag)
		__field(u8, opcode)
		__field(u32, key)
		__field(u64, offset)
		__field(u64, len)
	),
	TP_fast_assign(
		__entry->dev = q->pd->id;
		__entry->queue = q->nr;
		__entry->tag = le64_to_cpu(sqe->tag);
		__entry->opcode = sqe->opcode;
		__entry->key = le32_to_cpu(sqe->key);
		__entry->offset = le64_to_cpu(sqe->offset);
		__entry->len = le64_to_cpu(sqe->len);
	),
	TP_printk("pindma%d queue=%d tag=0x%llx opcode=0x%x key=0x%x offset=0x%llx len=0x%llx",
		  __entry->dev, __entry->queue, __entry->tag, __entry->opcode,
		  __entry->key, __entry->offset, __entry->len)
);

/* Found in the completion ring, or ended by a reset */
TRACE_EVENT(pindma_complete,
	TP_PROTO(const struct pindma_queue *q, u64 tag, u16 status, u64 result),
	TP_ARGS(q, tag, status, result),
	TP_STRUCT__entry(
		__field(int, dev)
		__field(int, queue)
		__field(u64, tag)
		__field(u64, result)
		__field(u16, status)
	),
	TP_fast_assign(
		__entry->dev = q->pd->id;
		__entry->queue = q->nr;
		__entry->tag = tag;
		__entry->result = result;
		__entry->status = status;
	),
	TP_printk("pindma%d queue=%d tag=0x%llx status=%u result=0x%llx",
		  __entry->dev, __entry->queue, __entry->tag, __entry->status,
		  __entry->result)
);

#endif /* PINDMA_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE pindma_trace
#include <trace/define_trace.h>
