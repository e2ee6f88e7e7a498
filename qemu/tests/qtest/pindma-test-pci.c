/*
 * QTest testcase for the pindma device: what stops a device in flight
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-test.h"

/* -------------------------------------------- what stops a device in flight */

static void by_queue_disable(Rig *t)
{
    qset4(t, IO, PINDMA_QUEUE_ENABLE, 0);
}

static void by_ctrl_reset(Rig *t)
{
    set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
}

static void by_system_reset(Rig *t)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'system_reset'}");
    qtest_qmp_eventwait(t->qts, "RESET");
}

static void by_flr(Rig *t)
{
    uint8_t cap = qpci_find_capability(t->dev, PCI_CAP_ID_EXP, 0);

    qpci_config_writew(t->dev, cap + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
}

static void by_bus_master_off(Rig *t)
{
    bus_master(t, false);
}

static void bus_master_on(Rig *t)
{
    bus_master(t, true);
}

static void by_vm_stop(Rig *t)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'stop'}");
    qtest_qmp_eventwait(t->qts, "STOP");
}

static void vm_cont(Rig *t)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'cont'}");
    qtest_qmp_eventwait(t->qts, "RESUME");
}

typedef struct Stopper {
    const char *name;
    void (*stop)(Rig *t);
    void (*go)(Rig *t);         /* NULL: stop was for good */
    bool plain;                 /* on plain PCI, too */
    bool pci;                   /* BARs and bus mastering are gone, too */
} Stopper;

static const Stopper stoppers[] = {
    { "bus-master", by_bus_master_off, bus_master_on, true },
    { "vm-stop", by_vm_stop, vm_cont },
    { "queue-disable", by_queue_disable },
    { "ctrl-reset", by_ctrl_reset, NULL, true },
    { "system-reset", by_system_reset, NULL, true, true },
    { "flr", by_flr, NULL, false, true },
};

/*
 * Memory stands still from the moment on that the stopping write has been made,
 * and what has been suspended loses nothing.  Red: either half of
 * pindma_can_dma(); pindma_kick_all() in pindma_config_write() or
 * pindma_vm_state_change().
 */
static void test_suspend(Rig *t, const Stopper *stopper)
{
    MR *mr = mr_new(t, 1, MR_PAGES, 0, 0, RW);
    struct pindma_sqe sqe = OP(HAMMER, .key = 1, .len = mr->len);
    uint64_t hammer = in_flight(t, mr), fill;
    struct pindma_cqe cqe;
    uint64_t n;
    int i;

    for (i = 0; i < 5; i++) {
        stopper->stop(t);
        memory_must_stand_still(t, mr);
        g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, BUSY);
        fill = start(t, IO, OP(FILL, .key = 1, .offset = 8, .len = 8));
        settle();
        g_assert_false(peek(t, IO, &cqe));
        stopper->go(t);
        memory_must_change(t, mr);
        cqe = reap(t, IO);
        g_assert_cmphex(cqe.tag, ==, fill);
    }
    n = hammer_stop(t, hammer);
    want_stamps(mr, &sqe, n);
    memset(mr_want(mr, 8), 0, 8);
    mr_check(t, mr);
    g_free(mr);
}

/*
 * As above, and the device has forgotten.  Red: dc reset not set; no
 * pcie_cap_flr_write_config(); a line of pindma_reset() or of
 * pindma_queue_clear().
 */
static void test_stop(Rig *t, const Stopper *stopper)
{
    bool all = stopper->stop != by_queue_disable;
    MR *mr = mr_new(t, 1, MR_PAGES, 0, 0, RW);
    struct pindma_cqe cqe;
    uint64_t reg;
    int i;

    for (i = 0; i < 5; i++) {
        in_flight(t, mr);
        stopper->stop(t);
        memory_must_stand_still(t, mr);
        if (stopper->pci) {
            pci_setup(t);
            memory_must_stand_still(t, mr);
        }
        g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);
        if (all) {
            g_assert_cmpuint(journal_entry(t, journal_seq(t)).kind, ==,
                             PINDMA_JOURNAL_RESET);
            for (reg = PINDMA_QUEUE_REGS(0);
                 reg < PINDMA_QUEUE_REGS(PINDMA_NUM_QUEUES); reg += 4) {
                g_assert_cmphex(reg4(t, reg), ==, 0);
            }
        } else {
            run_on(t, ADMIN, OP(NOP));
        }
        queues_setup(t);
        cqe = run(t, OP(READ, .key = 1, .len = 1));
        g_assert_cmpuint(cqe.status, ==,
                         all ? PINDMA_ST_BAD_KEY : PINDMA_ST_OK);
        if (all) {
            mr_register(t, mr, RW);
        }
    }
    g_free(mr);
}

