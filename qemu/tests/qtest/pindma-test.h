/*
 * QTest testcase for the pindma device: what the tests share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef PINDMA_TEST_H
#define PINDMA_TEST_H

#include "libqtest.h"
#include "libqos/pci.h"
#include "hw/pci/pci_regs.h"
#include "hw/misc/pindma_regs.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
/* They moved in QEMU 10.0. */
#if __has_include("qobject/qdict.h")
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#else
#include "qapi/qmp/qdict.h"
#include "qapi/qmp/qjson.h"
#include "qapi/qmp/qlist.h"
#endif

#define PAGE            PINDMA_PAGE_SIZE
#define IO              PINDMA_QUEUE_IO
#define ADMIN           PINDMA_QUEUE_ADMIN
#define BUSY            PINDMA_STATUS_BUSY
#define RW              (PINDMA_ACCESS_READ | PINDMA_ACCESS_WRITE)
#define VALUE           0x0123456789abcdefull
#define BIG             (1ull << 63)
#define MS              1000000ll       /* in nanoseconds */

#define RAM_SIZE        (64ull << 20)
#define RAM_BASE        (1ull << 20)    /* of what ram_alloc() hands out */
#define MMIO_HOLE       0xd0000000ull   /* nothing is there */
#define ROM             0xfffff000ull   /* the last page of the firmware */
#define MMIO_WINDOW     0xe0000000ull   /* where libqos maps BARs, 256 MiB */
#define PORT_DEVFN      QPCI_DEVFN(4, 0)
#define PLAIN_SLOT      5

#define MR_PAGES        6               /* of the largest MR of these tests */
#define MR_SPAN         (2 * MR_PAGES + 1)
#define FIRST           0x123           /* where most mrs begin in a page */
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
    uint64_t shadow;            /* 0: none, the doorbells are registers */
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
    uint32_t pd;
    uint64_t first, len;
    unsigned int pages;
    uint64_t span;
    uint8_t want[MR_SPAN * PAGE];
} MR;

/*
 * The machine and the device.  With a root port (express) the device is a PCI
 * Express endpoint.  props begins with a comma, args are for QEMU.
 */
Rig *rig_new(bool express);
Rig *rig_new_with(bool express, const char *props, const char *args);
Rig *rig_new_bare(bool express, const char *props, const char *args);
void rig_free(Rig *t);
const char *firmware(void);
void firmware_remove(void);
char *refused(const char *device, const char *args);
void pci_setup(Rig *t);
void bus_master(Rig *t, bool on);
void queue_setup(Rig *t, int qn, uint32_t entries);
void queues_setup(Rig *t);
void queue_setup_shadow(Rig *t, int qn, uint32_t entries);
void settle(void);

/* Registers, doorbells, memory */
uint32_t reg4(Rig *t, uint64_t reg);
uint64_t reg8(Rig *t, uint64_t reg);
void set4(Rig *t, uint64_t reg, uint32_t val);
void set8(Rig *t, uint64_t reg, uint64_t val);
uint32_t qreg4(Rig *t, int qn, uint64_t reg);
void qset4(Rig *t, int qn, uint64_t reg, uint32_t val);
void db4(Rig *t, int qn, uint64_t reg, uint32_t val);
void mark(Rig *t, int qn, uint64_t value);
uint64_t ram_alloc(Rig *t, unsigned int pages);
uint32_t ram4(Rig *t, uint64_t addr);

/* Ops: post() and ring(), or start(); then peek() and consume(), or reap() */
uint64_t post(Rig *t, int qn, struct pindma_sqe sqe);
void ring(Rig *t, int qn);
uint64_t start(Rig *t, int qn, struct pindma_sqe sqe);
bool peek(Rig *t, int qn, struct pindma_cqe *cqe);
void consume(Rig *t, int qn);
struct pindma_cqe reap(Rig *t, int qn);
void reap_expect(Rig *t, int qn, uint64_t tag, uint16_t status);
struct pindma_cqe run_on(Rig *t, int qn, struct pindma_sqe sqe);
struct pindma_cqe run(Rig *t, struct pindma_sqe sqe);
uint64_t run_ok(Rig *t, struct pindma_sqe sqe);
uint64_t hammer_stop(Rig *t, uint64_t tag);

/* mrs */
uint64_t mr_page(const MR *mr, unsigned int page);
uint64_t mr_addr(const MR *mr, uint64_t offset);
uint8_t *mr_want(MR *mr, uint64_t offset);
size_t mr_span_size(const MR *mr);
void mr_check(Rig *t, MR *mr);
uint64_t page_list(Rig *t, const uint64_t *pages, unsigned int n);
void mr_register(Rig *t, MR *mr, uint8_t access);
MR *mr_new(Rig *t, uint32_t key, unsigned int pages, uint64_t first,
           uint64_t len, uint8_t access);
MR *mr_new_in(Rig *t, uint32_t pd, uint32_t key, unsigned int pages,
              uint64_t first, uint64_t len, uint8_t access);
void *memory_copy(Rig *t, const MR *mr);
void memory_must_stand_still(Rig *t, const MR *mr);
void memory_must_change(Rig *t, const MR *mr);
uint64_t in_flight(Rig *t, const MR *mr);

/* What an op leaves behind */
uint32_t crc32_bytes(uint32_t crc, uint8_t byte);
uint8_t pattern_byte(uint64_t value, uint64_t i);
void want_pattern(MR *mr, uint64_t offset, uint64_t len, uint64_t value);
void want_bytes(MR *mr, uint64_t offset, uint64_t len, uint8_t byte);
void want_stamps(MR *mr, const struct pindma_sqe *sqe, uint64_t n);

/* The journal */
#define ENTRY(k, ...) \
    ((struct pindma_journal_entry) { .kind = PINDMA_JOURNAL_##k, __VA_ARGS__ })

uint64_t journal_seq(Rig *t);
void journal_to_cpu(struct pindma_journal_entry *e);
struct pindma_journal_entry journal_entry(Rig *t, uint64_t seq);
void journal_expect(Rig *t, uint64_t *seq, struct pindma_journal_entry want);
void journal_expect_fetch(Rig *t, uint64_t *seq, int qn, uint32_t slot,
                          struct pindma_sqe sqe, uint64_t key);
void journal_expect_cqe(Rig *t, uint64_t *seq, int qn, uint32_t slot,
                        uint64_t tag, uint64_t last8);

/* MSI-X, by way of messages to RAM */
#define MSI_DATA(qn)    (0xfeed0000 + (qn))

uint64_t msix_vector(Rig *t, int vector);
void msix_mask(Rig *t, int vector, bool masked);
void msix_setup(Rig *t, int vector, uint64_t addr);

/* Properties of the device "dut" */
void qom_set_str(Rig *t, const char *property, const char *value);
void qom_set_int(Rig *t, const char *property, uint64_t value);
uint64_t qom_get_int(Rig *t, const char *property);

/* What each of the files has to offer */
void pindma_add_queue_tests(void);
void pindma_add_op_tests(void);
void pindma_add_irq_tests(void);
void pindma_add_journal_tests(void);
void pindma_add_list_tests(void);
void pindma_add_shadow_tests(void);
void pindma_add_wait_tests(void);
void pindma_add_fault_tests(void);
void pindma_add_host_tests(void);
void pindma_add_iommu_tests(void);
void pindma_add_migrate_tests(void);
void pindma_add_pci_tests(void);

/* The same test on a root port, and on plain PCI */
void add_on_both(const char *name, void (*test)(const void *express));

#endif /* PINDMA_TEST_H */
