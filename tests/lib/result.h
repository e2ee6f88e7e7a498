/* SPDX-License-Identifier: GPL-2.0-only */
/* How a case tells the runner its outcome, and its steps: memory that both share. */
#ifndef RESULT_H
#define RESULT_H

#include "test.h"

#define MAX_STEPS	64

struct result {
	enum outcome outcome;
	bool faults;		/* the device was told to misbehave */
	char reason[256];
	char tolerated[64];
	bool tolerated_if_kept;
	uint64_t memory, memory_len;	/* that an mr was part of */
	unsigned int nr_steps;
	struct {
		uint64_t mark;	/* in the journal */
		char text[64];
	} steps[MAX_STEPS];
	size_t notes_len;
	char notes[16384];	/* lines */
};

extern struct result *result;

/* runner.c */
void judge(unsigned int nr, const char *name, const char *rule,
	   const char *fix);

/* variant.c */
int variant_set(const char *variant);

/* kselftest.c */
unsigned int run_kselftest(const char *program, unsigned int nr,
			   unsigned int case_limit);

/* dma.c */
const char *step_of(const struct pindma_journal_entry *e);

#endif /* RESULT_H */
