/*
 * QTest testcase for the pindma device
 *
 * The device alone, without a guest: the test is the driver, and it compares
 * every byte that the device may have touched, and those around them.
 *
 *     QTEST_QEMU_BINARY=./qemu-system-x86_64 tests/qtest/pindma-test --tap -k
 *
 * in a build directory, nothing else is needed: no firmware runs here, and the
 * one that the machine types insist on is made of zeros (see firmware()).
 *
 * A comment above each test says how to make it fail: break that in pindma.c
 * and the test must turn red.  Nothing here depends on how fast anything is;
 * what must happen is waited for, up to a minute.  That something does not
 * happen can only be watched for a while (see settle()), which can miss a
 * mistake but not invent one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "libqos/pci.h"
#include "libqos/pci-pc.h"
#include "hw/pci/pci_regs.h"
#include "hw/misc/pindma_regs.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"

#define PAGE            PINDMA_PAGE_SIZE
#define IO              PINDMA_QUEUE_IO
#define ADMIN           PINDMA_QUEUE_ADMIN
#define BUSY            PINDMA_STATUS_BUSY
#define RW              (PINDMA_ACCESS_READ | PINDMA_ACCESS_WRITE)
#define VALUE           0x0123456789abcdefull

#define RAM_SIZE        (64ull << 20)
#define RAM_BASE        (1ull << 20)    /* of what ram_alloc() hands out */
#define MMIO_HOLE       0xd0000000ull   /* nothing is there */
#define ROM             0xfffff000ull   /* the last page of the firmware */
#define MMIO_WINDOW     0xe0000000ull   /* where libqos maps BARs, 256 MiB */
#define PORT_DEVFN      QPCI_DEVFN(4, 0)
#define PLAIN_SLOT      5

#define MR_PAGES        6               /* of the largest MR of this test */
#define MR_SPAN         (2 * MR_PAGES + 1)
#define LIMIT_S         60

