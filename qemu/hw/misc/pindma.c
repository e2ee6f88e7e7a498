/*
 * pindma: a PCI device that masters the bus whenever it likes
 *
 * Hardware in the manner of an RDMA adapter, for testing how an operating
 * system treats memory that a device may access at any time: memory regions
 * (mrs) are registered as lists of pages, requests (ops) come in through
 * rings, and engines of its own read and write the pages.  A hammer is an op
 * that goes on writing until it is stopped.  The journal is the device's own
 * record of every access, and faults are misbehaviour on request.
 *
 *     -device pindma                  on PCI Express (FLR, AER) or plain PCI
 *
 * docs/specs/pindma.rst tells all of it.  pindma-internal.h says which file
 * does what; this one is the device as the PCI bus sees it.
 *
 * MSIs can be aimed anywhere, even at the power switch of the device's own
 * slot, so they are sent between two batches of an engine, which is prepared to
 * find the device gone after one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-internal.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/module.h"

#define PINDMA_AER_OFFSET       0x100   /* in extended config space */
#define PINDMA_ATS_OFFSET       0x160

/* -------------------------------------------------------------- interrupts */

/* The level of INTx, which is silent if there is MSI or MSI-X */
void pindma_intr_update(PinDMAState *s)
{
    PCIDevice *pdev = PCI_DEVICE(s);

    pci_set_irq(pdev, s->intr && !msix_enabled(pdev) && !msi_enabled(pdev));
}

/* After a batch.  The device may be gone after it. */
void pindma_interrupt(PinDMAEngine *engine)
{
    PinDMAState *s = engine->s;
    PCIDevice *pdev = PCI_DEVICE(s);
    uint32_t queues = s->notify;
    int i;

    if (!queues) {
        return;
    }
    s->notify = 0;
    trace_pindma_interrupt(queues);
    object_ref(OBJECT(s));
    if (!msix_enabled(pdev)) {
        s->intr |= queues;
        if (msi_enabled(pdev)) {
            msi_notify(pdev, 0);
        }
        pindma_intr_update(s);
    }
    for (i = 0; i < PINDMA_NUM_QUEUES && engine->s; i++) {
        if (queues & (1u << i) && msix_enabled(pdev)) {
            msix_notify(pdev, i);
        }
    }
    object_unref(OBJECT(s));
}

/* ------------------------------------------------------------------- reset */

static void pindma_reset(PinDMAState *s)
{
    struct pindma_journal_entry e = { .kind = PINDMA_JOURNAL_RESET };
    int i;

    trace_pindma_reset();
    for (i = 0; i < PINDMA_NUM_QUEUES; i++) {
        pindma_queue_clear(s, i);
        s->queues[i].sq_addr = 0;
        s->queues[i].cq_addr = 0;
        s->queues[i].entries = 0;
        s->queues[i].pd = 0;
        s->queues[i].shadow = 0;
        s->queues[i].mark_high = 0;
    }
    pindma_mr_reset(s);
    s->queue_error = false;
    s->notify = 0;
    s->intr = 0;
    pindma_intr_update(s);
    s->now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    pindma_journal(s, e, NULL);
    pindma_journal_flush(s);
}

/* --------------------------------------------------------------- registers */

static uint32_t pindma_caps(PinDMAState *s)
{
    return (s->timer ? PINDMA_CAP_TIMER : PINDMA_CAP_THREAD) |
           (s->journal_crc ? PINDMA_CAP_JOURNAL_CRC : 0);
}

static uint32_t pindma_status(PinDMAState *s)
{
    uint32_t status = s->queue_error ? PINDMA_STATUS_QUEUE_ERROR : 0;
    int i;

    for (i = 0; i < PINDMA_NUM_QUEUES; i++) {
        if (pindma_queue_busy(&s->queues[i])) {
            status |= PINDMA_STATUS_BUSY;
        }
    }
    return status;
}

/* Which queue's registers are at addr?  -1: none's. */
static int pindma_reg_queue(hwaddr addr)
{
    hwaddr end = PINDMA_QUEUE_REGS(PINDMA_NUM_QUEUES);

    if (addr < PINDMA_QUEUE_REGS(0) || addr >= end) {
        return -1;
    }
    return (addr - PINDMA_QUEUE_REGS(0)) / PINDMA_QUEUE_STRIDE;
}

/* Which queue's doorbells are at addr?  -1: none's. */
static int pindma_reg_doorbell(hwaddr addr)
{
    if (addr < PINDMA_DB(0) || addr >= PINDMA_DB(PINDMA_NUM_QUEUES)) {
        return -1;
    }
    return (addr - PINDMA_DB(0)) / PINDMA_PAGE_SIZE;
}

