/*
 * QTest testcase for the pindma device: what the tests share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqos/pci-pc.h"
#include "pindma-test.h"

/* ------------------------------------------------------------------ machine */

static char *firmware_path;

/* Without a file of a plausible size the PC machine types do not start. */
const char *firmware(void)
{
    if (!firmware_path) {
        g_autofree uint8_t *zeros = g_malloc0(64 * 1024);
        int fd = g_file_open_tmp("pindma-test-XXXXXX", &firmware_path, NULL);

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(write(fd, zeros, 64 * 1024), ==, 64 * 1024);
        close(fd);
    }
    return firmware_path;
}

void firmware_remove(void)
{
    if (firmware_path) {
        unlink(firmware_path);
    }
}

uint32_t reg4(Rig *t, uint64_t reg)
{
    return qpci_io_readl(t->dev, t->regs, reg);
}

uint64_t reg8(Rig *t, uint64_t reg)
{
    return qpci_io_readq(t->dev, t->regs, reg);
}

void set4(Rig *t, uint64_t reg, uint32_t val)
{
    qpci_io_writel(t->dev, t->regs, reg, val);
}

void set8(Rig *t, uint64_t reg, uint64_t val)
{
    qpci_io_writeq(t->dev, t->regs, reg, val);
}

uint32_t qreg4(Rig *t, int qn, uint64_t reg)
{
    return reg4(t, PINDMA_QUEUE_REGS(qn) + reg);
}

void qset4(Rig *t, int qn, uint64_t reg, uint32_t val)
{
    set4(t, PINDMA_QUEUE_REGS(qn) + reg, val);
}

void db4(Rig *t, int qn, uint64_t reg, uint32_t val)
{
    set4(t, PINDMA_DB(qn) + reg, val);
}

void mark(Rig *t, int qn, uint64_t value)
{
    set8(t, PINDMA_DB(qn) + PINDMA_DB_MARK, value);
}

uint64_t ram_alloc(Rig *t, unsigned int pages)
{
    uint64_t addr = t->ram;

    t->ram += pages * PAGE;
    g_assert_cmphex(t->ram, <=, RAM_SIZE);
    return addr;
}

uint32_t ram4(Rig *t, uint64_t addr)
{
    return qtest_readl(t->qts, addr);
}

void bus_master(Rig *t, bool on)
{
    uint16_t cmd = qpci_config_readw(t->dev, PCI_COMMAND);

    cmd = on ? cmd | PCI_COMMAND_MASTER : cmd & ~PCI_COMMAND_MASTER;
    qpci_config_writew(t->dev, PCI_COMMAND, cmd);
}

/* What firmware does: bus numbers, windows, BARs. */
void pci_setup(Rig *t)
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

static void setup(Rig *t, int qn, uint32_t entries, uint64_t shadow)
{
    Queue *q = &t->q[qn];
    uint64_t regs = PINDMA_QUEUE_REGS(qn);

    *q = (Queue) {
        .sq = ram_alloc(t, DIV_ROUND_UP(entries * sizeof(struct pindma_sqe),
                                        PAGE)),
        .cq = ram_alloc(t, DIV_ROUND_UP(entries * sizeof(struct pindma_cqe),
                                        PAGE)),
        .shadow = shadow,
        .entries = entries,
        .phase = true,
    };
    qtest_memset(t->qts, q->cq, 0, entries * sizeof(struct pindma_cqe));
    set4(t, regs + PINDMA_QUEUE_ENABLE, 0);
    set8(t, regs + PINDMA_QUEUE_SQ_ADDR, q->sq);
    set8(t, regs + PINDMA_QUEUE_CQ_ADDR, q->cq);
    set8(t, regs + PINDMA_QUEUE_SHADOW, q->shadow);
    set4(t, regs + PINDMA_QUEUE_ENTRIES, entries);
    set4(t, regs + PINDMA_QUEUE_ENABLE, 1);
    g_assert_cmpuint(reg4(t, regs + PINDMA_QUEUE_ENABLE), ==, 1);
}

void queue_setup(Rig *t, int qn, uint32_t entries)
{
    setup(t, qn, entries, 0);
}

/* With doorbells in memory, and interrupts as without */
void queue_setup_shadow(Rig *t, int qn, uint32_t entries)
{
    uint64_t shadow = ram_alloc(t, 1);

    qtest_memset(t->qts, shadow, 0, PAGE);
    qtest_writel(t->qts, shadow + offsetof(struct pindma_shadow, armed), 1);
    setup(t, qn, entries, shadow);
}

void queues_setup(Rig *t)
{
    int qn;

    queue_setup(t, ADMIN, 16);
    for (qn = IO; qn < PINDMA_NUM_QUEUES; qn++) {
        queue_setup(t, qn, 64);
    }
}

