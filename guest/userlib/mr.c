// SPDX-License-Identifier: MIT
/* Memory regions. */
#include "libpindma.h"

int pindma_reg_mr(struct pindma *handle, void *addr, size_t len,
		  uint32_t pin_mode, uint32_t flags, uint32_t *mr)
{
	struct pindma_reg_mr arg = {
		.size = sizeof(arg),
		.pin_mode = pin_mode,
		.flags = flags,
		.addr = (uintptr_t)addr,
		.len = len,
	};
	int ret = pindma_ioctl(handle, PINDMA_IOC_REG_MR, &arg);

	if (!ret)
		*mr = arg.mr;
	return ret;
}

int pindma_import_dmabuf(struct pindma *handle, int fd, uint64_t offset,
			 uint64_t len, uint32_t flags, uint32_t *mr)
{
	struct pindma_import_dmabuf arg = {
		.size = sizeof(arg),
		.fd = fd,
		.flags = flags,
		.offset = offset,
		.len = len,
	};
	int ret = pindma_ioctl(handle, PINDMA_IOC_IMPORT_DMABUF, &arg);

	if (!ret)
		*mr = arg.mr;
	return ret;
}

int pindma_export_dmabuf(struct pindma *handle, uint32_t mr, int *fd)
{
	struct pindma_export_dmabuf arg = { .size = sizeof(arg), .mr = mr };
	int ret = pindma_ioctl(handle, PINDMA_IOC_EXPORT_DMABUF, &arg);

	if (!ret)
		*fd = arg.fd;
	return ret;
}

int pindma_dereg_mr(struct pindma *handle, uint32_t mr)
{
	struct pindma_dereg_mr arg = { .size = sizeof(arg), .mr = mr };

	return pindma_ioctl(handle, PINDMA_IOC_DEREG_MR, &arg);
}

int pindma_get_pages(struct pindma *handle, uint32_t mr, uint32_t first,
		     struct pindma_page *pages, uint32_t nr)
{
	struct pindma_pages arg = {
		.size = sizeof(arg),
		.mr = mr,
		.first = first,
		.nr = nr,
		.pages = (uintptr_t)pages,
	};
	int ret = pindma_ioctl(handle, PINDMA_IOC_PAGES, &arg);

	return ret ? ret : (int)arg.nr;
}
