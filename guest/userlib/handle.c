// SPDX-License-Identifier: MIT
/* Opening and closing, and facts about the device. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libpindma.h"

int pindma_ioctl(struct pindma *handle, unsigned long cmd, void *arg)
{
	int ret;

	if (handle->vfio)
		return pindma_vfio_ioctl(handle, cmd, arg);
	do {
		ret = ioctl(handle->fd, cmd, arg);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

int pindma_open(const char *path, struct pindma **handle)
{
	struct pindma *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return -ENOMEM;
	h->fd = open(path ? path : "/dev/pindma0", O_RDWR | O_CLOEXEC);
	if (h->fd < 0) {
		err = errno;
		free(h);
		return -err;
	}
	*handle = h;
	return 0;
}

void pindma_close(struct pindma *handle)
{
	if (!handle)
		return;
	if (handle->vfio)
		pindma_vfio_close(handle);
	close(handle->fd);
	free(handle);
}

int pindma_fd(const struct pindma *handle)
{
	return handle->fd;
}

int pindma_get_info(struct pindma *handle, struct pindma_info *info)
{
	*info = (struct pindma_info){ .size = sizeof(*info) };
	return pindma_ioctl(handle, PINDMA_IOC_INFO, info);
}
