// SPDX-License-Identifier: GPL-2.0-only
/* How a case ends. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "result.h"

struct result *result;

static void __attribute__((noreturn)) end(enum outcome outcome,
					  const char *fmt, va_list ap)
{
	char *p;

	vsnprintf(result->reason, sizeof(result->reason), fmt, ap);
	/* '#' would begin a directive of KTAP. */
	for (p = result->reason; *p; p++)
		if (*p == '#' || *p == '\n')
			*p = ' ';
	result->outcome = outcome;
	test_restore();
	_exit(0);
}

#define END(outcome, fmt)				\
	do {						\
		va_list ap;				\
							\
		va_start(ap, fmt);			\
		end(outcome, fmt, ap);			\
	} while (0)

/*
 * Whatever has become of the device, or of the driver: where there are no mrs any more
 * nobody is charged for one. To see it red: no pindma_pin_uncharge() in
 * pindma_pinned_release().
 */
static void check_uncharged(struct test *t)
{
	unsigned int ms = 1000;

	if (!t->dev)
		return;
	pindma_close(t->dev);
	t->dev = NULL;
	/* The case may have other files, with mrs of their own. */
	while (!kernel_pindma_counter("mrs") && kernel_vm_pin(getpid()) > 0) {
		if (!--ms)
			test_error(t, "the process is still charged for %ld kB of pins",
				   kernel_vm_pin(getpid()));
		usleep(1000);
	}
}

void test_kept(struct test *t)
{
	check_uncharged(t);
	result->outcome = OUTCOME_KEPT;
	test_restore();
	_exit(0);
}

void test_lost(struct test *t, const char *fmt, ...)
{
	if (t->dev && t->mr)
		test_timeline(t);
	END(OUTCOME_LOST, fmt);
}

void test_skip(struct test *t, const char *fmt, ...)
{
	(void)t;
	END(OUTCOME_SKIP, fmt);
}

void test_error(struct test *t, const char *fmt, ...)
{
	(void)t;
	END(OUTCOME_ERROR, fmt);
}

/* From here on what the device does to memory is the case's own doing. */
void test_fault(struct test *t, struct pindma_fault fault)
{
	int ret;

	result->faults = true;
	ret = pindma_fault(t->dev, &fault);
	if (ret)
		test_error(t, "cannot arm fault %u: %s", fault.kind,
			   strerror(-ret));
}

void test_tolerate(struct test *t, const char *complaint)
{
	(void)t;
	snprintf(result->tolerated, sizeof(result->tolerated), "%s", complaint);
}

void test_tolerate_if_kept(struct test *t, const char *complaint)
{
	test_tolerate(t, complaint);
	result->tolerated_if_kept = true;
}

void test_note(struct test *t, const char *fmt, ...)
{
	size_t room = sizeof(result->notes) - result->notes_len;
	va_list ap;
	int n;

	(void)t;
	va_start(ap, fmt);
	n = vsnprintf(result->notes + result->notes_len, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n + 1 >= room)
		return;	/* full: the first notes matter most */
	result->notes_len += n;
	result->notes[result->notes_len++] = '\n';
	result->notes[result->notes_len] = '\0';
}