/* Nobody has looked at the bus yet. */
Rig *rig_new_bare(bool express, const char *props, const char *args)
{
    Rig *t = g_new0(Rig, 1);

    t->qts = qtest_initf("-machine %s -m %u -nodefaults -bios %s "
                         "-global apic.vapic=off "
                         "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support"
                         "=off %s %s%s",
                         express ? "q35" : "pc", (unsigned)(RAM_SIZE >> 20),
                         firmware(), args,
                         express ? "-device pcie-root-port,id=slot0,addr=4 "
                                   "-device pindma,id=dut,bus=slot0"
                                 : "-device pindma,id=dut,addr=5", props);
    t->bus = qpci_new_pc(t->qts, NULL);
    t->ram = RAM_BASE;
    if (express) {
        t->port = qpci_device_find(t->bus, PORT_DEVFN);
        g_assert_nonnull(t->port);
    }
    return t;
}

Rig *rig_new_with(bool express, const char *props, const char *args)
{
    Rig *t = rig_new_bare(express, props, args);

    pci_setup(t);
    queues_setup(t);
    return t;
}

Rig *rig_new(bool express)
{
    return rig_new_with(express, "", "");
}

void rig_free(Rig *t)
{
    qtest_quit(t->qts);
    g_free(t->dev);
    g_free(t->port);
    qpci_free_pc(t->bus);
    g_free(t);
}

/* Time enough for many a batch of an engine that should be doing nothing. */
void settle(void)
{
    g_usleep(20 * 1000);
}

/* ------------------------------------------------------------- ops and cqes */

/* Put an op into the ring; ring the doorbell for all of them at once. */
uint64_t post(Rig *t, int qn, struct pindma_sqe sqe)
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

/* A doorbell.  With a shadow it is a store, and one if the device sleeps. */
static void tell(Rig *t, int qn, uint64_t reg, size_t field, uint32_t val)
{
    uint64_t shadow = t->q[qn].shadow;

    if (shadow) {
        qtest_writel(t->qts, shadow + field, val);
    }
    if (!shadow ||
        ram4(t, shadow + offsetof(struct pindma_shadow, asleep))) {
        db4(t, qn, reg, val);
    }
}

void ring(Rig *t, int qn)
{
    tell(t, qn, PINDMA_DB_SQ_TAIL, offsetof(struct pindma_shadow, sq_tail),
         t->q[qn].tail);
}

uint64_t start(Rig *t, int qn, struct pindma_sqe sqe)
{
    uint64_t tag = post(t, qn, sqe);

    ring(t, qn);
    return tag;
}

/* Look at the next cqe without a word to the device. */
bool peek(Rig *t, int qn, struct pindma_cqe *cqe)
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

void consume(Rig *t, int qn)
{
    Queue *q = &t->q[qn];

    q->head = (q->head + 1) % q->entries;
    if (!q->head) {
        q->phase = !q->phase;
    }
    tell(t, qn, PINDMA_DB_CQ_HEAD, offsetof(struct pindma_shadow, cq_head),
         q->head);
}

struct pindma_cqe reap(Rig *t, int qn)
{
    struct pindma_cqe cqe;

    WAIT_FOR(peek(t, qn, &cqe));
    g_assert_cmphex(cqe.reserved, ==, 0);
    consume(t, qn);
    return cqe;
}

void reap_expect(Rig *t, int qn, uint64_t tag, uint16_t status)
{
    struct pindma_cqe cqe = reap(t, qn);

    g_assert_cmphex(cqe.tag, ==, tag);
    g_assert_cmpuint(cqe.status, ==, status);
}

struct pindma_cqe run_on(Rig *t, int qn, struct pindma_sqe sqe)
{
    uint64_t tag = start(t, qn, sqe);
    struct pindma_cqe cqe = reap(t, qn);

    g_assert_cmphex(cqe.tag, ==, tag);
    g_assert_cmpuint(cqe.sq_head, ==, t->q[qn].tail);
    return cqe;
}

struct pindma_cqe run(Rig *t, struct pindma_sqe sqe)
{
    return run_on(t, sqe.opcode >= PINDMA_OP_REG_MR ? ADMIN : IO, sqe);
}

/* For the ops that just have to work. */
uint64_t run_ok(Rig *t, struct pindma_sqe sqe)
{
    struct pindma_cqe cqe = run(t, sqe);

    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_OK);
    return cqe.result;
}

/* ---------------------------------------------------------------------- mrs */

uint64_t mr_page(const MR *mr, unsigned int page)
{
    return mr->span + (2 * (mr->pages - 1 - page) + 1) * PAGE;
}

