/*
 * QTest testcase for the pindma device: identity, registers, queues
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-test.h"

/* ------------------------------------------------------ identity, registers */

/* Red: another number in pindma_class_init() or the top of pindma_reg_get(). */
static void test_identity(const void *express)
{
    Rig *t = rig_new(express);
    uint64_t size;
    uint8_t cap, msi;

    g_assert_cmphex(qpci_config_readw(t->dev, PCI_VENDOR_ID), ==,
                    PINDMA_VENDOR_ID);
    g_assert_cmphex(qpci_config_readw(t->dev, PCI_DEVICE_ID), ==,
                    PINDMA_DEVICE_ID);
    g_assert_cmphex(qpci_config_readw(t->dev, PCI_SUBSYSTEM_VENDOR_ID), ==,
                    PINDMA_SUBSYSTEM_VENDOR_ID);
    g_assert_cmphex(qpci_config_readw(t->dev, PCI_SUBSYSTEM_ID), ==,
                    PINDMA_SUBSYSTEM_ID);
    g_assert_cmphex(qpci_config_readb(t->dev, PCI_REVISION_ID), ==,
                    PINDMA_VERSION_MAJOR);
    g_assert_cmphex(qpci_config_readb(t->dev, PCI_INTERRUPT_PIN), ==, 1);
    g_assert_cmpuint(qpci_msix_table_size(t->dev), ==, PINDMA_NUM_QUEUES);
    msi = qpci_find_capability(t->dev, PCI_CAP_ID_MSI, 0);
    g_assert_cmphex(msi, !=, 0);
    g_assert_cmphex(qpci_config_readw(t->dev, msi + PCI_MSI_FLAGS), ==,
                    PCI_MSI_FLAGS_64BIT);

    cap = qpci_find_capability(t->dev, PCI_CAP_ID_EXP, 0);
    g_assert_true(!cap == !express);
    if (cap) {
        g_assert_true(qpci_config_readl(t->dev, cap + PCI_EXP_DEVCAP) &
                      PCI_EXP_DEVCAP_FLR);
    }

    g_assert_cmphex(reg4(t, PINDMA_REG_MAGIC), ==, PINDMA_MAGIC);
    g_assert_cmphex(reg4(t, PINDMA_REG_VERSION), ==,
                    PINDMA_VERSION_MAJOR << 16 | PINDMA_VERSION_MINOR);
    g_assert_cmphex(reg4(t, PINDMA_REG_CAPS), ==, PINDMA_CAP_THREAD);
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);
    g_assert_cmpuint(reg4(t, PINDMA_REG_DMA_BITS), ==, 64);
    g_assert_cmpuint(reg4(t, PINDMA_REG_MAX_MRS), >, 0);
    g_assert_cmpuint(reg4(t, PINDMA_REG_MAX_PAGES), >, 0);
    qpci_iomap(t->dev, PINDMA_BAR_REGS, &size);
    g_assert_cmpuint(size, ==, PINDMA_BAR_REGS_SIZE);
    qpci_iomap(t->dev, PINDMA_BAR_JOURNAL, &size);
    g_assert_cmpuint(size, ==, t->journal_entries *
                               sizeof(struct pindma_journal_entry));
    rig_free(t);
}

#define REGS_END    PINDMA_QUEUE_REGS(PINDMA_NUM_QUEUES)
#define SPARE       (PINDMA_NUM_QUEUES - 1)     /* a queue that is not used */

/* All that can be read, so that a write can be seen to change nothing. */
static void snapshot_regs(Rig *t, uint32_t *regs)
{
    uint32_t i;

    for (i = 0; i < REGS_END / 4; i++) {
        regs[i] = reg4(t, i * 4);
    }
}

static void check_regs(Rig *t, const uint32_t *want)
{
    uint32_t got[REGS_END / 4], i;

    snapshot_regs(t, got);
    for (i = 0; i < REGS_END / 4; i++) {
        if (got[i] != want[i]) {
            g_test_message("register 0x%x", i * 4);
        }
        g_assert_cmphex(got[i], ==, want[i]);
    }
}

typedef enum RegKind {
    OTHER,      /* has a test of its own */
    RO,
    WO,
    RWR,
} RegKind;

typedef struct Reg {
    uint64_t addr;
    int size;
    RegKind kind;
} Reg;

