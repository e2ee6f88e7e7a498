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

void pindma_add_irq_tests(void)
{
    add_on_both("msix", test_msix);
}
