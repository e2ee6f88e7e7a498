/*
 * pindma: every access to guest memory
 *
 * With the BQL held, within a page, and to RAM only: a guest must not be able
 * to reach a register of this or another device, config space or a slot's
 * power switch from inside a batch.  RAM in a BAR of another device is RAM.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <zlib.h>
#include "pindma-internal.h"

/* Not PCI_DEVICE(s), which asserts: this is for each access. */
static AddressSpace *pindma_as(PinDMAState *s)
{
    return pci_get_address_space(&s->parent_obj);
}

bool pindma_can_dma(PinDMAState *s)
{
    return runstate_is_running() &&
           pci_get_word(s->parent_obj.config + PCI_COMMAND) &
           PCI_COMMAND_MASTER;
}

/* Others may have had the BQL: what was RAM need not be RAM any more. */
void pindma_dma_forget(PinDMAState *s)
{
    s->ram_len[false] = 0;
    s->ram_len[true] = 0;
}

static bool pindma_is_ram(PinDMAState *s, uint64_t addr, uint32_t len,
                          bool write)
{
    hwaddr xlat, plen = GiB;
    MemoryRegion *mr;

    if (addr - s->ram_start[write] < s->ram_len[write] &&
        s->ram_len[write] - (addr - s->ram_start[write]) >= len) {
        return true;
    }
    if (s->dma_bits < 64 && (addr + len - 1) >> s->dma_bits) {
        return false;
    }
    mr = address_space_translate(pindma_as(s), addr,
                                 &xlat, &plen, write, MEMTXATTRS_UNSPECIFIED);
    if (!memory_region_is_ram(mr) || (write && mr->readonly) || plen < len) {
        return false;
    }
    if (s->dma_bits < 64) {
        plen = MIN(plen, (1ull << s->dma_bits) - addr);
    }
    s->ram_start[write] = addr;
    s->ram_len[write] = plen;
    return true;
}

/*
 * Access a naturally aligned 4- or 8-byte word at once, so that no CPU sees
 * half of it.  pci_dma_rw() does not promise that.
 */
static MemTxResult pindma_dma_word(PinDMAState *s, uint64_t addr,
                                   uint64_t *val, unsigned int size, bool write)
{
    AddressSpace *as = pindma_as(s);
    MemTxAttrs attrs = MEMTXATTRS_UNSPECIFIED;
    MemTxResult r;

    smp_mb();   /* as dma_barrier(): after what the engine did before */
    if (write && size == 8) {
        address_space_stq_le(as, addr, *val, attrs, &r);
    } else if (write) {
        address_space_stl_le(as, addr, *val, attrs, &r);
    } else if (size == 8) {
        *val = address_space_ldq_le(as, addr, attrs, &r);
    } else {
        *val = address_space_ldl_le(as, addr, attrs, &r);
    }
    return r;
}

static bool pindma_dma_journal(PinDMAState *s, struct pindma_journal_entry e,
                               PinDMAOp *op, MemTxResult r)
{
    uint64_t seq;

    if (r != MEMTX_OK) {
        e.status = PINDMA_ST_DMA_ERROR;
        trace_pindma_dma_error(e.kind, e.addr, e.len, r);
    }
    seq = pindma_journal(s, e, op);
    if (op) {
        op->seq = seq;
    }
    return r == MEMTX_OK;
}

static bool pindma_is_write(uint8_t kind)
{
    return kind == PINDMA_JOURNAL_WRITE || kind == PINDMA_JOURNAL_CQE;
}

/* e says what and where; value, crc and status are filled in here. */
bool pindma_dma(PinDMAState *s, struct pindma_journal_entry e, PinDMAOp *op,
                void *buf)
{
    bool write = pindma_is_write(e.kind);
    MemTxResult r;

    assert(e.len && e.len <= PINDMA_PAGE_SIZE -
                             (e.addr & (PINDMA_PAGE_SIZE - 1)));
    if (!pindma_is_ram(s, e.addr, e.len, write)) {
        r = MEMTX_ACCESS_ERROR;
        if (write) {
            memcpy(&e.value, buf, MIN(e.len, sizeof(e.value)));
            le64_to_cpus(&e.value);
        }
    } else if ((e.len == 4 || e.len == 8) && QEMU_IS_ALIGNED(e.addr, e.len)) {
        e.value = ldn_le_p(buf, e.len);
        r = pindma_dma_word(s, e.addr, (uint64_t *)&e.value, e.len, write);
        stn_le_p(buf, e.len, e.value);
    } else {
        r = pci_dma_rw(&s->parent_obj, e.addr, buf, e.len,
                       write ? DMA_DIRECTION_FROM_DEVICE
                             : DMA_DIRECTION_TO_DEVICE, MEMTXATTRS_UNSPECIFIED);
        memcpy(&e.value, buf, MIN(e.len, sizeof(e.value)));
        le64_to_cpus(&e.value);
    }
    if (r != MEMTX_OK && !write) {
        e.value = 0;    /* buf may be as it was: that is not for the guest */
    } else if (s->journal_crc) {
        e.crc = crc32(0, buf, e.len);
    }
    return pindma_dma_journal(s, e, op, r);
}

