/* SPDX-License-Identifier: MIT */
/*
 * libpindma: let the pindma device access your memory
 *
 *	pindma_open()		a file of one's own on the device
 *	pindma_reg_mr()		pin memory, make it known to the device
 *	pindma_post()		queue ops, which the device then carries out
 *	pindma_wait()		wait for completions
 *	pindma_dereg_mr()	the device lets go, the memory is unpinned
 *
 * and, for those who cannot wait for system calls, pindma_queue_create().
 *
 * Functions return 0 or a count, or else a negative errno; what it means is
 * said in <linux/pindma.h>, where the structures are, too. There is no global
 * state. Several threads may use one handle, but then each sees all its
 * completions.
 */
#ifndef PINDMA_H
#define PINDMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/pindma.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pindma;
struct pindma_queue;

/**
 * pindma_open - open a pindma device
 * @path: device node, or NULL for /dev/pindma0
 * @handle: out
 *
 * The file descriptor is close-on-exec. Errors: those of open(2).
 */
int pindma_open(const char *path, struct pindma **handle);

/**
 * pindma_open_vfio - drive a device from user space, without its driver
 * @address: of the PCI device, for example "0000:01:00.0", which is bound to
 *	vfio-pci
 * @handle: out
 *
 * The device belongs to the handle alone, which has one channel, 0. Memory is
 * pinned by vfio type1: PINDMA_PIN_LONGTERM is all there is, with
 * PINDMA_MR_READONLY or no flag, and RLIMIT_MEMLOCK counts. Other modes and flags
 * are EOPNOTSUPP, and so are pindma_queue_create(), pindma_get_pages(),
 * pindma_import_dmabuf(), pindma_export_dmabuf(), pindma_fault() and
 * pindma_set_eventfd(). pindma_fd() is an eventfd, which only
 * tells of completions.
 *
 * Errors: ENOENT there is no such PCI device; ENODEV it is not a pindma device of
 * a known version, not bound to vfio-pci, or not behind an IOMMU; EBUSY somebody
 * else has it open, or a device of its IOMMU group has another driver; and what
 * open(2) and vfio's ioctls return.
 */
int pindma_open_vfio(const char *address, struct pindma **handle);

/**
 * pindma_close - close a handle
 * @handle: from pindma_open() or pindma_open_vfio(), or NULL
 *
 * The memory regions go with the last descriptor of the file: a process that was
 * forked with the handle open keeps them.
 */
void pindma_close(struct pindma *handle);

/**
 * pindma_fd - the file descriptor, for poll(2): POLLIN is a completion
 */
int pindma_fd(const struct pindma *handle);

/** pindma_get_info - what driver and device are like */
int pindma_get_info(struct pindma *handle, struct pindma_info *info);

/**
 * pindma_reg_mr - pin memory, or offer it on demand, and let the device know
 * @addr: first byte
 * @len: bytes
 * @pin_mode: PINDMA_PIN_*
 * @flags: PINDMA_MR_*
 * @mr: out: name of the memory region
 */
int pindma_reg_mr(struct pindma *handle, void *addr, size_t len,
		  uint32_t pin_mode, uint32_t flags, uint32_t *mr);

/**
 * pindma_import_dmabuf - make a dma-buf known to the device
 * @fd: of the dma-buf, may be closed afterwards
 * @offset: first byte in it
 * @len: bytes
 * @flags: 0 or PINDMA_MR_READONLY
 * @mr: out: name of the memory region
 */
int pindma_import_dmabuf(struct pindma *handle, int fd, uint64_t offset,
			 uint64_t len, uint32_t flags, uint32_t *mr);

/**
 * pindma_export_dmabuf - a memory region as a dma-buf, for other devices
 * @mr: PINDMA_PIN_LONGTERM, of whole pages
 * @fd: out: close-on-exec; the pages stay pinned until all is closed
 */
int pindma_export_dmabuf(struct pindma *handle, uint32_t mr, int *fd);

/**
 * pindma_dereg_mr - end all DMA to a memory region and unpin it
 */
int pindma_dereg_mr(struct pindma *handle, uint32_t mr);

/**
 * pindma_post_on - queue ops on a channel
 * @channel: from 0 on, see num_channels of struct pindma_info
 *
 * Returns how many were queued, at least 1, or the error of the first. Linked
 * ops are queued together or not at all.
 */
int pindma_post_on(struct pindma *handle, uint32_t channel,
		   const struct pindma_op *ops, unsigned int nr);

/**
 * pindma_post - queue ops on channel 0
 */
int pindma_post(struct pindma *handle, const struct pindma_op *ops,
		unsigned int nr);

/**
 * pindma_reap - fetch completions, without waiting
 *
 * Returns how many there were, at most @nr, perhaps 0.
 */
int pindma_reap(struct pindma *handle, struct pindma_completion *completions,
		unsigned int nr);

/**
 * pindma_wait - wait for a completion, and fetch what there is then
 * @nr: room in @completions, not 0
 * @timeout_ms: as for poll(2), -1 for no limit
 *
 * Returns how many there were, at least 1, or -ETIMEDOUT, -EINTR, -EINVAL; -EIO
 * or -ENODEV if there is no completion and, from this device, never will be.
 */
int pindma_wait(struct pindma *handle, struct pindma_completion *completions,
		unsigned int nr, int timeout_ms);

/**
 * pindma_set_eventfd - signal completions to an eventfd, or (-1) stop that
 */
int pindma_set_eventfd(struct pindma *handle, int eventfd);

