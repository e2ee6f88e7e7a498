/*
 * QTest testcase for the pindma device: behind an IOMMU, and beside devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-test.h"

/* -------------------------------------------------------------- intel-iommu */

#define VTD             0xfed90000ull
#define VTD_GCMD        0x18
#define VTD_GSTS        0x1c
#define VTD_RTADDR      0x20
#define VTD_CCMD        0x28
#define VTD_FSTS        0x34
#define VTD_IOTLB       0xf8
#define VTD_SRTP        (1u << 30)
#define VTD_TE          (1u << 31)
#define VTD_ALL         (1ull << 63 | 1ull << 61)
#define VTD_ALL_IOTLB   (1ull << 63 | 1ull << 60)
#define VTD_RW          3ull
#define VTD_BIG         (1ull << 7)     /* 2 MiB */
#define VTD_PPF         (1u << 1)       /* a fault has been recorded */

#define IOVA            (1ull << 32)    /* RAM ends far below */

typedef struct Iommu {
    uint64_t root, context, top, low, high, ptes;
} Iommu;

static void vtd_invalidate(Rig *t)
{
    qtest_writeq(t->qts, VTD + VTD_CCMD, VTD_ALL);
    qtest_writeq(t->qts, VTD + VTD_IOTLB, VTD_ALL_IOTLB);
}

/* Three levels: all RAM where it is, and a page table at IOVA */
static Iommu iommu_setup(Rig *t)
{
    Iommu v = {
        .root = ram_alloc(t, 1), .context = ram_alloc(t, 1),
        .top = ram_alloc(t, 1), .low = ram_alloc(t, 1),
        .high = ram_alloc(t, 1), .ptes = ram_alloc(t, 1),
    };
    uint64_t i, bus = t->dev->devfn >> 8, devfn = t->dev->devfn & 0xff;

    qtest_memset(t->qts, v.root, 0, 6 * PAGE);
    qtest_writeq(t->qts, v.root + bus * 16, v.context | 1);
    qtest_writeq(t->qts, v.context + devfn * 16, v.top | 1);
    qtest_writeq(t->qts, v.context + devfn * 16 + 8, 1ull << 8 | 1);
    qtest_writeq(t->qts, v.top, v.low | VTD_RW);
    qtest_writeq(t->qts, v.top + (IOVA >> 30) * 8, v.high | VTD_RW);
    qtest_writeq(t->qts, v.high, v.ptes | VTD_RW);
    for (i = 0; i < RAM_SIZE >> 21; i++) {
        qtest_writeq(t->qts, v.low + i * 8, i << 21 | VTD_BIG | VTD_RW);
    }
    qtest_writeq(t->qts, VTD + VTD_RTADDR, v.root);
    qtest_writel(t->qts, VTD + VTD_GCMD, VTD_SRTP);
    vtd_invalidate(t);
    qtest_writel(t->qts, VTD + VTD_GCMD, VTD_TE);
    g_assert_true(qtest_readl(t->qts, VTD + VTD_GSTS) & VTD_TE);
    return v;
}

static void iommu_map(Rig *t, const Iommu *v, int n, uint64_t pte)
{
    qtest_writeq(t->qts, v->ptes + n * 8, pte);
    vtd_invalidate(t);
}

static Rig *rig_iommu(void)
{
    return rig_new_with(true, "", "-device intel-iommu,aw-bits=39");
}

/*
 * What is not mapped is not reached, at once and for good; the VM lives.  Red:
 * pindma_dma_forget() in the engine, or an address space of another device.
 */
