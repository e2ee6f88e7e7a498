/*
 * pindma: identifiers, registers and descriptors
 *
 * The contract between the device and whoever drives it.  The device, the
 * guest driver and the qtest include this file; none of its numbers is typed
 * anywhere else.  docs/specs/pindma.rst says in prose what is defined here.
 *
 * Everything is little endian.  Registers are 4 or 8 bytes wide and are
 * accessed whole and naturally aligned; an 8-byte register may also be
 * accessed as two 4-byte halves (PINDMA_DB_MARK acts on the low half, so write
 * the high half first).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later OR MIT
 */
#ifndef HW_MISC_PINDMA_REGS_H
#define HW_MISC_PINDMA_REGS_H

#ifdef __KERNEL__
#include <linux/types.h>
typedef __le16 pindma_le16;
typedef __le32 pindma_le32;
typedef __le64 pindma_le64;
typedef __u8 pindma_u8;
#else
#include <stdint.h>
typedef uint16_t pindma_le16;
typedef uint32_t pindma_le32;
typedef uint64_t pindma_le64;
typedef uint8_t pindma_u8;
#endif

/*
 * PCI identity.  1af4:10f0 lies in the range that QEMU's pci-ids.rst leaves
 * for experiments; the subsystem id tells pindma from other squatters there.
 */
#define PINDMA_VENDOR_ID            0x1af4
#define PINDMA_DEVICE_ID            0x10f0
#define PINDMA_SUBSYSTEM_VENDOR_ID  0x1af4
#define PINDMA_SUBSYSTEM_ID         0x7064

#define PINDMA_BAR_REGS             0   /* registers and doorbells */
#define PINDMA_BAR_MSIX             1   /* MSI-X table and pending bits */
#define PINDMA_BAR_JOURNAL          2   /* journal, read-only RAM, 64-bit BAR */
#define PINDMA_BAR_REGS_SIZE        0x10000

/* The unit of a page list and the largest single access of an engine. */
#define PINDMA_PAGE_SHIFT           12
#define PINDMA_PAGE_SIZE            4096

/*
 * Global registers ("RO": writes are ignored, "WO": reads as 0, "RW1C": a 1
 * clears the bit).
 */
#define PINDMA_REG_MAGIC            0x00    /* RO 4: PINDMA_MAGIC */
#define PINDMA_REG_VERSION          0x04    /* RO 4: major << 16 | minor */
#define PINDMA_REG_CAPS             0x08    /* RO 4: PINDMA_CAP_* */
#define PINDMA_REG_CTRL             0x0c    /* WO 4: PINDMA_CTRL_* */
#define PINDMA_REG_STATUS           0x10    /* RO 4: PINDMA_STATUS_* */
#define PINDMA_REG_MAX_MRS          0x14    /* RO 4: mrs at a time */
#define PINDMA_REG_MAX_PAGES        0x18    /* RO 4: pages in all mrs */
#define PINDMA_REG_JOURNAL_ENTRIES  0x1c    /* RO 4: size of the journal */
#define PINDMA_REG_JOURNAL_SEQ      0x20    /* RO 8: newest entry, 0 if none */
#define PINDMA_REG_JOURNAL_LOST     0x28    /* RO 8: not streamed, see below */
#define PINDMA_REG_TIME             0x30    /* RO 8: virtual time, ns */
#define PINDMA_REG_INTR             0x38    /* RW1C 4: bit n: news of queue n */
#define PINDMA_REG_DMA_BITS         0x3c    /* RO 4: width of bus addresses */
#define PINDMA_REG_STALE            0x40    /* RO 8: see quarantine */
#define PINDMA_REG_STALE_ADDR       0x48    /* RO 8: of the last one */
#define PINDMA_REG_FAULT            0x50    /* RW 4: PINDMA_FAULT_*, arms it */
#define PINDMA_REG_FAULT_QUEUES     0x54    /* RW 4: bit n: it hits queue n */
#define PINDMA_REG_FAULT_SKIP       0x58    /* RW 4: let so many pass first */
#define PINDMA_REG_FAULT_COUNT      0x5c    /* RW 4: so many, 0: no limit */
#define PINDMA_REG_FAULT_ARG        0x60    /* RW 8: see PINDMA_FAULT_* */
#define PINDMA_REG_FAULT_DELAY      0x68    /* RW 8: virtual ns, to an hour */
#define PINDMA_REG_FAULT_HITS       0x70    /* RO 8: since it was armed */

