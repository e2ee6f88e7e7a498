#include "qemu/osdep.h"
#include "pindma-test.h"
void pindma_add_iommu_tests(void) {}