#define OP(name, ...) \
    ((struct pindma_sqe) { .opcode = PINDMA_OP_##name, ## __VA_ARGS__ })

#define WAIT_FOR(cond)                                                      \
    do {                                                                    \
        int64_t end_ = g_get_monotonic_time() + LIMIT_S * G_USEC_PER_SEC;   \
        while (!(cond)) {                                                   \
            g_assert_cmpint(g_get_monotonic_time(), <, end_);               \
            g_usleep(50);                                                   \
        }                                                                   \
    } while (0)

typedef struct Queue {
    uint64_t sq, cq;
    uint32_t entries;
    uint32_t tail;              /* of the submission ring */
    uint32_t head;              /* of the completion ring */
    bool phase;
} Queue;

typedef struct Rig {
    QTestState *qts;
    QPCIBus *bus;
    QPCIDevice *port;           /* NULL on plain PCI */
    QPCIDevice *dev;
    QPCIBar regs, journal;
    uint32_t journal_entries;
    Queue q[PINDMA_NUM_QUEUES];
    uint64_t ram;               /* next free page */
    uint64_t tag;
} Rig;

/*
 * An mr whose pages lie in descending order in every second page of a span of
 * memory.  want is what the whole span must look like.
 */
typedef struct MR {
    uint32_t key;
    uint64_t first, len;
    unsigned int pages;
    uint64_t span;
    uint8_t want[MR_SPAN * PAGE];
} MR;

/* ------------------------------------------------------------------ machine */

/* Without a file of a plausible size the PC machine types do not start. */
static const char *firmware(void)
{
    static char *path;

    if (!path) {
        g_autofree uint8_t *zeros = g_malloc0(64 * 1024);
        int fd = g_file_open_tmp("pindma-test-XXXXXX", &path, NULL);

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(write(fd, zeros, 64 * 1024), ==, 64 * 1024);
        close(fd);
    }
    return path;
}

static uint32_t reg4(Rig *t, uint64_t reg)
{
    return qpci_io_readl(t->dev, t->regs, reg);
}

static uint64_t reg8(Rig *t, uint64_t reg)
{
    return qpci_io_readq(t->dev, t->regs, reg);
}

static void set4(Rig *t, uint64_t reg, uint32_t val)
{
    qpci_io_writel(t->dev, t->regs, reg, val);
}

static void set8(Rig *t, uint64_t reg, uint64_t val)
{
    qpci_io_writeq(t->dev, t->regs, reg, val);
}

static uint32_t qreg4(Rig *t, int qn, uint64_t reg)
{
    return reg4(t, PINDMA_QUEUE_REGS(qn) + reg);
}

static void qset4(Rig *t, int qn, uint64_t reg, uint32_t val)
{
    set4(t, PINDMA_QUEUE_REGS(qn) + reg, val);
}

static void db4(Rig *t, int qn, uint64_t reg, uint32_t val)
{
    set4(t, PINDMA_DB(qn) + reg, val);
}

static uint64_t ram_alloc(Rig *t, unsigned int pages)
{
    uint64_t addr = t->ram;

    t->ram += pages * PAGE;
    g_assert_cmphex(t->ram, <=, RAM_SIZE);
    return addr;
}

static uint32_t ram4(Rig *t, uint64_t addr)
{
    return qtest_readl(t->qts, addr);
}

static void bus_master(Rig *t, bool on)
{
    uint16_t cmd = qpci_config_readw(t->dev, PCI_COMMAND);

    cmd = on ? cmd | PCI_COMMAND_MASTER : cmd & ~PCI_COMMAND_MASTER;
    qpci_config_writew(t->dev, PCI_COMMAND, cmd);
}

/* What firmware does: bus numbers, windows, BARs. */
static void pci_setup(Rig *t)
{
    int devfn = QPCI_DEVFN(PLAIN_SLOT, 0);

    t->bus->mmio_alloc_ptr = MMIO_WINDOW;
    g_free(t->dev);
    if (t->port) {
        qpci_secondary_buses_init(t->bus);
        devfn = qpci_config_readb(t->port, PCI_SECONDARY_BUS) << 8;
        qpci_config_writew(t->port, PCI_MEMORY_BASE, MMIO_WINDOW >> 16);
        qpci_config_writew(t->port, PCI_MEMORY_LIMIT, 0xeff0);
        qpci_device_enable(t->port);
    }
    t->dev = qpci_device_find(t->bus, devfn);
    g_assert_nonnull(t->dev);
    t->regs = qpci_iomap(t->dev, PINDMA_BAR_REGS, NULL);
    t->journal = qpci_iomap(t->dev, PINDMA_BAR_JOURNAL, NULL);
    qpci_device_enable(t->dev);
    t->journal_entries = reg4(t, PINDMA_REG_JOURNAL_ENTRIES);
}

static void queue_setup(Rig *t, int qn, uint32_t entries)
{
    Queue *q = &t->q[qn];
    uint64_t regs = PINDMA_QUEUE_REGS(qn);

    *q = (Queue) {
        .sq = ram_alloc(t, DIV_ROUND_UP(entries * sizeof(struct pindma_sqe), PAGE)),
        .cq = ram_alloc(t, DIV_ROUND_UP(entries * sizeof(struct pindma_cqe), PAGE)),
        .entries = entries,
        .phase = true,
    };
    qtest_memset(t->qts, q->cq, 0, entries * sizeof(struct pindma_cqe));
    set4(t, regs + PINDMA_QUEUE_ENABLE, 0);
    set8(t, regs + PINDMA_QUEUE_SQ_ADDR, q->sq);
    set8(t, regs + PINDMA_QUEUE_CQ_ADDR, q->cq);
    set4(t, regs + PINDMA_QUEUE_ENTRIES, entries);
    set4(t, regs + PINDMA_QUEUE_ENABLE, 1);
    g_assert_cmpuint(reg4(t, regs + PINDMA_QUEUE_ENABLE), ==, 1);
}

static void queues_setup(Rig *t)
{
    int qn;

    queue_setup(t, ADMIN, 16);
    for (qn = IO; qn < PINDMA_NUM_QUEUES; qn++) {
        queue_setup(t, qn, 64);
    }
}

/* With a root port the device is a PCI Express endpoint. */
static Rig *rig_new(bool express)
{
    Rig *t = g_new0(Rig, 1);

    t->qts = qtest_initf("-machine %s -m %u -nodefaults -bios %s "
                         "-global apic.vapic=off "
                         "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support"
                         "=off %s",
                         express ? "q35" : "pc", (unsigned)(RAM_SIZE >> 20),
                         firmware(),
                         express ? "-device pcie-root-port,id=slot0,addr=4 "
                                   "-device pindma,id=dut,bus=slot0"
                                 : "-device pindma,id=dut,addr=5");
    t->bus = qpci_new_pc(t->qts, NULL);
    t->ram = RAM_BASE;
    if (express) {
        t->port = qpci_device_find(t->bus, PORT_DEVFN);
        g_assert_nonnull(t->port);
    }
    pci_setup(t);
    queues_setup(t);
    return t;
}

static void rig_free(Rig *t)
{
    qtest_quit(t->qts);
    g_free(t->dev);
    g_free(t->port);
    qpci_free_pc(t->bus);
    g_free(t);
}

/* Time enough for many a batch of an engine that should be doing nothing. */
static void settle(void)
{
    g_usleep(20 * 1000);
}

/* ------------------------------------------------------------- ops and cqes */

/* Put an op into the ring; ring the doorbell for all of them at once. */
static uint64_t post(Rig *t, int qn, struct pindma_sqe sqe)
{
    Queue *q = &t->q[qn];

    sqe.tag = cpu_to_le64(++t->tag);
    sqe.flags = cpu_to_le16(sqe.flags);
    sqe.key = cpu_to_le32(sqe.key);
    sqe.offset = cpu_to_le64(sqe.offset);
    sqe.len = cpu_to_le64(sqe.len);
    sqe.value = cpu_to_le64(sqe.value);
    sqe.src_key = cpu_to_le32(sqe.src_key);
    sqe.rate = cpu_to_le32(sqe.rate);
    sqe.src_offset = cpu_to_le64(sqe.src_offset);
    sqe.seed = cpu_to_le64(sqe.seed);
    sqe.compare = cpu_to_le64(sqe.compare);
    sqe.when = cpu_to_le64(sqe.when);
    sqe.delay = cpu_to_le32(sqe.delay);
    sqe.pd = cpu_to_le32(sqe.pd);
    qtest_memwrite(t->qts, q->sq + q->tail * sizeof(sqe), &sqe, sizeof(sqe));
    q->tail = (q->tail + 1) % q->entries;
    return t->tag;
}

static void ring(Rig *t, int qn)
{
    db4(t, qn, PINDMA_DB_SQ_TAIL, t->q[qn].tail);
}

static uint64_t start(Rig *t, int qn, struct pindma_sqe sqe)
{
    uint64_t tag = post(t, qn, sqe);

    ring(t, qn);
    return tag;
}

/* Look at the next cqe without a word to the device. */
static bool peek(Rig *t, int qn, struct pindma_cqe *cqe)
{
    Queue *q = &t->q[qn];

    qtest_memread(t->qts, q->cq + q->head * sizeof(*cqe), cqe, sizeof(*cqe));
    cqe->tag = le64_to_cpu(cqe->tag);
    cqe->result = le64_to_cpu(cqe->result);
    cqe->seq = le64_to_cpu(cqe->seq);
    cqe->status = le16_to_cpu(cqe->status);
    cqe->sq_head = le16_to_cpu(cqe->sq_head);
    cqe->phase = le16_to_cpu(cqe->phase);
    return cqe->phase == q->phase;
}

static void consume(Rig *t, int qn)
{
    Queue *q = &t->q[qn];

    q->head = (q->head + 1) % q->entries;
    if (!q->head) {
        q->phase = !q->phase;
    }
    db4(t, qn, PINDMA_DB_CQ_HEAD, q->head);
}

static struct pindma_cqe reap(Rig *t, int qn)
{
    struct pindma_cqe cqe;

    WAIT_FOR(peek(t, qn, &cqe));
    g_assert_cmphex(cqe.reserved, ==, 0);
    consume(t, qn);
    return cqe;
}

static struct pindma_cqe run_on(Rig *t, int qn, struct pindma_sqe sqe)
{
    uint64_t tag = start(t, qn, sqe);
    struct pindma_cqe cqe = reap(t, qn);

    g_assert_cmphex(cqe.tag, ==, tag);
    g_assert_cmpuint(cqe.sq_head, ==, t->q[qn].tail);
    return cqe;
}

static struct pindma_cqe run(Rig *t, struct pindma_sqe sqe)
{
    return run_on(t, sqe.opcode >= PINDMA_OP_REG_MR ? ADMIN : IO, sqe);
}

/* For the ops that just have to work. */
static uint64_t run_ok(Rig *t, struct pindma_sqe sqe)
{
    struct pindma_cqe cqe = run(t, sqe);

    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
    return cqe.result;
}

/* ---------------------------------------------------------------------- mrs */

static uint64_t mr_page(const MR *mr, unsigned int page)
{
    return mr->span + (2 * (mr->pages - 1 - page) + 1) * PAGE;
}

static uint64_t mr_addr(const MR *mr, uint64_t offset)
{
    uint64_t pos = mr->first + offset;

    return mr_page(mr, pos / PAGE) + pos % PAGE;
}

static uint8_t *mr_want(MR *mr, uint64_t offset)
{
    return mr->want + (mr_addr(mr, offset) - mr->span);
}

static size_t mr_span_size(const MR *mr)
{
    return (2 * mr->pages + 1) * PAGE;
}

static void mr_check(Rig *t, MR *mr)
{
    g_autofree uint8_t *got = g_malloc(mr_span_size(mr));
    size_t i;

    qtest_bufread(t->qts, mr->span, got, mr_span_size(mr));
    for (i = 0; i < mr_span_size(mr); i++) {
        if (got[i] != mr->want[i]) {
            g_test_message("mr 0x%x, span + 0x%zx (%zu bytes per page, %s)",
                           mr->key, i, (size_t)PAGE,
                           i / PAGE % 2 ? "a page of the mr" : "a gap");
            g_assert_cmphex(got[i], ==, mr->want[i]);
        }
    }
}

static uint64_t page_list(Rig *t, const uint64_t *pages, unsigned int n)
{
    uint64_t list = ram_alloc(t, DIV_ROUND_UP(n * 8, PAGE));
    g_autofree uint64_t *le = g_new(uint64_t, n);
    unsigned int i;

    for (i = 0; i < n; i++) {
        le[i] = cpu_to_le64(pages[i]);
    }
    qtest_bufwrite(t->qts, list, le, n * 8);
    return list;
}

static void mr_register(Rig *t, MR *mr, uint8_t access)
{
    uint64_t pages[MR_PAGES];
    unsigned int i;

    for (i = 0; i < mr->pages; i++) {
        pages[i] = mr_page(mr, i);
    }
    g_assert_cmpuint(run_ok(t, OP(REG_MR, .mode = access, .key = mr->key,
                                  .offset = mr->first, .len = mr->len,
                                  .value = page_list(t, pages, mr->pages))),
                     ==, mr->pages * 8);
}

/* len 0: to the end of the last page */
static MR *mr_new(Rig *t, uint32_t key, unsigned int pages, uint64_t first,
                  uint64_t len, uint8_t access)
{
    MR *mr = g_new0(MR, 1);
    size_t i;

    g_assert_cmpuint(pages, <=, MR_PAGES);
    mr->key = key;
    mr->pages = pages;
    mr->first = first;
    mr->len = len ?: pages * PAGE - first;
    mr->span = ram_alloc(t, 2 * pages + 1);
    for (i = 0; i < mr_span_size(mr); i++) {
        mr->want[i] = key + i * 7 + i / PAGE * 13;
    }
    qtest_bufwrite(t->qts, mr->span, mr->want, mr_span_size(mr));
    mr_register(t, mr, access);
    return mr;
}

/* -------------------------------------------------------------- what to see */

/* As zlib has it, but not from there. */
static uint32_t crc32_bytes(uint32_t crc, uint8_t byte)
{
    int i;

    crc = ~crc ^ byte;
    for (i = 0; i < 8; i++) {
        crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    }
    return ~crc;
}

static uint8_t pattern_byte(uint64_t value, uint64_t i)
{
    return (value + i / 8 * PINDMA_PATTERN_STEP) >> i % 8 * 8;
}

/* What n stamps of a HAMMER or WRITE leave behind. */
static void want_stamps(MR *mr, const struct pindma_sqe *sqe, uint64_t n)
{
    uint64_t pages = DIV_ROUND_UP(sqe->len, PAGE);
    uint64_t rng = sqe->seed ?: 1;
    uint64_t i, page;

    for (i = 0; i < n; i++) {
        page = i % pages;
        if (sqe->opcode == PINDMA_OP_HAMMER &&
            sqe->mode == PINDMA_ORDER_DOWN) {
            page = pages - 1 - page;
        } else if (sqe->opcode == PINDMA_OP_HAMMER &&
                   sqe->mode == PINDMA_ORDER_RANDOM) {
            rng ^= rng << 13;
            rng ^= rng >> 7;
            rng ^= rng << 17;
            page = rng % pages;
        }
        stq_le_p(mr_want(mr, sqe->offset + page * PAGE), sqe->value + i);
    }
}

/* ------------------------------------------------------------------ journal */

static uint64_t journal_seq(Rig *t)
{
    return reg8(t, PINDMA_REG_JOURNAL_SEQ);
}

static void journal_to_cpu(struct pindma_journal_entry *e)
{
    e->seq = le64_to_cpu(e->seq);
    e->time = le64_to_cpu(e->time);
    e->addr = le64_to_cpu(e->addr);
    e->value = le64_to_cpu(e->value);
    e->tag = le64_to_cpu(e->tag);
    e->offset = le64_to_cpu(e->offset);
    e->len = le32_to_cpu(e->len);
    e->key = le32_to_cpu(e->key);
    e->status = le16_to_cpu(e->status);
}

static struct pindma_journal_entry journal_entry(Rig *t, uint64_t seq)
{
    struct pindma_journal_entry e;

    qpci_memread(t->dev, t->journal, seq % t->journal_entries * sizeof(e), &e,
                 sizeof(e));
    journal_to_cpu(&e);
    g_assert_cmpuint(e.seq, ==, seq);
    return e;
}

#define ENTRY(k, ...) \
    ((struct pindma_journal_entry) { .kind = PINDMA_JOURNAL_##k, __VA_ARGS__ })

/* The next entry; its time and seq are not compared. */
static void journal_expect(Rig *t, uint64_t *seq,
                           struct pindma_journal_entry want)
{
    struct pindma_journal_entry got = journal_entry(t, ++*seq);

    g_assert_cmpuint(got.kind, ==, want.kind);
    g_assert_cmpuint(got.queue, ==, want.queue);
    g_assert_cmphex(got.addr, ==, want.addr);
    g_assert_cmphex(got.value, ==, want.value);
    g_assert_cmphex(got.tag, ==, want.tag);
    g_assert_cmphex(got.offset, ==, want.offset);
    g_assert_cmpuint(got.len, ==, want.len);
    g_assert_cmphex(got.key, ==, want.key);
    g_assert_cmpuint(got.status, ==, want.status);
}

/* An op's way in and out, around the entries of what it did. */
static void journal_expect_fetch(Rig *t, uint64_t *seq, int qn, uint32_t slot,
                                 struct pindma_sqe sqe, uint64_t key)
{
    journal_expect(t, seq,
                   ENTRY(FETCH, .queue = qn, .len = sizeof(sqe),
                         .addr = t->q[qn].sq + slot * sizeof(sqe),
                         .value = sqe.opcode | sqe.mode << 8 | key << 32));
}

static void journal_expect_cqe(Rig *t, uint64_t *seq, int qn, uint32_t slot,
                               uint64_t tag, uint64_t last8)
{
    uint64_t addr = t->q[qn].cq + slot * sizeof(struct pindma_cqe);

    journal_expect(t, seq, ENTRY(CQE, .queue = qn, .len = 24, .addr = addr,
                                 .tag = tag, .value = tag));
    journal_expect(t, seq, ENTRY(CQE, .queue = qn, .len = 8, .addr = addr + 24,
                                 .tag = tag, .offset = 24, .value = last8));
}

/* ------------------------------------------------------ identity, registers */

/* Red: another number in pindma_class_init() or the top of pindma_reg_get(). */
static void test_identity(const void *express)
{
    Rig *t = rig_new(express);
    uint64_t size;
    uint8_t cap;

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
    g_assert_cmphex(qpci_config_readb(t->dev, PCI_INTERRUPT_PIN), ==, 0);
    g_assert_cmpuint(qpci_msix_table_size(t->dev), ==, PINDMA_NUM_QUEUES);

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
    g_assert_cmpuint(reg4(t, PINDMA_REG_MAX_MRS), >, 0);
    g_assert_cmpuint(reg4(t, PINDMA_REG_MAX_PAGES), >, 0);
    qpci_iomap(t->dev, PINDMA_BAR_REGS, &size);
    g_assert_cmpuint(size, ==, PINDMA_BAR_REGS_SIZE);
    qpci_iomap(t->dev, PINDMA_BAR_JOURNAL, &size);
    g_assert_cmpuint(size, ==, t->journal_entries *
                               sizeof(struct pindma_journal_entry));
    rig_free(t);
}

/* All that can be read, so that a write can be seen to change nothing. */
static void snapshot_regs(Rig *t, uint32_t *regs)
{
    uint32_t i;

    for (i = 0; i < 0x200 / 4; i++) {
        regs[i] = reg4(t, i * 4);
    }
}

static void check_regs(Rig *t, const uint32_t *want)
{
    uint32_t got[0x200 / 4];

    snapshot_regs(t, got);
    g_assert_cmpmem(got, sizeof(got), want, sizeof(got));
}

/*
 * Red: valid.min_access_size = 1 in pindma_mmio_ops; a register removed from
 * or added to pindma_reg_is_8(); no check of size 8 in pindma_mmio_write().
 */
static void test_register_access(void)
{
    enum { RO = 1, WO, RWR };
#define QREG(name, size, kind) \
    { PINDMA_QUEUE_REGS(IO) + PINDMA_QUEUE_##name, size, kind }
    static const struct {
        uint64_t addr;
        int size, kind;
    } regs[] = {
        { PINDMA_REG_MAGIC, 4, RO },
        { PINDMA_REG_VERSION, 4, RO },
        { PINDMA_REG_CAPS, 4, RO },
        { PINDMA_REG_CTRL, 4, WO },
        { PINDMA_REG_STATUS, 4, RO },
        { PINDMA_REG_MAX_MRS, 4, RO },
        { PINDMA_REG_MAX_PAGES, 4, RO },
        { PINDMA_REG_JOURNAL_ENTRIES, 4, RO },
        { PINDMA_REG_JOURNAL_SEQ, 8, RO },
        { PINDMA_DB(IO) + PINDMA_DB_MARK, 8, WO },
        QREG(SQ_ADDR, 8, RWR),
        QREG(CQ_ADDR, 8, RWR),
        QREG(ENTRIES, 4, RWR),
        QREG(ENABLE, 4, 0),     /* has a test of its own */
        QREG(SQ_HEAD, 4, RO),
        QREG(CQ_TAIL, 4, RO),
        /* No registers: the end of each group, and of the BAR */
        { 0x30, 4, RO },
        { 0xf8, 4, RO },
        { PINDMA_QUEUE_REGS(IO) + 0x18, 4, RO },
        { PINDMA_QUEUE_REGS(IO) + 0x30, 4, RO },
        { PINDMA_QUEUE_REGS(PINDMA_NUM_QUEUES), 4, RO },
        { PINDMA_BAR_REGS_SIZE - 8, 4, RO },
    };
    Rig *t = rig_new(true);
    uint32_t before[0x200 / 4];
    uint64_t odd;
    int i;

    qset4(t, IO, PINDMA_QUEUE_ENABLE, 0);
    snapshot_regs(t, before);
    for (i = 0; i < ARRAY_SIZE(regs); i++) {
        uint64_t addr = regs[i].addr;

        /* Parts of a register, and what lies across two of them */
        for (odd = 0; odd < regs[i].size; odd++) {
            g_assert_cmphex(qpci_io_readb(t->dev, t->regs, addr + odd), ==, 0);
            qpci_io_writeb(t->dev, t->regs, addr + odd, 0xff);
            g_assert_cmphex(qpci_io_readw(t->dev, t->regs, addr + odd), ==, 0);
            qpci_io_writew(t->dev, t->regs, addr + odd, 0xffff);
            if (odd % 4) {
                g_assert_cmphex(reg4(t, addr + odd), ==, 0);
                set4(t, addr + odd, 0xffffffff);
            }
        }
        if (regs[i].size == 4 && addr % 8 == 0) {
            g_assert_cmphex(reg8(t, addr), ==, 0);
            set8(t, addr, ~0ull);
        }
        check_regs(t, before);

        switch (regs[i].kind) {
        case RO:
            set4(t, addr, ~reg4(t, addr));
            if (regs[i].size == 8) {
                set8(t, addr, ~reg8(t, addr));
            }
            check_regs(t, before);
            break;
        case WO:
            g_assert_cmphex(reg4(t, addr), ==, 0);
            if (regs[i].size == 8) {
                g_assert_cmphex(reg4(t, addr + 4), ==, 0);
                g_assert_cmphex(reg8(t, addr), ==, 0);
            }
            break;
        case RWR:
            if (regs[i].size == 4) {
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
            set8(t, addr, before[addr / 4 + 1] * (1ull << 32) |
                          before[addr / 4]);
            break;
        }
        check_regs(t, before);
    }
    rig_free(t);
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

/* Red: the check of setup && q->enabled in pindma_queue_write(). */
static void test_queue_setup_while_enabled(void)
{
    Rig *t = rig_new(true);
    uint64_t regs = PINDMA_QUEUE_REGS(IO);

    set8(t, regs + PINDMA_QUEUE_SQ_ADDR, RAM_BASE + 8 * PAGE);
    set8(t, regs + PINDMA_QUEUE_CQ_ADDR, RAM_BASE + 9 * PAGE);
    set4(t, regs + PINDMA_QUEUE_SQ_ADDR, 0);
    set4(t, regs + PINDMA_QUEUE_CQ_ADDR + 4, 1);
    set4(t, regs + PINDMA_QUEUE_ENTRIES, 8);
    g_assert_cmphex(reg8(t, regs + PINDMA_QUEUE_SQ_ADDR), ==, t->q[IO].sq);
    g_assert_cmphex(reg8(t, regs + PINDMA_QUEUE_CQ_ADDR), ==, t->q[IO].cq);
    g_assert_cmpuint(reg4(t, regs + PINDMA_QUEUE_ENTRIES), ==,
                     t->q[IO].entries);
    run_ok(t, OP(NOP));
    set4(t, regs + PINDMA_QUEUE_ENABLE, 1);     /* it is, and goes on */
    g_assert_cmpuint(reg4(t, regs + PINDMA_QUEUE_SQ_HEAD), ==, 1);
    run_ok(t, OP(NOP));
    rig_free(t);
}

/*
 * Red: val >= q->entries in pindma_queue_write(), for either doorbell; the
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

/* Red: !pindma_cq_room(q) in pindma_queue_fetch(), or q->busy in the former. */
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
                /* The other one lives on. */
                run_on(t, !qn, OP(NOP));
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

/* ----------------------------------------------------------------- data ops */

#define FIRST   0x123   /* where the mrs of these tests begin in their page */
#define CROSS   (PAGE - FIRST - 3)      /* three bytes before the next page */

/*
 * Red: anything in pindma_op_bytes(), pindma_fill_pattern() and
 * pindma_mr_room(); for example 7 + 1 in the loop of the pattern.
 */
static void test_write(const void *express)
{
    static const struct {
        uint64_t offset, len;
    } ranges[] = {
        { 0, 1 }, { 0, 8 }, { 5, 7 }, { 8 - FIRST % 8, 8 },
        { CROSS, 3 }, { CROSS, 4 }, { CROSS, 8 }, { CROSS + 2, 5 },
        { 0, 0 }, { 1, 9 }, { 3, 64 }, { 13, 100 }, { CROSS - 1, 21 },
        { 0, PAGE }, { FIRST, PAGE + 1 }, { CROSS, 2 * PAGE + 6 },
        { 7, 3 * PAGE + 5 }, { 0, MR_PAGES * PAGE - FIRST },
        { MR_PAGES * PAGE - FIRST - 1, 1 },
        { MR_PAGES * PAGE - FIRST - 8, 8 },
        { MR_PAGES * PAGE - FIRST, 0 },
    };
    Rig *t = rig_new(express);
    MR *mr = mr_new(t, 7, MR_PAGES, FIRST, 0, RW);
    uint64_t offset, len, i, value = VALUE;
    int n;

    for (n = 0; n < ARRAY_SIZE(ranges); n++) {
        offset = ranges[n].offset;
        len = ranges[n].len;

        if (len && len <= 8) {
            value = ror64(value, 5);
            g_assert_cmpuint(run_ok(t, OP(WRITE, .key = 7, .offset = offset,
                                          .len = len, .value = value,
                                          .mode = PINDMA_WRITE_IMMEDIATE)),
                             ==, len);
            for (i = 0; i < len; i++) {
                *mr_want(mr, offset + i) = value >> i * 8;
            }
            mr_check(t, mr);
        }

        value = ror64(value, 5);
        g_assert_cmpuint(run_ok(t, OP(WRITE, .key = 7, .offset = offset,
                                      .len = len, .value = value,
                                      .mode = PINDMA_WRITE_PATTERN)), ==, len);
        for (i = 0; i < len; i++) {
            *mr_want(mr, offset + i) = pattern_byte(value, i);
        }
        mr_check(t, mr);

        value = ror64(value, 5);
        g_assert_cmpuint(run_ok(t, OP(FILL, .key = 7, .offset = offset,
                                      .len = len, .value = value & 0xff)), ==,
                         len);
        for (i = 0; i < len; i++) {
            *mr_want(mr, offset + i) = value;
        }
        mr_check(t, mr);
    }
    rig_free(t);
    g_free(mr);
}

/* Red: pindma_num_stamps(), or "+ op->done" in pindma_stamp(). */
static void test_write_stamps(void)
{
    static const struct {
        uint64_t offset, len, stamps;
    } ranges[] = {
        { 5, 1, 1 }, { 5, 8, 1 }, { 5, PAGE, 1 }, { 5, PAGE + 1, 2 },
        { 13, 2 * PAGE, 2 }, { PAGE + 5, 3 * PAGE, 3 },
        { 5, MR_PAGES * PAGE - FIRST - 5, MR_PAGES },
    };
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 7, MR_PAGES, FIRST, 0, RW);
    int n;

    for (n = 0; n < ARRAY_SIZE(ranges); n++) {
        struct pindma_sqe sqe = OP(WRITE, .key = 7, .offset = ranges[n].offset,
                                   .len = ranges[n].len, .value = VALUE + n,
                                   .mode = PINDMA_WRITE_STAMP);

        g_assert_cmpuint(run_ok(t, sqe), ==, ranges[n].stamps);
        want_stamps(mr, &sqe, ranges[n].stamps);
        mr_check(t, mr);
    }
    rig_free(t);
    g_free(mr);
}

/* Red: op->result in pindma_op_bytes(), either of the two. */
static void test_read(const void *express)
{
    static const uint64_t lens[] = {
        0, 1, 2, 7, 8, 9, 100, PAGE, PAGE + 1, 3 * PAGE + 5,
    };
    static const uint64_t offsets[] = { 0, 5, 13, CROSS, CROSS + 1 };
    Rig *t = rig_new(express);
    MR *mr = mr_new(t, 7, MR_PAGES, FIRST, 0, RW);
    uint64_t len, offset, value, i;
    uint32_t crc = 0;
    int n, m;

    for (i = 0; i < 9; i++) {
        crc = crc32_bytes(crc, '1' + i);
    }
    g_assert_cmphex(crc, ==, 0xcbf43926);   /* as everybody has it */

    for (n = 0; n < ARRAY_SIZE(lens); n++) {
        for (m = 0; m < ARRAY_SIZE(offsets); m++) {
            len = lens[n];
            offset = offsets[m];
            value = 0;
            crc = 0;
            for (i = 0; i < len; i++) {
                crc = crc32_bytes(crc, *mr_want(mr, offset + i));
                value |= i < 8 ? (uint64_t)*mr_want(mr, offset + i) << i * 8
                               : 0;
            }
            g_assert_cmphex(run_ok(t, OP(READ, .mode = PINDMA_READ_CRC32,
                                         .key = 7, .offset = offset,
                                         .len = len)), ==, crc);
            if (len && len <= 8) {
                g_assert_cmphex(run_ok(t, OP(READ, .mode = PINDMA_READ_VALUE,
                                             .key = 7, .offset = offset,
                                             .len = len)), ==, value);
            }
        }
    }
    mr_check(t, mr);
    rig_free(t);
    g_free(mr);
}

/* Red: n = MIN(n, pindma_mr_room(src, src_offset)) in pindma_op_bytes(). */
static void test_copy(void)
{
    static const struct {
        uint64_t offset, src_offset, len;
    } copies[] = {
        { 0, 0, 0 }, { 0, 0, 1 }, { 1, 0, 8 }, { 0, 8, PAGE },
        { CROSS, 5, 9 }, { 5, CROSS, 9 }, { CROSS, CROSS + 1, 2 * PAGE },
        { 100, 1, 3 * PAGE + 17 }, { 1, 3000, 3 * PAGE + 17 },
        { PAGE - FIRST, PAGE - 8, PAGE }, { PAGE, 2 * PAGE, 3 * PAGE - FIRST },
    };
    Rig *t = rig_new(true);
    MR *dst = mr_new(t, 1, MR_PAGES, FIRST, 0, PINDMA_ACCESS_WRITE);
    MR *src = mr_new(t, 2, MR_PAGES, 8, 0, PINDMA_ACCESS_READ);
    uint64_t i;
    int n;

    for (n = 0; n < ARRAY_SIZE(copies); n++) {
        g_assert_cmpuint(run_ok(t, OP(COPY, .key = 1, .src_key = 2,
                                      .offset = copies[n].offset,
                                      .src_offset = copies[n].src_offset,
                                      .len = copies[n].len)), ==,
                         copies[n].len);
        for (i = 0; i < copies[n].len; i++) {
            *mr_want(dst, copies[n].offset + i) =
                *mr_want(src, copies[n].src_offset + i);
        }
        mr_check(t, dst);
        mr_check(t, src);
    }

    /* Within one mr, side by side */
    run_ok(t, OP(DEREG_MR, .key = 2));
    mr_register(t, src, RW);
    run_ok(t, OP(COPY, .key = 2, .src_key = 2, .offset = 2 * PAGE + 3,
                 .src_offset = 3, .len = 2 * PAGE));
    for (i = 0; i < 2 * PAGE; i++) {
        *mr_want(src, 2 * PAGE + 3 + i) = *mr_want(src, 3 + i);
    }
    mr_check(t, src);
    rig_free(t);
    g_free(dst);
    g_free(src);
}

/* ------------------------------------------------------------------- errors */

#define BIG     (1ull << 63)

/*
 * Each row must end with its status, and must not touch memory.  Red: the
 * check that a row is about, for example len > mr->len - offset changed to
 * offset + len > mr->len in pindma_mr_check().
 */
static void test_errors(const void *express)
{
    /* mr 1: read and write, 2 only read, 3 only write; 3 pages less FIRST */
    const uint64_t end = 3 * PAGE - FIRST;
    const struct {
        uint16_t status;
        int qn;
        struct pindma_sqe sqe;
    } rows[] = {
#define IO_ROW(st, ...) { PINDMA_ST_##st, IO, OP(__VA_ARGS__) }
#define ADMIN_ROW(st, ...) { PINDMA_ST_##st, ADMIN, OP(__VA_ARGS__) }
        /* Opcodes, also with fields that only a later version may know */
        { PINDMA_ST_BAD_OPCODE, IO, { .opcode = 0x07 } },
        { PINDMA_ST_BAD_OPCODE, IO, { .opcode = 0x3f, .key = 1, .len = 8 } },
        { PINDMA_ST_BAD_OPCODE, IO, { .opcode = 0xff, .rate = 5 } },
        { PINDMA_ST_BAD_OPCODE, ADMIN, { .opcode = 0x42, .offset = 1 } },
        IO_ROW(BAD_OPCODE, REG_MR, .mode = RW, .key = 9, .len = 1),
        IO_ROW(BAD_OPCODE, DEREG_MR, .key = 1),
        ADMIN_ROW(BAD_OPCODE, WRITE, .key = 1, .len = 8),
        ADMIN_ROW(BAD_OPCODE, READ, .key = 1, .len = 8),
        ADMIN_ROW(BAD_OPCODE, FILL, .key = 1, .len = 8),
        ADMIN_ROW(BAD_OPCODE, COPY, .key = 1, .src_key = 1),
        ADMIN_ROW(BAD_OPCODE, HAMMER, .key = 1, .len = 8),
        ADMIN_ROW(BAD_OPCODE, STOP),

        /* Fields that an op does not name */
        IO_ROW(BAD_FIELD, NOP, .mode = 1),
        IO_ROW(BAD_FIELD, NOP, .flags = 0x8000),
        IO_ROW(BAD_FIELD, NOP, .key = 1),
        IO_ROW(BAD_FIELD, NOP, .offset = 1),
        IO_ROW(BAD_FIELD, NOP, .len = 1),
        IO_ROW(BAD_FIELD, NOP, .value = 1),
        IO_ROW(BAD_FIELD, NOP, .src_key = 1),
        IO_ROW(BAD_FIELD, NOP, .rate = 1),
        IO_ROW(BAD_FIELD, NOP, .src_offset = 1),
        IO_ROW(BAD_FIELD, NOP, .seed = 1),
        ADMIN_ROW(BAD_FIELD, NOP, .seed = 1),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 8, .flags = 0x8000),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 8, .src_key = 1),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 8, .src_offset = 1),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 8, .rate = 1),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 8, .seed = 1),
        IO_ROW(BAD_FIELD, READ, .key = 1, .len = 8, .value = 1),
        IO_ROW(BAD_FIELD, FILL, .key = 1, .len = 8, .mode = 1),
        IO_ROW(BAD_FIELD, FILL, .key = 1, .len = 8, .value = 0x100),
        IO_ROW(BAD_FIELD, COPY, .key = 1, .src_key = 2, .mode = 1),
        IO_ROW(BAD_FIELD, COPY, .key = 1, .src_key = 2, .value = 1),
        IO_ROW(BAD_FIELD, HAMMER, .key = 1, .offset = 5, .len = 8,
               .src_key = 1),
        IO_ROW(BAD_FIELD, STOP, .key = 1),
        IO_ROW(BAD_FIELD, STOP, .mode = 1),
        ADMIN_ROW(BAD_FIELD, DEREG_MR, .key = 1, .len = 1),
        ADMIN_ROW(BAD_FIELD, DEREG_MR, .key = 1, .value = 1),

        /* Modes, lengths and alignment */
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 8, .mode = 3),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 0),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 9),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .len = 1ull << 32),
        IO_ROW(BAD_FIELD, READ, .key = 1, .len = 8, .mode = 2),
        IO_ROW(BAD_FIELD, READ, .key = 1, .len = 0),
        IO_ROW(BAD_FIELD, READ, .key = 1, .len = 9),
        IO_ROW(BAD_FIELD, HAMMER, .key = 1, .offset = 5, .len = 8, .mode = 3),
        IO_ROW(BAD_FIELD, HAMMER, .key = 1, .offset = 4, .len = 8),
        IO_ROW(BAD_FIELD, HAMMER, .key = 1, .offset = 5, .len = 0),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .offset = 1, .len = 8,
               .mode = PINDMA_WRITE_STAMP),
        IO_ROW(BAD_FIELD, WRITE, .key = 1, .offset = 5, .len = 0,
               .mode = PINDMA_WRITE_STAMP),

        /* Keys: free slots, and used ones under another key */
        IO_ROW(BAD_KEY, WRITE, .key = 0, .len = 8),
        IO_ROW(BAD_KEY, READ, .key = 4, .len = 8),
        IO_ROW(BAD_KEY, FILL, .key = 1 | 1u << 31, .len = 8),
        IO_ROW(BAD_KEY, FILL, .key = UINT32_MAX, .len = 8),
        IO_ROW(BAD_KEY, COPY, .key = 1, .src_key = 9, .len = 8),
        IO_ROW(BAD_KEY, COPY, .key = 9, .src_key = 1, .len = 8),
        IO_ROW(BAD_KEY, HAMMER, .key = 9, .len = 8),
        ADMIN_ROW(BAD_KEY, DEREG_MR, .key = 9),
        ADMIN_ROW(BAD_KEY, DEREG_MR, .key = 1 | 1u << 31),

        IO_ROW(BOUNDS, FILL, .key = 1, .offset = end, .len = 1),
        IO_ROW(BOUNDS, FILL, .key = 1, .offset = end + 1, .len = 0),
        IO_ROW(BOUNDS, FILL, .key = 1, .offset = 1, .len = end),
        IO_ROW(BOUNDS, FILL, .key = 1, .len = UINT64_MAX),
        IO_ROW(BOUNDS, FILL, .key = 1, .offset = 8, .len = -8ull),
        IO_ROW(BOUNDS, FILL, .key = 1, .offset = -8ull, .len = 8),
        IO_ROW(BOUNDS, FILL, .key = 1, .offset = -8ull, .len = 16),
        IO_ROW(BOUNDS, FILL, .key = 1, .offset = BIG, .len = BIG),
        IO_ROW(BOUNDS, WRITE, .key = 1, .offset = end - 7, .len = 8),
        IO_ROW(BOUNDS, READ, .key = 1, .offset = end - 7, .len = 8),
        IO_ROW(BOUNDS, COPY, .key = 1, .src_key = 2, .offset = 1, .len = end),
        IO_ROW(BOUNDS, COPY, .key = 1, .src_key = 2, .src_offset = 1,
               .len = end),
        IO_ROW(BOUNDS, COPY, .key = 1, .src_key = 2, .src_offset = -1ull,
               .len = 2),
        IO_ROW(BOUNDS, HAMMER, .key = 1, .offset = 5, .len = UINT64_MAX - 4),
        IO_ROW(BOUNDS, HAMMER, .key = 1, .offset = 5, .len = end - 4),
        IO_ROW(BOUNDS, WRITE, .key = 4 + 1, .len = 1,
               .mode = PINDMA_WRITE_STAMP),

        IO_ROW(ACCESS, WRITE, .key = 2, .len = 8),
        IO_ROW(ACCESS, WRITE, .key = 2, .offset = 5, .len = 8,
               .mode = PINDMA_WRITE_STAMP),
        IO_ROW(ACCESS, FILL, .key = 2, .len = 8),
        IO_ROW(ACCESS, READ, .key = 3, .len = 8),
        IO_ROW(ACCESS, COPY, .key = 2, .src_key = 1, .len = 8),
        IO_ROW(ACCESS, COPY, .key = 1, .src_key = 3, .len = 8),
        IO_ROW(ACCESS, HAMMER, .key = 2, .offset = 5, .len = 8),

        IO_ROW(NOT_FOUND, STOP),
        IO_ROW(NOT_FOUND, STOP, .value = 1),
    };
    Rig *t = rig_new(express);
    MR *mr[4] = {
        mr_new(t, 1, 3, FIRST, 0, RW),
        mr_new(t, 2, 3, FIRST, 0, PINDMA_ACCESS_READ),
        mr_new(t, 3, 3, FIRST, 0, PINDMA_ACCESS_WRITE),
        mr_new(t, 5, 1, 8, 7, RW),      /* no room for a stamp */
    };
    struct pindma_cqe cqe;
    int i;

    for (i = 0; i < ARRAY_SIZE(rows); i++) {
        cqe = run_on(t, rows[i].qn, rows[i].sqe);
        if (cqe.status != rows[i].status) {
            g_test_message("row %d, opcode 0x%x", i, rows[i].sqe.opcode);
        }
        g_assert_cmpuint(cqe.status, ==, rows[i].status);
        g_assert_cmphex(cqe.result, ==, 0);
        g_assert_cmphex(cqe.seq, ==, 0);
    }
    for (i = 0; i < ARRAY_SIZE(mr); i++) {
        mr_check(t, mr[i]);
        g_free(mr[i]);
    }
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);
    rig_free(t);
}