#define QREG(qn, name, size, kind) \
    { PINDMA_QUEUE_REGS(qn) + PINDMA_QUEUE_##name, size, kind }

static const Reg registers[] = {
    { PINDMA_REG_MAGIC, 4, RO },
    { PINDMA_REG_VERSION, 4, RO },
    { PINDMA_REG_CAPS, 4, RO },
    { PINDMA_REG_CTRL, 4, WO },
    { PINDMA_REG_STATUS, 4, RO },
    { PINDMA_REG_MAX_MRS, 4, RO },
    { PINDMA_REG_MAX_PAGES, 4, RO },
    { PINDMA_REG_JOURNAL_ENTRIES, 4, RO },
    { PINDMA_REG_JOURNAL_SEQ, 8, RO },
    { PINDMA_REG_JOURNAL_LOST, 8, RO },
    { PINDMA_REG_TIME, 8, RO },         /* the clock of a qtest stands still */
    { PINDMA_REG_INTR, 4, RO },         /* there is nothing to clear */
    { PINDMA_REG_DMA_BITS, 4, RO },
    { PINDMA_REG_STALE, 8, RO },
    { PINDMA_REG_STALE_ADDR, 8, RO },
    { PINDMA_REG_FAULT, 4, OTHER },
    { PINDMA_REG_FAULT_QUEUES, 4, RWR },
    { PINDMA_REG_FAULT_SKIP, 4, RWR },
    { PINDMA_REG_FAULT_COUNT, 4, RWR },
    { PINDMA_REG_FAULT_ARG, 8, RWR },
    { PINDMA_REG_FAULT_DELAY, 8, OTHER },
    { PINDMA_REG_FAULT_HITS, 8, RO },
    QREG(SPARE, SQ_ADDR, 8, RWR),
    QREG(SPARE, CQ_ADDR, 8, RWR),
    QREG(SPARE, ENTRIES, 4, RWR),
    QREG(SPARE, ENABLE, 4, OTHER),
    QREG(SPARE, PD, 4, RWR),
    QREG(SPARE, SHADOW, 8, RWR),
    QREG(SPARE, SQ_HEAD, 4, RO),
    QREG(SPARE, CQ_TAIL, 4, RO),
    QREG(IO, SQ_ADDR, 8, OTHER),
    QREG(IO, CQ_ADDR, 8, OTHER),
    QREG(IO, ENTRIES, 4, OTHER),
    QREG(IO, ENABLE, 4, OTHER),
    QREG(IO, PD, 4, OTHER),
    QREG(IO, SHADOW, 8, OTHER),
    QREG(IO, SQ_HEAD, 4, RO),
    QREG(IO, CQ_TAIL, 4, RO),
    { PINDMA_DB(SPARE) + PINDMA_DB_SQ_TAIL, 4, WO },
    { PINDMA_DB(SPARE) + PINDMA_DB_CQ_HEAD, 4, WO },
    { PINDMA_DB(SPARE) + PINDMA_DB_MARK, 8, WO },
    /* No registers: the gaps, the end of each group, and of the BAR */
    { 0x78, 4, RO },
    { 0xf8, 4, RO },
    { PINDMA_QUEUE_REGS(IO) + 0x30, 4, RO },
    { REGS_END, 4, RO },
    { PINDMA_DB(ADMIN) - 8, 4, RO },
    { PINDMA_DB(IO) + 0x10, 4, RO },
    { PINDMA_DB(IO) + PAGE - 8, 4, RO },
    { PINDMA_DB(PINDMA_NUM_QUEUES), 4, RO },
    { PINDMA_BAR_REGS_SIZE - 8, 4, RO },
};

/* Parts of a register, what lies across two of them, and 8 bytes of 4 */
static void check_wrong_sizes(Rig *t, const Reg *reg)
{
    uint64_t addr = reg->addr;
    int odd;

    for (odd = 0; odd < reg->size; odd++) {
        g_assert_cmphex(qpci_io_readb(t->dev, t->regs, addr + odd), ==, 0);
        qpci_io_writeb(t->dev, t->regs, addr + odd, 0xff);
        g_assert_cmphex(qpci_io_readw(t->dev, t->regs, addr + odd), ==, 0);
        qpci_io_writew(t->dev, t->regs, addr + odd, 0xffff);
        if (odd % 4) {
            g_assert_cmphex(reg4(t, addr + odd), ==, 0);
            set4(t, addr + odd, 0xffffffff);
        }
    }
    if (reg->size == 4 && addr % 8 == 0) {
        g_assert_cmphex(reg8(t, addr), ==, 0);
        set8(t, addr, ~0ull);
    }
}

static void check_right_sizes(Rig *t, const Reg *reg, const uint32_t *before)
{
    uint64_t addr = reg->addr;

    switch (reg->kind) {
    case OTHER:
        break;
    case RO:
        set4(t, addr, ~reg4(t, addr));
        if (reg->size == 8) {
            set4(t, addr + 4, ~reg4(t, addr + 4));
            set8(t, addr, ~reg8(t, addr));
        }
        break;
    case WO:
        g_assert_cmphex(reg4(t, addr), ==, 0);
        if (reg->size == 8) {
            g_assert_cmphex(reg4(t, addr + 4), ==, 0);
            g_assert_cmphex(reg8(t, addr), ==, 0);
        }
        break;
    case RWR:
        if (reg->size == 4) {
            set4(t, addr, 0x89abcdef);
            g_assert_cmphex(reg4(t, addr), ==, 0x89abcdef);
            set4(t, addr, before[addr / 4]);
            break;
        }
        set8(t, addr, VALUE);
        g_assert_cmphex(reg8(t, addr), ==, VALUE);
        g_assert_cmphex(reg4(t, addr + 4), ==, VALUE >> 32);
        set4(t, addr + 4, 0x76543210);
        g_assert_cmphex(reg8(t, addr), ==, 0x7654321089abcdef);
        set4(t, addr, 0xfedcba98);
        g_assert_cmphex(reg8(t, addr), ==, 0x76543210fedcba98);
        set8(t, addr, (uint64_t)before[addr / 4 + 1] << 32 |
                      before[addr / 4]);
        break;
    }
}

static void check_registers(Rig *t)
{
    uint32_t before[REGS_END / 4];
    int i;

    qset4(t, SPARE, PINDMA_QUEUE_ENABLE, 0);
    snapshot_regs(t, before);
    for (i = 0; i < ARRAY_SIZE(registers); i++) {
        check_wrong_sizes(t, &registers[i]);
        if (registers[i].kind == RWR) {
            check_regs(t, before);      /* what follows would hide it */
        }
        check_right_sizes(t, &registers[i], before);
        check_regs(t, before);
    }
}

/* The part of the machine that the registers lie in is not there. */
static void check_no_registers(Rig *t)
{
    int i;

    for (i = 0; i < ARRAY_SIZE(registers); i++) {
        uint32_t was = reg4(t, registers[i].addr);

        g_assert_true(was == 0 || was == UINT32_MAX);
        set4(t, registers[i].addr, 0x12345678);
        set8(t, registers[i].addr & ~7ull, ~0ull);
        g_assert_cmphex(reg4(t, registers[i].addr), ==, was);
    }
}

static void secondary_bus_reset(Rig *t, bool on)
{
    uint16_t ctl = qpci_config_readw(t->port, PCI_BRIDGE_CONTROL);

    ctl = on ? ctl | PCI_BRIDGE_CTL_BUS_RESET : ctl & ~PCI_BRIDGE_CTL_BUS_RESET;
    qpci_config_writew(t->port, PCI_BRIDGE_CONTROL, ctl);
}

/*
 * Every register, with every wrong access, in every state that the device can
 * be in.  Red: valid.min_access_size = 1 in pindma_mmio_ops; a register removed
 * from or added to pindma_reg_is_8(); no check of size 8 in pindma_mmio_read()
 * or pindma_mmio_write(); a line of pindma_reset().
 */
static void test_register_access(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    uint8_t cap = qpci_find_capability(t->dev, PCI_CAP_ID_EXP, 0);
    uint64_t tag;

    check_registers(t);

    /* Busy: a hammer whose second stamp is never due, an op without a mark */
    tag = start(t, IO, OP(HAMMER, .key = 1, .len = 1, .rate = 1));
    run_ok(t, OP(NOP));
    start(t, IO, OP(NOP, .flags = PINDMA_SQE_ON_MARK, .when = ~0ull));
    run_ok(t, OP(NOP));
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, BUSY);
    check_registers(t);

    bus_master(t, false);
    check_registers(t);
    bus_master(t, true);
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, BUSY);
    hammer_stop(t, tag);

    /* A function level reset takes the BARs away, too. */
    qset4(t, SPARE, PINDMA_QUEUE_PD, 5);
    qpci_config_writew(t->dev, cap + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    check_no_registers(t);
    pci_setup(t);
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);
    g_assert_cmphex(qreg4(t, SPARE, PINDMA_QUEUE_PD), ==, 0);
    check_registers(t);

    /* While the bus is held in reset, and after it */
    queues_setup(t);
    mr_register(t, mr, RW);
    start(t, IO, OP(HAMMER, .key = 1, .len = 1, .rate = 1));
    secondary_bus_reset(t, true);
    check_no_registers(t);
    secondary_bus_reset(t, false);
    check_no_registers(t);
    pci_setup(t);
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);
    g_assert_cmphex(qreg4(t, IO, PINDMA_QUEUE_ENTRIES), ==, 0);
    check_registers(t);
    rig_free(t);
    g_free(mr);
}