#define PINDMA_MAGIC                0x414d4450  /* "PDMA" */
#define PINDMA_VERSION_MAJOR        2   /* differs: do not use the device */
#define PINDMA_VERSION_MINOR        1   /* higher: more than is known here */

/* The engines are threads: DMA is concurrent with every guest instruction. */
#define PINDMA_CAP_THREAD           (1u << 0)
/* The engines are virtual timers: DMA comes between two guest instructions. */
#define PINDMA_CAP_TIMER            (1u << 1)
/* Journal entries have a CRC of the data. */
#define PINDMA_CAP_JOURNAL_CRC      (1u << 2)

/*
 * Forget all queues, ops and mrs at once.  No DMA happens after the write; a
 * read of any register tells that the write has arrived.  The journal and the
 * counters go on; an armed fault stays armed.
 */
#define PINDMA_CTRL_RESET           (1u << 0)

/* BUSY: an op or a hammer is running or waits for its turn. */
#define PINDMA_STATUS_BUSY          (1u << 0)
/* QUEUE_ERROR: a ring could not be accessed, its queue is now disabled. */
#define PINDMA_STATUS_QUEUE_ERROR   (1u << 1)

/*
 * Queues.  Queue 0 takes the admin ops.  All others are channels that are
 * independent of each other, each with an engine of its own.  A queue is a
 * submission ring of struct pindma_sqe and a completion ring of struct
 * pindma_cqe with the same number of entries.
 *
 * MSI-X vector n belongs to queue n.  With MSI, and with INTx, all queues share
 * one interrupt, and PINDMA_REG_INTR tells whose it is; with INTx that also is
 * what ends it.  With MSI-X the register stays 0.
 */
#define PINDMA_QUEUE_ADMIN          0
#define PINDMA_QUEUE_IO             1   /* the first of the channels */
#define PINDMA_NUM_QUEUES           9

#define PINDMA_QUEUE_REGS(q)        (0x100 + (q) * PINDMA_QUEUE_STRIDE)
#define PINDMA_QUEUE_STRIDE         0x40
/* Offsets from PINDMA_QUEUE_REGS().  Set up first, then write 1 to ENABLE. */
#define PINDMA_QUEUE_SQ_ADDR        0x00    /* RW 8: page-aligned bus address */
#define PINDMA_QUEUE_CQ_ADDR        0x08    /* RW 8: page-aligned bus address */
#define PINDMA_QUEUE_ENTRIES        0x10    /* RW 4: power of two, 2 to 4096 */
#define PINDMA_QUEUE_ENABLE         0x14    /* RW 4: 0 or 1; 0 drops all ops */
#define PINDMA_QUEUE_PD             0x18    /* RW 4: domain of all ops, or 0 */
#define PINDMA_QUEUE_SHADOW         0x20    /* RW 8: see struct pindma_shadow */
#define PINDMA_QUEUE_SQ_HEAD        0x28    /* RO 4: next to be fetched */
#define PINDMA_QUEUE_CQ_TAIL        0x2c    /* RO 4: next to be written */

/* Each queue has a page of doorbells, which a process may have mapped. */
#define PINDMA_DB(q)                (((q) + 1) * PINDMA_PAGE_SIZE)
/* Offsets from PINDMA_DB() */
#define PINDMA_DB_SQ_TAIL           0x00    /* WO 4: next free slot */
#define PINDMA_DB_CQ_HEAD           0x04    /* WO 4: next unread */
#define PINDMA_DB_MARK              0x08    /* WO 8: a mark, see below */

