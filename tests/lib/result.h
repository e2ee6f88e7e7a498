/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a case tells the runner its outcome, and its steps: memory that both share.
 * And what becomes of an outcome.
 */
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

/* judge.c */
enum total { TOTAL_OK, TOTAL_XFAIL, TOTAL_FAIL, TOTAL_SKIP, NR_TOTALS };
extern unsigned int totals[NR_TOTALS];

/* A line of the report; what comes after the '#' if there is anything. */
void report(unsigned int nr, const char *name, bool ok, enum total total,
	    const char *text);
/*
 * Compare what came out, see result, with what should, and say it. The case is
 * reported as name, and expectations know it as rule.
 */
void judge(unsigned int nr, const char *name, const char *rule,
	   const char *fix);
/*
 * What came out, whatever is expected of a kernel without the variant: if the
 * promise was broken the case is "not ok", and says LOST, or ERROR.
 */
void tell(unsigned int nr, const char *name, const char *fix);

/* variant.c */
int variant_set(const char *variant);

/* kselftest.c */
unsigned int run_kselftest(const char *program, unsigned int nr,
			   unsigned int case_limit);

/* dma.c */
const char *step_of(const struct pindma_journal_entry *e);

#endif /* RESULT_H */