/* --------------------------------------------------------------- the queues */

/* Red: any of the conditions in pindma_queue_enable(). */
static void test_queue_setup(void)
{
    static const struct {
        uint32_t entries;
        uint64_t sq, cq;
        bool ok;
    } setups[] = {
        { PINDMA_QUEUE_MIN_ENTRIES, RAM_BASE, RAM_BASE + PAGE, true },
        { PINDMA_QUEUE_MAX_ENTRIES, RAM_BASE, 2 * RAM_BASE, true },
        { 64, 0, 0, true },     /* no good idea, but no error */
        { 64, 1ull << 63, 1ull << 62, true },
        { 0, RAM_BASE, RAM_BASE + PAGE, false },
        { 1, RAM_BASE, RAM_BASE + PAGE, false },
        { 3, RAM_BASE, RAM_BASE + PAGE, false },
        { 65, RAM_BASE, RAM_BASE + PAGE, false },
        { PINDMA_QUEUE_MAX_ENTRIES * 2, RAM_BASE, RAM_BASE + PAGE, false },
        { 1u << 31, RAM_BASE, RAM_BASE + PAGE, false },
        { UINT32_MAX, RAM_BASE, RAM_BASE + PAGE, false },
        { 64, RAM_BASE + 64, RAM_BASE + PAGE, false },
        { 64, RAM_BASE, RAM_BASE + PAGE / 2, false },
        { 64, RAM_BASE + 1, RAM_BASE + PAGE, false },
    };
    Rig *t = rig_new(true);
    uint64_t regs;
    int qn, i;

    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        regs = PINDMA_QUEUE_REGS(qn);
        for (i = 0; i < ARRAY_SIZE(setups); i++) {
            set4(t, regs + PINDMA_QUEUE_ENABLE, 0);
            g_assert_cmpuint(reg4(t, regs + PINDMA_QUEUE_ENABLE), ==, 0);
            set8(t, regs + PINDMA_QUEUE_SQ_ADDR, setups[i].sq);
            set8(t, regs + PINDMA_QUEUE_CQ_ADDR, setups[i].cq);
            set4(t, regs + PINDMA_QUEUE_ENTRIES, setups[i].entries);
            /* No bell rings while the queue is off. */
            db4(t, qn, PINDMA_DB_SQ_TAIL, 1);
            set4(t, regs + PINDMA_QUEUE_ENABLE, 1);
            g_assert_cmpuint(reg4(t, regs + PINDMA_QUEUE_ENABLE), ==,
                             setups[i].ok);
            g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);
        }
    }
    rig_free(t);
}

