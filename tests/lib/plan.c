// SPDX-License-Identifier: GPL-2.0-only
/* Which cases there are, and which of them are wanted. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "plan.h"

static const struct scenario *const tables[] = {
	fork_scenarios, readonly_scenarios, mprotect_scenarios,
	madvise_scenarios, thp_scenarios, hugetlb_scenarios, leak_scenarios,
	reclaim_scenarios, uffd_scenarios, race_scenarios, zones_scenarios,
	mremap_scenarios, exclusive_scenarios, migrate_scenarios,
	memfd_scenarios, accounting_scenarios, lifetime_scenarios,
	longterm_scenarios, writeback_scenarios, directio_scenarios,
	poweroff_scenarios, truncate_scenarios, blockdev_scenarios,
	driver_ops_scenarios,
	driver_atomics_scenarios, driver_lists_scenarios,
	driver_order_scenarios, driver_limits_scenarios,
	driver_device_scenarios, driver_removal_scenarios,
	driver_demand_scenarios, driver_exclusive_scenarios,
	driver_dmabuf_scenarios, driver_export_scenarios,
	driver_errnos_scenarios, driver_vfio_scenarios, driver_user32_scenarios,
	driver_userq_scenarios, driver_userq_raw_scenarios,
	driver_userq_life_scenarios, driver_examples_scenarios,
	driver_host_scenarios, driver_iommu_scenarios,
	driver_gup_test_scenarios,
	driver_life_scenarios, driver_mappings_scenarios,
	driver_observe_scenarios,
	driver_failnth_scenarios, driver_storm_scenarios,
	driver_fuzz_scenarios,
	fault_scenarios, lab_scenarios, selftest_scenarios,
};

static const char *const mem_names[NR_MEMS] = {
	[MEM_ANON] = "anon", [MEM_THP] = "thp", [MEM_HUGETLB] = "hugetlb",
	[MEM_MTHP] = "mthp", [MEM_SHMEM] = "shmem", [MEM_ZERO] = "zero",
	[MEM_FILE] = "file",
	[MEM_EXT4] = "ext4", [MEM_EXT4_JOURNAL] = "ext4-journal",
	[MEM_XFS] = "xfs", [MEM_BTRFS] = "btrfs", [MEM_TMPFS] = "tmpfs",
};

static const char *const pin_names[NR_PINS] = {
	[PIN_GET] = "get", [PIN_GET_FAST] = "get-fast",
	[PIN_PIN] = "pin", [PIN_PIN_FAST] = "pin-fast",
	[PIN_LONGTERM] = "pin-longterm",
	[PIN_FAST_LONGTERM] = "pin-fast-longterm",
	[PIN_PIN_CLEARED] = "pin-cleared",
	[PIN_PIN_FAST_CLEARED] = "pin-fast-cleared",
	[PIN_LONGTERM_CLEARED] = "pin-longterm-cleared",
	[PIN_FAST_LONGTERM_CLEARED] = "pin-fast-longterm-cleared",
	[PIN_PIN_UNCOUNTED] = "pin-uncounted",
	[PIN_PIN_SHARED] = "pin-shared",
	[PIN_PIN_PLAIN] = "pin-plain",
	[PIN_ON_DEMAND] = "on-demand",
	[PIN_EXCLUSIVE] = "exclusive",
	[PIN_VFIO] = "vfio", [PIN_VFIO_CLEARED] = "vfio-cleared",
	[PIN_URING] = "uring", [PIN_URING_CLEARED] = "uring-cleared",
	[PIN_RXE] = "rxe", [PIN_RXE_CLEARED] = "rxe-cleared",
};

struct plan_entry *plan;
unsigned int nr_plan;

static bool in_group(const struct scenario *sc, const char *group)
{
	size_t len = strlen(group);

	return !strncmp(sc->name, group, len) && sc->name[len] == '.';
}

static bool in_groups(const struct scenario *sc)
{
	unsigned int i;

	for (i = 0; i < opt.nr_groups; i++)
		if (in_group(sc, opt.groups[i]))
			return true;
	return !opt.nr_groups;
}

/* Does the user, or the preset, want this case? */
static bool wanted(const struct plan_entry *e)
{
	const struct scenario *sc = e->scenario;
	unsigned int i;

	if (!in_groups(sc))
		return false;
	for (i = 0; i < opt.nr_globs; i++)
		if (opt.variants[i] == e->variant &&
		    (!fnmatch(opt.globs[i], e->name, 0) ||
		     !fnmatch(opt.globs[i], sc->name, 0)))
			return true;
	if (opt.nr_globs)
		return false;
	if (opt.nr_groups)
		return true;
	if (sc->flags & (SCENARIO_HIDDEN | SCENARIO_NAMED))
		return false;
	if (sc->flags & SCENARIO_FULL && !opt.all)
		return false;
	return opt.all || !(sc->flags & SCENARIO_SLOW) ||
	       (BIT(e->pin) & PINS_QUICK && !(BIT(e->mem) & MEMS_FULL));
}

