// SPDX-License-Identifier: GPL-2.0-only
/*
 * pindma-test: runs the cases and reports them as KTAP version 1
 * (Documentation/dev-tools/ktap.rst). Each case is a process of its own, with a
 * time limit; what the kernel says meanwhile, whether all pages are unpinned in
 * the end, and whether the device has touched one that was, counts as well.
 */
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asked.h"
#include "result.h"
#include "trace.h"

enum { EXIT_PASS = 0, EXIT_FAIL = 1, EXIT_USAGE = 2, EXIT_SKIPPED = 4,
       EXIT_BROKEN = 99 };

static const struct scenario *const tables[] = {
	fork_scenarios, readonly_scenarios, mprotect_scenarios,
	madvise_scenarios, thp_scenarios, hugetlb_scenarios, leak_scenarios,
	reclaim_scenarios, uffd_scenarios, race_scenarios, zones_scenarios,
	mremap_scenarios, exclusive_scenarios, migrate_scenarios,
	memfd_scenarios, accounting_scenarios, lifetime_scenarios,
	longterm_scenarios, writeback_scenarios, directio_scenarios,
	poweroff_scenarios, truncate_scenarios, blockdev_scenarios,
	driver_ops_scenarios,
	driver_atomics_scenarios, driver_lists_scenarios,
	driver_order_scenarios, driver_limits_scenarios,
	driver_device_scenarios, driver_removal_scenarios,
	driver_demand_scenarios, driver_exclusive_scenarios,
	driver_dmabuf_scenarios, driver_export_scenarios,
	driver_errnos_scenarios, driver_vfio_scenarios, driver_user32_scenarios,
	driver_userq_scenarios, driver_userq_raw_scenarios,
	driver_userq_life_scenarios, driver_examples_scenarios,
	driver_host_scenarios, driver_iommu_scenarios,
	driver_gup_test_scenarios,
	driver_life_scenarios, driver_mappings_scenarios,
	driver_observe_scenarios,
	driver_failnth_scenarios, driver_storm_scenarios,
	driver_fuzz_scenarios,
	fault_scenarios, lab_scenarios, selftest_scenarios,
};

static const char *const mem_names[NR_MEMS] = {
	[MEM_ANON] = "anon", [MEM_THP] = "thp", [MEM_HUGETLB] = "hugetlb",
	[MEM_MTHP] = "mthp", [MEM_SHMEM] = "shmem", [MEM_ZERO] = "zero",
	[MEM_FILE] = "file",
	[MEM_EXT4] = "ext4", [MEM_EXT4_JOURNAL] = "ext4-journal",
	[MEM_XFS] = "xfs", [MEM_BTRFS] = "btrfs", [MEM_TMPFS] = "tmpfs",
};

static const char *const pin_names[NR_PINS] = {
	[PIN_GET] = "get", [PIN_GET_FAST] = "get-fast",
	[PIN_PIN] = "pin", [PIN_PIN_FAST] = "pin-fast",
	[PIN_LONGTERM] = "pin-longterm",
	[PIN_FAST_LONGTERM] = "pin-fast-longterm",
	[PIN_PIN_CLEARED] = "pin-cleared",
	[PIN_PIN_FAST_CLEARED] = "pin-fast-cleared",
	[PIN_LONGTERM_CLEARED] = "pin-longterm-cleared",
	[PIN_FAST_LONGTERM_CLEARED] = "pin-fast-longterm-cleared",
	[PIN_PIN_UNCOUNTED] = "pin-uncounted",
	[PIN_PIN_SHARED] = "pin-shared",
	[PIN_PIN_PLAIN] = "pin-plain",
	[PIN_ON_DEMAND] = "on-demand",
	[PIN_EXCLUSIVE] = "exclusive",
	[PIN_VFIO] = "vfio", [PIN_VFIO_CLEARED] = "vfio-cleared",
	[PIN_URING] = "uring", [PIN_URING_CLEARED] = "uring-cleared",
	[PIN_RXE] = "rxe", [PIN_RXE_CLEARED] = "rxe-cleared",
};

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