/* Red: the check of q->enabled in pindma_queue_set(). */
static void test_queue_setup_while_enabled(void)
{
    Rig *t = rig_new(true);
    uint64_t regs;
    int qn;

    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        regs = PINDMA_QUEUE_REGS(qn);
        set8(t, regs + PINDMA_QUEUE_SQ_ADDR, RAM_BASE + 8 * PAGE);
        set8(t, regs + PINDMA_QUEUE_CQ_ADDR, RAM_BASE + 9 * PAGE);
        set4(t, regs + PINDMA_QUEUE_SQ_ADDR, 0);
        set4(t, regs + PINDMA_QUEUE_CQ_ADDR + 4, 1);
        set4(t, regs + PINDMA_QUEUE_ENTRIES, 8);
        set4(t, regs + PINDMA_QUEUE_PD, 8);
        set8(t, regs + PINDMA_QUEUE_SHADOW, RAM_BASE);
        set4(t, regs + PINDMA_QUEUE_SHADOW + 4, 1);
        g_assert_cmphex(reg8(t, regs + PINDMA_QUEUE_SHADOW), ==, 0);
        g_assert_cmphex(reg8(t, regs + PINDMA_QUEUE_SQ_ADDR), ==,
                        t->q[qn].sq);
        g_assert_cmphex(reg8(t, regs + PINDMA_QUEUE_CQ_ADDR), ==,
                        t->q[qn].cq);
        g_assert_cmpuint(reg4(t, regs + PINDMA_QUEUE_ENTRIES), ==,
                         t->q[qn].entries);
        g_assert_cmpuint(reg4(t, regs + PINDMA_QUEUE_PD), ==, 0);
        run_on(t, qn, OP(NOP));
        set4(t, regs + PINDMA_QUEUE_ENABLE, 1);     /* it is, and goes on */
        g_assert_cmpuint(reg4(t, regs + PINDMA_QUEUE_SQ_HEAD), ==, 1);
        run_on(t, qn, OP(NOP));
    }
    rig_free(t);
}

