// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs of the kernel's own tests, tools/testing/selftests, which are not
 * changed and know nothing of us. They speak TAP:
 *
 *	# [RUN] R/O GUP pin on R/O-mapped shared page ... with THP (2048 kB)
 *	ok 7 Longterm R/O pin is reliable
 *
 * The first line begins a case, and it is its name; the second has its outcome,
 * with "# SKIP" and "# XFAIL" before some. Each becomes a case of ours,
 * kselftest.PROGRAM/r_o_gup_pin_on.../thp_2048_kb, whose outcome on a kernel is
 * expected as that of any other. kselftest.PROGRAM itself is the last case: did
 * the program do all that it has announced, and is nothing left pinned?
 *
 * What the kernel complains of may be found one case too late: the program does
 * not wait for us.
 */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "result.h"

#define RUN	"# [RUN] "
#define WITH	" ... with "

/* A program that is running */
struct kselftest {
	char name[64];		/* kselftest.PROGRAM */
	char current[160];	/* the case; empty: none */
	double started;
	unsigned int planned, reported;
	unsigned int nr;	/* of cases so far, all programs' */
	bool timeout;
};

/* "R/O-mapped page" becomes "ro_mapped_page". */
static void append_words(char *name, size_t size, const char *text, size_t len)
{
	char *to = name + strlen(name), *start = to;
	size_t i;

	for (i = 0; i < len && to + 1 < name + size; i++) {
		if (isalnum((unsigned char)text[i]))
			*to++ = tolower((unsigned char)text[i]);
		else if (!strchr("/'", text[i]) && to > start && to[-1] != '_')
			*to++ = '_';
	}
	while (to > start && to[-1] == '_')
		to--;
	*to = '\0';
}

static void announce_case(struct kselftest *k)
{
	memset(result, 0, sizeof(*result));
	k->started = now_ms();
	printf("# start %s\n", k->current);
	fflush(stdout);
	kernel_mark(k->current);
}

static void start_case(struct kselftest *k, const char *text)
{
	const char *with = strstr(text, WITH);
	size_t len;

	snprintf(k->current, sizeof(k->current), "%s/", k->name);
	append_words(k->current, sizeof(k->current), text,
		     with ? (size_t)(with - text) : strlen(text));
	if (with) {
		len = strlen(k->current);
		snprintf(k->current + len, sizeof(k->current) - len, "/");
		with += strlen(WITH);
		append_words(k->current, sizeof(k->current), with,
			     strlen(with));
	}
	announce_case(k);
}

static void end_case(struct kselftest *k, enum outcome outcome,
		     const char *reason)
{
	char line[400];

	result->outcome = outcome;
	snprintf(result->reason, sizeof(result->reason), "%s", reason);
	if (kernel_complained("", line, sizeof(line))) {
		result->outcome = OUTCOME_ERROR;
		snprintf(result->reason, sizeof(result->reason),
			 "the kernel complains: %.200s", line);
	}
	result->reason[strcspn(result->reason, "#")] = '\0';
	judge(++k->nr, k->current, k->current, NULL);
	printf("# time %s %.3f\n", k->current, (now_ms() - k->started) / 1e3);
	fflush(stdout);
	k->current[0] = '\0';
}

/* "ok 7 text", "not ok 7 text", "ok 7 # SKIP why"; false: something else. */
static bool end_case_by(struct kselftest *k, const char *line)
{
	bool ok = !strncmp(line, "ok ", 3);
	char name[32], reason[200];
	unsigned int number;
	int at = 0;

	if (sscanf(line, ok ? "ok %u %n" : "not ok %u %n", &number, &at) < 1 ||
	    !at)
		return false;
	line += at;
	k->reported++;
	if (!k->current[0]) {
		snprintf(name, sizeof(name), "result %u", number);
		start_case(k, name);
	}
	if (!ok) {
		/* Some say what failed, some what would have been fine. */
		snprintf(reason, sizeof(reason), "not ok: %s", line);
		end_case(k, OUTCOME_LOST, reason);
	} else if (!strncmp(line, "# SKIP ", 7)) {
		end_case(k, OUTCOME_SKIP, line + 7);
	} else if (!strncmp(line, "# XFAIL ", 8)) {
		end_case(k, OUTCOME_LOST, line + 8);
	} else {
		end_case(k, OUTCOME_KEPT, "");
	}
	return true;
}

