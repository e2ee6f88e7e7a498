// SPDX-License-Identifier: GPL-2.0-only
/*
 * pindma-test: runs the cases and reports them as KTAP version 1
 * (Documentation/dev-tools/ktap.rst). Each case is a process of its own, with a
 * time limit; what the kernel says meanwhile, whether all pages are unpinned in
 * the end, and whether the device has touched one that was, counts as well.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asked.h"
#include "options.h"
#include "plan.h"
#include "result.h"
#include "trace.h"

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
	/* Some of its processes may still be on their way out. */
	left = kernel_wait_for_unpin(pinned, 2000);

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

static int finish(int code)
{
	printf("# exit: %d\n", code);
	fflush(stdout);
	return code;
}

static int __attribute__((format(printf, 1, 2))) broken(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printf("# error: %s\n", text);
	fprintf(stderr, "pindma-test: %s\n", text);
	return finish(EXIT_BROKEN);
}

/*
 * How fast does the guest's time go, beside the device's? 1, as far as can be said.
 * A kernel that has measured the TSC on a host which had no time for it may be wrong
 * by far. Then cases time out, and none of them says why.
 */
static double clock_rate(const struct device_clock *from)
{
	double device, least, most;
	struct device_clock to;
	struct pindma_info info;

	if (opt.pinner)
		return 1;
	usleep(100000);
	if (ask_device(&info, &to))	/* the first case will say why */
		return 1;
	device = to.device - from->device;
	least = (double)to.before - from->after;
	most = to.after - from->before;
	return least > device ? least / device :
	       most < device ? most / device : 1;
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
	double rate;
	struct utsname u;
	struct sysinfo si;
	bool stop = false;
	char text[256], device[128];
	const char *why;
	int ret;

	result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (result == MAP_FAILED)
		return broken("mmap: %s", strerror(errno));
	ret = ask_device(&info, &clock);
	if (ret)
		return broken("/dev/pindma0 (is the driver loaded, has QEMU a pindma device?): %s",
			      strerror(-ret));
	rate = clock_rate(&clock);
	if (rate > 2 || rate < 0.5)
		return broken("the guest's clock goes %.2f times as fast as the device's: the kernel is wrong about its TSC, see console.log",
			      rate);
	if (access("/dev/kmsg", R_OK | W_OK))
		return broken("/dev/kmsg: %s", strerror(errno));
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
			if (plan_is_idle_control(&plan[i]) && !plan[i].variant) {
				report(++nr, plan[i].name, true, TOTAL_SKIP,
				       "SKIP not a control here: this kernel keeps the page for another reason");
				continue;
			}
			why = plan_only_by_name(&plan[i]);
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
	ret = options_parse(argc, argv);
	if (ret >= 0)
		return ret;
	plan_make();
	if (!nr_plan && opt.pinner)
		return bad_usage("no case that was asked for can be had with the pinner '%s'",
				 opt.pinner);
	if (!nr_plan && opt.nr_groups)
		return bad_usage("no case is in a group of -g and called as -t says");
	if (!nr_plan)
		return bad_usage("cases of other pinners want --pinner");
	return run_all();
}
