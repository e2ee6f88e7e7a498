/*
 * pindma: what differs between QEMU versions, and nothing else
 *
 * pindma.c is written for the newest QEMU.  For a tree as new as that this
 * file is just includes; upstream it would not exist.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MISC_PINDMA_COMPAT_H
#define HW_MISC_PINDMA_COMPAT_H

#define PINDMA_QEMU_BEFORE(major, minor)                        \
    (QEMU_VERSION_MAJOR < (major) ||                            \
     (QEMU_VERSION_MAJOR == (major) && QEMU_VERSION_MINOR < (minor)))

#include "qemu/main-loop.h"
#include "hw/pci/pci.h"
#include "chardev/char-fe.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "migration/vmstate.h"

#if !PINDMA_QEMU_BEFORE(8, 0)
#include "hw/pci/pci_device.h"
#endif

#if PINDMA_QEMU_BEFORE(10, 1)
#include "exec/address-spaces.h"
#else
#include "exec/icount.h"
#include "system/address-spaces.h"
#endif

#if PINDMA_QEMU_BEFORE(10, 0)
#include "sysemu/cpu-timers.h"
#include "sysemu/dma.h"
#include "sysemu/runstate.h"
typedef Property PinDMAProperty;
#else
#include "system/cpu-timers.h"
#include "system/dma.h"
#include "system/runstate.h"
typedef const Property PinDMAProperty;
#endif

/* vmstate fields and their ends have been const since 8.2 */
#if PINDMA_QEMU_BEFORE(8, 2)
typedef VMStateField PinDMAVMStateField;
#else
typedef const VMStateField PinDMAVMStateField;
#endif

/* Properties have had no end mark since 10.0 */
#if !PINDMA_QEMU_BEFORE(10, 0)
#define DEFINE_PROP_END_OF_LIST()
#endif

#if PINDMA_QEMU_BEFORE(9, 0)
#define bql_lock()                  qemu_mutex_lock_iothread()
#define bql_unlock()                qemu_mutex_unlock_iothread()
#define qemu_cond_wait_bql          qemu_cond_wait_iothread
#define qemu_cond_timedwait_bql     qemu_cond_timedwait_iothread
#endif

#if PINDMA_QEMU_BEFORE(9, 2)
static inline void device_class_set_legacy_reset(DeviceClass *dc,
                                                 void (*reset)(DeviceState *))
{
    dc->reset = reset;
}
#endif

/* In 10.2 the one got a callback that may fail, the other its proper name. */
#if PINDMA_QEMU_BEFORE(10, 2)
#define qdev_add_vm_change_state_handler(dev, cb, cb_ret, opaque) \
    qdev_add_vm_change_state_handler(dev, cb, opaque)
typedef CharBackend CharFrontend;
#endif

#if PINDMA_QEMU_BEFORE(10, 1)
typedef void PinDMAClassData;
typedef InterfaceInfo PinDMAInterfaceInfo;
#else
typedef const void PinDMAClassData;
typedef const InterfaceInfo PinDMAInterfaceInfo;
#endif

#endif /* HW_MISC_PINDMA_COMPAT_H */
