/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the driver share: the PCI device behind /dev/pindma0, by way of
 * sysfs, and some small things.
 */
#ifndef SHARED_H
#define SHARED_H

#include "test.h"

/* "0000:01:00.0", as long as the driver is bound */
void find_device(struct test *t, char name[256]);
const char *device_dir(struct test *t);
void unbind_device(struct test *t, const char *name);
void bind_device(struct test *t, const char *name);
void read_config(struct test *t, off_t offset, void *buf, size_t len);
void write_config(struct test *t, off_t offset, const void *buf, size_t len);
/* How many interrupts the driver has had */
long count_interrupts(struct test *t);
/* Within so many ms a hammer writes there */
bool stamps_go_on(volatile void *mem, unsigned int ms);
/* So many pages are pinned in the whole system again, within ms: after how many */
double wait_for_unpin(struct test *t, long pinned, unsigned int ms);
/* fn() without capabilities and RLIMIT_MEMLOCK: what it returns */
int as_nobody(struct test *t, int (*fn)(struct test *t));
/* fn() in a process of its own: what waitpid() says, and all that it prints */
int run_and_read(struct test *t, void (*fn)(void *arg), void *arg, char *text,
		 size_t size);

#endif /* SHARED_H */
