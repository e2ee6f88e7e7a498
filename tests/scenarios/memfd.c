// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file in memory that is sealed while a device can still write to it.
 *
 * Whoever receives it relies on the seal. To see it red: a driver that does not hold
 * its pages (tests/mutants/no-reference.patch); or seal with F_SEAL_GROW.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

#ifndef F_ADD_SEALS
#define F_ADD_SEALS	1033
#define F_SEAL_WRITE	8
#endif

static void seal(struct test *t)
{
	int fd = memfd_create("pindma", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	t->len = 16 * PAGE_SIZE;
	if (fd < 0 || ftruncate(fd, t->len))
		test_error(t, "memfd_create: %s", strerror(errno));
	t->buf = mmap(NULL, t->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (t->buf == MAP_FAILED)
		test_error(t, "mmap: %s", strerror(errno));
	memset(t->buf, 0x5a, t->len);
	t->mem = t->buf + FIRST_PAGE * PAGE_SIZE;
	test_one_cpu(t);
	test_open(t);
	test_reg_mr(t);
	/* A writable mapping would be reason enough. */
	if (munmap(t->buf, t->len))
		test_error(t, "munmap: %s", strerror(errno));
	test_step(t, "unmapped; F_SEAL_WRITE");
	if (!fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE))
		test_lost(t, "the file was sealed, and the device can still write to it");
	if (errno != EBUSY)
		test_error(t, "F_SEAL_WRITE: %s", strerror(errno));
	test_dereg_mr(t);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE))
		test_error(t, "F_SEAL_WRITE after the unpin: %s",
			   strerror(errno));
	test_kept(t);
}

const struct scenario memfd_scenarios[] = {
	{
		.name = "memfd.seal",
		.promise = "F_SEAL_WRITE is refused while a device has pages of the file: EBUSY, commit 05f65b5c7090",
		.fix = "05f65b5c7090 (3.17): shm: wait for pins to be released when sealing",
		.pins = PINS_PINDMA,
		.flags = SCENARIO_FULL,
		.run = seal,
	},
	{ }
};