/* The register at addr, which is 8-byte aligned if the register has 8 bytes */
static uint64_t pindma_reg_get(PinDMAState *s, hwaddr addr)
{
    int qn = pindma_reg_queue(addr);

    if (qn >= 0) {
        return pindma_queue_get(s, qn, addr - PINDMA_QUEUE_REGS(qn));
    }
    switch (addr) {
    case PINDMA_REG_MAGIC:
        return PINDMA_MAGIC;
    case PINDMA_REG_VERSION:
        return PINDMA_VERSION_MAJOR << 16 | PINDMA_VERSION_MINOR;
    case PINDMA_REG_CAPS:
        return pindma_caps(s);
    case PINDMA_REG_STATUS:
        return pindma_status(s);
    case PINDMA_REG_MAX_MRS:
        return PINDMA_MAX_MRS;
    case PINDMA_REG_MAX_PAGES:
        return PINDMA_MAX_PAGES;
    case PINDMA_REG_JOURNAL_ENTRIES:
        return PINDMA_JOURNAL_ENTRIES;
    case PINDMA_REG_JOURNAL_SEQ:
        return s->journal_seq;
    case PINDMA_REG_JOURNAL_LOST:
        return s->journal_lost;
    case PINDMA_REG_TIME:
        return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    case PINDMA_REG_INTR:
        return s->intr;
    case PINDMA_REG_DMA_BITS:
        return s->dma_bits;
    case PINDMA_REG_STALE:
        return s->stale;
    case PINDMA_REG_STALE_ADDR:
        return s->stale_addr;
    case PINDMA_REG_FAULT:
        return s->fault;
    case PINDMA_REG_FAULT_QUEUES:
        return s->fault_queues;
    case PINDMA_REG_FAULT_SKIP:
        return s->fault_skip;
    case PINDMA_REG_FAULT_COUNT:
        return s->fault_count;
    case PINDMA_REG_FAULT_ARG:
        return s->fault_arg;
    case PINDMA_REG_FAULT_DELAY:
        return s->fault_delay;
    case PINDMA_REG_FAULT_HITS:
        return s->fault_hits;
    }
    return 0;
}

static bool pindma_reg_is_8(hwaddr addr)
{
    int qn = pindma_reg_queue(addr);

    if (qn >= 0) {
        addr -= PINDMA_QUEUE_REGS(qn);
        return addr == PINDMA_QUEUE_SQ_ADDR || addr == PINDMA_QUEUE_CQ_ADDR ||
               addr == PINDMA_QUEUE_SHADOW;
    }
    qn = pindma_reg_doorbell(addr);
    if (qn >= 0) {
        return addr == PINDMA_DB(qn) + PINDMA_DB_MARK;
    }
    switch (addr) {
    case PINDMA_REG_JOURNAL_SEQ:
    case PINDMA_REG_JOURNAL_LOST:
    case PINDMA_REG_TIME:
    case PINDMA_REG_STALE:
    case PINDMA_REG_STALE_ADDR:
    case PINDMA_REG_FAULT_ARG:
    case PINDMA_REG_FAULT_DELAY:
    case PINDMA_REG_FAULT_HITS:
        return true;
    }
    return false;
}

static uint64_t pindma_mmio_read(void *opaque, hwaddr addr, unsigned int size)
{
    PinDMAState *s = opaque;
    hwaddr reg = QEMU_ALIGN_DOWN(addr, 8);
    uint64_t val;

    if (size == 8 && !pindma_reg_is_8(addr)) {
        pindma_guest_error(s, "8-byte read of 0x%" HWADDR_PRIx, addr);
        val = 0;
    } else if (pindma_reg_is_8(reg)) {
        val = pindma_reg_get(s, reg) >> (addr - reg) * 8;
    } else {
        val = pindma_reg_get(s, addr);
    }
    if (size == 4) {
        val = (uint32_t)val;
    }
    trace_pindma_mmio_read(addr, size, val);
    return val;
}