/*
 * Red: the check that a row is about in pindma_op_reg_mr(), or (for the last
 * part) s->num_pages -= mr->num_pages in pindma_mr_free().
 */
static void test_reg_mr_errors(void)
{
    Rig *t = rig_new(true);
    uint32_t max_mrs = reg4(t, PINDMA_REG_MAX_MRS);
    uint64_t max_pages = reg4(t, PINDMA_REG_MAX_PAGES);
    MR *mr = mr_new(t, 1, 3, 0, 0, RW);
    uint64_t pages[] = { RAM_BASE, 2 * RAM_BASE, 3 * RAM_BASE + 8 };
    uint64_t good = page_list(t, pages, 2);
    uint64_t bad = page_list(t, pages, 3);
    uint64_t big = ram_alloc(t, DIV_ROUND_UP(max_pages * 8, PAGE));
    const struct {
        uint16_t status;
        uint64_t result;
        struct pindma_sqe sqe;
    } rows[] = {
#define MR_ROW(st, res, ...) \
        { PINDMA_ST_##st, res, OP(REG_MR, __VA_ARGS__) }
        MR_ROW(BAD_FIELD, 0, .value = good, .len = 8, .mode = RW),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good, .len = 8),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good, .len = 8, .mode = 4),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good, .len = 8, .mode = 0x83),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good, .mode = RW),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good + 4, .len = 8,
               .mode = RW),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good, .len = 8, .mode = RW,
               .offset = PAGE),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good, .len = 8, .mode = RW,
               .offset = -8ull),
        MR_ROW(BAD_FIELD, 0, .key = 2, .value = good, .len = 8, .mode = RW,
               .rate = 1),
        MR_ROW(BAD_KEY, 0, .key = 1, .value = good, .len = 8, .mode = RW),
        MR_ROW(BAD_KEY, 0, .key = 1 + max_mrs, .value = good, .len = 8,
               .mode = RW),
        MR_ROW(NO_SPACE, 0, .key = 2, .value = big, .mode = RW,
               .len = max_pages * PAGE),        /* mr 1 has three */
        MR_ROW(NO_SPACE, 0, .key = 2, .value = big, .mode = RW,
               .len = UINT64_MAX),
        MR_ROW(NO_SPACE, 0, .key = 2, .value = big, .mode = RW,
               .len = -8ull, .offset = 16),
        /* How far it came, in bytes of the list */
        MR_ROW(BAD_FIELD, 16, .key = 2, .value = bad, .mode = RW,
               .len = 3 * PAGE),
        MR_ROW(BAD_FIELD, 8, .key = 2, .value = bad + 8, .mode = RW,
               .len = 2 * PAGE - 8, .offset = 8),
        MR_ROW(DMA_ERROR, 0, .key = 2, .value = MMIO_HOLE, .mode = RW,
               .len = 8),
        MR_ROW(DMA_ERROR, 0, .key = 2, .value = t->regs.addr, .mode = RW,
               .len = 8 * PAGE),
        MR_ROW(DMA_ERROR, 16, .key = 2, .value = RAM_SIZE - 16, .mode = RW,
               .len = 3 * PAGE),
        MR_ROW(OK, 8, .key = 2, .value = good, .mode = RW, .len = PAGE),
        MR_ROW(BAD_KEY, 0, .key = 2, .value = good, .mode = RW, .len = PAGE),
        MR_ROW(OK, 16, .key = 3, .value = good, .mode = RW, .len = PAGE,
               .offset = 1),
    };
    struct pindma_cqe cqe;
    int i;

    for (i = 0; i < ARRAY_SIZE(rows); i++) {
        cqe = run(t, rows[i].sqe);
        if (cqe.status != rows[i].status) {
            g_test_message("row %d", i);
        }
        g_assert_cmpuint(cqe.status, ==, rows[i].status);
        g_assert_cmpuint(cqe.result, ==, rows[i].result);
    }
    mr_check(t, mr);

    /* A stale key is found out. */
    run_ok(t, OP(DEREG_MR, .key = 3));
    cqe = run(t, OP(READ, .key = 3, .len = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_KEY);
    run_ok(t, OP(REG_MR, .key = 3 + max_mrs, .value = good, .mode = RW,
                 .len = PAGE));
    cqe = run(t, OP(READ, .key = 3, .len = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_KEY);
    run_ok(t, OP(READ, .key = 3 + max_mrs, .len = 1));
    run_ok(t, OP(DEREG_MR, .key = 3 + max_mrs));

    /* All pages but those of mrs 1 and 2, and every failure gave its back. */
    run_ok(t, OP(REG_MR, .key = 4, .value = big, .mode = RW,
                 .len = (max_pages - 4) * PAGE));
    cqe = run(t, OP(REG_MR, .key = 5, .value = big, .mode = RW, .len = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_NO_SPACE);
    run_ok(t, OP(DEREG_MR, .key = 2));
    run_ok(t, OP(REG_MR, .key = 5, .value = big, .mode = RW, .len = 1));
    rig_free(t);
    g_free(mr);
}

/*
 * Only RAM is reached.  Red: ram_only in pindma_dma(), or the test of
 * memory_region_is_ram() in pindma_dma_word(); val = 0 of a failed read.
 */
static void test_dma_error(void)
{
    Rig *t = rig_new(true);
    uint64_t pages[] = {
        RAM_BASE, t->regs.addr, MMIO_HOLE, RAM_SIZE, 1ull << 40,
        -(uint64_t)PAGE, 0xfee00000,
    };
    struct pindma_journal_entry e;
    struct pindma_cqe cqe;
    uint64_t hammer;
    int i, op;

    run_ok(t, OP(REG_MR, .key = 1, .mode = RW, .len = sizeof(pages) / 8 * PAGE,
                 .value = page_list(t, pages, ARRAY_SIZE(pages))));
    for (i = 1; i < ARRAY_SIZE(pages); i++) {
        uint64_t at = (uint64_t)i * PAGE + PINDMA_REG_CTRL;
        const struct pindma_sqe ops[] = {
            OP(WRITE, .key = 1, .offset = at - 4, .len = 8, .value = VALUE),
            OP(WRITE, .key = 1, .offset = at, .len = 4, .value = VALUE),
            OP(FILL, .key = 1, .offset = i * PAGE, .len = PAGE, .value = 0xff),
            OP(WRITE, .key = 1, .offset = i * PAGE, .len = PAGE,
               .mode = PINDMA_WRITE_STAMP),
            OP(READ, .key = 1, .offset = at - 4, .len = 8),
            OP(READ, .key = 1, .offset = at, .len = 4),
            OP(READ, .key = 1, .offset = i * PAGE, .len = PAGE,
               .mode = PINDMA_READ_CRC32),
            OP(COPY, .key = 1, .src_key = 1, .offset = i * PAGE, .len = 8),
            OP(COPY, .key = 1, .src_key = 1, .src_offset = i * PAGE,
               .len = 100),
        };

        for (op = 0; op < ARRAY_SIZE(ops); op++) {
            cqe = run(t, ops[op]);
            if (cqe.status != PINDMA_ST_DMA_ERROR) {
                g_test_message("op %d at 0x%" PRIx64, op, pages[i]);
            }
            g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
            g_assert_cmphex(cqe.result, ==, 0);
            e = journal_entry(t, cqe.seq);
            g_assert_cmpuint(e.status, ==, PINDMA_ST_DMA_ERROR);
            g_assert_cmphex(e.addr & -PAGE, ==, pages[i]);
            if (e.kind == PINDMA_JOURNAL_READ) {
                g_assert_cmphex(e.value, ==, 0);
            }
        }
        hammer = start(t, IO, OP(HAMMER, .key = 1, .offset = i * PAGE,
                                 .len = PAGE));
        cqe = reap(t, IO);
        g_assert_cmphex(cqe.tag, ==, hammer);
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
        g_assert_cmphex(cqe.result, ==, 0);
    }
    /* It tells how far it came. */
    cqe = run(t, OP(FILL, .key = 1, .offset = 10, .len = 2 * PAGE));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
    g_assert_cmpuint(cqe.result, ==, PAGE - 10);
    start(t, IO, OP(HAMMER, .key = 1, .len = 2 * PAGE));
    cqe = reap(t, IO);
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
    g_assert_cmpuint(cqe.result, ==, 1);
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);

    /* ROM can be read and not written. */
    pages[0] = ROM;
    run_ok(t, OP(REG_MR, .key = 2, .mode = RW, .len = PAGE,
                 .value = page_list(t, pages, 1)));
    for (i = 7; i <= 8; i++) {
        run_ok(t, OP(READ, .key = 2, .len = i));
        cqe = run(t, OP(WRITE, .key = 2, .len = i, .value = VALUE));
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_DMA_ERROR);
    }
    rig_free(t);
}

