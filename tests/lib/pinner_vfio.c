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

/* The address of the first pindma device, as a string of g. */
static const char *find_device(struct test *t, glob_t *g)
{
	size_t i;

	if (glob("/sys/bus/pci/devices/*", 0, NULL, g))
		test_error(t, "there are no PCI devices");
	for (i = 0; i < g->gl_pathc; i++)
		if (read_id(g->gl_pathv[i], "vendor") == PINDMA_VENDOR_ID &&
		    read_id(g->gl_pathv[i], "device") == PINDMA_DEVICE_ID)
			return strrchr(g->gl_pathv[i], '/') + 1;
	test_skip(t, "there is no pindma device");
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
	const char *address;
	int ret, tries = 0;
	glob_t g;

	pinner_modprobe(t, "vfio_iommu_type1");
	pinner_modprobe(t, "vfio_pci");
	address = find_device(t, &g);
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
	globfree(&g);
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
