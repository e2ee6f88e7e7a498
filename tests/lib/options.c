// SPDX-License-Identifier: GPL-2.0-only
/* pindma-test's options. The names of cases and groups the plan knows. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "plan.h"

/* What --pinner knows, and the ways to pin that it stands for */
static const struct {
	const char *name;
	unsigned int pins;
} pinners[] = {
	{ "vfio", BIT(PIN_VFIO) | BIT(PIN_VFIO_CLEARED) },
	{ "uring", BIT(PIN_URING) | BIT(PIN_URING_CLEARED) },
	{ "rxe", BIT(PIN_RXE) | BIT(PIN_RXE_CLEARED) },
	{ "all", PINS_OTHER | PINS_OTHER_CLEARED },
};

struct options opt = {
	.seed = 1, .repeat = 1, .case_limit = 60,
	.pins = ~(PINS_OTHER | PINS_OTHER_CLEARED),
};

static void usage(FILE *f)
{
	fputs("usage: pindma-test [options]\n"
	      "  -t, --test GLOB     only cases, or scenarios, of this name; may be repeated\n"
	      "  -g, --group GROUP   only these groups; may repeat, with -t both must fit\n"
	      "      --variant NAME=SWITCH[+SWITCH]\n"
	      "                      for the -t that follow: what comes out with these\n"
	      "                      switches of /sys/kernel/debug/pindma_lab on, or\n"
	      "                      with none after NAME=\n"
	      "      --all           all cases, not just the quick preset\n"
	      "      --pinner NAME   other pinners of the kernel instead of the driver: vfio, uring, rxe, all\n"
	      "      --seed N        of the values that are written (default 1)\n"
	      "      --repeat N      run everything N times\n"
	      "      --until-fail    stop at the first failure\n"
	      "      --storm N       rounds of the storm.* cases, seconds of fuzz.*\n"
	      "      --trace         a timeline of each case, with the kernel's part\n"
	      "      --coverage      where the kernel asks whether a page is pinned\n"
	      "      --case-limit S  seconds for a case (default 60)\n"
	      "      --from N        those before the Nth are done: another guest had them\n"
	      "      --kselftest PROGRAM\n"
	      "                      instead, all cases of this program of the kernel's\n"
	      "                      own tests; may be repeated\n"
	      "      --list          say what there is\n"
	      "      --output FILE   report there\n"
	      "  -h, --help\n"
	      "exit code: 0 passed, 1 failed, 2 usage, 4 all skipped, 99 cannot run\n", f);
}

int bad_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("pindma-test: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputs("; see pindma-test --help and --list\n", stderr);
	va_end(ap);
	return EXIT_USAGE;
}

static bool number(const char *s, unsigned long long min, uint64_t *val)
{
	char *end;

	errno = 0;
	*val = strtoull(s, &end, 0);
	return *s && *s != '-' && !*end && !errno && *val >= min;
}

static bool small_number(const char *s, unsigned int *val)
{
	uint64_t n;

	if (!number(s, 1, &n) || n > 1000000)
		return false;
	*val = n;
	return true;
}

static bool choose_pinner(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pinners); i++) {
		if (strcmp(name, pinners[i].name))
			continue;
		opt.pinner = name;
		opt.pins = pinners[i].pins;
		return true;
	}
	return false;
}

int options_parse(int argc, char **argv)
{
	enum { ALL = 256, SEED, REPEAT, UNTIL_FAIL, STORM, TRACE, COVERAGE,
	       CASE_LIMIT, KSELFTEST, LIST, OUTPUT, PINNER, FROM, VARIANT };
	static const struct option options[] = {
		{ "test", required_argument, NULL, 't' },
		{ "group", required_argument, NULL, 'g' },
		{ "variant", required_argument, NULL, VARIANT },
		{ "all", no_argument, NULL, ALL },
		{ "pinner", required_argument, NULL, PINNER },
		{ "seed", required_argument, NULL, SEED },
		{ "repeat", required_argument, NULL, REPEAT },
		{ "until-fail", no_argument, NULL, UNTIL_FAIL },
		{ "storm", required_argument, NULL, STORM },
		{ "trace", no_argument, NULL, TRACE },
		{ "coverage", no_argument, NULL, COVERAGE },
		{ "case-limit", required_argument, NULL, CASE_LIMIT },
		{ "from", required_argument, NULL, FROM },
		{ "kselftest", required_argument, NULL, KSELFTEST },
		{ "list", no_argument, NULL, LIST },
		{ "output", required_argument, NULL, OUTPUT },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "t:g:h", options, NULL)) != -1) {
		switch (c) {
		case 't':
			if (opt.nr_globs == MAX_GLOBS)
				return bad_usage("more than %d times -t",
						 MAX_GLOBS);
			if (!plan_knows_case(optarg))
				return bad_usage("no case is called '%s'",
						 optarg);
			opt.variants[opt.nr_globs] = opt.variant;
			opt.globs[opt.nr_globs++] = optarg;
			break;
		case VARIANT:
			if (!strchr(optarg, '='))
				return bad_usage("variant '%s' is not NAME=SWITCHES",
						 optarg);
			opt.variant = optarg;
			break;
		case 'g':
			if (!plan_knows_group(optarg))
				return bad_usage("no group is called '%s'",
						 optarg);
			if (opt.nr_groups == MAX_GLOBS)
				return bad_usage("more than %d times -g",
						 MAX_GLOBS);
			opt.groups[opt.nr_groups++] = optarg;
			break;
		case ALL:
			opt.all = true;
			break;
		case PINNER:
			if (!choose_pinner(optarg))
				return bad_usage("no other pinner is called '%s'",
						 optarg);
			break;
		case SEED:
			if (!number(optarg, 0, &opt.seed))
				return bad_usage("seed '%s' is not a number",
						 optarg);
			break;
		case REPEAT:
			if (!small_number(optarg, &opt.repeat))
				return bad_usage("'%s' is not a number of rounds",
						 optarg);
			break;
		case UNTIL_FAIL:
			opt.until_fail = true;
			break;
		case STORM:
			if (!small_number(optarg, &opt.storm))
				return bad_usage("'%s' is not a number of rounds",
						 optarg);
			break;
		case TRACE:
			opt.trace = true;
			break;
		case COVERAGE:
			opt.coverage = true;
			break;
		case CASE_LIMIT:
			if (!small_number(optarg, &opt.case_limit))
				return bad_usage("'%s' is not a number of seconds",
						 optarg);
			break;
		case FROM:
			if (!small_number(optarg, &opt.from))
				return bad_usage("'%s' is not the number of a case",
						 optarg);
			break;
		case KSELFTEST:
			if (opt.nr_programs == MAX_GLOBS)
				return bad_usage("more than %d times --kselftest",
						 MAX_GLOBS);
			if (access(optarg, X_OK))
				return bad_usage("'%s' cannot be run: %s",
						 optarg, strerror(errno));
			opt.programs[opt.nr_programs++] = optarg;
			break;
		case LIST:
			plan_list();
			return EXIT_PASS;
		case OUTPUT:
			if (!freopen(optarg, "w", stdout))
				return bad_usage("cannot write to '%s': %s",
						 optarg, strerror(errno));
			break;
		case 'h':
			usage(stdout);
			return EXIT_PASS;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc)
		return bad_usage("what is '%s'?", argv[optind]);
	return -1;
}