#define MAX_GLOBS	1024

static struct options {
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
} opt = { .seed = 1, .repeat = 1, .case_limit = 60,
	  .pins = ~(PINS_OTHER | PINS_OTHER_CLEARED) };

struct plan_entry {
	const struct scenario *scenario;
	enum mem mem;
	enum pin pin;
	const char *variant;	/* NAME=SWITCH[+SWITCH], see variant.c; NULL: none */
	char name[128];
};

static struct plan_entry *plan;
static unsigned int nr_plan;

/* ------------------------------------------------------------- the plan */

static bool in_group(const struct scenario *sc, const char *group)
{
	size_t len = strlen(group);

	return !strncmp(sc->name, group, len) && sc->name[len] == '.';
}

static bool in_groups(const struct scenario *sc)
{
	unsigned int i;

	for (i = 0; i < opt.nr_groups; i++)
		if (in_group(sc, opt.groups[i]))
			return true;
	return !opt.nr_groups;
}

/* Does the user, or the preset, want this case? */
static bool wanted(const struct plan_entry *e)
{
	const struct scenario *sc = e->scenario;
	unsigned int i;

	if (!in_groups(sc))
		return false;
	for (i = 0; i < opt.nr_globs; i++)
		if (opt.variants[i] == e->variant &&
		    (!fnmatch(opt.globs[i], e->name, 0) ||
		     !fnmatch(opt.globs[i], sc->name, 0)))
			return true;
	if (opt.nr_globs)
		return false;
	if (opt.nr_groups)
		return true;
	if (sc->flags & (SCENARIO_HIDDEN | SCENARIO_NAMED))
		return false;
	if (sc->flags & SCENARIO_FULL && !opt.all)
		return false;
	return opt.all || !(sc->flags & SCENARIO_SLOW) ||
	       (BIT(e->pin) & PINS_QUICK && !(BIT(e->mem) & MEMS_FULL));
}

static bool control_is_idle(const struct plan_entry *e)
{
	return BIT(e->pin) & PINS_CONTROL &&
	       expected_outcome(e->name) == OUTCOME_KEPT;
}

static bool is_named(const struct plan_entry *e)
{
	unsigned int i;

	if (e->variant)		/* and none of them is in need of a warning */
		return true;
	for (i = 0; i < opt.nr_globs; i++)
		if (!strcmp(opt.globs[i], e->name))
			return true;
	return false;
}

/*
 * Why only who names the case gets it, or NULL: nobody else would be tested
 * after it, or its verdict would say nothing.
 */
static const char *only_by_name(const struct plan_entry *e)
{
	enum outcome outcome = expected_outcome(e->name);

	if (is_named(e))
		return NULL;
	return outcome == OUTCOME_ERROR ? "this kernel would crash" :
	       outcome == OUTCOME_NONE ? "it comes out differently each time" :
	       outcome == OUTCOME_SKIP ? "not possible on this kernel" :
					 NULL;
}

static void plan_case(const struct scenario *sc, enum mem mem, enum pin pin,
		      const char *variant)
{
	struct plan_entry e = { .scenario = sc, .mem = mem, .pin = pin,
				.variant = variant };

	snprintf(e.name, sizeof(e.name), "%s%s%s%s%s", sc->name,
		 mem ? "/" : "", mem ? mem_names[mem] : "",
		 pin ? "/" : "", pin ? pin_names[pin] : "");
	if (!wanted(&e))
		return;
	/*
	 * A control that is not expected to lose anything controls nothing. If
	 * it was asked for by its name it is there nevertheless, and skipped.
	 */
	if (control_is_idle(&e) && !is_named(&e))
		return;
	plan = realloc(plan, (nr_plan + 1) * sizeof(*plan));
	plan[nr_plan++] = e;
}

/* The ways to pin that the scenario has of those that can be had. */
static unsigned int pins_of(const struct scenario *sc)
{
	return (sc->pins ? sc->pins : BIT(PIN_NONE)) & opt.pins;
}

