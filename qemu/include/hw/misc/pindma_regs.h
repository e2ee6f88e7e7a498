/*
 * pindma: identifiers, registers and descriptors
 *
 * The contract between the device and whoever drives it.  The device, the
 * guest driver and the qtest include this file; none of its numbers is typed
 * anywhere else.  docs/specs/pindma.rst says in prose what is defined here.
 *
 * Everything is little endian.  Registers are 4 or 8 bytes wide and are
 * accessed whole and naturally aligned; an 8-byte register may also be
 * accessed as two 4-byte halves (PINDMA_REG_MARK acts on the low half, so
 * write the high half first).
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

#define PINDMA_BAR_REGS             0   /* registers, 4 KiB */
#define PINDMA_BAR_MSIX             1   /* MSI-X table and pending bits */
#define PINDMA_BAR_JOURNAL          2   /* journal, read-only RAM, 64-bit BAR */
#define PINDMA_BAR_REGS_SIZE        4096

/* The unit of a page list and the largest single access of the engine. */
#define PINDMA_PAGE_SHIFT           12
#define PINDMA_PAGE_SIZE            4096

/* Global registers ("RO": writes are ignored, "WO": reads as 0). */
#define PINDMA_REG_MAGIC            0x00    /* RO 4: PINDMA_MAGIC */
#define PINDMA_REG_VERSION          0x04    /* RO 4: major << 16 | minor */
#define PINDMA_REG_CAPS             0x08    /* RO 4: PINDMA_CAP_* */
#define PINDMA_REG_CTRL             0x0c    /* WO 4: PINDMA_CTRL_* */
#define PINDMA_REG_STATUS           0x10    /* RO 4: PINDMA_STATUS_* */
#define PINDMA_REG_MAX_MRS          0x14    /* RO 4: mrs at a time */
#define PINDMA_REG_MAX_PAGES        0x18    /* RO 4: pages in all mrs */
#define PINDMA_REG_JOURNAL_ENTRIES  0x1c    /* RO 4: size of the journal */
#define PINDMA_REG_JOURNAL_SEQ      0x20    /* RO 8: newest entry, 0 if none */
#define PINDMA_REG_MARK             0x28    /* WO 8: journal this value, now */

#define PINDMA_MAGIC                0x414d4450  /* "PDMA" */
#define PINDMA_VERSION_MAJOR        1   /* differs: do not use the device */
#define PINDMA_VERSION_MINOR        0   /* higher: more than is known here */

/* The engine is a thread: DMA is concurrent with every guest instruction. */
#define PINDMA_CAP_THREAD           (1u << 0)

/*
 * Forget all queues, ops and mrs at once.  No DMA happens after the write; a
 * read of any register tells that the write has arrived.
 */
#define PINDMA_CTRL_RESET           (1u << 0)

/* BUSY: an op or a hammer is running or waits for its turn. */
#define PINDMA_STATUS_BUSY          (1u << 0)
/* QUEUE_ERROR: a ring could not be accessed, its queue is now disabled. */
#define PINDMA_STATUS_QUEUE_ERROR   (1u << 1)

/*
 * Queues.  Queue 0 takes the admin ops, queue 1 all others.  MSI-X vector n
 * belongs to queue n.  A queue is a submission ring of struct pindma_sqe and
 * a completion ring of struct pindma_cqe with the same number of entries.
 */
#define PINDMA_QUEUE_ADMIN          0
#define PINDMA_QUEUE_IO             1
#define PINDMA_NUM_QUEUES           2

