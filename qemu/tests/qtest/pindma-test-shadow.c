/*
 * QTest testcase for the pindma device: doorbells in memory
 *
 * ring() and consume() store, and ring only a device that sleeps, as a driver
 * does; what is done otherwise here, is done by hand.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "pindma-test.h"

#define FIELD(name)     offsetof(struct pindma_shadow, name)

static void store(Rig *t, int qn, size_t field, uint32_t val)
{
    qtest_writel(t->qts, t->q[qn].shadow + field, val);
}

static bool asleep(Rig *t, int qn)
{
    uint32_t val = ram4(t, t->q[qn].shadow + FIELD(asleep));

    g_assert_cmpuint(val, <=, 1);
    return val;
}

/* An op of a queue without a rate never ends: its engine does not sleep. */
static uint64_t keep_awake(Rig *t, int qn, const MR *mr)
{
    uint64_t tag = start(t, qn, OP(HAMMER, .key = mr->key, .len = 8));

    WAIT_FOR(!asleep(t, qn));
    memory_must_change(t, mr);
    return tag;
}

static uint32_t cq_tail(Rig *t, int qn)
{
    return qreg4(t, qn, PINDMA_QUEUE_CQ_TAIL);
}

/*
 * A device that is awake looks by itself: for sqes, and for room for cqes.
 * Red: the call of pindma_queue_look() in pindma_queue_find_sqe(), and for the
 * one or the other pindma_queue_set_tail() or _head() in pindma_queue_look().
 */
static void test_awake(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    int i;

    queue_setup_shadow(t, IO, 8);
    keep_awake(t, IO, mr);
    for (i = 0; i < 100; i++) {
        post(t, IO, OP(NOP));
        store(t, IO, FIELD(sq_tail), t->q[IO].tail);
        reap_expect(t, IO, t->tag, PINDMA_ST_OK);
    }
    /* Six cqes, and the seventh slot is the hammer's. */
    for (i = 0; i < 7; i++) {
        post(t, IO, OP(NOP));
    }
    store(t, IO, FIELD(sq_tail), t->q[IO].tail);
    WAIT_FOR(cq_tail(t, IO) == (t->q[IO].head + 6) % 8);
    settle();
    g_assert_cmpuint(cq_tail(t, IO), ==, (t->q[IO].head + 6) % 8);
    store(t, IO, FIELD(cq_head), (t->q[IO].head + 1) % 8);
    WAIT_FOR(cq_tail(t, IO) == (t->q[IO].head + 7) % 8);
    rig_free(t);
    g_free(mr);
}

/*
 * One that sleeps says so, and wants a doorbell; which one, and of what value,
 * is all the same.  Red: pindma_queue_say() in pindma_queue_doze() or _wake();
 * q->shadow in pindma_queue_doorbell(); pindma_kick() in pindma_queue_enable();
 * the comparison with shadow_seen, as then the device does not come to sleep.
 */