/*
 * Doorbells in memory.  A doorbell waits for an engine that is at work, a store
 * to memory does not.  If PINDMA_QUEUE_SHADOW is not 0 it is the bus address,
 * 16-byte aligned, of one of these, and the device looks there while it is
 * awake; the values of the two doorbells above do not count then, but each
 * wakes it up.
 *
 * The driver stores sq_tail or cq_head; then, after a full barrier, it reads
 * asleep, and if that is not 0 it writes a doorbell.  The device, before it
 * sleeps, stores 1 to asleep and looks once more, and 0 when it is awake again.
 * It looks when it has no sqe left, or no room for a cqe.  What would be a bad
 * doorbell is ignored until it changes.  sq_tail, cq_head and asleep must be 0
 * when the queue is enabled.
 *
 * With armed 0 the device sends no interrupts for this queue.  It looks when it
 * has written cqes; so a driver that wants to sleep stores 1, and then, after a
 * full barrier, looks whether a cqe has come in between.
 *
 * These accesses are not in the journal, unless they fail.
 */
struct pindma_shadow {
    pindma_le32 sq_tail;    /* the driver: next free slot */
    pindma_le32 cq_head;    /* the driver: next unread */
    pindma_le32 asleep;     /* the device: it wants a doorbell */
    pindma_le32 armed;      /* the driver: it wants interrupts */
};

#define PINDMA_QUEUE_MIN_ENTRIES    2
#define PINDMA_QUEUE_MAX_ENTRIES    4096
#define PINDMA_MAX_BESIDE           16      /* ops beside a queue at a time */

/*
 * One request.  Ops of a queue run one after the other, in ring order; but
 * hammers, and ops that have to wait, run beside the queue when they have had
 * their turn.  Fields that an op does not name must be 0.
 */
struct pindma_sqe {
    pindma_u8 opcode;       /* PINDMA_OP_* */
    pindma_u8 mode;         /* PINDMA_WRITE_*, _READ_*, _ORDER_*, _ACCESS_* */
    pindma_le16 flags;      /* PINDMA_SQE_* */
    pindma_le32 key;        /* the mr */
    pindma_le64 tag;        /* the requester's name for the op, see cqe */
    pindma_le64 offset;     /* first byte in the mr */
    pindma_le64 len;        /* bytes */
    pindma_le64 value;
    pindma_le64 compare;    /* CMP_SWAP: what must be there */
    pindma_le32 src_key;    /* COPY, COMPARE_MR: the mr to read */
    pindma_le32 rate;       /* HAMMER: stamps per second, 0: no limit */
    pindma_le64 src_offset; /* COPY, COMPARE_MR: first byte to read */
    pindma_le64 seed;       /* HAMMER in random or hot order */
    pindma_le64 when;       /* NOT_BEFORE: virtual ns; ON_MARK: the mark */
    pindma_le32 delay;      /* wait so long when it is time, virtual ns */
    pindma_le32 pd;         /* protection domain */
    pindma_le64 reserved[5];
};

/*
 * An op of a channel that has to wait (NOT_BEFORE, ON_MARK or a delay) does so
 * beside the queue, and the ops behind it go on.  The mrs that it names must be
 * there by then.  At most PINDMA_MAX_BESIDE ops may be beside a queue, hammers
 * included, or 3 less than the ring has slots.
 *
 * LINK: the op that follows starts when this one has ended, even if it has to
 * wait; and only if its status was OK, otherwise it ends with
 * PINDMA_ST_CANCELED, and so does the one linked to it.  A HAMMER cannot.
 *
 * FENCE: the op starts when all ops before it have ended, but for hammers.
 *
 * ON_MARK: the op waits until PINDMA_DB_MARK of its queue is written with
 * "when".  If it has no delay it is performed, at least its first 64 pages,
 * before that store retires: no instruction of that CPU comes in between.
 */
#define PINDMA_SQE_LINK         (1u << 0)
#define PINDMA_SQE_FENCE        (1u << 1)
#define PINDMA_SQE_NOT_BEFORE   (1u << 2)
#define PINDMA_SQE_ON_MARK      (1u << 3)   /* not with NOT_BEFORE */
#define PINDMA_SQE_SG           (1u << 4)   /* key, offset: a list */
#define PINDMA_SQE_SRC_SG       (1u << 5)   /* src_key, src_offset: a list */