/*
 * Whatever is in a ring, the device answers it and lives.  Red: an assert on
 * anything that comes from a descriptor.
 */
static void test_garbage(void)
{
    static const uint8_t opcodes[] = {
        PINDMA_OP_NOP, PINDMA_OP_WRITE, PINDMA_OP_READ, PINDMA_OP_FILL,
        PINDMA_OP_COPY, PINDMA_OP_HAMMER, PINDMA_OP_STOP, PINDMA_OP_REG_MR,
        PINDMA_OP_DEREG_MR, 0xff,
    };
    static const uint64_t numbers[] = {
        0, 0, 0, 0, 1, 2, 3, 7, 8, 9, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE,
        1ull << 31, 1ull << 32, BIG, UINT64_MAX, UINT64_MAX - 7,
    };
    /* The rings are not among the pages, for the test to find its way. */
    static const uint64_t lists[] = {
        RAM_BASE, RAM_BASE + 8, RAM_BASE + PAGE - 16, RAM_BASE + 1, MMIO_HOLE,
        BIG, UINT64_MAX - 7,
    };
#define ANY_OF(table) (table[g_test_rand_int_range(0, ARRAY_SIZE(table))])
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, MR_PAGES, 0, 0, RW);
    struct pindma_cqe cqe;
    uint64_t last;
    uint8_t opcode;
    int i, qn;

    /* Page lists of garbage: the numbers themselves, aligned and not */
    g_assert_cmphex(t->q[ADMIN].sq, ==, RAM_BASE);
    queues_setup(t);
    for (i = 0; i < 2 * PAGE / 8; i++) {
        qtest_writeq(t->qts, RAM_BASE + i * 8, ANY_OF(numbers));
    }
    for (i = 0; i < 3000; i++) {
        qn = g_test_rand_int_range(0, PINDMA_NUM_QUEUES);
        opcode = ANY_OF(opcodes);
        post(t, qn, (struct pindma_sqe) {
            .opcode = opcode, .mode = ANY_OF(numbers) & 3,
            .key = ANY_OF(numbers) & 3, .offset = ANY_OF(numbers),
            .len = ANY_OF(numbers),
            .value = opcode == PINDMA_OP_REG_MR ? ANY_OF(lists)
                                                : ANY_OF(numbers),
            .src_key = i % 8 ? 0 : ANY_OF(numbers),
            .src_offset = i % 8 ? 0 : ANY_OF(numbers),
            .rate = i % 5 ? 0 : ANY_OF(numbers),
            .seed = i % 7 ? 0 : ANY_OF(numbers),
        });
        if (i % 10 == 9) {
            for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
                last = post(t, qn, OP(NOP));
                ring(t, qn);
                do {
                    cqe = reap(t, qn);
                } while (cqe.tag != last);
            }
        }
    }
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS) & ~BUSY, ==, 0);
    rig_free(t);
    g_free(mr);
}