static void plan_all(const char *variant)
{
	const struct scenario *sc;
	unsigned int i, mem, pin;

	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (sc = tables[i]; sc->name; sc++)
			for (mem = 0; mem < NR_MEMS; mem++)
				for (pin = 0; pin < NR_PINS; pin++)
					if ((sc->mems ? sc->mems : BIT(0)) &
					    BIT(mem) &&
					    pins_of(sc) & BIT(pin))
						plan_case(sc, mem, pin,
							  variant);
}

/* Variant by variant, each as long as its globs follow each other. */
static void make_plan(void)
{
	unsigned int i;

	if (!opt.nr_globs)
		plan_all(NULL);
	for (i = 0; i < opt.nr_globs; i++)
		if (!i || opt.variants[i] != opt.variants[i - 1])
			plan_all(opt.variants[i]);
}

static void list(void)
{
	const struct scenario *sc;
	unsigned int i, mem;

	for (i = 0; i < ARRAY_SIZE(tables); i++) {
		for (sc = tables[i]; sc->name; sc++) {
			char mems[128] = "";

			if (sc->flags & SCENARIO_HIDDEN)
				continue;
			for (mem = 1; mem < NR_MEMS; mem++) {
				if (!(sc->mems & BIT(mem)))
					continue;
				strcat(mems, mems[0] ? "," : "");
				strcat(mems, mem_names[mem]);
			}
			if (sc->pins & opt.pins)
				sprintf(mems + strlen(mems), " x %d pin modes",
					__builtin_popcount(sc->pins & opt.pins));
			printf("%-22s %-34s %s%s%s\n", sc->name, mems, sc->promise,
			       sc->fix ? " | fix: " : "", sc->fix ?: "");
		}
	}
}

/* -------------------------------------------------------------- one case */

static void __attribute__((noreturn)) case_process(const struct plan_entry *e,
						   unsigned int round)
{
	struct test t = {
		.scenario = e->scenario,
		.mem_type = e->mem,
		.pin = e->pin,
		.seed = opt.seed + round,
		.storm = opt.storm,
		.name = e->name,
		.variant = e->variant,
	};

	setpgid(0, 0);
	signal(SIGPIPE, SIG_IGN);
	e->scenario->run(&t);
	test_error(&t, "the scenario ends without an outcome");
}

/* Returns false at the time limit. */
static bool wait_for_case(pid_t pid, int *status)
{
	struct pollfd pfd = { .events = POLLIN };
	bool in_time;

	pfd.fd = syscall(SYS_pidfd_open, pid, 0);
	in_time = pfd.fd < 0 || poll(&pfd, 1, opt.case_limit * 1000) > 0;
	/* The case, and what it has left behind: */
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	waitpid(pid, status, 0);
	if (pfd.fd >= 0)
		close(pfd.fd);
	return in_time;
}

/* Some of its processes may still be on their way out. */
static long wait_for_unpin(long before)
{
	long left;
	int i;

	for (i = 0; i < 200; i++) {
		left = kernel_pinned_pages() - before;
		if (!left)
			break;
		usleep(10000);
	}
	return left;
}

/* Ask it, and at what time it answers. The narrowest of some tries: hosts are busy. */
static int ask_info(struct pindma *dev, struct pindma_info *info,
		    struct device_clock *clock)
{
	uint64_t before, after, first = 0;
	int i, ret = 0;

	for (i = 0; i < 5 && !ret; i++) {
		before = trace_clock();
		ret = pindma_get_info(dev, info);
		after = trace_clock();
		if (i && after - before >= clock->after - clock->before)
			continue;
		*clock = (struct device_clock){ before, info->time, after, 0 };
	}
	if (!ret)
		ret = pindma_read_journal(dev, &first, NULL, 0, &clock->seq);
	return ret < 0 ? ret : 0;
}

/*
 * What the device is like, before and after a case. It is told to behave again,
 * if the case did not.
 */