/*
 * Scatter/gather: with SG (WRITE but stamps, READ, FILL, COPY, COMPARE) the
 * bytes of the op are not those at offset in the mr; an array of these is
 * there, and says, piece by piece, where they are, until len bytes are done.
 * SRC_SG (COPY, COMPARE_MR) does the same for the source.  The device reads the
 * array when it needs it, from an mr that it may read.  A piece of no bytes is
 * skipped.
 */
struct pindma_sge {
    pindma_le64 offset;
    pindma_le64 len;
    pindma_le32 key;
    pindma_le32 reserved;
};

/*
 * Ops of the channels, with the fields that they name, besides flags, when,
 * delay and pd.  The value of FILL is a byte, that of STOP the tag of an op
 * beside this queue.  The two ranges of COPY must not overlap.  NOP is for
 * any queue.
 */
#define PINDMA_OP_NOP       0x00    /* none */
#define PINDMA_OP_WRITE     0x01    /* mode, key, offset, len, value */
#define PINDMA_OP_READ      0x02    /* mode, key, offset, len */
#define PINDMA_OP_FILL      0x03    /* key, offset, len, value */
#define PINDMA_OP_COPY      0x04    /* key, offset, len, src_key, src_offset */
#define PINDMA_OP_HAMMER    0x05    /* as WRITE, and rate, seed */
#define PINDMA_OP_STOP      0x06    /* value */
#define PINDMA_OP_COMPARE   0x07    /* as WRITE or, by mode, as COPY */
#define PINDMA_OP_FETCH_ADD 0x08    /* key, offset, len, value */
#define PINDMA_OP_CMP_SWAP  0x09    /* key, offset, len, value, compare */
/* Ops of the admin queue: without flags, when and delay */
#define PINDMA_OP_REG_MR    0x40    /* mode, key, offset, len, value, pd */
#define PINDMA_OP_DEREG_MR  0x41    /* key */
#define PINDMA_OP_UPDATE_MR 0x42    /* mode, key, offset, len, value */

/*
 * WRITE stores the low len (1 to 8) bytes of value; or a pattern, of which the
 * i-th 8-byte word is value + i * PINDMA_PATTERN_STEP; or stamps, see below.
 */
#define PINDMA_WRITE_IMMEDIATE  0
#define PINDMA_WRITE_PATTERN    1
#define PINDMA_WRITE_STAMP      2
#define PINDMA_PATTERN_STEP     0x9e3779b97f4a7c15ull

/*
 * READ returns len (1 to 8) bytes, or the CRC-32 that zlib's crc32() has, or
 * the sum, modulo 2^64, of the 8-byte words, little endian, that the bytes
 * make: of a last word that is not whole the missing bytes are 0.
 */
#define PINDMA_READ_VALUE       0
#define PINDMA_READ_CRC32       1
#define PINDMA_READ_SUM         2

/*
 * COMPARE: with the pattern of WRITE, or with the source.  If they differ the
 * status is PINDMA_ST_MISCOMPARE, and the result tells where first.
 */
#define PINDMA_COMPARE_PATTERN  0
#define PINDMA_COMPARE_MR       1

/*
 * FETCH_ADD and CMP_SWAP (of 4 or 8 bytes, naturally aligned) are atomic
 * against CPUs and return what was there before.  The mr must allow both
 * directions.
 */

/*
 * HAMMER and WRITE_STAMP write stamps: 8-byte words, 8-byte aligned, one every
 * PINDMA_PAGE_SIZE bytes from offset on while below offset + len.  The n-th
 * stamp (from 0) of the op is value + n.  HAMMER starts again after the last
 * page, and its cqe comes when it ends: stopped, aborted or failed.
 */
#define PINDMA_ORDER_UP         0
#define PINDMA_ORDER_DOWN       1
#define PINDMA_ORDER_RANDOM     2   /* xorshift64 of seed, 0 is taken as 1 */
#define PINDMA_ORDER_HOT        3   /* every other one is page seed, else up */

