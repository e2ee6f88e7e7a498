// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints the rate of this machine's TSC, in kHz: TCG's guests have it, too. A busy host
 * does no harm: of many tries to read both clocks at once the narrowest counts.
 */
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define TRIES	1000

struct moment {
	double ticks, ns;
};

static struct moment now(void)
{
	unsigned long long before, after, width = -1ull;
	struct moment m = { 0, 0 };
	struct timespec ts;
	int i;

	for (i = 0; i < TRIES; i++) {
		before = __rdtsc();
		clock_gettime(CLOCK_MONOTONIC, &ts);
		after = __rdtsc();
		if (after - before >= width)
			continue;
		width = after - before;
		m.ticks = before + width / 2.0;
		m.ns = ts.tv_sec * 1e9 + ts.tv_nsec;
	}
	return m;
}

int main(void)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	struct moment first = now(), last;

	nanosleep(&pause, NULL);
	last = now();
	printf("%.0f\n", (last.ticks - first.ticks) / (last.ns - first.ns) * 1e6);
	return 0;
}
