/* SPDX-License-Identifier: GPL-2.0-only */
/* Somebody outside: the host, and what the kernel says for others to read. */
#ifndef HOST_H
#define HOST_H

#include "test.h"

const char *__attribute__((format(printf, 2, 3)))
ask_host(struct test *t, const char *fmt, ...);
const char *tell_host(struct test *t, const char *line);
void plug_in(struct test *t, const char *action);
void watch_kernel_log(struct test *t);
bool kernel_says(struct test *t, const char *word, const char *other,
		 unsigned int seconds);

#endif /* HOST_H */