static void pindma_reg_set(PinDMAState *s, hwaddr addr, uint64_t val)
{
    int qn = pindma_reg_queue(addr);

    if (qn >= 0) {
        pindma_queue_set(s, qn, addr - PINDMA_QUEUE_REGS(qn), val);
        return;
    }
    qn = pindma_reg_doorbell(addr);
    if (qn >= 0) {
        pindma_queue_doorbell(s, qn, addr - PINDMA_DB(qn), val);
        return;
    }
    switch (addr) {
    case PINDMA_REG_CTRL:
        if (val & PINDMA_CTRL_RESET) {
            pindma_reset(s);
        }
        return;
    case PINDMA_REG_INTR:
        s->intr &= ~val;
        pindma_intr_update(s);
        return;
    case PINDMA_REG_FAULT:
        if (val >= PINDMA_NUM_FAULTS) {
            break;
        }
        pindma_fault_arm(s, val);
        return;
    case PINDMA_REG_FAULT_QUEUES:
        s->fault_queues = val;
        return;
    case PINDMA_REG_FAULT_SKIP:
        s->fault_skip = val;
        return;
    case PINDMA_REG_FAULT_COUNT:
        s->fault_count = val;
        return;
    case PINDMA_REG_FAULT_ARG:
        s->fault_arg = val;
        return;
    case PINDMA_REG_FAULT_DELAY:
        s->fault_delay = MIN(val, PINDMA_MAX_FAULT_DELAY);
        return;
    }
    pindma_guest_error(s, "write of 0x%" PRIx64 " to 0x%" HWADDR_PRIx
                       " ignored", val, addr);
}

static void pindma_mmio_write(void *opaque, hwaddr addr, uint64_t val,
                              unsigned int size)
{
    PinDMAState *s = opaque;
    hwaddr reg = QEMU_ALIGN_DOWN(addr, 8);
    int qn = pindma_reg_doorbell(reg);

    trace_pindma_mmio_write(addr, size, val);
    if (size == 8 && !pindma_reg_is_8(addr)) {
        pindma_guest_error(s, "8-byte write to 0x%" HWADDR_PRIx, addr);
        return;
    }
    if (size == 4 && qn >= 0 && pindma_reg_is_8(reg)) {
        if (addr != reg) {
            s->queues[qn].mark_high = val;
            return;
        }
        val |= (uint64_t)s->queues[qn].mark_high << 32;
    } else if (size == 4 && pindma_reg_is_8(reg)) {
        val = deposit64(pindma_reg_get(s, reg), (addr - reg) * 8, 32, val);
        addr = reg;
    }
    pindma_reg_set(s, addr, val);
}

static const MemoryRegionOps pindma_mmio_ops = {
    .read = pindma_mmio_read,
    .write = pindma_mmio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 4,
        .max_access_size = 8,
    },
    .impl = {
        .min_access_size = 4,
        .max_access_size = 8,
    },
};

/* --------------------------------------------------------------- PCI device */

static void pindma_config_write(PCIDevice *pdev, uint32_t addr, uint32_t val,
                                int len)
{
    PinDMAState *s = PINDMA(pdev);

    pci_default_write_config(pdev, addr, val, len);
    if (pci_is_express(pdev)) {
        pcie_cap_flr_write_config(pdev, addr, val, len);
        pcie_aer_write_config(pdev, addr, val, len);
    }
    pindma_intr_update(s);  /* MSI may be on, or off */
    pindma_kick_all(s);     /* bus mastering may be on again */
}

static void pindma_device_reset(DeviceState *dev)
{
    PCIDevice *pdev = PCI_DEVICE(dev);

    if (pci_is_express(pdev)) {
        pcie_cap_deverr_reset(pdev);
    }
    pindma_reset(PINDMA(dev));
}

static void pindma_vm_state_change(void *opaque, bool running, RunState state)
{
    if (running) {
        pindma_kick_all(opaque);
    }
}

static void pindma_unrealize_pci(PCIDevice *pdev)
{
    if (pci_is_express(pdev)) {
        pcie_aer_exit(pdev);
        pcie_cap_exit(pdev);
    }
    msi_uninit(pdev);
    if (msix_present(pdev)) {
        msix_uninit_exclusive_bar(pdev);
    }
}

static bool pindma_realize_express(PCIDevice *pdev, Error **errp)
{
    PinDMAState *s = PINDMA(pdev);

    if (!pci_bus_is_express(pci_get_bus(pdev))) {
        pdev->cap_present &= ~QEMU_PCI_CAP_EXPRESS;
        return true;
    }
    if (pcie_endpoint_cap_init(pdev, 0) < 0) {
        error_setg(errp, "pindma: no room for the PCI Express capability");
        return false;
    }
    pcie_cap_deverr_init(pdev);
    pcie_cap_flr_init(pdev);
    if (pcie_aer_init(pdev, PCI_ERR_VER, PINDMA_AER_OFFSET, PCI_ERR_SIZEOF,
                      errp) < 0) {
        return false;
    }
    if (s->ats) {
        pcie_ats_init(pdev, PINDMA_ATS_OFFSET, true);
    }
    return true;
}

