// SPDX-License-Identifier: GPL-2.0-only
/*
 * The examples of the library do what they say. Each is linked with its main()
 * under another name, and runs in a process of its own. To see it red: have first.c
 * post another value, fork.c its pins in the other order, or queue.c another offset.
 */
#include <stdlib.h>
#include <string.h>

#include "shared.h"

int example_first(void);
int example_fork(void);
int example_queue(void);

static void example_main(void *arg)
{
	int (**example)(void) = arg;

	exit((*example)());
}

/* It succeeds, and this is what it prints, complaints included. */
static void run_example(struct test *t, int (*example)(void), const char *text)
{
	char printed[512];
	int status = run_and_read(t, example_main, &example, printed,
				  sizeof(printed));

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
