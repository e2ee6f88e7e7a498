// SPDX-License-Identifier: GPL-2.0-only
/*
 * A handle that has no driver: the library drives the device by way of vfio. What it
 * does there is the scenarios' business (--pinner vfio); this is what it refuses.
 *
 * To see it red: let pindma_vfio_ioctl() return -EINVAL for what it does not know
 * (vfio_refuses), or open_group() -ENOENT if there is no file of vfio's (vfio_open).
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pinner.h"
#include "shared.h"

/* What it cannot do it says, and goes on. */
static void vfio(struct test *t)
{
	struct pindma_fault none = { .kind = PINDMA_FAULT_NONE };
	struct pindma_queue *queue;
	struct pindma_page page;
	uint32_t mr, mode, flag;
	int fd;

	test_alloc(t);
	test_open(t);
	for (mode = PINDMA_PIN_GET; mode <= PINDMA_PIN_EXCLUSIVE; mode++)
		CHECK(t, mode == PINDMA_PIN_LONGTERM ||
			 pindma_reg_mr(t->dev, t->mem, PAGE_SIZE, mode, 0,
				       &mr) == -EOPNOTSUPP);
	for (flag = PINDMA_MR_FAST; flag <= PINDMA_MR_FORCE; flag <<= 1)
		CHECK(t, flag == PINDMA_MR_READONLY ||
			 pindma_reg_mr(t->dev, t->mem, PAGE_SIZE,
				       PINDMA_PIN_LONGTERM, flag,
				       &mr) == -EOPNOTSUPP);
	test_reg_mr(t);
	CHECK(t, pindma_get_pages(t->dev, t->mr, 0, &page, 1) == -EOPNOTSUPP);
	CHECK(t, pindma_export_dmabuf(t->dev, t->mr, &fd) == -EOPNOTSUPP);
	CHECK(t, pindma_import_dmabuf(t->dev, 0, 0, 8, 0, &mr) == -EOPNOTSUPP);
	CHECK(t, pindma_fault(t->dev, &none) == -EOPNOTSUPP);
	CHECK(t, pindma_set_eventfd(t->dev, -1) == -EOPNOTSUPP);
	CHECK(t, pindma_queue_create(t->dev, 16, &queue) == -EOPNOTSUPP);
	CHECK(t, pindma_dereg_mr(t->dev, 77) == -ENOENT);
	test_two_way(t, NULL);
	test_kept(t);
}

/* What pindma_open_vfio() returns; a handle that was not opened is left alone. */
static int try_vfio(struct test *t, const char *address)
{
	struct pindma *none = (struct pindma *)&none, *handle = none;
	int ret = pindma_open_vfio(address, &handle);

	if (!ret)
		pindma_close(handle);
	else
		CHECK(t, handle == none);
	return ret;
}

static char vfio_address[PINNER_ADDRESS];

static int open_for_nobody(struct test *t)
{
	return try_vfio(t, vfio_address);
}

/* Give a device that has no driver to vfio-pci, or take it back. */
static void lend_to_vfio(struct test *t, const char *address, bool lend)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override",
		 address);
	CHECK(t, !kernel_set(path, lend ? "vfio-pci" : "\n"));
	CHECK(t, !kernel_set(lend ? "/sys/bus/pci/drivers_probe" :
				    "/sys/bus/pci/drivers/vfio-pci/unbind",
			     address));
}

#define DISKS	"0000:00:1f.2"	/* q35's own controller, which nobody uses */

static void vfio_open_errors(struct test *t)
{
	char link[PATH_MAX], path[PATH_MAX];
	ssize_t n;

	test_open(t);
	pinner_vfio_address(t, vfio_address);
	CHECK(t, try_vfio(t, "0000:ff:1f.7") == -ENOENT);
	CHECK(t, try_vfio(t, "") == -ENOENT);
	CHECK(t, try_vfio(t, "../devices/0000:01:00.0") == -ENOENT);
	CHECK(t, try_vfio(t, vfio_address) == -EBUSY);
	CHECK(t, try_vfio(t, DISKS) == -ENODEV);	/* not vfio's */
	lend_to_vfio(t, DISKS, true);
	n = try_vfio(t, DISKS);				/* not pindma's */
	lend_to_vfio(t, DISKS, false);
	CHECK(t, n == -ENODEV);

	pindma_close(t->dev);
	t->dev = NULL;
	CHECK(t, as_nobody(t, open_for_nobody) == -EACCES);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
		 vfio_address);
	n = readlink(path, link, sizeof(link) - 1);
	CHECK(t, n > 0);
	link[n] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(link, '/'));
	CHECK(t, !chmod(path, 0666));
	n = as_nobody(t, open_for_nobody);
	CHECK(t, !chmod(path, 0600));
	CHECK(t, n == -ENOMEM);
	CHECK(t, !try_vfio(t, vfio_address));
	test_kept(t);
}

const struct scenario driver_vfio_scenarios[] = {
	{
		.name = "driver.vfio_refuses",
		.promise = "a handle without a driver says EOPNOTSUPP of what it cannot do: pindma_open_vfio(3)",
		.mems = BIT(MEM_ANON),
		.pins = BIT(PIN_VFIO),
		.run = vfio,
	}, {
		.name = "driver.vfio_open",
		.promise = "what stands in the way of a handle without a driver has an errno each: pindma_open_vfio(3)",
		.mems = BIT(MEM_ANON),
		.pins = BIT(PIN_VFIO),
		.run = vfio_open_errors,
	},
	{ }
};