/* A word of a shadow: the journal is told only if that fails. */
bool pindma_dma_shadow(PinDMAState *s, int queue, uint64_t addr, uint64_t *val,
                       unsigned int size, bool write)
{
    struct pindma_journal_entry e = {
        .kind = PINDMA_JOURNAL_SHADOW,
        .queue = queue,
        .addr = addr,
        .len = size,
    };
    MemTxResult r = MEMTX_ACCESS_ERROR;

    if (pindma_is_ram(s, addr, size, write)) {
        r = pindma_dma_word(s, addr, val, size, write);
    }
    return r == MEMTX_OK || pindma_dma_journal(s, e, NULL, r);
}

/*
 * Where the first two words of a shadow are, for a look without the BQL.  That
 * is a hint and no access: nothing follows from it but one with the BQL.  For
 * as long as the caller's RCU critical section lasts; NULL: not RAM.
 */
const uint64_t *pindma_dma_peek(PinDMAState *s, uint64_t addr)
{
    hwaddr xlat, plen = sizeof(uint64_t);
    MemoryRegion *mr;

    if (!pindma_is_ram(s, addr, sizeof(uint64_t), false)) {
        return NULL;
    }
    mr = address_space_translate(pindma_as(s), addr, &xlat, &plen, false,
                                 MEMTXATTRS_UNSPECIFIED);
    return memory_region_get_ram_ptr(mr) + xlat;
}

/*
 * Direct access, for the journal to be told of by the caller.  NULL: not RAM.
 * It must be unmapped before the batch ends: an IOMMU may change its mind.
 */
void *pindma_dma_map(PinDMAState *s, uint64_t addr, uint32_t len, bool write)
{
    AddressSpace *as = pindma_as(s);
    hwaddr plen = len;
    void *p;

    if (!pindma_is_ram(s, addr, len, write)) {
        return NULL;
    }
    smp_mb();   /* as dma_barrier() */
    p = address_space_map(as, addr, &plen, write, MEMTXATTRS_UNSPECIFIED);
    if (p && plen < len) {
        address_space_unmap(as, p, plen, write, 0);
        p = NULL;
    }
    return p;
}

/* len: how much of it was accessed */
void pindma_dma_unmap(PinDMAState *s, void *p, uint32_t len, bool write)
{
    AddressSpace *as = pindma_as(s);

    address_space_unmap(as, p, len, write, len);
}

/* Atomic against CPUs.  op->result becomes what was there. */
static uint64_t pindma_atomic8(aligned_uint64_t *p, const PinDMAOp *op,
                               uint64_t *now)
{
    const struct pindma_sqe *sqe = &op->sqe;
    bool add = sqe->opcode == PINDMA_OP_FETCH_ADD;
    uint64_t old, was = qatomic_read__nocheck(p);

    do {
        old = was;
        *now = le64_to_cpu(old) + sqe->value;
        if (!add) {
            *now = sqe->value;
            if (le64_to_cpu(old) != sqe->compare) {
                *now = le64_to_cpu(old);
                break;
            }
        }
        was = qatomic_cmpxchg__nocheck(p, old, cpu_to_le64(*now));
    } while (was != old);
    return le64_to_cpu(old);
}

static uint64_t pindma_atomic4(uint32_t *p, const PinDMAOp *op, uint64_t *now)
{
    const struct pindma_sqe *sqe = &op->sqe;
    bool add = sqe->opcode == PINDMA_OP_FETCH_ADD;
    uint32_t old, was = qatomic_read(p);

    do {
        old = was;
        *now = (uint32_t)(le32_to_cpu(old) + sqe->value);
        if (!add) {
            *now = sqe->value;
            if (le32_to_cpu(old) != sqe->compare) {
                *now = le32_to_cpu(old);
                break;
            }
        }
        was = qatomic_cmpxchg(p, old, cpu_to_le32(*now));
    } while (was != old);
    return le32_to_cpu(old);
}

bool pindma_dma_atomic(PinDMAState *s, struct pindma_journal_entry e,
                       PinDMAOp *op)
{
    void *p = NULL;

    if (pindma_is_ram(s, e.addr, e.len, false)) {
        p = pindma_dma_map(s, e.addr, e.len, true);
    }
    if (!p) {
        return pindma_dma_journal(s, e, op, MEMTX_ACCESS_ERROR);
    }
    if (e.len == 8) {
        op->result = pindma_atomic8(p, op, (uint64_t *)&e.value);
    } else {
        op->result = pindma_atomic4(p, op, (uint64_t *)&e.value);
    }
    pindma_dma_unmap(s, p, e.len, true);
    return pindma_dma_journal(s, e, op, MEMTX_OK);
}

/* Fault STALE_ATC: write to where the IOMMU led once, without asking it. */
bool pindma_dma_physical(PinDMAState *s, struct pindma_journal_entry e,
                         PinDMAOp *op, hwaddr addr, uint64_t val)
{
    MemTxResult r = MEMTX_ACCESS_ERROR;
    hwaddr xlat, plen = 8;
    MemoryRegion *mr = address_space_translate(&address_space_memory, addr,
                                               &xlat, &plen, true,
                                               MEMTXATTRS_UNSPECIFIED);

    if (memory_region_is_ram(mr) && !mr->readonly && plen == 8) {
        address_space_stq_le(&address_space_memory, addr, val,
                             MEMTXATTRS_UNSPECIFIED, &r);
    }
    e.value = val;
    return pindma_dma_journal(s, e, op, r);
}
