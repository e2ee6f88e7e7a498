/* SPDX-License-Identifier: GPL-2.0-only */
/* What the runner wants of trace.c. */
#ifndef TRACE_H
#define TRACE_H

#include "test.h"

/* A moment on two clocks: CLOCK_MONOTONIC before and after the device's, ns */
struct device_clock {
	uint64_t before, device, after;
	uint64_t seq;	/* the newest entry of the journal then */
};

uint64_t trace_clock(void);
void trace_start(void);
void trace_begin(void);
void trace_end(const char *name, const struct device_clock *start,
	       const struct device_clock *end);

#endif /* TRACE_H */
