/*
 * QTest testcase for the pindma device: interrupts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "pindma-test.h"

/* --------------------------------------------------------------- interrupts */

/*
 * Red: the MSI sent when an op is fetched, not when it is complete; 1u << qn
 * in pindma_queue_end(); no msix_vector_use().
 */
static void test_msix(const void *express)
{
    Rig *t = rig_new(express);
    MR *mr = mr_new(t, 1, MR_PAGES, FIRST, 0, RW);
    uint64_t msi = ram_alloc(t, 1), pages[8192];
    uint32_t got[PINDMA_NUM_QUEUES];
    struct pindma_cqe cqe;
    uint8_t last;
    int i, qn;

    /* Without MSI-X it works, too, just more quietly. */
    run_ok(t, OP(NOP));
    qpci_msix_enable(t->dev);
    set4(t, PINDMA_REG_INTR, UINT32_MAX);
    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        msix_setup(t, qn, msi + 4 * qn);
    }

    /* Masked: only a pending bit, of the right vector */
    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        qtest_memset(t->qts, msi, 0, sizeof(got));
        msix_mask(t, qn, true);
        g_assert_false(qpci_msix_pending(t->dev, qn));
        run_on(t, qn, OP(NOP));
        WAIT_FOR(qpci_msix_pending(t->dev, qn));
        settle();
        qtest_memread(t->qts, msi, got, sizeof(got));
        g_assert_true(buffer_is_zero(got, sizeof(got)));
        msix_mask(t, qn, false);
        qtest_memread(t->qts, msi, got, sizeof(got));
        for (i = 0; i < PINDMA_NUM_QUEUES; i++) {
            g_assert_cmphex(got[i], ==, i == qn ? MSI_DATA(qn) : 0);
            g_assert_false(qpci_msix_pending(t->dev, i));
        }
        g_assert_cmphex(reg4(t, PINDMA_REG_INTR), ==, 0);
    }

    /*
     * Where the MSI is, there is the cqe; and with the cqe, the data.  The op
     * has so many pages, all but the last of them the same, that the engine
     * does not come to its end without looking up.
     */
    for (i = 0; i < ARRAY_SIZE(pages); i++) {
        pages[i] = mr_page(mr, 0);
    }
    pages[i - 1] = mr_page(mr, 1);
    run_ok(t, OP(REG_MR, .key = 2, .mode = RW, .len = sizeof(pages) / 8 * PAGE,
                 .value = page_list(t, pages, ARRAY_SIZE(pages))));
    for (i = 1; i < 30; i++) {
        qtest_writel(t->qts, msi + 4 * IO, 0);
        start(t, IO, OP(FILL, .key = 2, .len = sizeof(pages) / 8 * PAGE,
                        .value = i));
        WAIT_FOR(ram4(t, msi + 4 * IO));
        g_assert_true(peek(t, IO, &cqe));
        consume(t, IO);
        last = qtest_readb(t->qts, mr_page(mr, 1) + PAGE - 1);
        g_assert_cmphex(last, ==, i);
    }

    /* No MSI without bus mastering: it is a write like any other. */
    bus_master(t, false);
    qtest_writel(t->qts, msi + 4 * IO, 0);
    start(t, IO, OP(NOP));
    settle();
    g_assert_cmphex(ram4(t, msi + 4 * IO), ==, 0);
    bus_master(t, true);
    WAIT_FOR(ram4(t, msi + 4 * IO));
    reap(t, IO);
    rig_free(t);
    g_free(mr);
}

/*
 * Without MSI-X all queues share an interrupt, and a register tells whose it
 * is.  Red: s->intr in pindma_interrupt(), msi_notify() there.
 */
