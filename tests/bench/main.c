// SPDX-License-Identifier: GPL-2.0-only
/*
 * pindma-bench: take the samples, in the guest. What they mean together is said
 * by report.py on the host. The output is that of pindma-test: a case that could
 * be measured is "ok", its samples are lines "# case: series value".
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

struct bench_options opt = {
	.rounds = 9, .seconds = 0.3, .bulk = 64 << 20,
};

static const struct bench_case *const cases[] = {
	&clock_case, &bulk_case, &stamps_case, &slowdown_case, &ops_case,
	&latency_case, &iommu_case, &edu_case,
};

/* The case that this process measures, and whether its samples count yet. */
static const struct bench_case *current;
static unsigned int number;
static bool warm;
/* For a profile: one series, and how long */
static const char *only;
static double at_least;

double bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void bench_sample(const char *series, double value)
{
	if (warm)
		printf("# %s: %s %.9g\n", current->name, series, value);
}

void bench_fail(const char *fmt, ...)
{
	va_list ap;

	printf("not ok %u %s # ", number, current->name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	exit(1);
}

/* Page aligned and there. Huge pages if the system gives them by itself. */
void *bench_memory(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bench_fail("no memory: %zu bytes", len);
	memset(p, 1, len);
	return p;
}

int bench_cpu(void)
{
	return (int)sysconf(_SC_NPROCESSORS_ONLN) - 1;
}

/*
 * Everything happens on the last CPU, so that no one is luckier than others in
 * where the scheduler puts the program.
 */
static void settle(void)
{
	cpu_set_t last;

	CPU_ZERO(&last);
	CPU_SET(bench_cpu(), &last);
	if (sched_setaffinity(0, sizeof(last), &last))
		bench_fail("cannot be moved to CPU %d", bench_cpu());
}

static void measure(void)
{
	unsigned int round, i;
	double start;

	settle();
	if (current->prepare)
		current->prepare();
	start = bench_now();
	for (round = 0; round <= opt.rounds ||
			bench_now() - start < at_least; round++) {
		warm = round;		/* the first one fills caches */
		for (i = 0; i < current->nr_series; i++)
			if (!only || !strcmp(only, current->series[i].name))
				current->series[i].sample(&current->series[i]);
	}
	printf("ok %u %s\n", number, current->name);
	exit(0);
}

/* In a process of its own, with nothing left of the case before. */
static bool run(void)
{
	int status;
	pid_t pid;

	printf("# start %s\n", current->name);
	pid = fork();
	if (!pid)
		measure();
	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		printf("not ok %u %s # no process\n", number, current->name);
		return false;
	}
	if (WIFSIGNALED(status))
		printf("not ok %u %s # killed by signal %d\n", number,
		       current->name, WTERMSIG(status));
	return status == 0;
}

static const struct bench_case *find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		if (!strcmp(cases[i]->name, name))
			return cases[i];
	return NULL;
}

static int usage(void)
{
	size_t i;

	fprintf(stderr, "usage: pindma-bench [--quick] [--rounds N] "
		"[--only SERIES] [--at-least SECONDS] [--output FILE] "
		"[--memcpy PORT] CASE...\ncases:");
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		fprintf(stderr, " %s", cases[i]->name);
	fprintf(stderr, "\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "at-least", required_argument, NULL, 'a' },
		{ "only", required_argument, NULL, 'n' },
		{ "output", required_argument, NULL, 'o' },
		{ "memcpy", required_argument, NULL, 'm' },
		{ },
	};
	unsigned int failed = 0;
	struct utsname uts;
	int c, i;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'q':
			opt.rounds = 2;
			opt.seconds = 0.02;
			opt.bulk = 4 << 20;
			break;
		case 'r':
			opt.rounds = (unsigned int)atoi(optarg);
			break;
		case 'a':
			at_least = atof(optarg);
			break;
		case 'n':
			only = optarg;
			break;
		case 'o':
			if (!freopen(optarg, "w", stdout)) {
				perror(optarg);
				return 99;
			}
			break;
		case 'm':
			opt.memcpy_port = optarg;
			break;
		default:
			return usage();
		}
	}
	if (optind == argc || !opt.rounds)
		return usage();
	for (i = optind; i < argc; i++)
		if (!find(argv[i]))
			return usage();

	setvbuf(stdout, NULL, _IOLBF, 0);
	uname(&uts);
	printf("KTAP version 1\n# pindma-test: kernel %s\n1..%d\n", uts.release,
	       argc - optind);
	for (i = optind; i < argc; i++) {
		number++;
		current = find(argv[i]);
		failed += !run();
	}
	printf("# exit: %d\n", failed ? 1 : 0);
	return failed ? 1 : 0;
}