/*
 * REG_MR makes memory known under key, which is not 0.  value is the bus
 * address (8-byte aligned) of a list of 8-byte bus addresses of pages (page
 * aligned); the device copies it, so that it may be freed once the op has
 * completed.  offset (below PINDMA_PAGE_SIZE) is where the mr begins in its
 * first page.  The low bits of key choose one of PINDMA_REG_MAX_MRS slots, the
 * others are free: change them when a slot is used again, so that a stale key
 * is found out.
 *
 * The mr belongs to protection domain pd: ops of other domains do not find it.
 * An op is in the domain of PINDMA_QUEUE_PD if that is not 0, and its own pd
 * must then be 0; otherwise its pd tells.
 *
 * DEREG_MR first ends all ops that use the mr, running or waiting, with
 * PINDMA_ST_ABORTED; ops in the ring find no mr in their turn.  When its cqe is
 * there, no access to the mr can follow.
 */
#define PINDMA_ACCESS_READ      (1u << 0)   /* the device may read the mr */
#define PINDMA_ACCESS_WRITE     (1u << 1)   /* the device may write the mr */

/*
 * On-demand paging.  An entry of a page list may be PINDMA_PAGE_ABSENT.  An op
 * that comes to such a page waits, where it is, and a cqe of the admin queue
 * that belongs to no sqe asks for the page: its status is
 * PINDMA_ST_PAGE_REQUEST, its tag the key and its result the number of the page
 * in the mr.  Several ops may ask for the same page.
 *
 * UPDATE_MR changes len pages of the mr, from page number offset on.  MAP: to
 * what the page list at value says, and ops that wait for them go on.  UNMAP:
 * to absent; when its cqe is there, no access to what they were can follow.
 * REFUSE: they cannot be had, and ops that wait for them end with
 * PINDMA_ST_DMA_ERROR.
 */
#define PINDMA_PAGE_ABSENT      1ull
#define PINDMA_UPDATE_MAP       0
#define PINDMA_UPDATE_UNMAP     1
#define PINDMA_UPDATE_REFUSE    2

/*
 * One completion.  What an op wrote is in memory before its cqe, the cqe
 * before the interrupt.  The last 8 bytes are written last and at once.
 */
struct pindma_cqe {
    pindma_le64 tag;        /* of the sqe */
    pindma_le64 result;     /* what was read, or else stamps or bytes done */
    pindma_le64 seq;        /* journal entry of the op's last access, or 0 */
    pindma_le16 status;     /* PINDMA_ST_* */
    pindma_le16 sq_head;    /* slots before this one may be used again */
    pindma_le16 phase;      /* 1 in the first turn of the ring, then 0, 1 */
    pindma_le16 reserved;
};

#define PINDMA_ST_OK            0
#define PINDMA_ST_BAD_OPCODE    1   /* unknown, or not for this queue */
#define PINDMA_ST_BAD_FIELD     2   /* mode, flag, value or alignment */
#define PINDMA_ST_BAD_KEY       3   /* no mr, or (REG_MR) slot in use */
#define PINDMA_ST_BOUNDS        4   /* offset or len beyond the mr */
#define PINDMA_ST_ACCESS        5   /* the mr does not allow this direction */
#define PINDMA_ST_DMA_ERROR     6   /* the bus refused: unmapped, not RAM ... */
#define PINDMA_ST_ABORTED       7   /* the mr went away under the op */
#define PINDMA_ST_NO_SPACE      8   /* too many beside, or pages in mrs */
#define PINDMA_ST_NOT_FOUND     9   /* STOP: no such op beside the queue */
#define PINDMA_ST_CANCELED      10  /* linked to one that failed, or stopped */
#define PINDMA_ST_MISCOMPARE    11
#define PINDMA_ST_STALE         12  /* only in the journal: see quarantine */
#define PINDMA_ST_PAGE_REQUEST  13  /* see on-demand paging */

/*
 * The journal: a ring of the last PINDMA_REG_JOURNAL_ENTRIES events in
 * PINDMA_BAR_JOURNAL.  Entry seq (from 1) stands in slot seq % entries.  Each
 * access that an engine makes is here, those to rings and lists too; an MSI,
 * and a look at a shadow, is not.  seq is 0 while an entry is written: read it
 * before and after.  In those of REG_MR and DEREG_MR addr is that of the mr's
 * first byte, len the number of its pages and value its length.
 *
 * A host may have the entries streamed to a file, too; those that could not be
 * written are counted in PINDMA_REG_JOURNAL_LOST.
 */