static void test_asleep(void)
{
    static const uint32_t values[] = { 0, 1, 5, UINT32_MAX };
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    uint64_t reg, tag;
    int qn, i;

    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        queue_setup_shadow(t, qn, 8);
        for (i = 0; i < 2 * ARRAY_SIZE(values); i++) {
            WAIT_FOR(asleep(t, qn));
            post(t, qn, OP(NOP));
            store(t, qn, FIELD(sq_tail), t->q[qn].tail);
            if (!i) {
                settle();
                g_assert_cmpuint(cq_tail(t, qn), ==, 0);
            }
            reg = i % 2 ? PINDMA_DB_SQ_TAIL : PINDMA_DB_CQ_HEAD;
            db4(t, qn, reg, values[i / 2]);
            reap_expect(t, qn, t->tag, PINDMA_ST_OK);
        }
        /* Without a store there is nothing. */
        WAIT_FOR(asleep(t, qn));
        post(t, qn, OP(NOP));
        db4(t, qn, PINDMA_DB_SQ_TAIL, t->q[qn].tail);
        settle();
        g_assert_cmpuint(cq_tail(t, qn), ==, t->q[qn].head);
        ring(t, qn);
        reap_expect(t, qn, t->tag, PINDMA_ST_OK);
        g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);
    }

    /* A full completion ring is something to sleep over, too. */
    for (i = 0; i < 7; i++) {
        post(t, IO, OP(NOP));
    }
    ring(t, IO);
    WAIT_FOR(cq_tail(t, IO) == (t->q[IO].head + 7) % 8);
    post(t, IO, OP(NOP));
    ring(t, IO);
    WAIT_FOR(asleep(t, IO));
    settle();
    g_assert_cmpuint(cq_tail(t, IO), ==, (t->q[IO].head + 7) % 8);
    for (i = 0; i < 8; i++) {
        reap(t, IO);
    }

    /* Awake again for as long as there is work */
    tag = keep_awake(t, IO, mr);
    hammer_stop(t, tag);
    WAIT_FOR(asleep(t, IO));
    rig_free(t);
    g_free(mr);
}

/*
 * The memory of the machine, mapped here: stores that need no lock of QEMU's,
 * as those of a CPU, and so come at any moment of an engine.
 */
typedef struct Mapped {
    char *path;
    char *args;
    uint8_t *ram;
} Mapped;

static Mapped mapped_new(void)
{
    Mapped m = { .path = NULL };
    int fd = g_file_open_tmp("pindma-ram-XXXXXX", &m.path, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, RAM_SIZE), ==, 0);
    m.ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(m.ram != MAP_FAILED);
    close(fd);
    m.args = g_strdup_printf("-object memory-backend-file,id=ram,share=on,"
                             "size=%lluM,mem-path=%s "
                             "-machine memory-backend=ram",
                             RAM_SIZE >> 20, m.path);
    return m;
}

static void mapped_free(Mapped *m)
{
    munmap(m->ram, RAM_SIZE);
    g_unlink(m->path);
    g_free(m->path);
    g_free(m->args);
}

/*
 * No wake-up is lost, whenever the driver stores.  The pauses are around what
 * an engine looks for before it sleeps.  Red, within some thousands of rounds:
 * the look in pindma_queue_doze(), or the store there behind it.
 */
static void test_race(void)
{
    Mapped m = mapped_new();
    Rig *t = rig_new_with(true, "", m.args);
    struct pindma_shadow *shadow;
    struct pindma_cqe *cqe;
    Queue *q = &t->q[IO];
    int i, rings = 0;

    queue_setup_shadow(t, IO, 64);
    shadow = (void *)(m.ram + q->shadow);
    /* The ring is full of these: an sqe of zeros is a NOP. */
    qtest_memset(t->qts, q->sq, 0, 64 * sizeof(struct pindma_sqe));
    for (i = 0; i < 50000; i++) {
        int64_t now = g_get_monotonic_time(), pause = i % 32;

        while (g_get_monotonic_time() - now < pause) {
            /* not sleeping: that would take longer */
        }
        q->tail = (q->tail + 1) % 64;
        qatomic_set(&shadow->sq_tail, cpu_to_le32(q->tail));
        smp_mb();       /* the device stores asleep, and then looks */
        if (qatomic_read(&shadow->asleep)) {
            db4(t, IO, PINDMA_DB_SQ_TAIL, 0);
            rings++;
        }
        cqe = (void *)(m.ram + q->cq + q->head * sizeof(*cqe));
        now = g_get_monotonic_time();
        while (le16_to_cpu(qatomic_read(&cqe->phase)) != q->phase) {
            g_assert_cmpint(g_get_monotonic_time() - now, <,
                            LIMIT_S * G_USEC_PER_SEC);
        }
        q->head = (q->head + 1) % 64;
        if (!q->head) {
            q->phase = !q->phase;
        }
        qatomic_set(&shadow->cq_head, cpu_to_le32(q->head));
    }
    g_test_message("%d of %d needed a doorbell", rings, i);
    rig_free(t);
    mapped_free(&m);
}

