/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The test runner and what it offers to scenarios.
 *
 * A scenario is a row of a table and a function. Combined with a type of memory
 * and a way to pin it makes a case, which runs in a process of its own and ends
 * in an outcome: the kernel kept its promise, or it broke it. Whether that is
 * what should be is not the scenario's business: tests/expectations says it.
 */
#ifndef TEST_H
#define TEST_H

#include <pindma.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE_SIZE	4096ul
#define HUGE_SIZE	(2ul << 20)
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Types of memory; a scenario has a mask of BIT()s */
enum mem {
	MEM_NONE, MEM_ANON, MEM_THP, MEM_HUGETLB,
	MEM_MTHP,	/* anonymous, in folios of 64 KiB */
	MEM_SHMEM,	/* MAP_SHARED | MAP_ANONYMOUS */
	MEM_ZERO,	/* anonymous, only read so far: the zero page */
	MEM_FILE,	/* MAP_PRIVATE of a file, only read so far */
	/* MAP_SHARED of a file; -journal: mounted with data=journal */
	MEM_EXT4, MEM_EXT4_JOURNAL, MEM_XFS, MEM_BTRFS, MEM_TMPFS,
	NR_MEMS
};

/*
 * Ways to pin. Those with a second name are controls: what makes the kernel
 * respect a pin is taken away afterwards, see tests/modules/pindma_negate.c.
 * -cleared: the mm's has-pinned flag; -uncounted: what the page counts of the
 * pin; -shared: the page's mark that it is the process's own; -plain: both, so
 * that the pin is what any reference was before 5.19.
 */
enum pin {
	PIN_NONE,
	PIN_GET, PIN_GET_FAST,
	PIN_PIN, PIN_PIN_FAST, PIN_LONGTERM, PIN_FAST_LONGTERM,
	PIN_PIN_CLEARED, PIN_PIN_FAST_CLEARED, PIN_LONGTERM_CLEARED,
	PIN_FAST_LONGTERM_CLEARED,
	PIN_PIN_UNCOUNTED, PIN_PIN_SHARED, PIN_PIN_PLAIN,
	PIN_ON_DEMAND,	/* not pinned at all: the device asks for pages */
	PIN_EXCLUSIVE,	/* the same, and CPUs are kept out meanwhile */
	/* Other pinners of the kernel, each with its own device: see pinner.h */
	PIN_VFIO, PIN_VFIO_CLEARED, PIN_URING, PIN_URING_CLEARED,
	PIN_RXE, PIN_RXE_CLEARED,
	NR_PINS
};

#define BIT(n)		(1u << (n))
#define MEMS_ANON_ALL	(BIT(MEM_ANON) | BIT(MEM_THP) | BIT(MEM_HUGETLB))
#define MEMS_DISK	(BIT(MEM_EXT4) | BIT(MEM_EXT4_JOURNAL) | \
			 BIT(MEM_XFS) | BIT(MEM_BTRFS))
#define PINS_PINDMA	(BIT(PIN_GET) | BIT(PIN_GET_FAST) | BIT(PIN_PIN) | \
			 BIT(PIN_PIN_FAST) | BIT(PIN_LONGTERM) | \
			 BIT(PIN_FAST_LONGTERM))
/* Only with --pinner: they want another machine. */
#define PINS_OTHER	(BIT(PIN_VFIO) | BIT(PIN_URING) | BIT(PIN_RXE))
#define PINS_OTHER_CLEARED (BIT(PIN_VFIO_CLEARED) | BIT(PIN_URING_CLEARED) | \
			    BIT(PIN_RXE_CLEARED))
#define PINS_STOCK	(PINS_PINDMA | PINS_OTHER)
#define PINS_CLEARED	(BIT(PIN_PIN_CLEARED) | BIT(PIN_PIN_FAST_CLEARED) | \
			 BIT(PIN_LONGTERM_CLEARED) | \
			 BIT(PIN_FAST_LONGTERM_CLEARED) | PINS_OTHER_CLEARED)
#define PINS_UNCOUNTED	BIT(PIN_PIN_UNCOUNTED)
#define PINS_SHARED	BIT(PIN_PIN_SHARED)
#define PINS_PLAIN	BIT(PIN_PIN_PLAIN)
#define PINS_DEMAND	BIT(PIN_ON_DEMAND)
#define PINS_EXCLUSIVE	BIT(PIN_EXCLUSIVE)
#define PINS_CONTROL	(PINS_CLEARED | PINS_UNCOUNTED | PINS_SHARED | \
			 PINS_PLAIN)

/* In no preset: only by name or group */
#define SCENARIO_HIDDEN	BIT(0)
/* Takes longer: in the quick preset only as PINS_QUICK and MEMS_FULL say */
#define SCENARIO_SLOW	BIT(1)
/* Not in the quick preset at all */
#define SCENARIO_FULL	BIT(2)
/* In no preset either, but listed: each case costs a guest, or has the kernel warn */
#define SCENARIO_NAMED	BIT(3)
#define PINS_QUICK	(BIT(PIN_GET_FAST) | BIT(PIN_PIN_FAST) | \
			 BIT(PIN_PIN_FAST_CLEARED) | BIT(PIN_PIN_SHARED))
