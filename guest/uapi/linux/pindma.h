/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * /dev/pindmaN: the interface between the pindma driver and its users
 *
 * A file has memory regions (mrs) of its own: user pages that the device may
 * access. Requests (ops) name mrs; PINDMA_IOC_POST queues them, poll() or an
 * eventfd tells of completions, PINDMA_IOC_REAP fetches them. When the file
 * is closed for good, by whatever way its last user ends, the device first stops
 * accessing its mrs, and only then are their pages unpinned.
 *
 * Ops go to one of several channels, which all files share and which work
 * independently of each other; PINDMA_IOC_CREATE_QUEUE makes one of them the
 * file's own. Channel n is queue PINDMA_QUEUE_IO + n of the device. Each file is a
 * protection domain of its own: an op that names, in whatever way, an mr of
 * another file ends with PINDMA_ST_BAD_KEY.
 *
 * The device may be taken away for a while: somebody resets it (by sysfs: function
 * level, or its bus), PCI Express reports a fatal error, the machine sleeps. For
 * all files it is then the same. What was on its way ends with PINDMA_ST_ABORTED,
 * hammers and ops that wait, too, and is not begun again. mrs stay: their pages are
 * pinned and charged all the time, the device does not access them meanwhile, and
 * afterwards knows them by the same names. As long as it lasts, poll() says POLLERR
 * and system calls fail with EIO, but for REAP, and close(), which unpins as ever.
 * Only queues of a file's own are lost, see PINDMA_IOC_CREATE_QUEUE. An error that
 * is not fatal ends nothing: it hit an op, or none, whose completion tells.
 *
 * Opcodes, modes, flags and status codes are those of the device, see
 * <hw/misc/pindma_regs.h>.
 *
 * Every argument structure starts with its own size, at most a page; should it
 * grow one day, the fields that an older driver does not know must be 0. Fields that are marked
 * reserved and flags that are not defined must be 0. Common errors:
 *
 *   EINVAL  a size, mode, flag, reserved field or value that is not known; the
 *           kernel's log says which, unless there was too much of that already
 *   EFAULT  a pointer that cannot be read or written
 *   ENOENT  no mr of this name in this file
 *   EPERM   a capability is needed
 *   EIO     the device is away for a while; or it did not answer in time, and no
 *           file can use it until somebody resets it, or binds the driver anew
 *   ENODEV  the device is gone
 *   ENOTTY  not an ioctl of this driver
 */
#ifndef _UAPI_LINUX_PINDMA_H
#define _UAPI_LINUX_PINDMA_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <hw/misc/pindma_regs.h>

#define PINDMA_UAPI_VERSION	5

/* An address in the caller's memory */
typedef __u64 pindma_uptr;

/**
 * struct pindma_info - PINDMA_IOC_INFO: what driver and device are like
 * @size: sizeof(struct pindma_info)
 * @uapi_version: out: PINDMA_UAPI_VERSION of the driver
 * @device_version: out: PINDMA_REG_VERSION
 * @device_caps: out: PINDMA_REG_CAPS
 * @max_mrs: out: mrs at a time, of all files together
 * @max_pages: out: pages in mrs, of all files together
 * @max_ops: out: ops of this file at a time, from post to reap
 * @max_chain: out: ops that may be linked to each other
 * @num_channels: out: channels are 0 to @num_channels - 1
 * @journal_entries: out: how far back the journal reaches
 * @dma_bits: out: width of the bus addresses that the device can make
 * @irq_mode: out: PINDMA_IRQ_*, what the driver got
 * @fault: out: PINDMA_FAULT_* that is armed, or PINDMA_FAULT_NONE
 * @reserved: out: 0
 * @fault_hits: out: how often that, or else the last one, has hit
 * @time: out: the device's clock, ns: what NOT_BEFORE compares with, and what is
 *	in the journal
 * @journal_lost: out: entries that the host could not stream to its file
 * @stale: out: accesses to pages of mrs that were deregistered before
 * @stale_addr: out: bus address of the last of them; 0 without CAP_SYS_ADMIN
 */
struct pindma_info {
	__u32 size;
	__u32 uapi_version;
	__u32 device_version;
	__u32 device_caps;
	__u32 max_mrs;
	__u32 max_pages;
	__u32 max_ops;
	__u32 max_chain;
	__u32 num_channels;
	__u32 journal_entries;
	__u32 dma_bits;
	__u32 irq_mode;
	__u32 fault;
	__u32 reserved;
	__u64 fault_hits;
	__u64 time;
	__u64 journal_lost;
	__u64 stale;
	__u64 stale_addr;
};