struct pindma_journal_entry {
    pindma_le64 seq;
    pindma_le64 time;       /* guest (virtual) time of the batch, ns */
    pindma_le64 addr;       /* bus address */
    pindma_le64 value;      /* the first 8 bytes of the data, or the mark */
    pindma_le64 tag;        /* of the op, 0 if none */
    pindma_le64 offset;     /* in the mr */
    pindma_le32 len;
    pindma_le32 key;        /* of the mr, 0 if none */
    pindma_u8 kind;         /* PINDMA_JOURNAL_* */
    pindma_u8 queue;
    pindma_u8 status;       /* PINDMA_ST_OK, _DMA_ERROR or _STALE */
    pindma_u8 fault;        /* PINDMA_FAULT_* that hit this access */
    pindma_le32 crc;        /* CRC-32 of the data, with CAP_JOURNAL_CRC */
};

#define PINDMA_JOURNAL_READ     1   /* an mr was read */
#define PINDMA_JOURNAL_WRITE    2   /* an mr was written */
#define PINDMA_JOURNAL_FETCH    3   /* a ring or a page list was read */
#define PINDMA_JOURNAL_CQE      4   /* a cqe was written */
#define PINDMA_JOURNAL_REG_MR   5   /* from here on the mr can be accessed */
#define PINDMA_JOURNAL_DEREG_MR 6   /* from here on it cannot */
#define PINDMA_JOURNAL_MARK     7   /* PINDMA_DB_MARK was written */
#define PINDMA_JOURNAL_RESET    8   /* all mrs are gone */
#define PINDMA_JOURNAL_ATOMIC   9   /* value is what is there now */
#define PINDMA_JOURNAL_MAP      10  /* len pages of the mr have been mapped */
#define PINDMA_JOURNAL_UNMAP    11  /* from here on they are absent */
#define PINDMA_JOURNAL_PAGE_REQUEST 12
#define PINDMA_JOURNAL_SHADOW   13  /* a shadow could not be accessed */

/*
 * Quarantine: the device remembers the pages of mrs that were deregistered.
 * An access to them through the old mr, which only a fault can make, is
 * counted in PINDMA_REG_STALE and has PINDMA_ST_STALE in the journal.
 */

/*
 * Faults: the hardware misbehaves on request.  A write to PINDMA_REG_FAULT arms
 * one, with what the other registers say by then: PINDMA_REG_FAULT_SKIP events
 * that it could hit on PINDMA_REG_FAULT_QUEUES pass, then it hits
 * PINDMA_REG_FAULT_COUNT of them and is gone (the register is NONE again).
 * "Later" is after PINDMA_REG_FAULT_DELAY.  A queue keeps one thing for later,
 * and while it does the fault does not hit it again.  What was kept dies with
 * the mr.
 */
#define PINDMA_FAULT_NONE           0
#define PINDMA_FAULT_DROP           1   /* a write to an mr is not done */
#define PINDMA_FAULT_DUPLICATE      2   /* a write is done again later */
#define PINDMA_FAULT_DELAY          3   /* an access, and its op, come later */
#define PINDMA_FAULT_TORN           4   /* bytes from ARG on come later */
#define PINDMA_FAULT_BIT_FLIP       5   /* bit ARG of a write is wrong */
#define PINDMA_FAULT_REORDER        6   /* a page is written after the next */
#define PINDMA_FAULT_LOST_MSI       7   /* an interrupt is not sent */
#define PINDMA_FAULT_SPURIOUS_MSI   8   /* one without a cqe, for each op */
#define PINDMA_FAULT_EARLY_MSI      9   /* the cqe comes later than its MSI */
#define PINDMA_FAULT_EARLY_CQE      10  /* the last write comes after the cqe */
#define PINDMA_FAULT_UNSUPPORTED    11  /* an access ends as on the bus: UR */
#define PINDMA_FAULT_HANG           12  /* the queue stops until it is reset */
#define PINDMA_FAULT_AFTER_STOP     13  /* ARG stamps more when stopped */
#define PINDMA_FAULT_STALE_ATC      14  /* as that, by old translations */
#define PINDMA_NUM_FAULTS           15

#endif /* HW_MISC_PINDMA_REGS_H */
