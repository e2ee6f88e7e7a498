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
	const char *why;
};

static struct rule *rules;
static unsigned int nr_rules;

/* "6.12" or "6.12.97"; *parts says which. */
static unsigned int version(const char *s, int *parts)
{
	unsigned int major, minor, patch = 0;

	*parts = sscanf(s, "%u.%u.%u", &major, &minor, &patch);
	if (*parts < 2) {
		fprintf(stderr, "pindma-test: '%s' is no kernel version\n", s);
		exit(99);
	}
	return major << 24 | minor << 16 | patch;
}

/* "*", "6.1", "<5.19" or ">=6.12.97". Two parts are about the whole series. */
static bool kernel_matches(const char *want, const char *release)
{
	unsigned int w, r;
	int parts, unused;

	if (!strcmp(want, "*"))
		return true;
	r = version(release, &unused);
	w = version(want + strspn(want, "<>="), &parts);
	if (parts == 2) {
		r >>= 16;
		w >>= 16;
	}
	if (want[0] == '<')
		return r < w;
	return want[0] == '>' ? r >= w : r == w;
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
				 strcmp(outcome, "lost") &&
				 strcmp(outcome, "varies") &&
				 strcmp(outcome, "crash") &&
				 strcmp(outcome, "skip"))) {
			fprintf(stderr, "pindma-test: bad expectation for '%s'\n",
				glob ? glob : "");
			exit(99);
		}
		if (!kernel_matches(kernels, release))
			continue;
		rules = realloc(rules, (nr_rules + 1) * sizeof(*rules));
		rules[nr_rules].glob = glob;
		rules[nr_rules].outcome = outcome[0] == 'k' ? OUTCOME_KEPT :
					  outcome[0] == 'l' ? OUTCOME_LOST :
					  outcome[0] == 'v' ? OUTCOME_NONE :
					  outcome[0] == 's' ? OUTCOME_SKIP :
							      OUTCOME_ERROR;
		rules[nr_rules].why = rest + strspn(rest, " \t");
		nr_rules++;
	}
}

/* The last rule that matches counts. */
static const struct rule *rule_for(const char *name)
{
	unsigned int i = nr_rules;

	while (i--)
		if (!fnmatch(rules[i].glob, name, 0))
			return &rules[i];
	return NULL;
}

/*
 * Without any rule, promises are kept. OUTCOME_ERROR: the kernel would crash.
 * OUTCOME_NONE: nobody can tell. OUTCOME_SKIP: it cannot be tried on this one.
 */
enum outcome expected_outcome(const char *name)
{
	const struct rule *r = rule_for(name);

	return r ? r->outcome : OUTCOME_KEPT;
}

const char *expected_why(const char *name)
{
	const struct rule *r = rule_for(name);

	return r ? r->why : "";
}