#define PINDMA_IRQ_MSIX		1	/* a vector for each queue */
#define PINDMA_IRQ_MSI		2	/* one for all */
#define PINDMA_IRQ_INTX		3	/* one for all, perhaps not ours alone */

/*
 * How the pages of an mr are held, see Documentation/core-api/pin_user_pages.rst.
 *
 * GET is get_user_pages(): a mere reference. It does not keep the page in the
 * process after fork(), and is here as the positive control: what is lost with
 * it shows that the test can see a loss.
 */
#define PINDMA_PIN_GET		1	/* FOLL_GET: wrong for DMA */
#define PINDMA_PIN_PIN		2	/* FOLL_PIN: for short I/O */
#define PINDMA_PIN_LONGTERM	3	/* FOLL_PIN | FOLL_LONGTERM, as RDMA */
/*
 * Nothing is held: the device asks for a page when an op comes to it, and gets
 * what the process has there by then. The kernel may take it back at any time;
 * then the device asks again. See Documentation/mm/hmm.rst.
 */
#define PINDMA_PIN_ON_DEMAND	4	/* since version 3 */
/*
 * The same, and no CPU can access a page as long as the device has it: a CPU
 * that tries takes it back, be it to read. So ops are atomic against CPUs that
 * do not know of any device. See make_device_exclusive() in mm/rmap.c.
 */
#define PINDMA_PIN_EXCLUSIVE	5	/* since version 3 */

#define PINDMA_MR_FAST		(1u << 0)	/* *_user_pages_fast(), not ON_DEMAND */
#define PINDMA_MR_READONLY	(1u << 1)	/* the device only reads */
#define PINDMA_MR_NODIRTY	(1u << 2)	/* do not dirty pages given back */
/*
 * With READONLY, and not ON_DEMAND: FOLL_WRITE | FOLL_FORCE all the same, so that
 * private memory is the process's own by then. That is how RDMA did it before
 * Linux 6.2; FOLL_LONGTERM alone is enough since, see b40656aa7d55. EFAULT: shared
 * memory that may not be written. Since version 5.
 */
#define PINDMA_MR_FORCE		(1u << 3)

/**
 * struct pindma_reg_mr - PINDMA_IOC_REG_MR: pin memory for the device
 * @size: sizeof(struct pindma_reg_mr)
 * @pin_mode: PINDMA_PIN_*
 * @flags: PINDMA_MR_*
 * @mr: out: name of the mr, never 0; also its key in the journal
 * @addr: first byte, any alignment
 * @len: bytes, not 0
 *
 * All pages are faulted in and count against RLIMIT_MEMLOCK, unless the mr is
 * ON_DEMAND or EXCLUSIVE. Errors, besides what get_user_pages() returns: ENOMEM RLIMIT_MEMLOCK
 * would be exceeded, or there is no memory; ENOSPC the device has no room for
 * another mr or that many pages; EINTR a fatal signal came in between.
 *
 * ON_DEMAND: nothing need be mapped there yet. The mr is about addresses of the
 * process that registers it, and what they mean when the device comes to them:
 * after munmap() and mmap() it is the new memory. An op to an address where there
 * is nothing, or (without READONLY) nothing that may be written, or not what can
 * be had on demand (mappings of a device, what userfaultfd watches), ends with
 * PINDMA_ST_DMA_ERROR, and so does each once the process's memory is gone. An op with
 * PINDMA_SQE_ON_MARK is not performed within the store of the mark if it has to
 * ask. FAST: EINVAL. EOPNOTSUPP the kernel has no CONFIG_HMM_MIRROR.
 *
 * EXCLUSIVE: the same, but only anonymous memory, not of hugetlb, can be had, and
 * READONLY is EINVAL, too. A page may still be pinned, or be in another mr that
 * pins. EOPNOTSUPP before Linux 6.12, or without CONFIG_HMM_MIRROR or
 * CONFIG_DEVICE_PRIVATE; Debian's 6.12 is without the latter.
 */
struct pindma_reg_mr {
	__u32 size;
	__u32 pin_mode;
	__u32 flags;
	__u32 mr;
	__u64 addr;
	__u64 len;
};

/**
 * struct pindma_dereg_mr - PINDMA_IOC_DEREG_MR: stop DMA to an mr and unpin it
 * @size: sizeof(struct pindma_dereg_mr)
 * @mr: name of the mr
 *
 * Ops that use the mr, running, waiting or hammers, end with PINDMA_ST_ABORTED;
 * those that have not had their turn, with PINDMA_ST_BAD_KEY. Once this returns
 * the device does not access the pages any more.
 */