uint64_t mr_addr(const MR *mr, uint64_t offset)
{
    uint64_t pos = mr->first + offset;

    return mr_page(mr, pos / PAGE) + pos % PAGE;
}

uint8_t *mr_want(MR *mr, uint64_t offset)
{
    return mr->want + (mr_addr(mr, offset) - mr->span);
}

size_t mr_span_size(const MR *mr)
{
    return (2 * mr->pages + 1) * PAGE;
}

void mr_check(Rig *t, MR *mr)
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

uint64_t page_list(Rig *t, const uint64_t *pages, unsigned int n)
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

void mr_register(Rig *t, MR *mr, uint8_t access)
{
    uint64_t pages[MR_PAGES];
    unsigned int i;

    for (i = 0; i < mr->pages; i++) {
        pages[i] = mr_page(mr, i);
    }
    g_assert_cmpuint(run_ok(t, OP(REG_MR, .mode = access, .key = mr->key,
                                  .pd = mr->pd, .offset = mr->first,
                                  .len = mr->len,
                                  .value = page_list(t, pages, mr->pages))),
                     ==, mr->pages * 8);
}

/* len 0: to the end of the last page */
MR *mr_new_in(Rig *t, uint32_t pd, uint32_t key, unsigned int pages,
              uint64_t first, uint64_t len, uint8_t access)
{
    MR *mr = g_new0(MR, 1);
    size_t i;

    g_assert_cmpuint(pages, <=, MR_PAGES);
    mr->key = key;
    mr->pd = pd;
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

MR *mr_new(Rig *t, uint32_t key, unsigned int pages, uint64_t first,
           uint64_t len, uint8_t access)
{
    return mr_new_in(t, 0, key, pages, first, len, access);
}

/* -------------------------------------------------------------- what to see */

/* As zlib has it, but not from there. */
uint32_t crc32_bytes(uint32_t crc, uint8_t byte)
{
    int i;

    crc = ~crc ^ byte;
    for (i = 0; i < 8; i++) {
        crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    }
    return ~crc;
}

uint8_t pattern_byte(uint64_t value, uint64_t i)
{
    return (value + i / 8 * PINDMA_PATTERN_STEP) >> i % 8 * 8;
}

void want_pattern(MR *mr, uint64_t offset, uint64_t len, uint64_t value)
{
    uint64_t i;

    for (i = 0; i < len; i++) {
        *mr_want(mr, offset + i) = pattern_byte(value, i);
    }
}

void want_bytes(MR *mr, uint64_t offset, uint64_t len, uint8_t byte)
{
    uint64_t i;

    for (i = 0; i < len; i++) {
        *mr_want(mr, offset + i) = byte;
    }
}

/* What n stamps of a HAMMER or WRITE leave behind. */
void want_stamps(MR *mr, const struct pindma_sqe *sqe, uint64_t n)
{
    uint64_t pages = DIV_ROUND_UP(sqe->len, PAGE);
    uint64_t rng = sqe->seed ?: 1;
    uint64_t i, page;

    for (i = 0; i < n; i++) {
        page = i % pages;
        switch (sqe->opcode == PINDMA_OP_HAMMER ? sqe->mode
                                                : PINDMA_ORDER_UP) {
        case PINDMA_ORDER_DOWN:
            page = pages - 1 - page;
            break;
        case PINDMA_ORDER_RANDOM:
            rng ^= rng << 13;
            rng ^= rng >> 7;
            rng ^= rng << 17;
            page = rng % pages;
            break;
        case PINDMA_ORDER_HOT:
            page = i % 2 ? i / 2 % pages : sqe->seed % pages;
            break;
        }
        stq_le_p(mr_want(mr, sqe->offset + page * PAGE), sqe->value + i);
    }
}

/* ------------------------------------------------------------------ journal */

uint64_t journal_seq(Rig *t)
{
    return reg8(t, PINDMA_REG_JOURNAL_SEQ);
}

void journal_to_cpu(struct pindma_journal_entry *e)
{
    e->seq = le64_to_cpu(e->seq);
    e->time = le64_to_cpu(e->time);
    e->addr = le64_to_cpu(e->addr);
    e->value = le64_to_cpu(e->value);
    e->tag = le64_to_cpu(e->tag);
    e->offset = le64_to_cpu(e->offset);
    e->len = le32_to_cpu(e->len);
    e->key = le32_to_cpu(e->key);
    e->crc = le32_to_cpu(e->crc);
}

struct pindma_journal_entry journal_entry(Rig *t, uint64_t seq)
{
    struct pindma_journal_entry e;

    qpci_memread(t->dev, t->journal, seq % t->journal_entries * sizeof(e), &e,
                 sizeof(e));
    journal_to_cpu(&e);
    g_assert_cmpuint(e.seq, ==, seq);
    return e;
}

/* The next entry; its time and seq are not compared. */
void journal_expect(Rig *t, uint64_t *seq, struct pindma_journal_entry want)
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
    g_assert_cmpuint(got.fault, ==, want.fault);
}