static void handle_line(struct kselftest *k, const char *line)
{
	if (!strncmp(line, RUN, strlen(RUN)))
		start_case(k, line + strlen(RUN));
	else if (!end_case_by(k, line))
		sscanf(line, "1..%u", &k->planned);
}

/* Until the program is silent for too long, or has no more to say. */
static void follow(struct kselftest *k, int fd, unsigned int case_limit)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char text[4096], *line, *end;
	size_t len = 0;
	ssize_t n;

	for (;;) {
		k->timeout = poll(&pfd, 1, case_limit * 1000) == 0;
		if (k->timeout)
			return;
		n = read(fd, text + len, sizeof(text) - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		len += n;
		text[len] = '\0';
		for (line = text; (end = strchr(line, '\n')); line = end + 1) {
			*end = '\0';
			handle_line(k, line);
		}
		len = strlen(line);
		memmove(text, line, len);
		if (len == sizeof(text) - 1)
			len = 0;	/* no line of TAP is as long */
	}
}

static pid_t start_program(const char *program, int *fd)
{
	int fds[2];
	pid_t pid;

	if (pipe(fds))
		return -1;
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		execl(program, program, NULL);
		_exit(127);
	}
	close(fds[1]);
	*fd = fds[0];
	return pid;
}

/*
 * Run all of a program's cases. The number of cases that were reported before
 * is nr; returns what it is afterwards.
 */
unsigned int run_kselftest(const char *program, unsigned int nr,
			   unsigned int case_limit)
{
	const char *base = strrchr(program, '/');
	struct kselftest k = { .nr = nr };
	long pinned = kernel_pinned_pages();
	enum outcome outcome = OUTCOME_ERROR;
	double started = now_ms();
	char reason[200] = "";
	int status, fd;
	pid_t pid;

	snprintf(k.name, sizeof(k.name), "kselftest.%s",
		 base ? base + 1 : program);
	pid = start_program(program, &fd);
	if (pid > 0) {
		follow(&k, fd, case_limit);
		/* It and its children, if they did not end by themselves. */
		if (k.timeout)
			kill(-pid, SIGKILL);
		waitpid(pid, &status, 0);
		close(fd);
	}
	if (k.current[0]) {
		snprintf(reason, sizeof(reason),
			 k.timeout ? "TIMEOUT no end after %u s" :
				     "the program ended", case_limit);
		end_case(&k, OUTCOME_ERROR, reason);
	}

	snprintf(k.current, sizeof(k.current), "%s", k.name);
	announce_case(&k);
	k.started = started;
	test_note(NULL, "%s, %s", program,
		  access("/sys/kernel/debug/gup_test", F_OK) ? "no gup_test" :
		  access("/sys/module/pindma_gup_test", F_OK) ?
			"gup_test is the kernel's own: a CPU reads" :
			"gup_test is ours: the device reads");
	pinned = kernel_pinned_pages() - pinned;
	if (pid < 0)
		snprintf(reason, sizeof(reason), "cannot run it: %s",
			 strerror(errno));
	else if (k.timeout)
		snprintf(reason, sizeof(reason), "TIMEOUT silent for %u s",
			 case_limit);
	else if (WIFSIGNALED(status))
		snprintf(reason, sizeof(reason), "killed by signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (!k.planned || k.reported != k.planned)
		snprintf(reason, sizeof(reason),
			 "ended with exit code %d; %u cases planned, %u reported",
			 WEXITSTATUS(status), k.planned, k.reported);
	else if (pinned)
		snprintf(reason, sizeof(reason), "%ld pages are still pinned",
			 pinned);
	else
		outcome = OUTCOME_KEPT;
	end_case(&k, outcome, reason);
	return k.nr;
}