struct pindma_dereg_mr {
	__u32 size;
	__u32 mr;
};

/**
 * struct pindma_op - one request; the fields are those of struct pindma_sqe
 * @opcode: PINDMA_OP_*, ops of the channels only
 * @mode: PINDMA_WRITE_*, PINDMA_READ_*, PINDMA_COMPARE_* or PINDMA_ORDER_*
 * @flags: PINDMA_SQE_*
 * @mr: name of the mr; with PINDMA_SQE_SG of the one that has the list
 * @user_data: comes back in the completion
 * @offset: first byte in the mr
 * @len: bytes
 * @value: depends on the op; STOP: @user_data of the op to be stopped
 * @compare: CMP_SWAP: what must be there
 * @src_mr: COPY, COMPARE_MR: the mr to be read; with PINDMA_SQE_SRC_SG of the
 *	one that has the list
 * @rate: HAMMER: stamps per second, 0: no limit
 * @src_offset: COPY, COMPARE_MR: first byte to be read
 * @seed: HAMMER in random or hot order
 * @when: NOT_BEFORE: in ns, see @time of struct pindma_info; ON_MARK: the mark
 * @delay: wait so long when it is time, ns
 * @reserved0: 0
 * @reserved: 0
 *
 * The list of PINDMA_SQE_SG is an array of struct pindma_sge, whose keys are
 * names of mrs.
 *
 * An op that has to wait (NOT_BEFORE, ON_MARK, @delay) needs an @mr, or EINVAL: it
 * ends with the mr, and so does not outlive the file. NOP and STOP cannot wait.
 */
struct pindma_op {
	__u8 opcode;
	__u8 mode;
	__u16 flags;
	__u32 mr;
	__u64 user_data;
	__u64 offset;
	__u64 len;
	__u64 value;
	__u64 compare;
	__u32 src_mr;
	__u32 rate;
	__u64 src_offset;
	__u64 seed;
	__u64 when;
	__u32 delay;
	__u32 reserved0;
	__u64 reserved[5];
};

/**
 * struct pindma_post - PINDMA_IOC_POST: queue ops
 * @size: sizeof(struct pindma_post)
 * @nr: in: number of ops; out: number of ops queued
 * @ops: struct pindma_op[@nr]
 * @channel: below num_channels
 * @reserved: 0
 *
 * Does not wait. Ops of a channel start in the order in which they were posted.
 * A chain of linked ops is queued as a whole or not at all; it ends within the
 * array, and is at most max_chain long: otherwise EINVAL. If not even the first
 * op, or chain, could be queued, its error is returned: EAGAIN this file has
 * max_ops ops that were not reaped, or the channel is full; EBUSY the channel is
 * a file's own, be it this one; EINVAL.
 */
struct pindma_post {
	__u32 size;
	__u32 nr;
	pindma_uptr ops;
	__u32 channel;
	__u32 reserved;
};

/**
 * struct pindma_completion - the outcome of one op
 * @user_data: of the op
 * @result: see struct pindma_cqe
 * @seq: journal entry of the op's last access, 0 if there was none
 * @tag: name of the op in the journal
 * @status: PINDMA_ST_*
 * @channel: of the op
 */
struct pindma_completion {
	__u64 user_data;
	__u64 result;
	__u64 seq;
	__u64 tag;
	__u32 status;
	__u32 channel;
};

/**
 * struct pindma_reap - PINDMA_IOC_REAP: fetch completions, oldest first
 * @size: sizeof(struct pindma_reap)
 * @nr: in: room in @completions; out: how many there are now, may be 0
 * @completions: struct pindma_completion[@nr]
 *
 * Those of all channels, in the order in which the driver saw them. Does not
 * wait: poll() the file for POLLIN. EIO and ENODEV only come when there is no
 * completion left.
 */
struct pindma_reap {
	__u32 size;
	__u32 nr;
	pindma_uptr completions;
};

/**
 * struct pindma_eventfd - PINDMA_IOC_EVENTFD: signal completions
 * @size: sizeof(struct pindma_eventfd)
 * @fd: an eventfd, to which 1 is added for each completion, and for each
 *	interrupt of a channel of the file's own; or -1 for none
 *
 * Errors: EBADF, EINVAL @fd is not an eventfd.
 */