/* ------------------------------------------------------------------ hammers */

static uint64_t hammer_stop(Rig *t, uint64_t tag)
{
    struct pindma_cqe cqe, stop;
    uint64_t stop_tag = start(t, IO, OP(STOP, .value = tag));

    /* That of the hammer comes first. */
    cqe = reap(t, IO);
    g_assert_cmphex(cqe.tag, ==, tag);
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
    stop = reap(t, IO);
    g_assert_cmphex(stop.tag, ==, stop_tag);
    g_assert_cmpuint(stop.status, ==, PINDMA_ST_OK);
    g_assert_cmphex(stop.result, ==, 0);
    return cqe.result;
}

/* Red: any of the three orders in pindma_hammer_step(). */
static void test_hammer(const void *express)
{
    static const struct {
        uint8_t mode;
        uint64_t offset, len, seed;
    } hammers[] = {
        { PINDMA_ORDER_UP, 5, 1, 0 },
        { PINDMA_ORDER_UP, 5, 5 * PAGE, 0 },
        { PINDMA_ORDER_DOWN, 13, 3 * PAGE + 1, 0 },
        { PINDMA_ORDER_RANDOM, 5, 5 * PAGE, 0 },
        { PINDMA_ORDER_RANDOM, PAGE + 5, 4 * PAGE, VALUE },
    };
    Rig *t = rig_new(express);
    MR *mr = mr_new(t, 1, MR_PAGES, FIRST, 0, RW);
    uint64_t tag, n;
    int i;

    for (i = 0; i < ARRAY_SIZE(hammers); i++) {
        struct pindma_sqe sqe = OP(HAMMER, .key = 1, .mode = hammers[i].mode,
                                   .offset = hammers[i].offset,
                                   .len = hammers[i].len, .value = VALUE * i,
                                   .seed = hammers[i].seed);

        n = journal_seq(t);
        tag = start(t, IO, sqe);
        WAIT_FOR(journal_seq(t) > n + 1000);
        g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, BUSY);
        run_ok(t, OP(NOP));
        n = hammer_stop(t, tag);
        g_assert_cmpuint(n, >, 900);
        want_stamps(mr, &sqe, n);
        mr_check(t, mr);
        settle();
        mr_check(t, mr);
        g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);
    }
    rig_free(t);
    g_free(mr);
}