/* Files: ext4 is enough for the quick preset */
#define MEMS_FULL	(BIT(MEM_EXT4_JOURNAL) | BIT(MEM_XFS) | \
			 BIT(MEM_BTRFS) | BIT(MEM_TMPFS))

struct test;

struct scenario {
	const char *name;	/* group.name: unique, never changes */
	const char *promise;	/* what the kernel promises, and where */
	const char *fix;	/* what made it true: commit (version), or NULL */
	unsigned int mems;	/* mask of enum mem, 0: none */
	unsigned int pins;	/* mask of enum pin, 0: none */
	unsigned int flags;	/* SCENARIO_* */
	void (*run)(struct test *t);
};

/* The groups, one table a file, each ends with an empty row */
extern const struct scenario fork_scenarios[];
extern const struct scenario lifetime_scenarios[];
extern const struct scenario readonly_scenarios[];
extern const struct scenario mprotect_scenarios[];
extern const struct scenario madvise_scenarios[];
extern const struct scenario thp_scenarios[];
extern const struct scenario hugetlb_scenarios[];
extern const struct scenario leak_scenarios[];
extern const struct scenario reclaim_scenarios[];
extern const struct scenario uffd_scenarios[];
extern const struct scenario race_scenarios[];
extern const struct scenario zones_scenarios[];
extern const struct scenario mremap_scenarios[];
extern const struct scenario exclusive_scenarios[];
extern const struct scenario migrate_scenarios[];
extern const struct scenario memfd_scenarios[];
extern const struct scenario accounting_scenarios[];
extern const struct scenario writeback_scenarios[];
extern const struct scenario longterm_scenarios[];
extern const struct scenario directio_scenarios[];
extern const struct scenario poweroff_scenarios[];
extern const struct scenario truncate_scenarios[];
extern const struct scenario blockdev_scenarios[];
extern const struct scenario driver_ops_scenarios[];
extern const struct scenario driver_atomics_scenarios[];
extern const struct scenario driver_lists_scenarios[];
extern const struct scenario driver_order_scenarios[];
extern const struct scenario driver_limits_scenarios[];
extern const struct scenario driver_device_scenarios[];
extern const struct scenario driver_removal_scenarios[];
extern const struct scenario driver_demand_scenarios[];
extern const struct scenario driver_exclusive_scenarios[];
extern const struct scenario driver_dmabuf_scenarios[];
extern const struct scenario driver_export_scenarios[];
extern const struct scenario driver_errnos_scenarios[];
extern const struct scenario driver_vfio_scenarios[];
extern const struct scenario driver_user32_scenarios[];
extern const struct scenario driver_userq_scenarios[];
extern const struct scenario driver_userq_raw_scenarios[];
extern const struct scenario driver_userq_life_scenarios[];
extern const struct scenario driver_examples_scenarios[];
extern const struct scenario driver_host_scenarios[];
extern const struct scenario driver_life_scenarios[];
extern const struct scenario driver_mappings_scenarios[];
extern const struct scenario driver_observe_scenarios[];
extern const struct scenario driver_iommu_scenarios[];
extern const struct scenario driver_gup_test_scenarios[];
extern const struct scenario driver_failnth_scenarios[];
extern const struct scenario driver_storm_scenarios[];
extern const struct scenario driver_fuzz_scenarios[];
extern const struct scenario fault_scenarios[];
extern const struct scenario lab_scenarios[];
extern const struct scenario selftest_scenarios[];

/*
 * A case that is running. The memory that it is about is @len bytes at @buf, of
 * which NR_PAGES pages from @mem on are registered as @mr.
 */
#define NR_PAGES	4
#define JOURNAL_ENTRIES	16384	/* as many as the device keeps */
#define FIRST_PAGE	3

struct test {
	const struct scenario *scenario;
	enum mem mem_type;
	enum pin pin;
	uint64_t seed;
	unsigned int storm;	/* rounds, or seconds, of a storm; 0: as it likes */
	const char *name;
	const char *variant;	/* NAME=SWITCHES of a lab kernel, or NULL */

	struct pindma *dev;
	uint8_t *buf;
	size_t len;
	uint8_t *mem;
	int fd;			/* the file that @buf maps */
	uint32_t mr;
	uint32_t mr_flags;	/* PINDMA_MR_*, besides those of the pin mode */
	uint64_t pinned[NR_PAGES]; /* frames that were mapped when it was made */
	uint64_t next_token;
	uint64_t next_user_data;
};