struct pindma_eventfd {
	__u32 size;
	__s32 fd;
};

/**
 * struct pindma_page - what the kernel knows of a page of an mr, right now
 * @pfn: page frame number that the device accesses; ON_DEMAND: 0, and so is all
 *	the rest, if it has none at the moment
 * @flags: PINDMA_PAGE_*
 * @refcount: of the folio
 * @mapcount: of the page up to 6.11, of the folio from 6.12 on
 */
struct pindma_page {
	__u64 pfn;
	__u32 flags;
	__s32 refcount;
	__s32 mapcount;
	__u32 reserved;
};

#define PINDMA_PAGE_ANON	(1u << 0)
#define PINDMA_PAGE_EXCLUSIVE	(1u << 1)	/* PageAnonExclusive(), 5.19 */
#define PINDMA_PAGE_DIRTY	(1u << 2)
#define PINDMA_PAGE_WRITEBACK	(1u << 3)
#define PINDMA_PAGE_LRU		(1u << 4)
#define PINDMA_PAGE_COMPOUND	(1u << 5)	/* in a folio of several pages */
#define PINDMA_PAGE_HUGETLB	(1u << 6)
#define PINDMA_PAGE_MAYBE_PINNED (1u << 7)	/* page_maybe_dma_pinned() */

/**
 * struct pindma_pages - PINDMA_IOC_PAGES: facts about the pages of an mr
 * @size: sizeof(struct pindma_pages)
 * @mr: name of the mr
 * @first: number of the first page wanted, from 0
 * @nr: in: room in @pages; out: pages written, fewer at the end of the mr
 * @pages: struct pindma_page[@nr]
 *
 * Needs CAP_SYS_ADMIN, like the frame numbers in /proc/PID/pagemap. Errors:
 * EPERM, ENOENT, EINVAL @first is beyond the mr, EOPNOTSUPP it is a dma-buf.
 */
struct pindma_pages {
	__u32 size;
	__u32 mr;
	__u32 first;
	__u32 nr;
	pindma_uptr pages;
};

/**
 * struct pindma_journal - PINDMA_IOC_JOURNAL: read the device's journal
 * @size: sizeof(struct pindma_journal)
 * @nr: in: room in @entries; out: entries written
 * @first: in: first sequence number wanted, 0: the oldest there is; out:
 *	sequence number of the first entry written. It is higher than what was
 *	asked for if the journal has overwritten that.
 * @newest: out: sequence number of the newest entry of the device
 * @entries: struct pindma_journal_entry[@nr]
 *
 * Needs CAP_SYS_ADMIN: the journal shows all files' bus addresses and data.
 */
struct pindma_journal {
	__u32 size;
	__u32 nr;
	__u64 first;
	__u64 newest;
	pindma_uptr entries;
};

/**
 * struct pindma_mark - PINDMA_IOC_MARK: write a mark into the journal
 * @size: sizeof(struct pindma_mark)
 * @channel: below num_channels
 * @value: below PINDMA_MARK_UNPIN, otherwise as the caller likes
 *
 * The mark stands before all accesses that the channel makes after this call
 * and behind all that it made before.
 *
 * Ops of the channel that wait for this mark (PINDMA_SQE_ON_MARK) and have no
 * delay have been performed when this returns, but for what is beyond their
 * first 64 pages. The files that share a channel share its marks. EBUSY: the
 * channel is a file's own.
 */
struct pindma_mark {
	__u32 size;
	__u32 channel;
	__u64 value;
};

/*
 * The driver's own mark, on the admin queue, just before it unpins the pages of
 * mr, or leaves them to its dma-buf: PINDMA_MARK_UNPIN | mr. An access to the mr
 * behind it is a bug.
 */
#define PINDMA_MARK_UNPIN	(1ull << 63)

/**
 * struct pindma_fault - PINDMA_IOC_FAULT: make the device misbehave
 * @size: sizeof(struct pindma_fault)
 * @kind: PINDMA_FAULT_*; NONE disarms the one that is armed
 * @queues: mask of the queues that it hits: bit 0 the admin queue, bit n + 1
 *	channel n; not 0 unless @kind is NONE
 * @skip: let so many events pass first
 * @count: hit so many, 0: no limit
 * @reserved: 0
 * @arg: see PINDMA_FAULT_*
 * @delay: what "later" means, ns of the device's clock
 *
 * One fault is armed at a time, for all files; PINDMA_IOC_INFO tells which, and
 * how often it has hit. It outlives the file, and the driver.
 *
 * Needs CAP_SYS_RAWIO, as /dev/mem does: AFTER_STOP and STALE_ATC let the device
 * write to memory that is nobody's mr any more, whoever has it by then.
 */
