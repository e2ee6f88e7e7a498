// SPDX-License-Identifier: GPL-2.0-only
/*
 * The examples of the library do what they say. Each is linked with its main()
 * under another name, and runs in a process of its own. To see it red: have first.c
 * post another value, fork.c its pins in the other order, or queue.c another offset.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared.h"

int example_first(void);
int example_fork(void);
int example_queue(void);

/* It succeeds, and this is what it prints, complaints included. */
static void run_example(struct test *t, int (*example)(void), const char *text)
{
	char printed[512];
	ssize_t n, len = 0;
	int to_us[2], status;
	pid_t pid;

	CHECK(t, !pipe(to_us));
	pid = fork();
	CHECK(t, pid >= 0);
	if (!pid) {
		dup2(to_us[1], STDOUT_FILENO);
		dup2(to_us[1], STDERR_FILENO);
		exit(example());
	}
	close(to_us[1]);
	while ((n = read(to_us[0], printed + len, sizeof(printed) - 1 - len)) > 0)
		len += n;
	printed[len] = '\0';
	close(to_us[0]);
	CHECK(t, waitpid(pid, &status, 0) == pid);
	if (status || strcmp(printed, text))
		test_lost(t, "it ends with status 0x%x and prints '%s', not '%s'",
			  status, printed, text);
	test_kept(t);
}

static void first(struct test *t)
{
	run_example(t, example_first, "the device wrote 0x1234\n");
}

/* The child exits and the parent writes: that is all that GET needs to lose. */
static void fork_(struct test *t)
{
	run_example(t, example_fork, "GET: lost, PIN: kept\n");
}

static void queue(struct test *t)
{
	run_example(t, example_queue, "");
}

const struct scenario driver_examples_scenarios[] = {
	{
		.name = "driver.first_example",
		.promise = "the library's example of a first DMA works",
		.run = first,
	}, {
		.name = "driver.fork_example",
		.promise = "the library's example of fork() shows what it is about: GET loses, PIN keeps",
		.run = fork_,
	}, {
		.name = "driver.queue_example",
		.promise = "the library's example of a queue works",
		.run = queue,
	},
	{ }
};