/* result.c: how a case ends. None of these returns. */
void __attribute__((noreturn)) test_kept(struct test *t);
void __attribute__((noreturn, format(printf, 2, 3)))
test_lost(struct test *t, const char *fmt, ...);
void __attribute__((noreturn, format(printf, 2, 3)))
test_skip(struct test *t, const char *fmt, ...);
/* The test itself cannot go on, or does not understand what it sees */
void __attribute__((noreturn, format(printf, 2, 3)))
test_error(struct test *t, const char *fmt, ...);
/* The case fails here, with the place. */
#define CHECK(t, cond)							\
	do {								\
		if (!(cond))						\
			test_lost(t, "%s:%d: not true: %s", __FILE__,	\
				  __LINE__, #cond);			\
	} while (0)

/* Make the device misbehave. It stops to when the case ends. */
void test_fault(struct test *t, struct pindma_fault fault);

/*
 * What the kernel may complain of in this case, a part of the line. It counts
 * only where the case is expected to lose.
 */
void test_tolerate(struct test *t, const char *complaint);
/* The same where nothing is to be lost: a complaint about the kernel's own fault */
void test_tolerate_if_kept(struct test *t, const char *complaint);

/* A line of evidence */
void __attribute__((format(printf, 2, 3)))
test_note(struct test *t, const char *fmt, ...);

/* memory.c */
void test_alloc(struct test *t);
void test_check_surroundings(struct test *t);
void test_add_references(struct test *t, uint8_t *page, unsigned int nr);
uint64_t test_pfn(struct test *t, const void *addr);
bool test_is_huge(struct test *t, const void *addr);
void test_protect(struct test *t, int prot);
void test_one_cpu(struct test *t);
void test_need_swap(struct test *t);

/* file.c */
bool test_has_disk(const struct test *t);
void test_disk(struct test *t, const char *serial, char *dev, size_t size);
void test_file_alloc(struct test *t);
void test_file_unmap(struct test *t);
int test_fsync(struct test *t);
unsigned int test_find_on_disk(struct test *t, const uint64_t *values,
			       unsigned int nr, size_t offset);
void test_remount(struct test *t);
int test_file_word(struct test *t, unsigned int page, size_t offset,
		   uint64_t *val);

/* dma.c */
void test_open(struct test *t);
int test_try_reg_mr(struct test *t);
void test_reg_mr(struct test *t);
void test_take_away(struct test *t);
void test_setup(struct test *t);
void test_pin(struct test *t);
void test_dereg_mr(struct test *t);
void test_restore(void);
void test_post(struct test *t, uint32_t channel, struct pindma_op *ops,
	       unsigned int nr);
void test_collect(struct test *t, struct pindma_completion *c, unsigned int nr);
void test_run_ops(struct test *t, uint32_t channel, struct pindma_op *ops,
		  unsigned int nr, struct pindma_completion *c);
struct pindma_completion test_run_op(struct test *t, struct pindma_op op);
struct pindma_completion test_run_ok(struct test *t, struct pindma_op op);
void test_dma_write(struct test *t, uint64_t offset, uint64_t value,
		    struct pindma_completion *c);
uint64_t test_dma_read(struct test *t, uint64_t offset);
bool test_page_facts(struct test *t, unsigned int page,
		     struct pindma_page *facts);
uint64_t test_pinned_pfn(struct test *t, unsigned int page);
uint64_t test_start_hammer(struct test *t, uint32_t rate);
void test_hammer_goes_on(struct test *t);
void test_stop_hammer(struct test *t, uint64_t user_data);
void test_step(struct test *t, const char *what);
void test_timeline(struct test *t);
void test_check_unpinned(struct test *t, uint32_t mr);
int test_read_journal(struct test *t, const struct pindma_journal_entry **e,
		      uint64_t *first);
struct pindma_info test_info(struct test *t);

/* oracle.c */
struct peer {
	pid_t pid;
	int to, from;
};

uint64_t test_token(struct test *t);
void test_cpu_write(struct test *t);
struct peer test_fork_peer(struct test *t, bool nested);
void test_peer_write(struct test *t, const struct peer *peer);
void test_peer_sync(struct test *t, const struct peer *peer);
void test_peer_exit(struct test *t, struct peer *peer);
void test_wait_exit(struct test *t, pid_t pid);
unsigned int test_fork_shares(struct test *t, uint8_t *addr, size_t len);
void test_two_way(struct test *t, const struct peer *peer);
void __attribute__((noreturn)) test_fork_and_write(struct test *t);
void test_device_to_process(struct test *t, const struct peer *peer);
void test_process_to_device(struct test *t, const struct peer *peer);

/* expect.c */
enum outcome { OUTCOME_NONE, OUTCOME_KEPT, OUTCOME_LOST, OUTCOME_SKIP,
	       OUTCOME_ERROR };
enum outcome expected_outcome(const char *name);
const char *expected_why(const char *name);
void expectations_load(const char *release);

/* kernel.c: what the kernel says besides */
void kernel_mark(const char *text);
bool kernel_complained(const char *tolerated, char *line, size_t size);
long kernel_pinned_pages(void);
long kernel_wait_for_unpin(long pinned, unsigned int ms);
long kernel_vm_pin(pid_t pid);
long kernel_pindma_counter(const char *name);
bool kernel_leaked(char *line, size_t size);
int negate(const char *command);
int kernel_set(const char *path, const char *text);
int kernel_set_alone(const char *path, const char *text);
double now_ms(void);
bool kernel_get(const char *path, char *line, size_t size);
void test_negate_until_exit(struct test *t, const char *command);

#endif /* TEST_H */