/* An op's way in and out, around the entries of what it did. */
void journal_expect_fetch(Rig *t, uint64_t *seq, int qn, uint32_t slot,
                          struct pindma_sqe sqe, uint64_t key)
{
    journal_expect(t, seq,
                   ENTRY(FETCH, .queue = qn, .len = sizeof(sqe),
                         .addr = t->q[qn].sq + slot * sizeof(sqe),
                         .value = sqe.opcode | sqe.mode << 8 | key << 32));
}

void journal_expect_cqe(Rig *t, uint64_t *seq, int qn, uint32_t slot,
                        uint64_t tag, uint64_t last8)
{
    uint64_t addr = t->q[qn].cq + slot * sizeof(struct pindma_cqe);

    journal_expect(t, seq, ENTRY(CQE, .queue = qn, .len = 24, .addr = addr,
                                 .tag = tag, .value = tag));
    journal_expect(t, seq, ENTRY(CQE, .queue = qn, .len = 8, .addr = addr + 24,
                                 .tag = tag, .offset = 24, .value = last8));
}

uint64_t hammer_stop(Rig *t, uint64_t tag)
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

uint64_t msix_vector(Rig *t, int vector)
{
    return t->dev->msix_table_off + vector * PCI_MSIX_ENTRY_SIZE;
}

void msix_mask(Rig *t, int vector, bool masked)
{
    qpci_io_writel(t->dev, t->dev->msix_table_bar,
                   msix_vector(t, vector) + PCI_MSIX_ENTRY_VECTOR_CTRL,
                   masked ? PCI_MSIX_ENTRY_CTRL_MASKBIT : 0);
}

/* The message is a write to RAM: its arrival can be seen, and its order. */
void msix_setup(Rig *t, int vector, uint64_t addr)
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

void *memory_copy(Rig *t, const MR *mr)
{
    void *copy = g_malloc(mr_span_size(mr));

    qtest_bufread(t->qts, mr->span, copy, mr_span_size(mr));
    return copy;
}

void memory_must_stand_still(Rig *t, const MR *mr)
{
    g_autofree void *before = memory_copy(t, mr);
    g_autofree void *after = NULL;

    settle();
    after = memory_copy(t, mr);
    g_assert_cmpmem(before, mr_span_size(mr), after, mr_span_size(mr));
}

void memory_must_change(Rig *t, const MR *mr)
{
    uint64_t addr = mr_addr(mr, 0);
    uint32_t before = ram4(t, addr);

    WAIT_FOR(ram4(t, addr) != before);
}

/* Something to be stopped */
uint64_t in_flight(Rig *t, const MR *mr)
{
    uint64_t tag = start(t, IO, OP(HAMMER, .key = mr->key, .len = mr->len));

    memory_must_change(t, mr);
    return tag;
}

/* --------------------------------------------------------------- properties */

void qom_set_str(Rig *t, const char *property, const char *value)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'qom-set', 'arguments': "
                             "{'path': '/machine/peripheral/dut', "
                             "'property': %s, 'value': %s}}", property, value);
}

void qom_set_int(Rig *t, const char *property, uint64_t value)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'qom-set', 'arguments': "
                             "{'path': '/machine/peripheral/dut', "
                             "'property': %s, 'value': %" PRIu64 "}}",
                             property, value);
}

uint64_t qom_get_int(Rig *t, const char *property)
{
    QDict *rsp = qtest_qmp(t->qts, "{'execute': 'qom-get', 'arguments': "
                           "{'path': '/machine/peripheral/dut', "
                           "'property': %s}}", property);
    uint64_t value;

    g_assert_true(qdict_haskey(rsp, "return"));
    value = qdict_get_int(rsp, "return");
    qobject_unref(rsp);
    return value;
}

/*
 * What QEMU says when it does not start with this device.  There is no machine
 * that could go on by mistake for longer than it takes to see that.
 */
char *refused(const char *device, const char *args)
{
    g_autofree char *cmd = NULL;
    g_autofree char *out = NULL;
    char *err = NULL;
    int status;

    cmd = g_strdup_printf("timeout 20 %s -machine q35 -accel %s -display none "
                          "-nodefaults -S -bios %s -monitor stdio %s -device %s",
                          getenv("QTEST_QEMU_BINARY"),
                          strstr(args, "-icount") ? "tcg" : "qtest",
                          firmware(), args, device);
    g_assert_true(g_spawn_command_line_sync(cmd, &out, &err, &status, NULL));
    g_assert_cmpint(status, !=, 0);
    return err;
}
