// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's side of a comparison, see in-qemu.c: a question and an answer,
 * each a line, on a port of their own.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

/* The answer is nanoseconds. */
static double ask(const char *question)
{
	struct pollfd pfd = { .events = POLLIN };
	char answer[64], *end;
	double ns;
	ssize_t n;

	pfd.fd = open(opt.memcpy_port, O_RDWR | O_CLOEXEC);
	if (pfd.fd < 0)
		bench_fail("%s: %s", opt.memcpy_port, strerror(errno));
	if (write(pfd.fd, question, strlen(question)) < 0)
		bench_fail("%s: write: %s", opt.memcpy_port, strerror(errno));
	if (poll(&pfd, 1, 10000) <= 0)
		bench_fail("the host does not answer on %s", opt.memcpy_port);
	n = read(pfd.fd, answer, sizeof(answer) - 1);
	if (n <= 0)
		bench_fail("%s: read: %s", opt.memcpy_port, strerror(errno));
	answer[n] = '\0';
	ns = strtod(answer, &end);
	if (end == answer || *end != '\n')
		bench_fail("the host answers '%s'", answer);
	close(pfd.fd);
	return ns / 1e9;
}

double host_memcpy(size_t len)
{
	char question[64];

	snprintf(question, sizeof(question), "memcpy %zu\n", len);
	return ask(question);
}

double host_now(void)
{
	return ask("clock\n");
}

/*
 * All is measured by the guest's clock, which an emulated CPU may have
 * calibrated badly: how fast is it by the host's?
 */
static void sample_clock(const struct bench_series *series)
{
	double host = host_now(), guest = bench_now();

	usleep(200000);
	host = host_now() - host;
	guest = bench_now() - guest;
	bench_sample(series->name, guest / host);
}

static const struct bench_series clock_series[] = {
	{ .name = "guest_per_host", .sample = sample_clock },
};

const struct bench_case clock_case = {
	"clock", NULL, clock_series, ARRAY_SIZE(clock_series),
};
