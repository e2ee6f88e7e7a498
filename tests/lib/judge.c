// SPDX-License-Identifier: GPL-2.0-only
/* What came out of a case, beside what was to come out: its line in the report. */
#include <stdio.h>
#include <string.h>

#include "result.h"

unsigned int totals[NR_TOTALS];

void report(unsigned int nr, const char *name, bool ok, enum total total,
	    const char *text)
{
	totals[total]++;
	printf("%s %u %s%s%s\n", ok ? "ok" : "not ok", nr, name,
	       *text ? " # " : "", text);
	fflush(stdout);
}

static void print_notes(const char *name)
{
	char *line, *save;

	for (line = strtok_r(result->notes, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		printf("# %s: %s\n", name, line);
}

void judge(unsigned int nr, const char *name, const char *rule,
	   const char *fix)
{
	bool expect_loss = expected_outcome(rule) == OUTCOME_LOST;
	char text[512];

	print_notes(name);
	switch (result->outcome) {
	case OUTCOME_KEPT:
		if (!expect_loss) {
			report(nr, name, true, TOTAL_OK, "");
			return;
		}
		report(nr, name, false, TOTAL_FAIL,
		       "the loss that this control must show was not seen: the rig is blind");
		return;
	case OUTCOME_LOST:
		if (!expect_loss && fix)
			printf("# %s: likely fix: %s\n", name, fix);
		snprintf(text, sizeof(text), "%s%s",
			 expect_loss ? "XFAIL " : "", result->reason);
		report(nr, name, expect_loss,
		       expect_loss ? TOTAL_XFAIL : TOTAL_FAIL, text);
		return;
	case OUTCOME_SKIP:
		snprintf(text, sizeof(text), "SKIP %s", result->reason);
		report(nr, name, true, TOTAL_SKIP, text);
		return;
	default:
		snprintf(text, sizeof(text), "%s%s",
			 expect_loss ? "the rig is blind, this control cannot show its loss: " : "",
			 result->reason);
		report(nr, name, false, TOTAL_FAIL, text);
	}
}

void tell(unsigned int nr, const char *name, const char *fix)
{
	char text[512];

	print_notes(name);
	switch (result->outcome) {
	case OUTCOME_KEPT:
		report(nr, name, true, TOTAL_OK, "");
		return;
	case OUTCOME_SKIP:
		snprintf(text, sizeof(text), "SKIP %s", result->reason);
		report(nr, name, true, TOTAL_SKIP, text);
		return;
	case OUTCOME_LOST:
		if (fix)
			printf("# %s: likely fix: %s\n", name, fix);
		snprintf(text, sizeof(text), "LOST %s", result->reason);
		break;
	default:
		snprintf(text, sizeof(text), "ERROR %s", result->reason);
	}
	report(nr, name, false, TOTAL_FAIL, text);
}
