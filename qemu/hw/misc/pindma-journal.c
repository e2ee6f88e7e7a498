/*
 * pindma: the journal, a record of every access that the device made
 *
 * The guest reads it, in a BAR, while it is being written; a host may have it
 * streamed to a file.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-internal.h"

/* Values of e are in host byte order; seq and time are filled in here. */
uint64_t pindma_journal(PinDMAState *s, struct pindma_journal_entry e,
                        const PinDMAOp *op)
{
    uint64_t seq = ++s->journal_seq;
    struct pindma_journal_entry *to =
        &s->journal_ram[seq % PINDMA_JOURNAL_ENTRIES];

    qatomic_set_u64((aligned_uint64_t *)&to->seq, 0);
    smp_wmb();  /* a reader who sees anything new sees 0 or the new seq */
    to->time = cpu_to_le64(s->now);
    to->addr = cpu_to_le64(e.addr);
    to->value = cpu_to_le64(e.value);
    to->tag = cpu_to_le64(op ? op->sqe.tag : 0);
    to->offset = cpu_to_le64(e.offset);
    to->len = cpu_to_le32(e.len);
    to->key = cpu_to_le32(e.key);
    to->kind = e.kind;
    to->queue = e.queue;
    to->status = e.status;
    to->fault = e.fault;
    to->crc = cpu_to_le32(e.crc);
    smp_wmb();  /* a reader who sees the new seq sees all the rest */
    qatomic_set_u64((aligned_uint64_t *)&to->seq, cpu_to_le64(seq));
    return seq;
}

/* Entries from seq on, of which num follow each other in the ring */
static void pindma_journal_stream(PinDMAState *s, uint64_t seq, uint32_t num)
{
    const size_t size = sizeof(*s->journal_ram);
    uint32_t slot = seq % PINDMA_JOURNAL_ENTRIES;
    int ret = 0;

    memory_region_set_dirty(&s->journal, slot * size, num * size);
    if (!qemu_chr_fe_backend_connected(&s->chr)) {
        return;
    }
    if (!s->journal_broken) {
        ret = qemu_chr_fe_write_all(&s->chr, (uint8_t *)&s->journal_ram[slot],
                                    num * size);
        ret = MAX(ret, 0);
    }
    if (ret < num * size) {
        /* What follows would not be read aright behind half an entry. */
        s->journal_broken = true;
        s->journal_lost += num - ret / size;
        trace_pindma_journal_lost(s->journal_lost);
    }
}

/*
 * After each batch, which is far shorter than the ring: tell migration and the
 * stream of the new entries.
 */
void pindma_journal_flush(PinDMAState *s)
{
    uint64_t seq = s->journal_flushed + 1;
    uint64_t num = s->journal_seq - s->journal_flushed;
    uint64_t room = PINDMA_JOURNAL_ENTRIES - seq % PINDMA_JOURNAL_ENTRIES;

    if (!num) {
        return;
    }
    pindma_journal_stream(s, seq, MIN(num, room));
    if (num > room) {
        pindma_journal_stream(s, seq + room, num - room);
    }
    s->journal_flushed = s->journal_seq;
}
