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

/* Of CLOCK_MONOTONIC */
int64_t pindma_now_ms(void);
/* Until then, 0 if that is past */
int pindma_left_ms(int64_t end);

#endif /* LIBPINDMA_H */
