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
 * A comment above each test says how to make it fail: break that in
 * hw/misc/pindma*.c and the test must turn red.  Nothing here depends on how
 * fast anything is; what must happen is waited for, up to a minute.  That
 * something does not happen can only be watched for a while (see settle()),
 * which can miss a mistake but not invent one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-test.h"

void add_on_both(const char *name, void (*test)(const void *express))
{
    g_autofree char *express = g_strdup_printf("/pindma/express/%s", name);
    g_autofree char *plain = g_strdup_printf("/pindma/plain/%s", name);

    qtest_add_data_func(express, GINT_TO_POINTER(true), test);
    qtest_add_data_func(plain, GINT_TO_POINTER(false), test);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    if (!qtest_has_device("pindma")) {
        g_test_message("this QEMU has no pindma device");
        return g_test_run();
    }
    pindma_add_queue_tests();
    pindma_add_op_tests();
    pindma_add_irq_tests();
    pindma_add_journal_tests();
    pindma_add_pci_tests();
    pindma_add_list_tests();
    pindma_add_wait_tests();
    pindma_add_shadow_tests();
    pindma_add_fault_tests();
    pindma_add_host_tests();
    pindma_add_iommu_tests();
    pindma_add_migrate_tests();
    ret = g_test_run();
    firmware_remove();
    return ret;
}
