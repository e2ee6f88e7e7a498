// SPDX-License-Identifier: GPL-2.0-only
/*
 * Variants of the kernel that is running: the switches of tests/lab, each a file
 * in debugfs that a lab kernel has.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "result.h"

#define SWITCHES "/sys/kernel/debug/pindma_lab/"

/* NAME=SWITCH[+SWITCH]: all of them on, or off; 0 or -errno of the first */
static int switch_all(const char *variant, const char *state)
{
	char names[512], path[256], *name, *save;
	int ret = 0, err;

	snprintf(names, sizeof(names), "%s", strchr(variant, '=') + 1);
	for (name = strtok_r(names, "+", &save); name;
	     name = strtok_r(NULL, "+", &save)) {
		snprintf(path, sizeof(path), SWITCHES "%s", name);
		err = kernel_set(path, state);
		ret = ret ? ret : err;
	}
	return ret;
}

/* Make it this one, in place of the one before. NULL: none. */
int variant_set(const char *variant)
{
	static const char *active;
	int ret;

	if (variant == active)
		return 0;
	if (active)
		switch_all(active, "0");
	active = NULL;
	ret = variant ? switch_all(variant, "1") : 0;
	if (ret)
		switch_all(variant, "0");
	else
		active = variant;
	return ret;
}
