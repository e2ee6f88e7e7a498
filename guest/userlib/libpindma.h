/* SPDX-License-Identifier: MIT */
/* What the files of the library share. */
#ifndef LIBPINDMA_H
#define LIBPINDMA_H

#include <pindma.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct pindma {
	int fd;
};

/* ioctl(2) that returns -errno and is not interrupted. */
int pindma_ioctl(struct pindma *handle, unsigned long cmd, void *arg);

#endif /* LIBPINDMA_H */
