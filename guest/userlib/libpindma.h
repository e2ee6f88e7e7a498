/* SPDX-License-Identifier: MIT */
/* What the files of the library share. */
#ifndef LIBPINDMA_H
#define LIBPINDMA_H

#include <pindma.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct pindma_vfio;

struct pindma {
	int fd;
	struct pindma_vfio *vfio;	/* NULL: the driver is at the other end */
};

/*
 * What is asked of the driver. With it, ioctl(2) that returns -errno and is not
 * interrupted.
 */
int pindma_ioctl(struct pindma *handle, unsigned long cmd, void *arg);
int pindma_vfio_ioctl(struct pindma *handle, unsigned long cmd, void *arg);
void pindma_vfio_close(struct pindma *handle);

/*
 * A queue whose rings are there: the submission ring at their start, cq and head
 * (see PINDMA_IOC_CREATE_QUEUE) so many bytes behind it. They remain the
 * caller's. NULL: no memory
 */
struct pindma_queue *pindma_queue_new(struct pindma *handle, uint32_t channel,
				      uint32_t entries, void *rings, size_t cq,
				      size_t head, size_t shadow,
				      void *doorbells);
void pindma_queue_free(struct pindma_queue *queue);

/* Of CLOCK_MONOTONIC */
int64_t pindma_now_ms(void);
/* Until then, 0 if that is past */
int pindma_left_ms(int64_t end);

#endif /* LIBPINDMA_H */