#define PINDMA_QUEUE_REGS(q)        (0x100 + (q) * PINDMA_QUEUE_STRIDE)
#define PINDMA_QUEUE_STRIDE         0x40
/* Offsets from PINDMA_QUEUE_REGS().  Set up first, then write 1 to ENABLE. */
#define PINDMA_QUEUE_SQ_ADDR        0x00    /* RW 8: page-aligned bus address */
#define PINDMA_QUEUE_CQ_ADDR        0x08    /* RW 8: page-aligned bus address */
#define PINDMA_QUEUE_ENTRIES        0x10    /* RW 4: power of two, 2 to 4096 */
#define PINDMA_QUEUE_ENABLE         0x14    /* RW 4: 0 or 1; 0 drops all ops */
#define PINDMA_QUEUE_SQ_TAIL        0x20    /* WO 4: doorbell, next free slot */
#define PINDMA_QUEUE_CQ_HEAD        0x24    /* WO 4: doorbell, next unread */
#define PINDMA_QUEUE_SQ_HEAD        0x28    /* RO 4: next to be fetched */
#define PINDMA_QUEUE_CQ_TAIL        0x2c    /* RO 4: next to be written */

#define PINDMA_QUEUE_MIN_ENTRIES    2
#define PINDMA_QUEUE_MAX_ENTRIES    4096
#define PINDMA_MAX_HAMMERS          16      /* running at a time on a queue */

/*
 * One request.  Ops of a queue run one after the other, in ring order, but
 * for HAMMER, which starts in its turn and then runs beside the ops that
 * follow, until it is stopped.  Fields that an op does not name must be 0.
 */
struct pindma_sqe {
    pindma_u8 opcode;       /* PINDMA_OP_* */
    pindma_u8 mode;         /* PINDMA_WRITE_*, _READ_*, _ORDER_*, _ACCESS_* */
    pindma_le16 reserved0;
    pindma_le32 key;        /* the mr */
    pindma_le64 tag;        /* the requester's name for the op, see cqe */
    pindma_le64 offset;     /* first byte in the mr */
    pindma_le64 len;        /* bytes */
    pindma_le64 value;
    pindma_le32 src_key;    /* COPY: the mr to read */
    pindma_le32 rate;       /* HAMMER: stamps per second, 0: no limit */
    pindma_le64 src_offset; /* COPY: first byte to read */
    pindma_le64 seed;       /* HAMMER in random order */
};

/*
 * Ops of the I/O queue, with the fields that they name.  The value of FILL is
 * a byte, that of STOP the tag of a hammer of this queue.  The two ranges of
 * COPY must not overlap.  HAMMER has rate and seed, too.  NOP is for either
 * queue.
 */
#define PINDMA_OP_NOP       0x00    /* none */
#define PINDMA_OP_WRITE     0x01    /* mode, key, offset, len, value */
#define PINDMA_OP_READ      0x02    /* mode, key, offset, len */
#define PINDMA_OP_FILL      0x03    /* key, offset, len, value */
#define PINDMA_OP_COPY      0x04    /* key, offset, len, src_key, src_offset */
#define PINDMA_OP_HAMMER    0x05    /* mode, key, offset, len, value, ... */
#define PINDMA_OP_STOP      0x06    /* value */
/* Ops of the admin queue */
#define PINDMA_OP_REG_MR    0x40    /* mode, key, offset, len, value */
#define PINDMA_OP_DEREG_MR  0x41    /* key */

/*
 * WRITE stores the low len (1 to 8) bytes of value; or a pattern, of which the
 * i-th 8-byte word is value + i * PINDMA_PATTERN_STEP; or stamps, see below.
 */
#define PINDMA_WRITE_IMMEDIATE  0
#define PINDMA_WRITE_PATTERN    1
#define PINDMA_WRITE_STAMP      2
#define PINDMA_PATTERN_STEP     0x9e3779b97f4a7c15ull

/* READ returns len (1 to 8) bytes, or the CRC-32 that zlib's crc32() has. */
#define PINDMA_READ_VALUE       0
#define PINDMA_READ_CRC32       1

/*
 * HAMMER and WRITE_STAMP write stamps: 8-byte words, 8-byte aligned, one every
 * PINDMA_PAGE_SIZE bytes from offset on while below offset + len.  The n-th
 * stamp (from 0) of the op is value + n.  HAMMER starts again after the last
 * page, and its cqe comes when it ends: stopped, aborted or failed.
 */