struct pindma_fault {
	__u32 size;
	__u32 kind;
	__u32 queues;
	__u32 skip;
	__u32 count;
	__u32 reserved;
	__u64 arg;
	__u64 delay;
};

/**
 * struct pindma_create_queue - PINDMA_IOC_CREATE_QUEUE: a channel of one's own
 * @size: sizeof(struct pindma_create_queue)
 * @entries: slots of each ring: a power of two, PINDMA_QUEUE_MIN_ENTRIES to
 *	PINDMA_QUEUE_MAX_ENTRIES
 * @flags: 0
 * @channel: out: its number; it is queue PINDMA_QUEUE_IO + @channel in the
 *	journal
 * @rings_offset: out: what to give to mmap() for the rings
 * @rings_size: out: their size, all of them together
 * @cq: out: where in them the completion ring begins. The submission ring is at
 *	their start.
 * @head: out: where in them the word @head is, a __u32, see below
 * @shadow: out: where in them struct pindma_shadow is
 * @doorbell_offset: out: what to give to mmap() for the page of doorbells
 *
 * The process then posts and reaps without system calls, as <hw/misc/
 * pindma_regs.h> says: it writes struct pindma_sqe into the submission ring and
 * the number of the next free slot to sq_tail of the shadow; it reads struct
 * pindma_cqe, each when its phase says that it is there, and writes the number
 * of the next unread slot to cq_head. After either, and a full barrier, it reads
 * asleep, and if that is not 0 it writes PINDMA_DB_SQ_TAIL, whatever the value.
 * A store to PINDMA_DB_MARK is a mark. The device is the only one that looks at an sqe, and does so when it
 * likes. Its pd must be 0: all ops are in the file's domain. Its tag is what the
 * process likes, it comes back in the cqe and is in the journal; STOP's value is
 * the tag of an op. PINDMA_IOC_POST and _MARK do not know the channel any more,
 * and PINDMA_IOC_REAP does not have its completions.
 *
 * To wait, the process says in the word @head how many cqes it has read since
 * the beginning (modulo 2^32), and then calls poll(): POLLIN as long as there is
 * a cqe behind these. A cqe that comes in between is not missed. Nothing else
 * needs the word; cq_head need only be written before the completion ring is
 * full.
 *
 * The shadow's armed is 1 to begin with. A process that does not sleep may store 0:
 * then there are no interrupts, which cost it time, and no news for poll() and
 * the eventfd. Before it sleeps it stores 1, and then, after a full barrier, it
 * calls poll(), which looks at the ring; or, with an eventfd, it looks itself.
 *
 * Mappings must be MAP_SHARED. A child does not inherit them, but can mmap() the
 * file that it has inherited. They keep the file open. When the queue is
 * destroyed, or the device is gone, an access to what was mapped is a SIGBUS, as
 * beyond the end of a file that has been truncated. When the device was reset, by
 * whomever, the queue is cut off: the mappings stay, what was on its way ends
 * without a cqe, doorbells are not answered any more, and poll() says POLLERR until
 * the queue is destroyed.
 *
 * The queue goes with the file, or by PINDMA_IOC_DESTROY_QUEUE: ops that are on
 * their way end without a cqe. A few channels are never given away, so that all
 * files can always post. The rings do not count against RLIMIT_MEMLOCK: they are
 * the driver's memory, there are few, and they are as large as this at most.
 *
 * Errors: EBUSY no channel is left, or others have ops on their way on all of
 * them; ENOMEM; EINVAL @entries.
 */
struct pindma_create_queue {
	__u32 size;
	__u32 entries;
	__u32 flags;
	__u32 channel;
	__u64 rings_offset;
	__u32 rings_size;
	__u32 cq;
	__u32 head;
	__u32 shadow;
	__u64 doorbell_offset;
};

/**
 * struct pindma_destroy_queue - PINDMA_IOC_DESTROY_QUEUE: give a channel back
 * @size: sizeof(struct pindma_destroy_queue)
 * @channel: from PINDMA_IOC_CREATE_QUEUE
 *
 * Errors: ENOENT the channel is not this file's own.
 */
struct pindma_destroy_queue {
	__u32 size;
	__u32 channel;
};

