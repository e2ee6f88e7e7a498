// SPDX-License-Identifier: MIT
/* Ops and their completions. */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <time.h>

#include "libpindma.h"

int pindma_post_on(struct pindma *handle, uint32_t channel,
		   const struct pindma_op *ops, unsigned int nr)
{
	struct pindma_post arg = {
		.size = sizeof(arg),
		.nr = nr,
		.ops = (uintptr_t)ops,
		.channel = channel,
	};
	int ret = pindma_ioctl(handle, PINDMA_IOC_POST, &arg);

	return ret ? ret : (int)arg.nr;
}

int pindma_post(struct pindma *handle, const struct pindma_op *ops,
		unsigned int nr)
{
	return pindma_post_on(handle, 0, ops, nr);
}

int pindma_reap(struct pindma *handle, struct pindma_completion *completions,
		unsigned int nr)
{
	struct pindma_reap arg = {
		.size = sizeof(arg),
		.nr = nr,
		.completions = (uintptr_t)completions,
	};
	int ret = pindma_ioctl(handle, PINDMA_IOC_REAP, &arg);

	return ret ? ret : (int)arg.nr;
}

int64_t pindma_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

int pindma_left_ms(int64_t end)
{
	int64_t left = end - pindma_now_ms();

	return left > 0 ? (int)left : 0;
}

int pindma_wait(struct pindma *handle, struct pindma_completion *completions,
		unsigned int nr, int timeout_ms)
{
	struct pollfd pfd = { .fd = handle->fd, .events = POLLIN };
	int64_t end = pindma_now_ms() + timeout_ms;
	bool timed_out = false;
	int ret;

	if (!nr)
		return -EINVAL;
	for (;;) {
		ret = pindma_reap(handle, completions, nr);
		if (ret)
			return ret;
		if (timed_out)
			return -ETIMEDOUT;
		ret = poll(&pfd, 1, timeout_ms);
		if (ret < 0)
			return -errno;
		if (!ret)
			return -ETIMEDOUT;
		/*
		 * Another thread may have been faster, or it was news of a queue
		 * of our own: wait for the rest.
		 */
		if (timeout_ms >= 0) {
			timeout_ms = pindma_left_ms(end);
			timed_out = !timeout_ms;
		}
	}
}

int pindma_set_eventfd(struct pindma *handle, int eventfd)
{
	struct pindma_eventfd arg = { .size = sizeof(arg), .fd = eventfd };

	return pindma_ioctl(handle, PINDMA_IOC_EVENTFD, &arg);
}

const char *pindma_status_string(uint32_t status)
{
	static const char *const strings[] = {
		[PINDMA_ST_OK] = "ok",
		[PINDMA_ST_BAD_OPCODE] = "unknown opcode",
		[PINDMA_ST_BAD_FIELD] = "bad field",
		[PINDMA_ST_BAD_KEY] = "no such mr",
		[PINDMA_ST_BOUNDS] = "out of the mr's bounds",
		[PINDMA_ST_ACCESS] = "access not allowed by the mr",
		[PINDMA_ST_DMA_ERROR] = "DMA error",
		[PINDMA_ST_ABORTED] = "aborted",
		[PINDMA_ST_NO_SPACE] = "no space in the device",
		[PINDMA_ST_NOT_FOUND] = "no such op",
		[PINDMA_ST_CANCELED] = "canceled",
		[PINDMA_ST_MISCOMPARE] = "miscompare",
		[PINDMA_ST_STALE] = "page of a deregistered mr",
	};

	if (status >= ARRAY_SIZE(strings))
		return "unknown status";
	return strings[status];
}