/*
 * Red: val >= q->entries in pindma_queue_doorbell(), for either of them; the
 * comparison with cq_tail there.
 */
static void test_queue_doorbells(void)
{
    Rig *t = rig_new(true);
    struct pindma_cqe cqe;
    int i;

    queue_setup(t, IO, 4);
    db4(t, IO, PINDMA_DB_SQ_TAIL, 4);
    db4(t, IO, PINDMA_DB_SQ_TAIL, UINT32_MAX);
    settle();
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);
    g_assert_cmpuint(qreg4(t, IO, PINDMA_QUEUE_SQ_HEAD), ==, 0);

    start(t, IO, OP(NOP));
    WAIT_FOR(qreg4(t, IO, PINDMA_QUEUE_CQ_TAIL) == 1);
    /* One cqe has been written: a head that runs ahead of it is ignored. */
    db4(t, IO, PINDMA_DB_CQ_HEAD, 2);
    db4(t, IO, PINDMA_DB_CQ_HEAD, 3);
    db4(t, IO, PINDMA_DB_CQ_HEAD, 5);
    /* So there is room for two more, and not for a third. */
    for (i = 0; i < 3; i++) {
        start(t, IO, OP(NOP));
    }
    WAIT_FOR(qreg4(t, IO, PINDMA_QUEUE_CQ_TAIL) == 3);
    settle();
    g_assert_cmpuint(qreg4(t, IO, PINDMA_QUEUE_CQ_TAIL), ==, 3);
    for (i = 0; i < 4; i++) {
        cqe = reap(t, IO);
        g_assert_cmphex(cqe.tag, ==, i + 1);
    }
    /* All have been read: it cannot go back, either. */
    db4(t, IO, PINDMA_DB_CQ_HEAD, 3);
    for (i = 0; i < 3; i++) {
        start(t, IO, OP(NOP));
    }
    WAIT_FOR(qreg4(t, IO, PINDMA_QUEUE_CQ_TAIL) == 3);
    rig_free(t);
}

/* Red: q->phase = !q->phase, or "& (q->entries - 1)" of sq_head or cq_tail. */
static void test_ring_wrap(void)
{
    static const uint32_t sizes[] = { 2, 4, 64, PINDMA_QUEUE_MAX_ENTRIES };
    Rig *t = rig_new(false);
    struct pindma_cqe cqe;
    uint64_t tag;
    uint32_t i, n;
    int size;

    for (size = 0; size < ARRAY_SIZE(sizes); size++) {
        queue_setup(t, IO, sizes[size]);
        tag = t->tag;
        /* Batches of all lengths, at all places of the ring */
        for (i = 0; i < 20; i++) {
            uint32_t batch = MIN(i, sizes[size] - 1);

            if (sizes[size] > 64 && i % 3 == 0) {
                batch = 1000;
            }
            for (n = 0; n < batch; n++) {
                post(t, IO, OP(NOP));
            }
            ring(t, IO);
            for (n = 0; n < batch; n++) {
                cqe = reap(t, IO);
                g_assert_cmphex(cqe.tag, ==, ++tag);
                g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
                g_assert_cmphex(cqe.seq, ==, 0);
            }
        }
        g_assert_cmphex(tag, ==, t->tag);
        g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);
    }
    rig_free(t);
}