/**
 * pindma_get_pages - facts about the pages of a memory region
 * @first: number of the first page wanted
 * @nr: room in @pages
 *
 * Returns how many pages were described. Needs CAP_SYS_ADMIN.
 */
int pindma_get_pages(struct pindma *handle, uint32_t mr, uint32_t first,
		     struct pindma_page *pages, uint32_t nr);

/**
 * pindma_read_journal - read the device's journal
 * @first: in: first entry wanted, 0 for the oldest; out: of the first one read
 * @entries: room for the entries
 * @nr: room in @entries, may be 0
 * @newest: out: sequence number of the newest entry there is; may be NULL
 *
 * Returns how many entries were read. Needs CAP_SYS_ADMIN.
 */
int pindma_read_journal(struct pindma *handle, uint64_t *first,
			struct pindma_journal_entry *entries, uint32_t nr,
			uint64_t *newest);

/**
 * pindma_mark - write a mark into the device's journal
 * @channel: whose ops, if they wait for this mark, are performed by this call
 * @value: below PINDMA_MARK_UNPIN
 */
int pindma_mark(struct pindma *handle, uint32_t channel, uint64_t value);

/**
 * pindma_fault - make the device misbehave
 * @fault: what it shall do; the size is filled in here. An empty structure ends
 *	what was armed before.
 *
 * pindma_get_info() tells how often it did. Needs CAP_SYS_RAWIO.
 */
int pindma_fault(struct pindma *handle, const struct pindma_fault *fault);

/**
 * pindma_status_string - a few words for PINDMA_ST_*, never NULL
 */
const char *pindma_status_string(uint32_t status);

/**
 * pindma_queue_create - a channel of one's own, mapped into the process
 * @entries: slots of its rings, a power of two, 2 to 4096
 * @queue: out
 *
 * Posting and reaping are loads and stores then, no system calls. Errors: EBUSY
 * no channel is left; EINVAL @entries; ENOMEM.
 *
 * Several threads may use a queue. One may post while another one reaps; two
 * that post, or two that reap, wait for each other.
 *
 * A child process does not have the queue: there, these functions fault. So they
 * do, with SIGBUS, when the device is gone, of which poll() tells (POLLHUP) but
 * not the rings.
 */
int pindma_queue_create(struct pindma *handle, uint32_t entries,
			struct pindma_queue **queue);

/**
 * pindma_queue_destroy - give the channel back
 * @queue: from pindma_queue_create(), or NULL
 *
 * Before pindma_close(). Ops that are on their way end without a completion.
 */
void pindma_queue_destroy(struct pindma_queue *queue);

/**
 * pindma_queue_channel - its number, as in struct pindma_completion
 */
uint32_t pindma_queue_channel(const struct pindma_queue *queue);

/**
 * pindma_queue_post - queue ops, without a system call
 *
 * Returns how many were queued, at least 1, or else -EAGAIN: the ring is full,
 * and has room again when completions are reaped. Linked ops are queued together
 * or not at all; -EINVAL: a chain has no end, or is longer than the ring. What
 * else is wrong with an op the device says in its completion.
 *
 * The tag of an op is its user_data: so is it in the journal, and STOP finds it
 * by it.
 */
int pindma_queue_post(struct pindma_queue *queue, const struct pindma_op *ops,
		      unsigned int nr);

/**
 * pindma_queue_reap - fetch completions, without a system call and waiting
 *
 * Returns how many there were, at most @nr, perhaps 0.
 */
int pindma_queue_reap(struct pindma_queue *queue,
		      struct pindma_completion *completions, unsigned int nr);

/**
 * pindma_queue_wait - wait for a completion, and fetch what there is then
 * @nr: room in @completions, not 0
 * @timeout_ms: as for poll(2), -1 for no limit
 *
 * Sleeps in poll(2) if there is none. The file descriptor of the handle tells of
 * all its queues, and of completions for pindma_reap(): use a handle for each
 * queue that is waited for. Returns how many there were, at least 1, or
 * -ETIMEDOUT, -EINTR, -EINVAL; -EIO or -ENODEV if the device is dead or gone, or
 * was reset: then destroy the handle's queues, and create new ones.
 */
int pindma_queue_wait(struct pindma_queue *queue,
		      struct pindma_completion *completions, unsigned int nr,
		      int timeout_ms);

/**
 * pindma_queue_quiet - no interrupts, but for pindma_queue_wait()
 * @quiet: false, as it is to begin with: an interrupt tells of completions
 *
 * For a program that looks at the queue all the time anyway: interrupts take its
 * time away. While it is quiet only pindma_queue_wait() is woken up; poll(2) of
 * pindma_fd() and an eventfd need not notice a completion of this queue.
 */
void pindma_queue_quiet(struct pindma_queue *queue, bool quiet);

/**
 * pindma_queue_mark - write a mark into the journal, without a system call
 *
 * Ops of the queue that wait for it (PINDMA_SQE_ON_MARK) and have no delay have
 * been performed when this returns, but for what is beyond 64 pages.
 */
void pindma_queue_mark(struct pindma_queue *queue, uint64_t value);

/**
 * pindma_pattern - 8-byte word @n of what PINDMA_WRITE_PATTERN writes
 * @value: of the op
 */
static inline uint64_t pindma_pattern(uint64_t value, uint64_t n)
{
	return value + n * PINDMA_PATTERN_STEP;
}

#ifdef __cplusplus
}
#endif

#endif /* PINDMA_H */