bool plan_is_idle_control(const struct plan_entry *e)
{
	return BIT(e->pin) & PINS_CONTROL &&
	       expected_outcome(e->name) == OUTCOME_KEPT;
}

static bool is_named(const struct plan_entry *e)
{
	unsigned int i;

	if (e->variant)		/* and none of them is in need of a warning */
		return true;
	for (i = 0; i < opt.nr_globs; i++)
		if (!strcmp(opt.globs[i], e->name))
			return true;
	return false;
}

const char *plan_only_by_name(const struct plan_entry *e)
{
	enum outcome outcome = expected_outcome(e->name);

	if (is_named(e))
		return NULL;
	return outcome == OUTCOME_ERROR ? "this kernel would crash" :
	       outcome == OUTCOME_NONE ? "it comes out differently each time" :
	       outcome == OUTCOME_SKIP ? "not possible on this kernel" :
					 NULL;
}

static void plan_case(const struct scenario *sc, enum mem mem, enum pin pin,
		      const char *variant)
{
	struct plan_entry e = { .scenario = sc, .mem = mem, .pin = pin,
				.variant = variant };

	snprintf(e.name, sizeof(e.name), "%s%s%s%s%s", sc->name,
		 mem ? "/" : "", mem ? mem_names[mem] : "",
		 pin ? "/" : "", pin ? pin_names[pin] : "");
	if (!wanted(&e))
		return;
	/*
	 * A control that is not expected to lose anything controls nothing. If
	 * it was asked for by its name it is there nevertheless, and skipped.
	 */
	if (plan_is_idle_control(&e) && !is_named(&e))
		return;
	plan = realloc(plan, (nr_plan + 1) * sizeof(*plan));
	plan[nr_plan++] = e;
}

/* The ways to pin that the scenario has of those that can be had. */
static unsigned int pins_of(const struct scenario *sc)
{
	return (sc->pins ? sc->pins : BIT(PIN_NONE)) & opt.pins;
}

static void plan_all(const char *variant)
{
	const struct scenario *sc;
	unsigned int i, mem, pin;

	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (sc = tables[i]; sc->name; sc++)
			for (mem = 0; mem < NR_MEMS; mem++)
				for (pin = 0; pin < NR_PINS; pin++)
					if ((sc->mems ? sc->mems : BIT(0)) &
					    BIT(mem) &&
					    pins_of(sc) & BIT(pin))
						plan_case(sc, mem, pin,
							  variant);
}

/* Variant by variant, each as long as its globs follow each other. */
void plan_make(void)
{
	unsigned int i;

	if (!opt.nr_globs)
		plan_all(NULL);
	for (i = 0; i < opt.nr_globs; i++)
		if (!i || opt.variants[i] != opt.variants[i - 1])
			plan_all(opt.variants[i]);
}

bool plan_knows_case(const char *glob)
{
	static struct options saved;
	bool known;

	saved = opt;

	memset(&opt, 0, sizeof(opt));
	opt.globs[opt.nr_globs++] = glob;
	opt.pins = ~0u;
	plan_make();
	known = nr_plan;
	nr_plan = 0;
	opt = saved;
	return known;
}

bool plan_knows_group(const char *group)
{
	const struct scenario *sc;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (sc = tables[i]; sc->name; sc++)
			if (in_group(sc, group))
				return true;
	return false;
}

void plan_list(void)
{
	const struct scenario *sc;
	unsigned int i, mem;

	for (i = 0; i < ARRAY_SIZE(tables); i++) {
		for (sc = tables[i]; sc->name; sc++) {
			char mems[128] = "";

			if (sc->flags & SCENARIO_HIDDEN)
				continue;
			for (mem = 1; mem < NR_MEMS; mem++) {
				if (!(sc->mems & BIT(mem)))
					continue;
				strcat(mems, mems[0] ? "," : "");
				strcat(mems, mem_names[mem]);
			}
			if (sc->pins & opt.pins)
				sprintf(mems + strlen(mems), " x %d pin modes",
					__builtin_popcount(sc->pins & opt.pins));
			printf("%-22s %-34s %s%s%s\n", sc->name, mems, sc->promise,
			       sc->fix ? " | fix: " : "", sc->fix ?: "");
		}
	}
}
