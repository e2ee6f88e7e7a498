// SPDX-License-Identifier: GPL-2.0-only
/*
 * The layout of what crosses a boundary, the same for 32-bit and 64-bit users,
 * C and C++. A size or an offset that changes here breaks somebody's binary. It
 * is compiled, not run: tests/abi/check.sh.
 */
#include <linux/pindma.h>

#ifdef __cplusplus
#define ASSERT(cond) static_assert(cond, #cond)
#else
#define ASSERT(cond) _Static_assert(cond, #cond)
#endif
#define OFFSET(type, field, offset) \
	ASSERT(__builtin_offsetof(struct type, field) == (offset))
#define SIZE(type, size) ASSERT(sizeof(struct type) == (size))

/* Between driver and device */
SIZE(pindma_sqe, 128);
OFFSET(pindma_sqe, flags, 2);
OFFSET(pindma_sqe, key, 4);
OFFSET(pindma_sqe, tag, 8);
OFFSET(pindma_sqe, value, 32);
OFFSET(pindma_sqe, compare, 40);
OFFSET(pindma_sqe, src_key, 48);
OFFSET(pindma_sqe, seed, 64);
OFFSET(pindma_sqe, delay, 80);
OFFSET(pindma_sqe, pd, 84);
OFFSET(pindma_sqe, reserved, 88);
SIZE(pindma_sge, 24);
OFFSET(pindma_sge, key, 16);
SIZE(pindma_cqe, 32);
OFFSET(pindma_cqe, status, 24);
OFFSET(pindma_cqe, phase, 28);
SIZE(pindma_journal_entry, 64);
OFFSET(pindma_journal_entry, len, 48);
OFFSET(pindma_journal_entry, kind, 56);
OFFSET(pindma_journal_entry, crc, 60);

/* Between user and driver */
SIZE(pindma_info, 96);
OFFSET(pindma_info, fault_hits, 56);
OFFSET(pindma_info, stale_addr, 88);
SIZE(pindma_reg_mr, 32);
OFFSET(pindma_reg_mr, addr, 16);
SIZE(pindma_dereg_mr, 8);
SIZE(pindma_op, 128);
OFFSET(pindma_op, flags, 2);
OFFSET(pindma_op, user_data, 8);
OFFSET(pindma_op, compare, 40);
OFFSET(pindma_op, src_mr, 48);
OFFSET(pindma_op, seed, 64);
OFFSET(pindma_op, delay, 80);
OFFSET(pindma_op, reserved, 88);
SIZE(pindma_post, 24);
OFFSET(pindma_post, channel, 16);
SIZE(pindma_completion, 40);
OFFSET(pindma_completion, status, 32);
OFFSET(pindma_completion, channel, 36);
SIZE(pindma_reap, 16);
SIZE(pindma_eventfd, 8);
SIZE(pindma_page, 24);
SIZE(pindma_pages, 24);
SIZE(pindma_journal, 32);
SIZE(pindma_mark, 16);
SIZE(pindma_fault, 40);
OFFSET(pindma_fault, arg, 24);
SIZE(pindma_create_queue, 48);
OFFSET(pindma_create_queue, rings_offset, 16);
OFFSET(pindma_create_queue, shadow, 36);
OFFSET(pindma_create_queue, doorbell_offset, 40);
SIZE(pindma_destroy_queue, 8);
SIZE(pindma_import_dmabuf, 32);
OFFSET(pindma_import_dmabuf, offset, 16);
SIZE(pindma_export_dmabuf, 16);

/* Numbers are for ever, too. */
ASSERT(PINDMA_IOC_INFO == 0xc060d900u);
ASSERT(PINDMA_IOC_REG_MR == 0xc020d901u);
ASSERT(PINDMA_IOC_DEREG_MR == 0x4008d902u);
ASSERT(PINDMA_IOC_POST == 0xc018d903u);
ASSERT(PINDMA_IOC_REAP == 0xc010d904u);
ASSERT(PINDMA_IOC_EVENTFD == 0x4008d905u);
ASSERT(PINDMA_IOC_PAGES == 0xc018d906u);
ASSERT(PINDMA_IOC_JOURNAL == 0xc020d907u);
ASSERT(PINDMA_IOC_MARK == 0x4010d908u);
ASSERT(PINDMA_IOC_FAULT == 0x4028d909u);
ASSERT(PINDMA_IOC_CREATE_QUEUE == 0xc030d90au);
ASSERT(PINDMA_IOC_DESTROY_QUEUE == 0x4008d90bu);
ASSERT(PINDMA_IOC_IMPORT_DMABUF == 0xc020d90cu);
ASSERT(PINDMA_IOC_EXPORT_DMABUF == 0xc010d90du);
