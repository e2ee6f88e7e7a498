// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device without pindma.ko: bound to vfio-pci, driven by the library from
 * this process. vfio type1 pins what the device may access.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pinner.h"

static unsigned int read_id(const char *dir, const char *name)
{
	char path[128];
	unsigned int id = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	if (f && fscanf(f, "%x", &id) != 1)
		id = 0;
	if (f)
		fclose(f);
	return id;
}

void pinner_vfio_address(struct test *t, char address[PINNER_ADDRESS])
{
	glob_t g;
	size_t i;

	if (glob("/sys/bus/pci/devices/*", 0, NULL, &g))
		test_error(t, "there are no PCI devices");
	for (i = 0; i < g.gl_pathc; i++)
		if (read_id(g.gl_pathv[i], "vendor") == PINDMA_VENDOR_ID &&
		    read_id(g.gl_pathv[i], "device") == PINDMA_DEVICE_ID)
			break;
	if (i == g.gl_pathc)
		test_skip(t, "there is no pindma device");
	snprintf(address, PINNER_ADDRESS, "%s",
		 strrchr(g.gl_pathv[i], '/') + 1);
	globfree(&g);
}

/* As a system administrator would; a case before may have done so. */
static void give_to_vfio(struct test *t, const char *address)
{
	char path[128];
	int ret;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", address);
	if (!access(path, F_OK))
		return;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override",
		 address);
	ret = kernel_set(path, "vfio-pci");
	if (!ret)
		ret = kernel_set("/sys/bus/pci/drivers_probe", address);
	if (ret)
		test_error(t, "cannot bind %s to vfio-pci: %s", address,
			   strerror(-ret));
}

static void vfio_open(struct test *t)
{
	char address[PINNER_ADDRESS];
	int ret, tries = 0;

	pinner_modprobe(t, "vfio_iommu_type1");
	pinner_modprobe(t, "vfio_pci");
	pinner_vfio_address(t, address);
	give_to_vfio(t, address);
	/* The last processes of the case before may still be on their way out. */
	while ((ret = pindma_open_vfio(address, &t->dev)) == -EBUSY &&
	       tries++ < 100)
		usleep(10000);
	if (ret == -ENODEV)
		test_skip(t, "%s is in no IOMMU group (run.sh run --pinner vfio has one)",
			  address);
	if (ret)
		test_error(t, "cannot open %s: %s", address, strerror(-ret));
}

const struct pinner pinner_vfio = {
	.open = vfio_open,
	.reg = device_reg,
	.dereg = device_dereg,
	.write = device_write,
	.read = device_read,
	.start_hammer = device_start_hammer,
	.stop_hammer = device_stop_hammer,
};