/**
 * struct pindma_import_dmabuf - PINDMA_IOC_IMPORT_DMABUF: a dma-buf as an mr
 * @size: sizeof(struct pindma_import_dmabuf)
 * @fd: of the dma-buf, from any exporter; it may be closed afterwards
 * @flags: 0 or PINDMA_MR_READONLY
 * @mr: out: name of the mr
 * @offset: first byte in the dma-buf, any alignment
 * @len: bytes, not 0
 *
 * The exporter is asked to keep the memory where it is until the mr goes. Nothing
 * counts against RLIMIT_MEMLOCK of the caller. Fences of the dma-buf are neither
 * waited for nor added: order ops yourself. Since version 3.
 *
 * Errors, besides those of the exporter: EBADF @fd is not open, EINVAL it is not
 * a dma-buf, is too short, or is not made of whole pages; ENOSPC as with REG_MR;
 * EOPNOTSUPP the kernel has no CONFIG_DMA_SHARED_BUFFER.
 */
struct pindma_import_dmabuf {
	__u32 size;
	__s32 fd;
	__u32 flags;
	__u32 mr;
	__u64 offset;
	__u64 len;
};

/**
 * struct pindma_export_dmabuf - PINDMA_IOC_EXPORT_DMABUF: an mr as a dma-buf
 * @size: sizeof(struct pindma_export_dmabuf)
 * @mr: name of the mr: PINDMA_PIN_LONGTERM, of whole pages
 * @flags: 0
 * @fd: out: of the dma-buf, close-on-exec
 *
 * For other devices, and for mmap(). With READONLY they only read, too: a device
 * that wants to write, or a mapping that does, is EACCES. MAP_PRIVATE is EINVAL.
 *
 * The pages stay pinned, and count against the RLIMIT_MEMLOCK of whoever has
 * registered the mr, until the mr is gone and so are the last descriptor, mapping
 * and importer of the dma-buf, in any order; the dma-buf works until then, with or
 * without the device. DEREG_MR ends what this device does, not what others do.
 * Since version 4.
 *
 * Errors: ENOENT; EINVAL the mr does not begin or end at a page; EOPNOTSUPP it is
 * not PINDMA_PIN_LONGTERM, or the kernel has no CONFIG_DMA_SHARED_BUFFER; EMFILE,
 * ENFILE, ENOMEM.
 */
struct pindma_export_dmabuf {
	__u32 size;
	__u32 mr;
	__u32 flags;
	__s32 fd;
};

#define PINDMA_IOC_TYPE		0xd9
#define PINDMA_IOC_INFO		_IOWR(PINDMA_IOC_TYPE, 0x00, struct pindma_info)
#define PINDMA_IOC_REG_MR	_IOWR(PINDMA_IOC_TYPE, 0x01, struct pindma_reg_mr)
#define PINDMA_IOC_DEREG_MR	_IOW(PINDMA_IOC_TYPE, 0x02, struct pindma_dereg_mr)
#define PINDMA_IOC_POST		_IOWR(PINDMA_IOC_TYPE, 0x03, struct pindma_post)
#define PINDMA_IOC_REAP		_IOWR(PINDMA_IOC_TYPE, 0x04, struct pindma_reap)
#define PINDMA_IOC_EVENTFD	_IOW(PINDMA_IOC_TYPE, 0x05, struct pindma_eventfd)
#define PINDMA_IOC_PAGES	_IOWR(PINDMA_IOC_TYPE, 0x06, struct pindma_pages)
#define PINDMA_IOC_JOURNAL	_IOWR(PINDMA_IOC_TYPE, 0x07, struct pindma_journal)
#define PINDMA_IOC_MARK		_IOW(PINDMA_IOC_TYPE, 0x08, struct pindma_mark)
#define PINDMA_IOC_FAULT	_IOW(PINDMA_IOC_TYPE, 0x09, struct pindma_fault)
#define PINDMA_IOC_CREATE_QUEUE	_IOWR(PINDMA_IOC_TYPE, 0x0a, struct pindma_create_queue)
#define PINDMA_IOC_DESTROY_QUEUE _IOW(PINDMA_IOC_TYPE, 0x0b, struct pindma_destroy_queue)
#define PINDMA_IOC_IMPORT_DMABUF _IOWR(PINDMA_IOC_TYPE, 0x0c, struct pindma_import_dmabuf)
#define PINDMA_IOC_EXPORT_DMABUF _IOWR(PINDMA_IOC_TYPE, 0x0d, struct pindma_export_dmabuf)

#endif /* _UAPI_LINUX_PINDMA_H */