static void test_stopper(const void *data, bool express)
{
    const Stopper *stopper = data;
    Rig *t = rig_new(express);

    if (stopper->go) {
        test_suspend(t, stopper);
    } else {
        test_stop(t, stopper);
    }
    rig_free(t);
}

static void test_stopper_express(const void *stopper)
{
    test_stopper(stopper, true);
}

static void test_stopper_plain(const void *stopper)
{
    test_stopper(stopper, false);
}

/*
 * Reset gives back everything.  Red: pindma_mr_free() in pindma_mr_reset(), or
 * pindma_mr_cancel() in pindma_queue_clear() (an mr half made).
 */
static void test_reset_frees(void)
{
    Rig *t = rig_new(true);
    uint64_t pages = reg4(t, PINDMA_REG_MAX_PAGES);
    uint32_t mrs = reg4(t, PINDMA_REG_MAX_MRS);
    uint64_t page = RAM_BASE, list = page_list(t, &page, 1), seq;
    struct pindma_cqe cqe;
    uint32_t i;
    int round;

    for (round = 0; round < 2; round++) {
        queue_setup(t, ADMIN, 4 * mrs);
        for (i = 0; i < mrs; i++) {
            post(t, ADMIN, OP(REG_MR, .mode = RW, .key = i + (round + 1) * mrs,
                              .len = 1, .value = list));
        }
        ring(t, ADMIN);
        for (i = 0; i < mrs; i++) {
            cqe = reap(t, ADMIN);
            g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
        }
        set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
    }
    for (round = 0; round < 20; round++) {
        queues_setup(t);
        seq = journal_seq(t);
        start(t, ADMIN, OP(REG_MR, .mode = RW, .key = 1, .len = pages * PAGE,
                           .value = RAM_SIZE - pages * 8));
        WAIT_FOR(journal_seq(t) > seq + 5);
        if (round % 2) {
            set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
        } else {
            qset4(t, ADMIN, PINDMA_QUEUE_ENABLE, 0);
            queue_setup(t, ADMIN, 16);
            run(t, OP(DEREG_MR, .key = 1));     /* if it was too fast */
        }
    }
    queues_setup(t);
    run_ok(t, OP(REG_MR, .mode = RW, .key = 1, .len = pages * PAGE,
                 .value = RAM_SIZE - pages * 8));
    rig_free(t);
}

/* ------------------------------------------------------------------- unplug */

static void slot_control(Rig *t, uint16_t val)
{
    uint8_t cap = qpci_find_capability(t->port, PCI_CAP_ID_EXP, 0);

    qpci_config_writew(t->port, cap + PCI_EXP_SLTCTL, val);
}

/*
 * The device goes while it writes, and comes again.  Red: pindma_engine_stop()
 * in pindma_exit() (QEMU dies).
 */
static void test_unplug(const void *express)
{
    Rig *t = rig_new(express);
    MR *mr = mr_new(t, 1, MR_PAGES, 0, 0, RW);
    int i;

    for (i = 0; i < 4; i++) {
        in_flight(t, mr);
        if (express) {
            qtest_qmp_device_del_send(t->qts, "dut");
            memory_must_change(t, mr);          /* the guest has to agree */
            slot_control(t, PCI_EXP_SLTCTL_PWR_OFF |
                            PCI_EXP_SLTCTL_PWR_IND_OFF);
            qtest_qmp_eventwait(t->qts, "DEVICE_DELETED");
        } else {
            qpci_unplug_acpi_device_test(t->qts, "dut", PLAIN_SLOT);
        }
        memory_must_stand_still(t, mr);
        g_assert_cmphex(qpci_config_readw(t->dev, PCI_VENDOR_ID), ==, 0xffff);
        if (express) {
            qtest_qmp_device_add(t->qts, "pindma", "dut", "{'bus': 'slot0'}");
            slot_control(t, PCI_EXP_SLTCTL_PWR_ON | PCI_EXP_SLTCTL_PWR_IND_ON);
        } else {
            qtest_qmp_device_add(t->qts, "pindma", "dut", "{'addr': '5'}");
        }
        pci_setup(t);
        g_assert_cmpuint(journal_seq(t), <, 5);         /* a new device */
        queues_setup(t);
        mr_register(t, mr, RW);
    }
    rig_free(t);
    g_free(mr);
}