/*
 * An interrupt for those who want one.  Red: pindma_queue_notify(), or "armed"
 * in it.
 */
static void test_armed(const void *express)
{
    Rig *t = rig_new(express);
    uint64_t msi = ram_alloc(t, 1);
    int qn, i;

    qpci_msix_enable(t->dev);
    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        msix_setup(t, qn, msi + 4 * qn);
        queue_setup_shadow(t, qn, 64);
        for (i = 0; i < 10; i++) {
            qtest_writel(t->qts, msi + 4 * qn, 0);
            store(t, qn, FIELD(armed), i % 2 ? 0x80000000 : 0);
            run_on(t, qn, OP(NOP));
            if (i % 2) {
                WAIT_FOR(ram4(t, msi + 4 * qn) == MSI_DATA(qn));
            } else {
                /* When it sleeps it has sent what it was going to send. */
                WAIT_FOR(asleep(t, qn));
                g_assert_cmphex(ram4(t, msi + 4 * qn), ==, 0);
            }
        }
    }
    /* Others are heard, and so are those without a shadow. */
    store(t, IO, FIELD(armed), 0);
    queue_setup(t, IO + 1, 64);
    qtest_memset(t->qts, msi, 0, PAGE);
    run_on(t, IO, OP(NOP));
    run_on(t, IO + 1, OP(NOP));
    run_on(t, IO + 2, OP(NOP));
    WAIT_FOR(ram4(t, msi + 4 * (IO + 1)) && ram4(t, msi + 4 * (IO + 2)));
    g_assert_cmphex(ram4(t, msi + 4 * IO), ==, 0);
    rig_free(t);

    t = rig_new_with(express, ",msix=off,msi=off", "");
    queue_setup_shadow(t, IO, 64);
    store(t, IO, FIELD(armed), 0);
    run_on(t, IO, OP(NOP));
    WAIT_FOR(asleep(t, IO));
    g_assert_cmphex(reg4(t, PINDMA_REG_INTR), ==, 0);
    store(t, IO, FIELD(armed), 1);
    run_on(t, IO, OP(NOP));
    WAIT_FOR(reg4(t, PINDMA_REG_INTR) == 1u << IO);
    rig_free(t);
}

/*
 * Armed or not, what a fault does is its own business.  Red: LOST_MSI not asked
 * about when there is a shadow.
 */
static void test_armed_faults(void)
{
    Rig *t = rig_new(true);
    uint64_t msi = ram_alloc(t, 1);

    qpci_msix_enable(t->dev);
    msix_setup(t, IO, msi);
    queue_setup_shadow(t, IO, 64);
    qtest_memset(t->qts, msi, 0, PAGE);
    set4(t, PINDMA_REG_FAULT, PINDMA_FAULT_LOST_MSI);
    run_on(t, IO, OP(NOP));
    WAIT_FOR(asleep(t, IO));
    g_assert_cmphex(ram4(t, msi), ==, 0);
    g_assert_cmpuint(reg8(t, PINDMA_REG_FAULT_HITS), ==, 1);
    /* One that is spurious comes, though not to a queue that wants none. */
    set8(t, PINDMA_REG_FAULT_DELAY, MS);
    set4(t, PINDMA_REG_FAULT, PINDMA_FAULT_SPURIOUS_MSI);
    start(t, IO, OP(NOP));
    WAIT_FOR(ram4(t, msi));
    qtest_clock_step(t->qts, MS);
    reap_expect(t, IO, t->tag, PINDMA_ST_OK);
    WAIT_FOR(asleep(t, IO));
    store(t, IO, FIELD(armed), 0);
    qtest_memset(t->qts, msi, 0, PAGE);
    set4(t, PINDMA_REG_FAULT, PINDMA_FAULT_SPURIOUS_MSI);
    start(t, IO, OP(NOP));
    /* It may still say that it sleeps: taken first, or the clock is early. */
    WAIT_FOR(qreg4(t, IO, PINDMA_QUEUE_SQ_HEAD) == t->q[IO].tail);
    WAIT_FOR(asleep(t, IO));
    qtest_clock_step(t->qts, MS);
    reap_expect(t, IO, t->tag, PINDMA_ST_OK);
    g_assert_cmphex(ram4(t, msi), ==, 0);
    rig_free(t);
}