static bool pindma_realize_interrupts(PCIDevice *pdev, Error **errp)
{
    PinDMAState *s = PINDMA(pdev);
    int i;

    pci_config_set_interrupt_pin(pdev->config, 1);
    if (s->msi && msi_init(pdev, 0, 1, true, false, errp) < 0) {
        return false;
    }
    if (!s->msix) {
        return true;
    }
    if (msix_init_exclusive_bar(pdev, PINDMA_NUM_QUEUES, PINDMA_BAR_MSIX,
                                errp) < 0) {
        return false;
    }
    for (i = 0; i < PINDMA_NUM_QUEUES; i++) {
        msix_vector_use(pdev, i);
    }
    return true;
}

static bool pindma_realize_bars(PCIDevice *pdev, Error **errp)
{
    ERRP_GUARD();
    PinDMAState *s = PINDMA(pdev);

    memory_region_init_rom(&s->journal, OBJECT(s), "pindma-journal",
                           PINDMA_JOURNAL_ENTRIES * sizeof(*s->journal_ram),
                           errp);
    if (*errp) {
        return false;
    }
    s->journal_ram = memory_region_get_ram_ptr(&s->journal);
    memory_region_init_io(&s->regs, OBJECT(s), &pindma_mmio_ops, s,
                          "pindma-regs", PINDMA_BAR_REGS_SIZE);
    pci_register_bar(pdev, PINDMA_BAR_REGS, PCI_BASE_ADDRESS_SPACE_MEMORY,
                     &s->regs);
    pci_register_bar(pdev, PINDMA_BAR_JOURNAL,
                     PCI_BASE_ADDRESS_SPACE_MEMORY |
                     PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &s->journal);
    return true;
}

static void pindma_realize(PCIDevice *pdev, Error **errp)
{
    PinDMAState *s = PINDMA(pdev);

    if (s->dma_bits < 24 || s->dma_bits > 64) {
        error_setg(errp, "pindma: dma-bits=%u is not 24 to 64", s->dma_bits);
        return;
    }
    if (!pindma_engine_check(s, errp) || !pindma_realize_bars(pdev, errp)) {
        return;
    }
    if (!pindma_realize_express(pdev, errp) ||
        !pindma_realize_interrupts(pdev, errp)) {
        pindma_unrealize_pci(pdev);
        return;
    }
    s->vm_state = qdev_add_vm_change_state_handler(DEVICE(s),
                                                   pindma_vm_state_change, NULL,
                                                   s);
    pindma_engine_start(s);
}

static void pindma_exit(PCIDevice *pdev)
{
    PinDMAState *s = PINDMA(pdev);

    pindma_engine_stop(s);
    qemu_del_vm_change_state_handler(s->vm_state);
    pindma_reset(s);
    /* The memory itself goes later (RCU), when a new device may be there. */
    vmstate_unregister_ram(&s->journal, DEVICE(s));
    qemu_chr_fe_deinit(&s->chr, false);
    pindma_unrealize_pci(pdev);
}

/* -------------------------------------------------------------- properties */

static char *pindma_get_fault(Object *obj, Error **errp)
{
    return g_strdup(pindma_fault_names[PINDMA(obj)->fault]);
}

static void pindma_set_fault(Object *obj, const char *name, Error **errp)
{
    g_autoptr(GString) names = g_string_new(NULL);
    int i;

    for (i = 0; i < PINDMA_NUM_FAULTS; i++) {
        if (!strcmp(name, pindma_fault_names[i])) {
            pindma_fault_arm(PINDMA(obj), i);
            return;
        }
        g_string_append_printf(names, " %s", pindma_fault_names[i]);
    }
    error_setg(errp, "pindma: fault '%s' is none of:%s", name, names->str);
}

static void pindma_get_fault_delay(Object *obj, Visitor *v, const char *name,
                                   void *opaque, Error **errp)
{
    visit_type_uint64(v, name, &PINDMA(obj)->fault_delay, errp);
}

static void pindma_set_fault_delay(Object *obj, Visitor *v, const char *name,
                                   void *opaque, Error **errp)
{
    uint64_t ns;

    if (!visit_type_uint64(v, name, &ns, errp)) {
        return;
    }
    if (ns > PINDMA_MAX_FAULT_DELAY) {
        error_setg(errp, "pindma: %s=%" PRIu64 " is more than %llu ns", name,
                   ns, PINDMA_MAX_FAULT_DELAY);
        return;
    }
    PINDMA(obj)->fault_delay = ns;
}