#define PINDMA_ORDER_UP         0
#define PINDMA_ORDER_DOWN       1
#define PINDMA_ORDER_RANDOM     2   /* xorshift64 of seed, 0 is taken as 1 */

/*
 * REG_MR makes memory known under key, which is not 0.  value is the bus address (8-byte
 * aligned) of a list of 8-byte bus addresses of pages (page aligned); the
 * device copies it, so that it may be freed once the op has completed.  offset
 * (below PINDMA_PAGE_SIZE) is where the mr begins in its first page.  The low
 * bits of key choose one of PINDMA_REG_MAX_MRS slots, the others are free:
 * change them when a slot is used again, so that a stale key is found out.
 *
 * DEREG_MR first ends the running op and the hammers that use the mr with
 * PINDMA_ST_ABORTED; ops in the ring find no mr in their turn.  When its cqe is
 * there, no access to the mr can follow.
 */
#define PINDMA_ACCESS_READ      (1u << 0)   /* the device may read the mr */
#define PINDMA_ACCESS_WRITE     (1u << 1)   /* the device may write the mr */

/*
 * One completion.  What an op wrote is in memory before its cqe, the cqe
 * before the interrupt.  The last 8 bytes are written last and at once.
 */
struct pindma_cqe {
    pindma_le64 tag;        /* of the sqe */
    pindma_le64 result;     /* READ: what was read; stamps, or bytes, done */
    pindma_le64 seq;        /* journal entry of the op's last access, or 0 */
    pindma_le16 status;     /* PINDMA_ST_* */
    pindma_le16 sq_head;    /* slots before this one may be used again */
    pindma_le16 phase;      /* 1 in the first turn of the ring, then 0, 1 */
    pindma_le16 reserved;
};

#define PINDMA_ST_OK            0
#define PINDMA_ST_BAD_OPCODE    1   /* unknown, or not for this queue */
#define PINDMA_ST_BAD_FIELD     2   /* mode, value, reserved or alignment */
#define PINDMA_ST_BAD_KEY       3   /* no mr, or (REG_MR) slot in use */
#define PINDMA_ST_BOUNDS        4   /* offset or len beyond the mr */
#define PINDMA_ST_ACCESS        5   /* the mr does not allow this direction */
#define PINDMA_ST_DMA_ERROR     6   /* the bus refused: unmapped, not RAM ... */
#define PINDMA_ST_ABORTED       7   /* the mr went away under the op */
#define PINDMA_ST_NO_SPACE      8   /* too many hammers, or pages in mrs */
#define PINDMA_ST_NOT_FOUND     9   /* STOP: no such hammer */

/*
 * The journal: a ring of the last PINDMA_REG_JOURNAL_ENTRIES events in
 * PINDMA_BAR_JOURNAL.  Entry seq (from 1) stands in slot seq % entries.  Each
 * access that the engine makes is here, those to rings and page lists too; an
 * MSI is not.  seq is 0 while an entry is written: read it before and after.
 * In those of REG_MR and DEREG_MR addr is that of the mr's first byte, len the
 * number of its pages and value its length.
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
    pindma_le16 status;     /* PINDMA_ST_OK or PINDMA_ST_DMA_ERROR */
    pindma_le32 reserved;
};

#define PINDMA_JOURNAL_READ     1   /* an mr was read */
#define PINDMA_JOURNAL_WRITE    2   /* an mr was written */
#define PINDMA_JOURNAL_FETCH    3   /* a ring or a page list was read */
#define PINDMA_JOURNAL_CQE      4   /* a cqe was written */
#define PINDMA_JOURNAL_REG_MR   5   /* from here on the mr can be accessed */
#define PINDMA_JOURNAL_DEREG_MR 6   /* from here on it cannot */
#define PINDMA_JOURNAL_MARK     7   /* PINDMA_REG_MARK was written */
#define PINDMA_JOURNAL_RESET    8   /* all mrs are gone */

#endif /* HW_MISC_PINDMA_REGS_H */
