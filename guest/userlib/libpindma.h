/* SPDX-License-Identifier: MIT */
/* What the files of the library share. */
#ifndef LIBPINDMA_H
#define LIBPINDMA_H

#include <pindma.h>

struct pindma {
	int fd;
};

/* ioctl(2) that returns -errno and is not interrupted. */
int pindma_ioctl(struct pindma *handle, unsigned long cmd, void *arg);

#endif /* LIBPINDMA_H */
