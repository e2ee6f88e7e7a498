/* SPDX-License-Identifier: GPL-2.0-only */
/* What pindma-test was told to do, and its exit codes. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { EXIT_PASS = 0, EXIT_FAIL = 1, EXIT_USAGE = 2, EXIT_SKIPPED = 4,
       EXIT_BROKEN = 99 };

#define MAX_GLOBS	1024

struct options {
	const char *globs[MAX_GLOBS];
	const char *variants[MAX_GLOBS];	/* of each glob, NULL: none */
	unsigned int nr_globs;
	const char *variant;	/* of the globs to come */
	const char *programs[MAX_GLOBS];	/* of the kernel's own tests */
	unsigned int nr_programs;
	const char *groups[MAX_GLOBS];
	unsigned int nr_groups;
	const char *pinner;	/* NULL: the device and its driver */
	unsigned int pins;	/* of the pinner, a mask of enum pin */
	bool all, until_fail, trace, coverage;
	uint64_t seed;
	unsigned int repeat, case_limit, storm, from;
};

extern struct options opt;

/* -1: go on; or an exit code */
int options_parse(int argc, char **argv);
/* Say what is wrong: EXIT_USAGE */
int __attribute__((format(printf, 1, 2))) bad_usage(const char *fmt, ...);

#endif /* OPTIONS_H */