/*
 * The clock of a qtest stands still: stamps come when it is stepped, and as
 * many as it is stepped.  Red: due > s->now in pindma_hammer_step(); no
 * PINDMA_MAX_LAG_NS there (then the last part never ends).
 */
static void test_hammer_rate(void)
{
    struct pindma_sqe sqe = OP(HAMMER, .key = 1, .len = 3 * PAGE, .rate = 1000,
                               .mode = PINDMA_ORDER_DOWN, .value = VALUE);
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 3, 0, 0, RW);
    struct pindma_journal_entry e;
    uint64_t seq, tag, time, n;
    int i;

    tag = start(t, IO, sqe);
    WAIT_FOR((seq = journal_seq(t)) && !qtest_readl(t->qts, t->q[IO].cq) &&
             journal_entry(t, seq).kind == PINDMA_JOURNAL_WRITE);
    time = journal_entry(t, seq).time;
    for (i = 1; i < 20; i++) {
        settle();
        g_assert_cmpuint(journal_seq(t), ==, seq);
        want_stamps(mr, &sqe, i);
        mr_check(t, mr);
        qtest_clock_step(t->qts, 1000 * 1000);
        WAIT_FOR(journal_seq(t) > seq);
        e = journal_entry(t, ++seq);
        g_assert_cmphex(e.value, ==, VALUE + i);
        g_assert_cmpuint(e.time, ==, time + i * 1000 * 1000);
    }
    /* Far too late it does not make up for all that it has missed. */
    qtest_clock_step(t->qts, 3600 * 1000000000ll);
    WAIT_FOR(journal_seq(t) > seq);
    n = hammer_stop(t, tag);
    g_assert_cmpuint(n, >, 20);
    g_assert_cmpuint(n, <, 1000);
    rig_free(t);
    g_free(mr);
}

/*
 * As many as can be, beside each other and other ops.  Red: the comparison
 * with PINDMA_MAX_BESIDE; tag == value in pindma_op_stop().
 */
static void test_hammer_many(void)
{
    Rig *t = rig_new(true);
    MR *mr[PINDMA_MAX_BESIDE];
    struct pindma_sqe sqe[PINDMA_MAX_BESIDE];
    uint64_t tag[PINDMA_MAX_BESIDE], n;
    struct pindma_cqe cqe;
    int i, k;

    for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
        mr[i] = mr_new(t, i + 1, 2, 8 * i, 0, RW);
        sqe[i] = OP(HAMMER, .key = i + 1, .len = PAGE + 1, .value = i * VALUE);
        tag[i] = start(t, IO, sqe[i]);
    }
    cqe = run(t, OP(HAMMER, .key = 1, .len = PAGE));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_NO_SPACE);
    for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
        WAIT_FOR(ram4(t, mr_addr(mr[i], 0)) != (uint32_t)sqe[i].value &&
                 ram4(t, mr_addr(mr[i], PAGE)) != (uint32_t)sqe[i].value);
        cqe = run(t, OP(STOP, .value = ~tag[i]));
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_NOT_FOUND);
    }
    for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
        k = i * 5 % PINDMA_MAX_BESIDE;
        n = hammer_stop(t, tag[k]);
        want_stamps(mr[k], &sqe[k], n);
        mr_check(t, mr[k]);
        cqe = run(t, OP(STOP, .value = tag[k]));
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_NOT_FOUND);
    }
    for (i = 0; i < PINDMA_MAX_BESIDE; i++) {
        mr_check(t, mr[i]);
        g_free(mr[i]);
    }
    rig_free(t);
}