static void test_iommu(void)
{
    Rig *t = rig_iommu();
    Iommu v = iommu_setup(t);
    uint64_t page = ram_alloc(t, 1), other = ram_alloc(t, 1), tag;
    uint64_t pages[] = { IOVA, IOVA + PAGE };
    struct pindma_journal_entry e;
    struct pindma_cqe cqe;
    int i;

    qtest_memset(t->qts, page, 0, 2 * PAGE);
    run_ok(t, OP(REG_MR, .key = 1, .mode = RW, .len = 2 * PAGE,
                 .value = page_list(t, pages, 2)));
    for (i = 0; i < 20; i++) {
        iommu_map(t, &v, 0, (i % 2 ? page : other) | VTD_RW);
        run_ok(t, OP(WRITE, .key = 1, .len = 8, .value = VALUE + i));
        g_assert_cmphex(qtest_readq(t->qts, i % 2 ? page : other), ==,
                        VALUE + i);

        /* Where there was RAM there may be registers a moment later. */
        iommu_map(t, &v, 0, page | VTD_RW);
        tag = start(t, IO, OP(HAMMER, .key = 1, .offset = PINDMA_REG_FAULT_ARG,
                              .len = 8, .value = VALUE));
        WAIT_FOR(qtest_readq(t->qts, page + PINDMA_REG_FAULT_ARG) > VALUE + 9);
        iommu_map(t, &v, 0, t->regs.addr | VTD_RW);
        reap_expect(t, IO, tag, PINDMA_ST_DMA_ERROR);
        g_assert_cmphex(reg8(t, PINDMA_REG_FAULT_ARG), ==, 0);
        qtest_memset(t->qts, page, 0, PAGE);

        /* Read-only, and then nothing at all, under a hammer */
        iommu_map(t, &v, 0, page | 1);
        cqe = run(t, OP(WRITE, .key = 1, .len = 8, .value = 1));
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
        run_ok(t, OP(READ, .key = 1, .len = 8));
        iommu_map(t, &v, 0, page | VTD_RW);
        tag = start(t, IO, OP(HAMMER, .key = 1, .len = 8, .value = VALUE));
        WAIT_FOR(qtest_readq(t->qts, page) > VALUE + 100);
        iommu_map(t, &v, 0, 0);
        qtest_writeq(t->qts, page, 0);
        cqe = reap(t, IO);
        g_assert_cmphex(cqe.tag, ==, tag);
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
        g_assert_cmphex(qtest_readq(t->qts, page), ==, 0);
        e = journal_entry(t, cqe.seq);
        g_assert_cmpuint(e.status, ==, PINDMA_ST_DMA_ERROR);
        g_assert_cmphex(e.addr, ==, IOVA);
        cqe = run(t, OP(READ, .key = 1, .mode = PINDMA_READ_CRC32,
                        .len = 2 * PAGE));
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
        cqe = run(t, OP(FETCH_ADD, .key = 1, .len = 8, .value = 1));
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
    }
    /* The guest has been told. */
    g_assert_true(qtest_readl(t->qts, VTD + VTD_FSTS) & VTD_PPF);
    rig_free(t);
}

/*
 * A device that goes on by itself is stopped by the IOMMU; one that has old
 * translations is not.  Red: pindma_ghost_translate(), pindma_dma_physical().
 */
static void test_iommu_stale(void)
{
    Rig *t = rig_iommu();
    Iommu v = iommu_setup(t);
    uint64_t page = ram_alloc(t, 2), iova = IOVA, list = page_list(t, &iova, 1);
    uint32_t faults[] = { PINDMA_FAULT_AFTER_STOP, PINDMA_FAULT_STALE_ATC };
    struct pindma_journal_entry e;
    uint64_t seq, tag;
    int i, n;

    for (i = 0; i < ARRAY_SIZE(faults); i++) {
        qtest_memset(t->qts, page, 0, PAGE);
        iommu_map(t, &v, 0, page | VTD_RW);
        run_ok(t, OP(REG_MR, .key = 1, .mode = RW, .len = PAGE,
                     .value = list));
        tag = start(t, IO, OP(HAMMER, .key = 1, .len = 8, .value = VALUE,
                              .rate = 1));
        WAIT_FOR(qtest_readq(t->qts, page) == VALUE);
        set8(t, PINDMA_REG_FAULT_ARG, 3);
        set8(t, PINDMA_REG_FAULT_DELAY, MS);
        set4(t, PINDMA_REG_FAULT, faults[i]);
        run_ok(t, OP(DEREG_MR, .key = 1));
        reap_expect(t, IO, tag, PINDMA_ST_ABORTED);
        iommu_map(t, &v, 0, 0);
        seq = journal_seq(t);
        qtest_clock_step(t->qts, MS);
        WAIT_FOR(journal_seq(t) == seq + 3);
        for (n = 1; n <= 3; n++) {
            e = journal_entry(t, seq + n);
            g_assert_cmphex(e.addr, ==, IOVA);
            g_assert_cmpuint(e.fault, ==, faults[i]);
            g_assert_cmpuint(e.status, ==, i ? PINDMA_ST_STALE
                                             : PINDMA_ST_DMA_ERROR);
        }
        g_assert_cmphex(qtest_readq(t->qts, page), ==, VALUE + i * 3);
        g_assert_cmpuint(reg8(t, PINDMA_REG_STALE), ==, 3 * (i + 1));
    }

    /* Where the IOMMU leads nowhere, there is nothing to remember. */
    run_ok(t, OP(REG_MR, .key = 1, .mode = RW, .len = PAGE, .value = list));
    iommu_map(t, &v, 0, page | VTD_RW);
    tag = start(t, IO, OP(HAMMER, .key = 1, .len = 8, .rate = 1));
    WAIT_FOR(qtest_readq(t->qts, page) == 0);
    iommu_map(t, &v, 0, 0);
    set4(t, PINDMA_REG_FAULT, PINDMA_FAULT_STALE_ATC);
    hammer_stop(t, tag);
    seq = journal_seq(t);
    qtest_clock_step(t->qts, MS);
    settle();
    g_assert_cmpuint(journal_seq(t), ==, seq);
    rig_free(t);
}

/*
 * A ring that is not mapped, or a shadow, from one moment to the next.  Red:
 * pindma_queue_fail(), either call.
 */