/*
 * What would be a bad doorbell is ignored, and the other half is not.  Red: the
 * conditions of pindma_queue_set_tail() or _head().
 */
static void test_bad_values(void)
{
    static const uint32_t bad[] = { 8, 9, 255, 1u << 31, UINT32_MAX };
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    uint32_t head, tail;
    int i, n;

    queue_setup_shadow(t, IO, 8);
    keep_awake(t, IO, mr);
    for (i = 0; i < ARRAY_SIZE(bad); i++) {
        head = t->q[IO].head;
        tail = qreg4(t, IO, PINDMA_QUEUE_SQ_HEAD);
        store(t, IO, FIELD(sq_tail), bad[i]);
        settle();
        g_assert_cmpuint(qreg4(t, IO, PINDMA_QUEUE_SQ_HEAD), ==, tail);
        /* There is room for six cqes: now it knows of the present head. */
        for (n = 0; n < 6; n++) {
            post(t, IO, OP(NOP));
        }
        store(t, IO, FIELD(sq_tail), t->q[IO].tail);
        WAIT_FOR(cq_tail(t, IO) == (head + 6) % 8);
        post(t, IO, OP(NOP));
        store(t, IO, FIELD(cq_head), bad[i]);
        store(t, IO, FIELD(sq_tail), t->q[IO].tail);
        settle();
        g_assert_cmpuint(cq_tail(t, IO), ==, (head + 6) % 8);
        /* Ahead of what was written */
        store(t, IO, FIELD(cq_head), (head + 7) % 8);
        settle();
        g_assert_cmpuint(cq_tail(t, IO), ==, (head + 6) % 8);
        for (n = 0; n < 7; n++) {
            reap(t, IO);
        }
    }
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, BUSY);
    rig_free(t);
    g_free(mr);
}

/* Red: the alignment in pindma_queue_enable(). */
static void test_setup(void)
{
    Rig *t = rig_new(true);
    uint64_t regs;
    int qn, i;

    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        regs = PINDMA_QUEUE_REGS(qn);
        for (i = 1; i <= 16; i++) {
            set4(t, regs + PINDMA_QUEUE_ENABLE, 0);
            set8(t, regs + PINDMA_QUEUE_SHADOW, RAM_SIZE - PAGE + i);
            set4(t, regs + PINDMA_QUEUE_ENABLE, 1);
            g_assert_cmpuint(reg4(t, regs + PINDMA_QUEUE_ENABLE), ==, i == 16);
        }
    }
    rig_free(t);
}

/*
 * A shadow that cannot be read, or not be written.  Red: pindma_queue_fail() in
 * pindma_queue_shadow(); pindma_is_ram() in pindma_dma_shadow().
 */