/*
 * As many as the ring has room for: one slot stays free, so that STOP has its
 * turn.  Red: the comparison with q->entries in pindma_op_hammer().
 */
static void test_hammer_small_ring(void)
{
    Rig *t = rig_new(true);
    MR *mr = mr_new(t, 1, 1, 0, 0, RW);
    uint64_t tag[2];
    int i;

    queue_setup(t, IO, 4);
    for (i = 0; i < ARRAY_SIZE(tag); i++) {
        tag[i] = start(t, IO, OP(HAMMER, .key = 1, .len = 8, .rate = 1));
    }
    g_assert_cmpuint(run(t, OP(HAMMER, .key = 1, .len = 8, .rate = 1)).status,
                     ==, PINDMA_ST_NO_SPACE);
    for (i = 0; i < ARRAY_SIZE(tag); i++) {
        hammer_stop(t, tag[i]);
    }
    rig_free(t);
    g_free(mr);
}

/*
 * DEREG_MR under hammers and under an op that takes long.  Red: the loop over
 * the queues in pindma_op_dereg_mr(), or pindma_mr_free() there; src_key in
 * pindma_op_uses().
 */
static void test_dereg_mr(void)
{
    Rig *t = rig_new(true);
    uint64_t pages = reg4(t, PINDMA_REG_MAX_PAGES) - 2 * MR_PAGES;
    MR *mr = mr_new(t, 1, MR_PAGES, 0, 0, RW);
    MR *other = mr_new(t, 2, MR_PAGES, 0, 0, RW);
    struct pindma_sqe hammers[] = {
        OP(HAMMER, .key = 1, .len = MR_PAGES * PAGE, .value = VALUE),
        OP(HAMMER, .key = 2, .len = MR_PAGES * PAGE, .value = 1),
        OP(HAMMER, .key = 1, .offset = 8, .len = 2 * PAGE),
    };
    uint64_t tags[ARRAY_SIZE(hammers)], tag, seq, last;
    struct pindma_journal_entry e;
    struct pindma_cqe cqe;
    int i, n;

    for (i = 0; i < ARRAY_SIZE(hammers); i++) {
        tags[i] = start(t, IO, hammers[i]);
        WAIT_FOR(ram4(t, mr_addr(i == 1 ? other : mr, hammers[i].offset)) !=
                 ldl_le_p(mr_want(i == 1 ? other : mr, hammers[i].offset)));
    }
    cqe = run(t, OP(DEREG_MR, .key = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
    g_assert_cmphex(cqe.result, ==, 0);
    seq = cqe.seq;

    /* Both hammers of mr 1 end, and what they wrote they wrote before. */
    for (i = 0; i < 2; i++) {
        g_assert_true(peek(t, IO, &cqe));
        consume(t, IO);
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_ABORTED);
        n = cqe.tag == tags[0] ? 0 : 2;
        g_assert_cmphex(cqe.tag, ==, tags[n]);
        tags[n] = 0;
        g_assert_cmpuint(cqe.seq, <, seq);
        want_stamps(mr, &hammers[n], cqe.result);
    }
    mr_check(t, mr);

    /* The third goes on; the journal knows of no access to the mr. */
    WAIT_FOR(journal_seq(t) > seq + 1000);
    want_stamps(other, &hammers[1], hammer_stop(t, tags[1]));
    mr_check(t, other);
    mr_check(t, mr);
    last = journal_seq(t);
    if (last - seq < t->journal_entries) {
        e = journal_entry(t, seq);
        g_assert_cmpuint(e.kind, ==, PINDMA_JOURNAL_DEREG_MR);
        g_assert_cmphex(e.key, ==, 1);
        g_assert_cmphex(e.addr, ==, mr_addr(mr, 0));
        g_assert_cmpuint(e.len, ==, MR_PAGES);
        g_assert_cmphex(e.value, ==, mr->len);
    }
    for (seq = MAX(seq, last - 2000); seq < last; seq++) {
        e = journal_entry(t, seq + 1);
        g_assert_cmphex(e.key, !=, 1);
    }
    cqe = run(t, OP(READ, .key = 1, .len = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_KEY);
    cqe = run(t, OP(DEREG_MR, .key = 1));
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_BAD_KEY);

    /* All of its pages are the same one, of memory that nothing else uses. */
    mr_register(t, mr, RW);
    for (i = 0; i < 3; i++) {
        const struct pindma_sqe ops[] = {
            OP(WRITE, .key = 3, .len = pages * PAGE,
               .mode = PINDMA_WRITE_STAMP),
            OP(COPY, .key = 3, .src_key = 4, .len = pages / 2 * PAGE),
            OP(COPY, .key = 4, .src_key = 3, .len = pages / 2 * PAGE),
        };
        uint64_t list = RAM_SIZE - pages * 8;

        g_assert_cmphex(t->ram, <=, list);
        run_ok(t, OP(REG_MR, .key = 3, .mode = RW, .value = list,
                     .len = (i ? pages / 2 : pages) * PAGE));
        if (i) {
            run_ok(t, OP(REG_MR, .key = 4, .mode = RW, .value = list,
                         .len = pages / 2 * PAGE));
        }
        seq = journal_seq(t);
        tag = start(t, IO, ops[i]);
        WAIT_FOR(journal_seq(t) > seq + 10);
        cqe = run(t, OP(DEREG_MR, .key = 3));
        g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
        cqe = reap(t, IO);
        g_assert_cmphex(cqe.tag, ==, tag);
        if (cqe.status != PINDMA_ST_OK) {       /* it may have been faster */
            g_assert_cmpuint(cqe.status, ==, PINDMA_ST_ABORTED);
            g_assert_cmpuint(cqe.result, <, ops[i].len);
        }
        if (i) {
            run_ok(t, OP(DEREG_MR, .key = 4));
        }
    }
    mr_check(t, mr);
    rig_free(t);
    g_free(mr);
    g_free(other);
}

/* --------------------------------------------------------------- interrupts */

#define MSI_DATA(qn)    (0xfeed0000 + (qn))

static uint64_t msix_vector(Rig *t, int vector)
{
    return t->dev->msix_table_off + vector * PCI_MSIX_ENTRY_SIZE;
}

static void msix_mask(Rig *t, int vector, bool masked)
{
    qpci_io_writel(t->dev, t->dev->msix_table_bar,
                   msix_vector(t, vector) + PCI_MSIX_ENTRY_VECTOR_CTRL,
                   masked ? PCI_MSIX_ENTRY_CTRL_MASKBIT : 0);
}

/* The message is a write to RAM: its arrival can be seen, and its order. */
static void msix_setup(Rig *t, int vector, uint64_t addr)
{
    uint64_t entry = msix_vector(t, vector);

    qpci_io_writel(t->dev, t->dev->msix_table_bar,
                   entry + PCI_MSIX_ENTRY_LOWER_ADDR, addr);
    qpci_io_writel(t->dev, t->dev->msix_table_bar,
                   entry + PCI_MSIX_ENTRY_UPPER_ADDR, addr >> 32);
    qpci_io_writel(t->dev, t->dev->msix_table_bar,
                   entry + PCI_MSIX_ENTRY_DATA, MSI_DATA(vector));
    msix_mask(t, vector, false);
}

/*
 * Red: the MSI sent when an op is fetched, not when it is complete; 1u << qn
 * in pindma_complete(); no msix_vector_use().
 */
static void test_msix(const void *express)
{
    Rig *t = rig_new(express);
    MR *mr = mr_new(t, 1, MR_PAGES, FIRST, 0, RW);
    uint64_t msi = ram_alloc(t, 1), addr, pages[8192];
    struct pindma_cqe cqe;
    uint8_t last;
    int i, qn;

    /* Without MSI-X it works, too, just more quietly. */
    run_ok(t, OP(NOP));
    qpci_msix_enable(t->dev);
    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        msix_setup(t, qn, msi + 4 * qn);
    }

    /* Masked: only a pending bit, of the right vector */
    for (qn = 0; qn < PINDMA_NUM_QUEUES; qn++) {
        addr = msi + 4 * qn;
        qtest_memset(t->qts, msi, 0, 8);
        msix_mask(t, qn, true);
        g_assert_false(qpci_msix_pending(t->dev, qn));
        run_on(t, qn, OP(NOP));
        WAIT_FOR(qpci_msix_pending(t->dev, qn));
        g_assert_false(qpci_msix_pending(t->dev, !qn));
        settle();
        g_assert_cmphex(ram4(t, addr), ==, 0);
        msix_mask(t, qn, false);
        g_assert_cmphex(ram4(t, addr), ==, MSI_DATA(qn));
        g_assert_cmphex(ram4(t, addr ^ 4), ==, 0);
        g_assert_false(qpci_msix_pending(t->dev, qn));
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

/* ------------------------------------------------------------------ journal */

#define LAST8(st, sq_head) \
    ((uint64_t)(st) | (uint64_t)(sq_head) << 16 | 1ull << 32)

/* Red: any call of pindma_journal(), or an argument of it. */
static void test_journal(void)
{
    Rig *t = rig_new(true);
    uint64_t seq = journal_seq(t), first, list, tag, time;
    struct pindma_journal_entry e;
    struct pindma_sqe sqe;
    struct pindma_cqe cqe;
    uint64_t mark;
    MR *mr;

    /* The reset when the device was made, or later */
    g_assert_cmpuint(seq, >, 0);
    e = journal_entry(t, seq);
    g_assert_cmpuint(e.kind, ==, PINDMA_JOURNAL_RESET);

    list = t->ram + (2 * 2 + 1) * PAGE;
    mr = mr_new(t, 5, 2, FIRST, 0, RW);
    sqe = OP(REG_MR, .mode = RW, .key = 5);
    journal_expect_fetch(t, &seq, ADMIN, 0, sqe, 5);
    journal_expect(t, &seq, ENTRY(FETCH, .queue = ADMIN, .key = 5, .len = 16,
                                  .addr = list, .tag = t->tag,
                                  .value = mr_page(mr, 0)));
    journal_expect(t, &seq, ENTRY(REG_MR, .queue = ADMIN, .key = 5, .len = 2,
                                  .addr = mr_addr(mr, 0), .tag = t->tag,
                                  .value = mr->len));
    journal_expect_cqe(t, &seq, ADMIN, 0, t->tag, LAST8(PINDMA_ST_OK, 1));
    g_assert_cmpuint(journal_seq(t), ==, seq);

    sqe = OP(WRITE, .mode = PINDMA_WRITE_PATTERN, .key = 5, .len = 20,
             .offset = PAGE - FIRST - 16, .value = VALUE);
    cqe = run(t, sqe);
    g_assert_cmpuint(cqe.seq, ==, seq + 3);
    journal_expect_fetch(t, &seq, IO, 0, sqe, 5);
    journal_expect(t, &seq, ENTRY(WRITE, .queue = IO, .key = 5, .len = 16,
                                  .offset = sqe.offset, .tag = t->tag,
                                  .addr = mr_addr(mr, sqe.offset),
                                  .value = VALUE));
    journal_expect(t, &seq, ENTRY(WRITE, .queue = IO, .key = 5, .len = 4,
                                  .offset = sqe.offset + 16, .tag = t->tag,
                                  .addr = mr_page(mr, 1),
                                  .value = (uint32_t)(VALUE + 2 *
                                                      PINDMA_PATTERN_STEP)));
    journal_expect_cqe(t, &seq, IO, 0, t->tag, LAST8(PINDMA_ST_OK, 1));
    g_assert_cmpuint(journal_seq(t), ==, seq);

    sqe = OP(COPY, .key = 5, .src_key = 5, .len = 8, .offset = 5,
             .src_offset = PAGE - FIRST - 16);
    cqe = run(t, sqe);
    g_assert_cmpuint(cqe.seq, ==, seq + 3);
    journal_expect_fetch(t, &seq, IO, 1, sqe, 5);
    journal_expect(t, &seq, ENTRY(READ, .queue = IO, .key = 5, .len = 8,
                                  .offset = sqe.src_offset, .tag = t->tag,
                                  .addr = mr_addr(mr, sqe.src_offset),
                                  .value = VALUE));
    journal_expect(t, &seq, ENTRY(WRITE, .queue = IO, .key = 5, .len = 8,
                                  .offset = 5, .tag = t->tag, .value = VALUE,
                                  .addr = mr_addr(mr, 5)));
    journal_expect_cqe(t, &seq, IO, 1, t->tag, LAST8(PINDMA_ST_OK, 2));

    /* An op that fails has no access, but its cqe has. */
    sqe = OP(READ, .key = 6, .len = 8);
    cqe = run(t, sqe);
    g_assert_cmpuint(cqe.seq, ==, 0);
    journal_expect_fetch(t, &seq, IO, 2, sqe, 6);
    journal_expect_cqe(t, &seq, IO, 2, t->tag, LAST8(PINDMA_ST_BAD_KEY, 3));

    /* Marks, whole and in halves, and the time that it is */
    set8(t, PINDMA_DB(IO) + PINDMA_DB_MARK, VALUE);
    journal_expect(t, &seq, ENTRY(MARK, .value = VALUE));
    time = journal_entry(t, seq).time;
    qtest_clock_step(t->qts, 12345);
    set4(t, PINDMA_DB(IO) + PINDMA_DB_MARK + 4, 0x11223344);
    g_assert_cmpuint(journal_seq(t), ==, seq);
    set4(t, PINDMA_DB(IO) + PINDMA_DB_MARK, 0x55667788);
    journal_expect(t, &seq, ENTRY(MARK, .value = 0x1122334455667788));
    g_assert_cmpuint(journal_entry(t, seq).time, ==, time + 12345);

    cqe = run(t, OP(DEREG_MR, .key = 5));
    g_assert_cmpuint(cqe.seq, ==, seq + 2);
    journal_expect_fetch(t, &seq, ADMIN, 1, OP(DEREG_MR), 5);
    journal_expect(t, &seq, ENTRY(DEREG_MR, .queue = ADMIN, .key = 5, .len = 2,
                                  .addr = mr_addr(mr, 0), .tag = t->tag,
                                  .value = mr->len));
    journal_expect_cqe(t, &seq, ADMIN, 1, t->tag, LAST8(PINDMA_ST_OK, 2));
    set4(t, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
    journal_expect(t, &seq, ENTRY(RESET));
    g_assert_cmpuint(journal_seq(t), ==, seq);

    /* The ring goes round, each slot has the newest of its entries. */
    queues_setup(t);
    mr_register(t, mr, RW);
    tag = start(t, IO, OP(HAMMER, .key = 5, .offset = 5, .len = PAGE + 1,
                          .value = VALUE));
    WAIT_FOR(journal_seq(t) > 3 * t->journal_entries);
    mark = hammer_stop(t, tag);
    seq = journal_seq(t);
    for (first = seq - t->journal_entries + 1; first <= seq; first++) {
        e = journal_entry(t, first);
        if (e.kind == PINDMA_JOURNAL_WRITE) {
            g_assert_cmphex(e.tag, ==, tag);
            g_assert_cmphex(e.offset % PAGE, ==, 5);
            g_assert_cmphex(e.addr, ==, mr_addr(mr, e.offset));
            g_assert_cmphex(e.value, <, VALUE + mark);
        } else {
            g_assert_cmpuint(first, >, seq - 20);
        }
    }

    /* It can only be read. */
    qpci_memwrite(t->dev, t->journal, seq % t->journal_entries * sizeof(e),
                  "pindma", 6);
    journal_entry(t, seq);
    rig_free(t);
    g_free(mr);
}

/* -------------------------------------------- what stops a device in flight */

static void *memory_copy(Rig *t, const MR *mr)
{
    void *copy = g_malloc(mr_span_size(mr));

    qtest_bufread(t->qts, mr->span, copy, mr_span_size(mr));
    return copy;
}

static void memory_must_stand_still(Rig *t, const MR *mr)
{
    g_autofree void *before = memory_copy(t, mr);
    g_autofree void *after = NULL;

    settle();
    after = memory_copy(t, mr);
    g_assert_cmpmem(before, mr_span_size(mr), after, mr_span_size(mr));
}

static void memory_must_change(Rig *t, const MR *mr)
{
    uint64_t addr = mr_addr(mr, 0);
    uint32_t before = ram4(t, addr);

    WAIT_FOR(ram4(t, addr) != before);
}

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

/* Something to be stopped */
static uint64_t in_flight(Rig *t, const MR *mr)
{
    uint64_t tag = start(t, IO, OP(HAMMER, .key = mr->key, .len = mr->len));

    memory_must_change(t, mr);
    return tag;
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
 * pindma_can_dma(); pindma_kick() in pindma_config_write() or
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
    static const uint32_t zeros[2 * PINDMA_QUEUE_STRIDE / 4];
    bool all = stopper->stop != by_queue_disable;
    MR *mr = mr_new(t, 1, MR_PAGES, 0, 0, RW);
    struct pindma_cqe cqe;
    uint32_t regs[0x200 / 4];
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
            snapshot_regs(t, regs);
            g_assert_cmpmem(regs + PINDMA_QUEUE_REGS(0) / 4, sizeof(zeros),
                            zeros, sizeof(zeros));
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
 * Reset gives back everything.  Red: pindma_mr_free() in pindma_reset(), or in
 * pindma_queue_clear() (an mr half made).
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

/* --------------------------------------------------------------------- main */

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(const void *express);
    } both[] = {
        { "identity", test_identity },
        { "write", test_write },
        { "read", test_read },
        { "errors", test_errors },
        { "hammer/unlimited", test_hammer },
        { "msix", test_msix },
        { "unplug", test_unplug },
    };
    int i, ret;

    g_test_init(&argc, &argv, NULL);
    if (!qtest_has_device("pindma")) {
        g_test_message("this QEMU has no pindma device");
        return g_test_run();
    }
    for (i = 0; i < ARRAY_SIZE(both); i++) {
        g_autofree char *express = g_strdup_printf("/pindma/express/%s",
                                                   both[i].name);
        g_autofree char *plain = g_strdup_printf("/pindma/plain/%s",
                                                 both[i].name);

        qtest_add_data_func(express, GINT_TO_POINTER(true), both[i].test);
        qtest_add_data_func(plain, GINT_TO_POINTER(false), both[i].test);
    }
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
    qtest_add_func("/pindma/registers", test_register_access);
    qtest_add_func("/pindma/queue/setup", test_queue_setup);
    qtest_add_func("/pindma/queue/setup-while-enabled",
                   test_queue_setup_while_enabled);
    qtest_add_func("/pindma/queue/doorbells", test_queue_doorbells);
    qtest_add_func("/pindma/queue/wrap", test_ring_wrap);
    qtest_add_func("/pindma/queue/cq-full", test_cq_full);
    qtest_add_func("/pindma/queue/not-ram", test_ring_not_ram);
    qtest_add_func("/pindma/stamps", test_write_stamps);
    qtest_add_func("/pindma/copy", test_copy);
    qtest_add_func("/pindma/reg-mr-errors", test_reg_mr_errors);
    qtest_add_func("/pindma/dma-error", test_dma_error);
    qtest_add_func("/pindma/garbage", test_garbage);
    qtest_add_func("/pindma/hammer/rate", test_hammer_rate);
    qtest_add_func("/pindma/hammer/many", test_hammer_many);
    qtest_add_func("/pindma/hammer/small-ring", test_hammer_small_ring);
    qtest_add_func("/pindma/dereg-mr", test_dereg_mr);
    qtest_add_func("/pindma/journal", test_journal);
    qtest_add_func("/pindma/reset-frees", test_reset_frees);
    qtest_add_func("/pindma/unplug-by-own-msi", test_unplug_by_own_msi);
    qtest_add_func("/pindma/quit", test_quit);
    ret = g_test_run();
    unlink(firmware());
    return ret;
}
