// SPDX-License-Identifier: GPL-2.0-only
/* What should come out of a case: tests/expectations, linked in as text. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

__asm__(".pushsection .rodata\n"
	"expectations_text:\n"
	".incbin \"" EXPECTATIONS "\"\n"
	".byte 0\n"
	".popsection\n");
extern const char expectations_text[];

struct rule {
	char *glob;
	enum outcome outcome;
};

static struct rule *rules;
static unsigned int nr_rules;

static unsigned int version(const char *s)
{
	unsigned int major, minor;

	if (sscanf(s, "%u.%u", &major, &minor) != 2) {
		fprintf(stderr, "pindma-test: '%s' is no kernel version\n", s);
		exit(99);
	}
	return major << 16 | minor;
}

/* "*", "6.1", "<5.19" or ">=6.12" */
static bool kernel_matches(const char *want, const char *release)
{
	if (!strcmp(want, "*"))
		return true;
	if (want[0] == '<')
		return version(release) < version(want + 1);
	if (!strncmp(want, ">=", 2))
		return version(release) >= version(want + 2);
	return version(release) == version(want);
}

/* Keep the rules that are for this kernel. A bad line is a bug: stop. */
void expectations_load(const char *release)
{
	char *text = strdup(expectations_text), *line, *save;
	char *glob, *kernels, *outcome, *rest;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (line[0] == '#')
			continue;
		glob = strtok_r(line, " \t", &rest);
		kernels = strtok_r(NULL, " \t", &rest);
		outcome = strtok_r(NULL, " \t", &rest);
		if (!outcome || (strcmp(outcome, "kept") &&
				 strcmp(outcome, "lost"))) {
			fprintf(stderr, "pindma-test: bad expectation for '%s'\n",
				glob ? glob : "");
			exit(99);
		}
		if (!kernel_matches(kernels, release))
			continue;
		rules = realloc(rules, (nr_rules + 1) * sizeof(*rules));
		rules[nr_rules].glob = glob;
		rules[nr_rules].outcome = outcome[0] == 'k' ? OUTCOME_KEPT :
							      OUTCOME_LOST;
		nr_rules++;
	}
}

/* The last rule that matches counts; without any, promises are kept. */
enum outcome expected_outcome(const char *name)
{
	unsigned int i = nr_rules;

	while (i--)
		if (!fnmatch(rules[i].glob, name, 0))
			return rules[i].outcome;
	return OUTCOME_KEPT;
}