static void test_msi(const void *express)
{
    Rig *t = rig_new_with(express, ",msix=off", "");
    uint64_t msi = ram_alloc(t, 1);
    uint8_t cap = qpci_find_capability(t->dev, PCI_CAP_ID_MSI, 0);
    int qn;

    g_assert_cmphex(qpci_find_capability(t->dev, PCI_CAP_ID_MSIX, 0), ==, 0);
    g_assert_cmphex(cap, !=, 0);
    qpci_config_writel(t->dev, cap + PCI_MSI_ADDRESS_LO, msi);
    qpci_config_writel(t->dev, cap + PCI_MSI_ADDRESS_HI, msi >> 32);
    qpci_config_writew(t->dev, cap + PCI_MSI_DATA_64, 0xabcd);
    qpci_config_writew(t->dev, cap + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE);
    qtest_memset(t->qts, msi, 0, 8);
    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        set4(t, PINDMA_REG_INTR, UINT32_MAX);
        g_assert_cmphex(reg4(t, PINDMA_REG_INTR), ==, 0);
        run_on(t, qn, OP(NOP));
        WAIT_FOR(ram4(t, msi));
        g_assert_cmphex(ram4(t, msi), ==, 0xabcd);
        g_assert_cmphex(reg4(t, PINDMA_REG_INTR), ==, 1u << qn);
        qtest_writel(t->qts, msi, 0);
        g_assert_false(qpci_config_readw(t->dev, PCI_STATUS) &
                       PCI_STATUS_INTERRUPT);
    }
    rig_free(t);
}

#define Q35_SLOT4_GSI   20      /* INTA of slot 4, and what is below it */

static bool intx(Rig *t)
{
    bool status = qpci_config_readw(t->dev, PCI_STATUS) & PCI_STATUS_INTERRUPT;

    if (t->port) {
        g_assert_true(qtest_get_irq(t->qts, Q35_SLOT4_GSI) == status);
    }
    return status;
}

/*
 * A level that stays until all of its reasons have been acknowledged.  Red:
 * "&= ~val" or the update after it in pindma_reg_set(); the one in
 * pindma_config_write() or pindma_reset().
 */
static void test_intx(const void *express)
{
    Rig *t = rig_new_bare(express, ",msix=off,msi=off", "");
    int qn;

    if (express) {
        qtest_irq_intercept_in(t->qts, "ioapic");
    }
    pci_setup(t);
    queues_setup(t);
    g_assert_cmphex(qpci_find_capability(t->dev, PCI_CAP_ID_MSIX, 0), ==, 0);
    g_assert_cmphex(qpci_find_capability(t->dev, PCI_CAP_ID_MSI, 0), ==, 0);
    g_assert_false(intx(t));
    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        run_on(t, qn, OP(NOP));
        WAIT_FOR(intx(t));
        g_assert_cmphex(reg4(t, PINDMA_REG_INTR), ==, 1u << qn);
        set4(t, PINDMA_REG_INTR, ~(1u << qn));
        g_assert_true(intx(t));
        set4(t, PINDMA_REG_INTR, 1u << qn);
        g_assert_false(intx(t));
    }
    run_on(t, IO, OP(NOP));
    run_on(t, IO + 1, OP(NOP));
    WAIT_FOR(reg4(t, PINDMA_REG_INTR) == (1u << IO | 1u << (IO + 1)));
    set4(t, PINDMA_REG_INTR, 1u << IO);
    g_assert_true(intx(t));
    set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
    g_assert_false(intx(t));
    g_assert_cmphex(reg4(t, PINDMA_REG_INTR), ==, 0);
    rig_free(t);

    /* A driver that goes on to MSI has a quiet pin, and back again. */
    t = rig_new_with(express, ",msix=off", "");
    if (express) {
        qtest_irq_intercept_in(t->qts, "ioapic");
    }
    run_on(t, IO, OP(NOP));
    WAIT_FOR(reg4(t, PINDMA_REG_INTR) == 1u << IO);
    g_assert_true(qpci_config_readw(t->dev, PCI_STATUS) & PCI_STATUS_INTERRUPT);
    qn = qpci_find_capability(t->dev, PCI_CAP_ID_MSI, 0);
    qpci_config_writew(t->dev, qn + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE);
    g_assert_false(qpci_config_readw(t->dev, PCI_STATUS) &
                   PCI_STATUS_INTERRUPT);
    qpci_config_writew(t->dev, qn + PCI_MSI_FLAGS, 0);
    g_assert_true(qpci_config_readw(t->dev, PCI_STATUS) & PCI_STATUS_INTERRUPT);
    rig_free(t);
}

void pindma_add_irq_tests(void)
{
    add_on_both("msix", test_msix);
    add_on_both("msi", test_msi);
    add_on_both("intx", test_intx);
}
