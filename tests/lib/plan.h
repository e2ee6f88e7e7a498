/* SPDX-License-Identifier: GPL-2.0-only */
/* The cases that are to be run: scenarios, each with its memory and its way to pin. */
#ifndef PLAN_H
#define PLAN_H

#include "test.h"

struct plan_entry {
	const struct scenario *scenario;
	enum mem mem;
	enum pin pin;
	const char *variant;	/* NAME=SWITCH[+SWITCH], see variant.c; NULL: none */
	char name[128];
};

extern struct plan_entry *plan;
extern unsigned int nr_plan;

/* From opt, see options.h, and what is expected of this kernel */
void plan_make(void);
/* Do the words of -t and -g stand for anything at all? */
bool plan_knows_case(const char *glob);
bool plan_knows_group(const char *group);
/* Of all scenarios, a line each */
void plan_list(void);
bool plan_is_idle_control(const struct plan_entry *e);
/*
 * Why only who names the case gets it, or NULL: nobody else would be tested
 * after it, or its verdict would say nothing.
 */
const char *plan_only_by_name(const struct plan_entry *e);

#endif /* PLAN_H */