static void test_not_ram(void)
{
    static const uint64_t nowhere[] = {
        MMIO_HOLE, MMIO_WINDOW, 1ull << 40, UINT64_MAX - 15, ROM,
    };
    Rig *t = rig_new(true);
    struct pindma_journal_entry e;
    uint64_t regs = PINDMA_QUEUE_REGS(IO), seq;
    int i;

    for (i = 0; i < ARRAY_SIZE(nowhere); i++) {
        set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
        g_assert_cmphex(reg8(t, regs + PINDMA_QUEUE_SHADOW), ==, 0);
        queues_setup(t);
        seq = journal_seq(t);
        set4(t, regs + PINDMA_QUEUE_ENABLE, 0);
        set8(t, regs + PINDMA_QUEUE_SHADOW, nowhere[i]);
        set4(t, regs + PINDMA_QUEUE_ENABLE, 1);
        WAIT_FOR(reg4(t, PINDMA_REG_STATUS) == PINDMA_STATUS_QUEUE_ERROR);
        g_assert_cmpuint(reg4(t, regs + PINDMA_QUEUE_ENABLE), ==, 0);
        e = journal_entry(t, seq + 1);
        g_assert_cmpuint(e.kind, ==, PINDMA_JOURNAL_SHADOW);
        g_assert_cmpuint(e.queue, ==, IO);
        g_assert_cmpuint(e.status, ==, PINDMA_ST_DMA_ERROR);
        g_assert_cmphex(e.addr, ==, nowhere[i] + (nowhere[i] == ROM ?
                                                  FIELD(asleep) : 0));
        g_assert_cmpuint(journal_seq(t), ==, seq + 1);
        run_on(t, IO + 1, OP(NOP));
    }
    rig_free(t);
}

/*
 * Not in the journal, and not in memory when there must be no DMA.  Red:
 * pindma_dma_journal() for MEMTX_OK in pindma_dma_shadow(); q->enabled, q->hung
 * or pindma_can_dma() in pindma_queue_doze(); q->asleep in
 * pindma_queue_clear().
 */