static void test_iommu_ring(void)
{
    Rig *t = rig_iommu();
    Iommu v = iommu_setup(t);

    run_ok(t, OP(NOP));
    qtest_writeq(t->qts, v.low + (t->q[IO].sq >> 21) * 8, 0);
    vtd_invalidate(t);
    start(t, IO, OP(NOP));
    WAIT_FOR(reg4(t, PINDMA_REG_STATUS) == PINDMA_STATUS_QUEUE_ERROR);
    g_assert_cmpuint(qreg4(t, IO, PINDMA_QUEUE_ENABLE), ==, 0);

    set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
    qtest_writeq(t->qts, v.low + (t->q[IO].sq >> 21) * 8,
                 t->q[IO].sq >> 21 << 21 | VTD_BIG | VTD_RW);
    vtd_invalidate(t);
    queue_setup_shadow(t, IO, 64);
    run_on(t, IO, OP(NOP));
    qtest_writeq(t->qts, v.low + (t->q[IO].shadow >> 21) * 8, 0);
    vtd_invalidate(t);
    db4(t, IO, PINDMA_DB_SQ_TAIL, 0);
    WAIT_FOR(reg4(t, PINDMA_REG_STATUS) == PINDMA_STATUS_QUEUE_ERROR);
    g_assert_cmpuint(qreg4(t, IO, PINDMA_QUEUE_ENABLE), ==, 0);
    rig_free(t);
}

/* ------------------------------------------------------------- peer to peer */

#define SHM_SIZE    (1u << 20)
#define SHM_WINDOW  0xf0000000ull       /* beyond that of the root port */

/*
 * RAM in a BAR of another device is RAM, its registers are not.  Red: the test
 * of memory_region_is_ram() in pindma_is_ram().
 */
static void test_peer(void)
{
    Rig *t = rig_new_with(true, "",
                          "-object memory-backend-ram,id=shm,size=1M,share=on "
                          "-device ivshmem-plain,memdev=shm,addr=6");
    QPCIDevice *peer = qpci_device_find(t->bus, QPCI_DEVFN(6, 0));
    MR *mr = mr_new(t, 2, 1, 0, 0, RW);
    uint64_t pages[2];
    struct pindma_cqe cqe;
    QPCIBar shm, regs;
    int i;

    g_assert_nonnull(peer);
    t->bus->mmio_alloc_ptr = SHM_WINDOW;
    shm = qpci_iomap(peer, 2, NULL);
    regs = qpci_iomap(peer, 0, NULL);
    qpci_device_enable(peer);
    pages[0] = shm.addr + SHM_SIZE - PAGE;
    pages[1] = regs.addr;
    run_ok(t, OP(REG_MR, .key = 1, .mode = RW, .len = 2 * PAGE,
                 .value = page_list(t, pages, 2)));
    run_ok(t, OP(FILL, .key = 1, .len = PAGE, .value = 0x77));
    run_ok(t, OP(WRITE, .key = 1, .offset = 5, .len = 8, .value = VALUE));
    run_ok(t, OP(FETCH_ADD, .key = 1, .offset = 64, .len = 8, .value = 1));
    g_assert_cmphex(qpci_io_readb(peer, shm, SHM_SIZE - 1), ==, 0x77);
    g_assert_cmphex(qpci_io_readb(peer, shm, SHM_SIZE - PAGE + 5), ==, 0xef);
    g_assert_cmphex(qpci_io_readb(peer, shm, SHM_SIZE - PAGE + 64), ==, 0x78);
    run_ok(t, OP(COPY, .key = 2, .len = PAGE, .src_key = 1));
    want_bytes(mr, 0, PAGE, 0x77);
    for (i = 0; i < 8; i++) {
        *mr_want(mr, 5 + i) = VALUE >> 8 * i;
    }
    *mr_want(mr, 64) = 0x78;
    mr_check(t, mr);
    for (i = 1; i <= 8; i *= 2) {
        cqe = run(t, OP(WRITE, .key = 1, .offset = PAGE, .len = i));
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
        cqe = run(t, OP(READ, .key = 1, .offset = PAGE, .len = i));
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
    }
    /* The peer is switched off: then there is nothing. */
    qpci_config_writew(peer, PCI_COMMAND, 0);
    cqe = run(t, OP(READ, .key = 1, .len = 8));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
    g_free(peer);
    rig_free(t);
    g_free(mr);
}

void pindma_add_iommu_tests(void)
{
    if (qtest_has_device("intel-iommu")) {
        qtest_add_func("/pindma/iommu/map", test_iommu);
        qtest_add_func("/pindma/iommu/stale", test_iommu_stale);
        qtest_add_func("/pindma/iommu/ring", test_iommu_ring);
    }
    if (qtest_has_device("ivshmem-plain")) {
        qtest_add_func("/pindma/peer", test_peer);
    }
}