#define MMCONFIG            0xb0000000u
#define MCH_PCIEXBAR        0x60

/*
 * The interrupt of the device's own op switches its slot off, so that the
 * engine unplugs the device that it works for.  Red: wait for the engine in
 * pindma_exit() (QEMU hangs); engine->s in the loop over the vectors, or the
 * reference held there (QEMU dies).
 */
static void test_unplug_by_own_msi(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, MR_PAGES, 0, 0, RW);
    QPCIDevice *mch = qpci_device_find(t->bus, QPCI_DEVFN(0, 0));
    uint8_t cap = qpci_find_capability(t->port, PCI_CAP_ID_EXP, 0);
    uint64_t entry = msix_vector(t, IO);

    qpci_config_writel(mch, MCH_PCIEXBAR, MMCONFIG | 1);
    qpci_msix_enable(t->dev);
    msix_setup(t, IO, MMCONFIG + (PORT_DEVFN << 12) + cap + PCI_EXP_SLTCTL);
    qpci_io_writel(t->dev, t->dev->msix_table_bar, entry + PCI_MSIX_ENTRY_DATA,
                   PCI_EXP_SLTCTL_PWR_OFF | PCI_EXP_SLTCTL_PWR_IND_OFF);
    in_flight(t, mr);
    post(t, IO, OP(NOP));
    ring(t, IO);
    qtest_qmp_eventwait(t->qts, "DEVICE_DELETED");
    memory_must_stand_still(t, mr);
    g_assert_cmphex(qpci_config_readw(t->dev, PCI_VENDOR_ID), ==, 0xffff);
    g_free(mch);
    rig_free(t);
    g_free(mr);
}

/* QEMU ends while the device writes.  Red: abort() in the engine, that late. */
static void test_quit(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, MR_PAGES, 0, 0, RW);

    in_flight(t, mr);
    qtest_qmp_assert_success(t->qts, "{'execute': 'quit'}");
    WAIT_FOR(!qtest_probe_child(t->qts));
    rig_free(t);        /* and this looks at the exit status */
    g_free(mr);
}

/* Errors in the name of the device.  Red: pcie_aer_init(). */
static void test_aer(void)
{
    Rig *t = rig_new(true);
    g_autofree char *answer = qtest_hmp(t->qts, "pcie_aer_inject_error dut "
                                                "RCVR");

    g_assert_nonnull(strstr(answer, "OK id: dut"));
    run_ok(t, OP(NOP));
    rig_free(t);
}

void pindma_add_pci_tests(void)
{
    int i;

    for (i = 0; i < ARRAY_SIZE(stoppers); i++) {
        g_autofree char *express = g_strdup_printf("/pindma/express/stop/%s",
                                                   stoppers[i].name);
        g_autofree char *plain = g_strdup_printf("/pindma/plain/stop/%s",
                                                 stoppers[i].name);

        qtest_add_data_func(express, &stoppers[i], test_stopper_express);
        if (stoppers[i].plain) {
            qtest_add_data_func(plain, &stoppers[i], test_stopper_plain);
        }
    }
    add_on_both("unplug", test_unplug);
    qtest_add_func("/pindma/aer", test_aer);
    qtest_add_func("/pindma/reset-frees", test_reset_frees);
    qtest_add_func("/pindma/unplug-by-own-msi", test_unplug_by_own_msi);
    qtest_add_func("/pindma/quit", test_quit);
}
