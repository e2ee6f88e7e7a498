/* SPDX-License-Identifier: GPL-2.0-only */
/* How a case tells the runner its outcome: memory that both share. */
#ifndef RESULT_H
#define RESULT_H

#include "test.h"

struct result {
	enum outcome outcome;
	bool faults;		/* the device was told to misbehave */
	char reason[256];
	char tolerated[64];
	size_t notes_len;
	char notes[16384];	/* lines */
};

extern struct result *result;

/* runner.c */
void judge(unsigned int nr, const char *name, const char *rule,
	   const char *fix);

/* kselftest.c */
unsigned int run_kselftest(const char *program, unsigned int nr,
			   unsigned int case_limit);

#endif /* RESULT_H */