static int ask_device(struct pindma_info *info, struct device_clock *clock)
{
	static const struct pindma_fault none;
	struct pindma *dev;
	int ret;

	memset(info, 0, sizeof(*info));
	memset(clock, 0, sizeof(*clock));
	if (opt.pinner)		/* there is no driver to ask */
		return 0;
	ret = pindma_open(NULL, &dev);
	if (ret)
		return ret;
	ret = ask_info(dev, info, clock);
	if (!ret && info->fault)
		ret = pindma_fault(dev, &none);
	pindma_close(dev);
	return ret;
}

enum total { TOTAL_OK, TOTAL_XFAIL, TOTAL_FAIL, TOTAL_SKIP, NR_TOTALS };
static unsigned int totals[NR_TOTALS];

/* A line of the report; what comes after the '#' if there is anything. */
static void report(unsigned int nr, const char *name, bool ok,
		   enum total total, const char *text)
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

/*
 * Compare what came out, see result, with what should, and say it. The case is
 * reported as name, and expectations know it as rule.
 */
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

/*
 * What came out, whatever is expected of a kernel without the variant: if the
 * promise was broken the case is "not ok", and says LOST, or ERROR.
 */
static void tell(unsigned int nr, const char *name, const char *fix)
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

static void run_case(unsigned int nr, const struct plan_entry *e,
		     unsigned int round)
{
	bool expect_loss = expected_outcome(e->name) == OUTCOME_LOST;
	long pinned = kernel_pinned_pages(), left;
	struct pindma_info before, after;
	struct device_clock from, to;
	char name[256], text[512], line[400];
	double start = now_ms();
	bool in_time;
	int status, err;
	pid_t pid;

	snprintf(name, sizeof(name), "%s", e->name);
	if (e->variant)
		snprintf(name, sizeof(name), "%.*s:%s",
			 (int)strcspn(e->variant, "="), e->variant, e->name);
	if (round)
		sprintf(name + strlen(name), "/r%u", round + 1);
	printf("# start %s\n", name);
	if (expect_loss)
		printf("# expected %s: %s\n", name, expected_why(e->name));
	fflush(stdout);
	snprintf(text, sizeof(text), "start %s", name);
	kernel_mark(text);
	memset(result, 0, sizeof(*result));
	err = variant_set(e->variant);
	if (err) {
		snprintf(text, sizeof(text), "the kernel has no variant %s: %s",
			 e->variant, strerror(-err));
		report(nr, name, false, TOTAL_FAIL, text);
		return;
	}
	err = ask_device(&before, &from);
	if (err) {
		snprintf(text, sizeof(text), "the device cannot be used: %s",
			 strerror(-err));
		report(nr, name, false, TOTAL_FAIL, text);
		return;
	}

	trace_begin();
	pid = fork();
	if (!pid)
		case_process(e, round);
	if (pid < 0) {
		report(nr, name, false, TOTAL_FAIL, "cannot fork");
		return;
	}
	in_time = wait_for_case(pid, &status);
	left = wait_for_unpin(pinned);

	if (!in_time) {
		result->outcome = OUTCOME_ERROR;
		snprintf(result->reason, sizeof(result->reason),
			 "TIMEOUT no end after %u s", opt.case_limit);
	} else if (WIFSIGNALED(status)) {
		result->outcome = OUTCOME_ERROR;
		snprintf(result->reason, sizeof(result->reason),
			 "killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	} else if (result->outcome == OUTCOME_NONE) {
		result->outcome = OUTCOME_ERROR;
		snprintf(result->reason, sizeof(result->reason),
			 "ended with exit code %d and no outcome",
			 WEXITSTATUS(status));
	}
	err = ask_device(&after, &to);
	if (err) {
		result->outcome = OUTCOME_ERROR;
		snprintf(result->reason, sizeof(result->reason),
			 "the device cannot be used any more: %s",
			 strerror(-err));
	} else if (after.stale > before.stale && !result->faults) {
		result->outcome = OUTCOME_ERROR;
		snprintf(result->reason, sizeof(result->reason),
			 "the device has accessed pages after their mr was deregistered, %llu times, the last at bus address 0x%llx",
			 (unsigned long long)(after.stale - before.stale),
			 (unsigned long long)after.stale_addr);
	}
	if (left) {
		result->outcome = OUTCOME_ERROR;
		snprintf(result->reason, sizeof(result->reason),
			 "%ld pages are still pinned", left);
	} else if (kernel_leaked(line, sizeof(line))) {
		result->outcome = OUTCOME_ERROR;
		snprintf(result->reason, sizeof(result->reason), "%.250s",
			 line);
	}
	if (!err)
		trace_end(name, &from, &to);
	if (!expect_loss && !result->tolerated_if_kept && !e->variant)
		result->tolerated[0] = '\0';
	if (result->tolerated[0])	/* the host reads the console itself */
		printf("# tolerated %s: %s\n", name, result->tolerated);
	if (kernel_complained(result->tolerated, line, sizeof(line))) {
		result->outcome = OUTCOME_ERROR;
		line[strcspn(line, "#")] = '\0';	/* a directive of KTAP */
		snprintf(result->reason, sizeof(result->reason),
			 "the kernel complains: %.200s", line);
	}
	if (opt.coverage)
		asked_end(name);
	if (e->variant)
		tell(nr, name, e->scenario->fix);
	else
		judge(nr, name, e->name, e->scenario->fix);
	printf("# time %s %.3f\n", name, (now_ms() - start) / 1e3);
	fflush(stdout);
}

/* What the cases are about, for who reads of them. */
static void print_promises(void)
{
	const struct scenario *last = NULL;
	unsigned int i;

	for (i = 0; i < nr_plan; i++) {
		const struct scenario *sc = plan[i].scenario;

		if (sc != last)
			printf("# promise %s: %s%s%s\n", sc->name, sc->promise,
			       sc->fix ? " | " : "", sc->fix ?: "");
		last = sc;
	}
}

/* ------------------------------------------------------------------ main */

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

static int __attribute__((format(printf, 1, 2))) bad_usage(const char *fmt, ...)
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

/* Does the name stand for anything at all? */
static bool glob_is_known(const char *glob)
{
	static struct options saved;
	bool known;

	saved = opt;

	memset(&opt, 0, sizeof(opt));
	opt.globs[opt.nr_globs++] = glob;
	opt.pins = ~0u;
	make_plan();
	known = nr_plan;
	nr_plan = 0;
	opt = saved;
	return known;
}

static bool group_is_known(const char *group)
{
	const struct scenario *sc;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (sc = tables[i]; sc->name; sc++)
			if (in_group(sc, group))
				return true;
	return false;
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

/* -1: go on */
static int parse(int argc, char **argv)
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
			if (!glob_is_known(optarg))
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
			if (!group_is_known(optarg))
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
			list();
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

static int finish(int code)
{
	printf("# exit: %d\n", code);
	fflush(stdout);
	return code;
}

static int broken(const char *what, int err)
{
	printf("# error: %s: %s\n", what, strerror(err));
	fprintf(stderr, "pindma-test: %s: %s\n", what, strerror(err));
	return finish(EXIT_BROKEN);
}

static int totals_and_exit(void)
{
	variant_set(NULL);
	printf("# totals: ok:%u xfail:%u fail:%u skip:%u\n", totals[TOTAL_OK],
	       totals[TOTAL_XFAIL], totals[TOTAL_FAIL], totals[TOTAL_SKIP]);
	if (totals[TOTAL_FAIL])
		return finish(EXIT_FAIL);
	return finish(totals[TOTAL_OK] + totals[TOTAL_XFAIL] ? EXIT_PASS :
							       EXIT_SKIPPED);
}

static int run_all(void)
{
	static const char *const irqs[] = {
		[PINDMA_IRQ_MSIX] = "MSI-X", [PINDMA_IRQ_MSI] = "MSI",
		[PINDMA_IRQ_INTX] = "INTx",
	};
	struct pindma_info info;
	struct device_clock clock;
	unsigned int nr = 0, round, i;
	struct utsname u;
	struct sysinfo si;
	bool stop = false;
	char text[256], device[128];
	const char *why;
	int ret;

	result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (result == MAP_FAILED)
		return broken("mmap", errno);
	ret = ask_device(&info, &clock);
	if (ret)
		return broken("/dev/pindma0 (is the driver loaded, has QEMU a pindma device?)",
			      -ret);

	if (access("/dev/kmsg", R_OK | W_OK))
		return broken("/dev/kmsg", errno);
	uname(&u);
	sysinfo(&si);
	if (opt.pinner)
		snprintf(device, sizeof(device), "pinner %s, pindma.ko is %sloaded",
			 opt.pinner,
			 access("/sys/module/pindma", F_OK) ? "not " : "");
	else
		snprintf(device, sizeof(device),
			 "device %u.%u, capabilities 0x%x, %u channels, %s, %u-bit DMA",
			 info.device_version >> 16,
			 info.device_version & 0xffff, info.device_caps,
			 info.num_channels,
			 info.irq_mode < ARRAY_SIZE(irqs) ?
			 irqs[info.irq_mode] : "?", info.dma_bits);
	printf("KTAP version 1\n"
	       "# pindma-test: kernel %s\n"
	       "# pindma-test: seed %llu\n"
	       "# pindma-test: %s\n"
	       "# pindma-test: cpus %ld, memory %lu MiB\n",
	       u.release, (unsigned long long)opt.seed, device,
	       sysconf(_SC_NPROCESSORS_ONLN),
	       si.totalram * si.mem_unit >> 20);
	if (opt.nr_programs) {
		for (i = 0; i < opt.nr_programs; i++)
			nr = run_kselftest(opt.programs[i], nr, opt.case_limit);
		/* How many there are only the programs know. */
		printf("1..%u\n", nr);
		return totals_and_exit();
	}
	if (opt.trace)
		trace_start();
	if (opt.coverage)
		asked_start();
	print_promises();
	printf("1..%u\n", nr_plan * opt.repeat);
	for (round = 0; round < opt.repeat; round++) {
		for (i = 0; i < nr_plan; i++) {
			if (nr + 1 < opt.from) {
				nr++;
				continue;
			}
			if (stop) {
				report(++nr, plan[i].name, true, TOTAL_SKIP,
				       "SKIP a case before it failed");
				continue;
			}
			if (control_is_idle(&plan[i]) && !plan[i].variant) {
				report(++nr, plan[i].name, true, TOTAL_SKIP,
				       "SKIP not a control here: this kernel keeps the page for another reason");
				continue;
			}
			why = only_by_name(&plan[i]);
			if (why) {
				snprintf(text, sizeof(text), "SKIP %s (name the case to see it): %s",
					 why, expected_why(plan[i].name));
				report(++nr, plan[i].name, true, TOTAL_SKIP,
				       text);
				continue;
			}
			run_case(++nr, &plan[i], round);
			stop = opt.until_fail && totals[TOTAL_FAIL];
		}
	}
	return totals_and_exit();
}

int main(int argc, char **argv)
{
	struct utsname u;
	int ret;

	/* What scenarios execute, to see whether exec() works: */
	if (argc == 2 && !strcmp(argv[1], "--exit"))
		return 0;
	uname(&u);
	expectations_load(u.release);
	ret = parse(argc, argv);
	if (ret >= 0)
		return ret;
	make_plan();
	if (!nr_plan && opt.pinner)
		return bad_usage("no case that was asked for can be had with the pinner '%s'",
				 opt.pinner);
	if (!nr_plan && opt.nr_groups)
		return bad_usage("no case is in a group of -g and called as -t says");
	if (!nr_plan)
		return bad_usage("cases of other pinners want --pinner");
	return run_all();
}