/* The registers PINDMA_REG_FAULT*, for -device and qom-set */
static void pindma_add_fault_properties(PinDMAState *s)
{
    Object *obj = OBJECT(s);

    s->fault_queues = MAKE_64BIT_MASK(PINDMA_QUEUE_IO, PINDMA_NUM_QUEUES -
                                                       PINDMA_QUEUE_IO);
    s->fault_count = 1;
    s->fault_delay = SCALE_MS;
    object_property_add_str(obj, "fault", pindma_get_fault, pindma_set_fault);
    object_property_add_uint32_ptr(obj, "fault-queues", &s->fault_queues,
                                   OBJ_PROP_FLAG_READWRITE);
    object_property_add_uint32_ptr(obj, "fault-skip", &s->fault_skip,
                                   OBJ_PROP_FLAG_READWRITE);
    object_property_add_uint32_ptr(obj, "fault-count", &s->fault_count,
                                   OBJ_PROP_FLAG_READWRITE);
    object_property_add_uint64_ptr(obj, "fault-arg", &s->fault_arg,
                                   OBJ_PROP_FLAG_READWRITE);
    object_property_add(obj, "fault-delay", "uint64", pindma_get_fault_delay,
                        pindma_set_fault_delay, NULL, NULL);
    object_property_add_uint64_ptr(obj, "fault-hits", &s->fault_hits,
                                   OBJ_PROP_FLAG_READ);
    object_property_add_uint64_ptr(obj, "stale", &s->stale,
                                   OBJ_PROP_FLAG_READ);
}

static void pindma_instance_init(Object *obj)
{
    PinDMAState *s = PINDMA(obj);

    /* Config space is made before realize, which knows the bus: make it big. */
    PCI_DEVICE(obj)->cap_present |= QEMU_PCI_CAP_EXPRESS;
    QTAILQ_INIT(&s->old_mrs);
    pindma_add_fault_properties(s);
}

static PinDMAProperty pindma_properties[] = {
    DEFINE_PROP_STRING("engine", PinDMAState, engine),
    DEFINE_PROP_UINT64("seed", PinDMAState, seed, 0),
    DEFINE_PROP_CHR("journal", PinDMAState, chr),
    DEFINE_PROP_BOOL("journal-crc", PinDMAState, journal_crc, false),
    DEFINE_PROP_BOOL("msix", PinDMAState, msix, true),
    DEFINE_PROP_BOOL("msi", PinDMAState, msi, true),
    DEFINE_PROP_BOOL("ats", PinDMAState, ats, false),
    DEFINE_PROP_UINT32("dma-bits", PinDMAState, dma_bits, 64),
    DEFINE_PROP_END_OF_LIST()
};

static void pindma_class_init(ObjectClass *klass, PinDMAClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);

    k->realize = pindma_realize;
    k->exit = pindma_exit;
    k->config_write = pindma_config_write;
    k->vendor_id = PINDMA_VENDOR_ID;
    k->device_id = PINDMA_DEVICE_ID;
    k->subsystem_vendor_id = PINDMA_SUBSYSTEM_VENDOR_ID;
    k->subsystem_id = PINDMA_SUBSYSTEM_ID;
    k->revision = PINDMA_VERSION_MAJOR;
    k->class_id = PCI_CLASS_OTHERS;
    dc->desc = "Pinned-page DMA test device";
    dc->vmsd = &pindma_vmstate;
    device_class_set_legacy_reset(dc, pindma_device_reset);
    device_class_set_props(dc, pindma_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    object_class_property_set_description(klass, "engine",
        "auto, thread (DMA at any time) or timer (for -icount)");
    object_class_property_set_description(klass, "seed",
        "engine=timer: chooses the intervals between DMA");
    object_class_property_set_description(klass, "journal",
        "chardev (a file) that gets all journal entries");
    object_class_property_set_description(klass, "journal-crc",
        "journal entries have a CRC-32 of the data");
    object_class_property_set_description(klass, "dma-bits",
        "width of bus addresses that the device can use, 24 to 64");
}

static const TypeInfo pindma_types[] = {
    {
        .name = TYPE_PINDMA,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(PinDMAState),
        .instance_init = pindma_instance_init,
        .class_init = pindma_class_init,
        .interfaces = (PinDMAInterfaceInfo[]) {
            { INTERFACE_PCIE_DEVICE },
            { INTERFACE_CONVENTIONAL_PCI_DEVICE },
            { },
        },
    },
};

DEFINE_TYPES(pindma_types)