static void test_quiet(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    uint64_t seq;
    int i;

    queue_setup_shadow(t, IO, 8);
    WAIT_FOR(asleep(t, IO));
    seq = journal_seq(t);
    for (i = 0; i < 100; i++) {
        db4(t, IO, PINDMA_DB_CQ_HEAD, 0);
    }
    settle();
    g_assert_cmpuint(journal_seq(t), ==, seq);

    /* Parked: nothing is lost, though no doorbell says that it is there. */
    for (i = 0; i < 10; i++) {
        WAIT_FOR(asleep(t, IO));
        post(t, IO, OP(NOP));
        if (i % 2) {
            bus_master(t, false);
        } else {
            qtest_qmp_assert_success(t->qts, "{'execute': 'stop'}");
        }
        store(t, IO, FIELD(asleep), 7);
        if (i % 3) {
            ring(t, IO);
        } else {
            store(t, IO, FIELD(sq_tail), t->q[IO].tail);
        }
        settle();
        g_assert_cmpuint(ram4(t, t->q[IO].shadow + FIELD(asleep)), ==, 7);
        g_assert_cmpuint(cq_tail(t, IO), ==, t->q[IO].head);
        if (i % 2) {
            bus_master(t, true);
        } else {
            qtest_qmp_assert_success(t->qts, "{'execute': 'cont'}");
        }
        reap_expect(t, IO, t->tag, PINDMA_ST_OK);
    }

    /* The end of the queue, while the device sleeps, and wakes up after it */
    WAIT_FOR(asleep(t, IO));
    qset4(t, IO, PINDMA_QUEUE_ENABLE, 0);
    store(t, IO, FIELD(asleep), 7);
    bus_master(t, true);
    settle();
    g_assert_cmpuint(ram4(t, t->q[IO].shadow + FIELD(asleep)), ==, 7);
    queue_setup_shadow(t, IO, 8);

    /* By all that ends it, while the device is awake */
    for (i = 0; i < 3; i++) {
        keep_awake(t, IO, mr);
        switch (i) {
        case 0:
            qset4(t, IO, PINDMA_QUEUE_ENABLE, 0);
            break;
        case 1:
            set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
            break;
        case 2:
            qpci_config_writew(t->dev,
                               qpci_find_capability(t->dev, PCI_CAP_ID_EXP, 0) +
                               PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
            pci_setup(t);
            break;
        }
        settle();
        g_assert_false(asleep(t, IO));
        if (i) {
            queues_setup(t);
            mr_register(t, mr, RW);
        }
        queue_setup_shadow(t, IO, 8);
        run_on(t, IO, OP(NOP));
    }

    /* One that hangs does not look, until it is reset. */
    set4(t, PINDMA_REG_FAULT, PINDMA_FAULT_HANG);
    start(t, IO, OP(NOP));
    WAIT_FOR(reg8(t, PINDMA_REG_FAULT_HITS) == 1);
    start(t, IO, OP(NOP));
    db4(t, IO, PINDMA_DB_SQ_TAIL, 0);
    settle();
    g_assert_false(asleep(t, IO));
    g_assert_cmpuint(qreg4(t, IO, PINDMA_QUEUE_SQ_HEAD), ==, 1);
    queue_setup_shadow(t, IO, 8);
    run_on(t, IO, OP(NOP));
    rig_free(t);
    g_free(mr);
}

/*
 * A hammer with a rate lets its engine sleep between two stamps.  Too short to
 * be woken up from: the device does not say that it sleeps, and looks later.
 * Longer: it does.  The clock of a qtest stands still.  Red: SCALE_MS in
 * pindma_engine_sleep(), larger or smaller.
 */
static void test_naps(void)
{
    static const uint32_t rates[] = { 5000, 1001, 999, 1 };
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    uint64_t tag;
    int i, n;

    queue_setup_shadow(t, IO, 8);
    for (i = 0; i < ARRAY_SIZE(rates); i++) {
        tag = start(t, IO, OP(HAMMER, .key = 1, .len = 8, .rate = rates[i]));
        run_on(t, IO, OP(NOP));
        if (rates[i] < 1000) {
            WAIT_FOR(asleep(t, IO));
        }
        for (n = 0; n < 100; n++) {
            if (rates[i] > 1000) {
                g_assert_false(asleep(t, IO));
                post(t, IO, OP(NOP));
                store(t, IO, FIELD(sq_tail), t->q[IO].tail);
                reap_expect(t, IO, t->tag, PINDMA_ST_OK);
            } else {
                run_on(t, IO, OP(NOP));
            }
        }
        hammer_stop(t, tag);
    }
    rig_free(t);
    g_free(mr);
}

/* Red: pindma_queue_doze() in pindma_engine_timer(). */
static void test_timer(void)
{
    Rig *t = rig_new_with(true, ",engine=timer", "");
    struct pindma_cqe cqe;
    int i;

    queue_setup_shadow(t, IO, 8);
    for (i = 0; i < 20; i++) {
        qtest_clock_step(t->qts, MS);
        g_assert_true(asleep(t, IO));
        post(t, IO, OP(NOP));
        store(t, IO, FIELD(sq_tail), t->q[IO].tail);
        qtest_clock_step(t->qts, MS);
        g_assert_false(peek(t, IO, &cqe));
        db4(t, IO, PINDMA_DB_SQ_TAIL, 0);
        qtest_clock_step(t->qts, MS);
        reap_expect(t, IO, t->tag, PINDMA_ST_OK);
    }
    rig_free(t);
}

void pindma_add_shadow_tests(void)
{
    qtest_add_func("/pindma/shadow/awake", test_awake);
    qtest_add_func("/pindma/shadow/asleep", test_asleep);
    qtest_add_func("/pindma/shadow/race", test_race);
    add_on_both("shadow-armed", test_armed);
    qtest_add_func("/pindma/shadow/armed-faults", test_armed_faults);
    qtest_add_func("/pindma/shadow/bad-values", test_bad_values);
    qtest_add_func("/pindma/shadow/setup", test_setup);
    qtest_add_func("/pindma/shadow/not-ram", test_not_ram);
    qtest_add_func("/pindma/shadow/quiet", test_quiet);
    qtest_add_func("/pindma/shadow/naps", test_naps);
    qtest_add_func("/pindma/shadow/timer", test_timer);
}