/* Red: !pindma_cq_room(q) in pindma_queue_fetch(), or beside_mask in it. */
static void test_cq_full(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 2, 0, 0, RW);
    struct pindma_cqe cqe;
    uint64_t hammer;
    int i;

    queue_setup(t, IO, 8);
    hammer = start(t, IO, OP(HAMMER, .key = 1, .len = 1, .rate = 1));
    for (i = 0; i < 6; i++) {
        run_ok(t, OP(NOP));
    }
    for (i = 0; i < 7; i++) {
        start(t, IO, OP(FILL, .key = 1, .offset = PAGE + i, .len = 1));
    }
    /* The hammer's cqe needs one of the seven slots. */
    WAIT_FOR(qreg4(t, IO, PINDMA_QUEUE_CQ_TAIL) == 4);
    settle();
    stq_le_p(mr_want(mr, 0), 0);
    memset(mr_want(mr, PAGE), 0, 6);
    mr_check(t, mr);
    g_assert_cmpuint(qreg4(t, IO, PINDMA_QUEUE_CQ_TAIL), ==, 4);
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, BUSY);

    /* Each cqe that is read lets one op go. */
    cqe = reap(t, IO);
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
    WAIT_FOR(qreg4(t, IO, PINDMA_QUEUE_CQ_TAIL) == 5);
    memset(mr_want(mr, PAGE), 0, 7);
    mr_check(t, mr);
    for (i = 0; i < 6; i++) {
        cqe = reap(t, IO);
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
    }
    run_on(t, ADMIN, OP(DEREG_MR, .key = 1));
    cqe = reap(t, IO);
    g_assert_cmphex(cqe.tag, ==, hammer);
    rig_free(t);
    g_free(mr);
}

/*
 * A ring outside of RAM.  Red: either call of pindma_queue_fail(), or
 * s->queue_error there.
 */
static void test_ring_not_ram(void)
{
    static const uint64_t nowhere[] = { MMIO_HOLE, MMIO_WINDOW, 1ull << 40 };
    Rig *t = rig_new(true);
    uint64_t regs, bad;
    int qn, i, which;

    for (i = 0; i < ARRAY_SIZE(nowhere); i++) {
        for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
            for (which = 0; which < 2; which++) {
                regs = PINDMA_QUEUE_REGS(qn);
                bad = which ? PINDMA_QUEUE_CQ_ADDR : PINDMA_QUEUE_SQ_ADDR;
                set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
                g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);
                queues_setup(t);
                set4(t, regs + PINDMA_QUEUE_ENABLE, 0);
                set8(t, regs + bad, nowhere[i]);
                set4(t, regs + PINDMA_QUEUE_ENABLE, 1);
                start(t, qn, OP(NOP));
                WAIT_FOR(reg4(t, PINDMA_REG_STATUS) ==
                         PINDMA_STATUS_QUEUE_ERROR);
                g_assert_cmpuint(reg4(t, regs + PINDMA_QUEUE_ENABLE), ==, 0);
                /* The others live on. */
                run_on(t, (qn + 1) % PINDMA_NUM_QUEUES, OP(NOP));
                g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==,
                                PINDMA_STATUS_QUEUE_ERROR);
            }
        }
    }
    set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
    queues_setup(t);
    run_ok(t, OP(NOP));
    rig_free(t);
}

void pindma_add_queue_tests(void)
{
    add_on_both("identity", test_identity);
    qtest_add_func("/pindma/registers", test_register_access);
    qtest_add_func("/pindma/queue/setup", test_queue_setup);
    qtest_add_func("/pindma/queue/setup-while-enabled",
                   test_queue_setup_while_enabled);
    qtest_add_func("/pindma/queue/doorbells", test_queue_doorbells);
    qtest_add_func("/pindma/queue/wrap", test_ring_wrap);
    qtest_add_func("/pindma/queue/cq-full", test_cq_full);
    qtest_add_func("/pindma/queue/not-ram", test_ring_not_ram);
}
