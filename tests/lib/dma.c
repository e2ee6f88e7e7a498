// SPDX-License-Identifier: GPL-2.0-only
/* The device, as scenarios use it. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pinner.h"
#include "result.h"

/* A host that is busy may not run QEMU for a while. */
#define OP_TIMEOUT_MS	10000

static const struct {
	uint32_t mode, flags;
	const char *negation;	/* what is taken away after the pin */
	const struct pinner *other;	/* NULL: pindma.ko */
} pins[NR_PINS] = {
	[PIN_NONE] = { PINDMA_PIN_PIN, 0, NULL, NULL },
	[PIN_GET] = { PINDMA_PIN_GET, 0, NULL, NULL },
	[PIN_GET_FAST] = { PINDMA_PIN_GET, PINDMA_MR_FAST, NULL, NULL },
	[PIN_PIN] = { PINDMA_PIN_PIN, 0, NULL, NULL },
	[PIN_PIN_FAST] = { PINDMA_PIN_PIN, PINDMA_MR_FAST, NULL, NULL },
	[PIN_LONGTERM] = { PINDMA_PIN_LONGTERM, 0, NULL, NULL },
	[PIN_FAST_LONGTERM] = { PINDMA_PIN_LONGTERM, PINDMA_MR_FAST, NULL, NULL },
	[PIN_PIN_CLEARED] = { PINDMA_PIN_PIN, 0, "clear-has-pinned", NULL },
	[PIN_PIN_FAST_CLEARED] = { PINDMA_PIN_PIN, PINDMA_MR_FAST,
				   "clear-has-pinned", NULL },
	[PIN_LONGTERM_CLEARED] = { PINDMA_PIN_LONGTERM, 0,
				   "clear-has-pinned", NULL },
	[PIN_FAST_LONGTERM_CLEARED] = { PINDMA_PIN_LONGTERM, PINDMA_MR_FAST,
					"clear-has-pinned", NULL },
	[PIN_PIN_UNCOUNTED] = { PINDMA_PIN_PIN, 0, "uncount", NULL },
	[PIN_PIN_SHARED] = { PINDMA_PIN_PIN, 0, "clear-exclusive", NULL },
	[PIN_PIN_PLAIN] = { PINDMA_PIN_PIN, 0, "make-plain", NULL },
	[PIN_VFIO] = { PINDMA_PIN_LONGTERM, 0, NULL, &pinner_vfio },
	[PIN_VFIO_CLEARED] = { PINDMA_PIN_LONGTERM, 0, "clear-has-pinned",
			       &pinner_vfio },
	[PIN_URING] = { 0, 0, NULL, &pinner_uring },
	[PIN_URING_CLEARED] = { 0, 0, "clear-has-pinned", &pinner_uring },
	[PIN_RXE] = { 0, 0, NULL, &pinner_rxe },
	[PIN_RXE_CLEARED] = { 0, 0, "clear-has-pinned", &pinner_rxe },
	[PIN_ON_DEMAND] = { PINDMA_PIN_ON_DEMAND, 0, NULL, NULL },
	[PIN_EXCLUSIVE] = { PINDMA_PIN_EXCLUSIVE, 0, NULL, NULL },
};

static const struct pinner *pinner(const struct test *t)
{
	return pins[t->pin].other ? pins[t->pin].other : &pinner_pindma;
}

void test_open(struct test *t)
{
	pinner(t)->open(t);
}

/* Post ops, all of them, with a user_data that they have alone. */
void test_post(struct test *t, uint32_t channel, struct pindma_op *ops,
	       unsigned int nr)
{
	unsigned int i;
	int ret;

	if (!t->dev)
		test_skip(t, "this pinner's device only reads and writes");
	for (i = 0; i < nr; i++)
		ops[i].user_data = ++t->next_user_data;
	ret = pindma_post_on(t->dev, channel, ops, nr);
	if (ret != (int)nr)
		test_error(t, "cannot post op 0x%x: %s",
			   ops[ret < 0 ? 0 : ret].opcode,
			   ret < 0 ? strerror(-ret) : "only those before it");
}

/* The next completions, in the order in which they come. */
void test_collect(struct test *t, struct pindma_completion *c, unsigned int nr)
{
	unsigned int n = 0;
	int ret;

	while (n < nr) {
		ret = pindma_wait(t->dev, c + n, nr - n, OP_TIMEOUT_MS);
		if (ret < 0)
			test_error(t, "%u of %u ops do not complete: %s",
				   nr - n, nr, strerror(-ret));
		n += ret;
	}
}

/* Post ops and wait for them, c[i] is of ops[i]. No others may be on their way. */
void test_run_ops(struct test *t, uint32_t channel, struct pindma_op *ops,
		  unsigned int nr, struct pindma_completion *c)
{
	struct pindma_completion *came = calloc(nr, sizeof(*came));
	unsigned int i;

	if (!came)
		test_error(t, "no memory");
	test_post(t, channel, ops, nr);
	test_collect(t, came, nr);
	memset(c, 0, nr * sizeof(*c));
	for (i = 0; i < nr; i++) {
		uint64_t n = came[i].user_data - ops[0].user_data;

		if (n >= nr || c[n].user_data || came[i].channel != channel)
			test_error(t, "op %llu of channel %u ends (%s), and should not",
				   (unsigned long long)came[i].user_data,
				   came[i].channel,
				   pindma_status_string(came[i].status));
		c[n] = came[i];
	}
	free(came);
}

static struct pindma_completion wait_for(struct test *t, uint64_t user_data)
{
	struct pindma_completion c;
	int ret = pindma_wait(t->dev, &c, 1, OP_TIMEOUT_MS);

	if (ret != 1)
		test_error(t, "op %llu does not complete: %s",
			   (unsigned long long)user_data, strerror(-ret));
	if (c.user_data != user_data)
		test_error(t, "op %llu ends (%s) when op %llu should",
			   (unsigned long long)c.user_data,
			   pindma_status_string(c.status),
			   (unsigned long long)user_data);
	return c;
}

/* Post an op on channel 0 and wait for it. */
struct pindma_completion test_run_op(struct test *t, struct pindma_op op)
{
	test_post(t, 0, &op, 1);
	return wait_for(t, op.user_data);
}

struct pindma_completion test_run_ok(struct test *t, struct pindma_op op)
{
	struct pindma_completion c = test_run_op(t, op);

	if (c.status != PINDMA_ST_OK)
		test_error(t, "op 0x%x: %s", op.opcode,
			   pindma_status_string(c.status));
	return c;
}

struct pindma_info test_info(struct test *t)
{
	struct pindma_info info;
	int ret = pindma_get_info(t->dev, &info);

	if (ret)
		test_error(t, "PINDMA_IOC_INFO: %s", strerror(-ret));
	return info;
}

void device_write(struct test *t, uint64_t offset, uint64_t value,
		  struct pindma_completion *c)
{
	*c = test_run_ok(t, (struct pindma_op){
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_IMMEDIATE,
		.mr = t->mr, .offset = offset, .len = 8, .value = value });
}

uint64_t device_read(struct test *t, uint64_t offset)
{
	return test_run_ok(t, (struct pindma_op){
		.opcode = PINDMA_OP_READ, .mode = PINDMA_READ_VALUE,
		.mr = t->mr, .offset = offset, .len = 8 }).result;
}

/* A hammer that is a thread of this process may be at it, too. */
static pthread_mutex_t dma_lock = PTHREAD_MUTEX_INITIALIZER;

void test_dma_write(struct test *t, uint64_t offset, uint64_t value,
		    struct pindma_completion *c)
{
	*c = (struct pindma_completion){ 0 };
	pthread_mutex_lock(&dma_lock);
	pinner(t)->write(t, offset, value, c);
	pthread_mutex_unlock(&dma_lock);
}

uint64_t test_dma_read(struct test *t, uint64_t offset)
{
	uint64_t value;

	pthread_mutex_lock(&dma_lock);
	value = pinner(t)->read(t, offset);
	pthread_mutex_unlock(&dma_lock);
	return value;
}

/*
 * Before anything has happened to the memory, DMA must go both ways. If it does
 * not, a loss that is seen later says nothing about the kernel. An mr that the
 * device may only read is not written to by the process, either: for some
 * scenarios that would be too early.
 */
static void check_dma_works(struct test *t)
{
	const uint64_t offset = PAGE_SIZE - 16, token = test_token(t);
	volatile uint64_t *word = (volatile uint64_t *)(t->mem + offset);
	uint64_t old = *word;
	struct pindma_completion c;

	if (!(t->mr_flags & PINDMA_MR_READONLY)) {
		test_dma_write(t, offset, token, &c);
		if (*word != token)
			test_error(t, "the rig is blind: the device wrote 0x%llx (journal %llu), but 0x%llx is there",
				   (unsigned long long)token,
				   (unsigned long long)c.seq,
				   (unsigned long long)*word);
		*word = old;
	}
	if (test_dma_read(t, offset) != old)
		test_error(t, "the rig is blind: the device does not read what the process %s",
			   t->mr_flags & PINDMA_MR_READONLY ? "reads" : "wrote");
}

/* The process that has to restore what it took from its pins, 0: nothing */
static pid_t negated;

/* Take away what the case's way to pin says. test_reg_mr() does it, too. */
void test_take_away(struct test *t)
{
	const char *negation = pins[t->pin].negation;
	char command[64];
	int ret;

	if (!negation)
		return;
	snprintf(command, sizeof(command), "%s 0x%lx 0x%lx", negation,
		 (unsigned long)t->mem, NR_PAGES * PAGE_SIZE);
	ret = negate(command);
	if (ret == -ENOENT)
		test_skip(t, "no /dev/pindma-negate: the module is not loaded");
	if (ret == -EOPNOTSUPP)
		test_skip(t, "this kernel has nothing to be taken away by %s, or stops when it is (CONFIG_DEBUG_VM)",
			  negation);
	if (ret)
		test_error(t, "/dev/pindma-negate: %s: %s", negation,
			   strerror(-ret));
	negated = getpid();
	test_step(t, negation);
}

/* What was taken away must be there again when the pages are unpinned. */
void test_restore(void)
{
	if (negated && negated == getpid())
		negate("restore");
	negated = 0;
}

int device_reg(struct test *t)
{
	result->memory = (uintptr_t)t->buf;
	result->memory_len = t->len;
	return pindma_reg_mr(t->dev, t->mem, NR_PAGES * PAGE_SIZE,
			     pins[t->pin].mode,
			     pins[t->pin].flags | t->mr_flags, &t->mr);
}

int device_dereg(struct test *t)
{
	return pindma_dereg_mr(t->dev, t->mr);
}

/* Register the case's memory in the way that the case says; 0 or -errno. */
int test_try_reg_mr(struct test *t)
{
	int ret = pinner(t)->reg(t);

	if (ret == -EOPNOTSUPP && pins[t->pin].other && t->mr_flags)
		test_skip(t, "this pinner cannot register memory with flags 0x%x",
			  t->mr_flags);
	return ret;
}

/* It must succeed. */
void test_pin(struct test *t)
{
	int ret = test_try_reg_mr(t);
	unsigned int page;

	if (ret == -EFAULT && pins[t->pin].mode == PINDMA_PIN_LONGTERM &&
	    test_has_disk(t))
		test_skip(t, "the kernel refuses to pin this file for long, see longterm.file_refused");
	if (ret == -EOPNOTSUPP)
		test_skip(t, "this kernel cannot do it, see EOPNOTSUPP in pindma_reg_mr(3)");
	if (ret)
		test_error(t, "cannot register the mr: %s", strerror(-ret));
	for (page = 0; page < NR_PAGES; page++)
		t->pinned[page] = test_pfn(t, t->mem + page * PAGE_SIZE);
	test_step(t, "registered");
}

/* The same, where nothing happens to the memory meanwhile. */
void test_reg_mr(struct test *t)
{
	test_pin(t);
	check_dma_works(t);
	test_take_away(t);
}

/* The driver unpins; unless t->mr_flags says otherwise, it dirties the pages. */
void test_dereg_mr(struct test *t)
{
	int ret;

	test_restore();
	ret = pinner(t)->dereg(t);
	if (ret)
		test_error(t, "cannot deregister the mr: %s", strerror(-ret));
}

/* How most scenarios begin */
void test_setup(struct test *t)
{
	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
}

/* What is known of a page of the mr, if this pinner knows anything. */
bool test_page_facts(struct test *t, unsigned int page,
		     struct pindma_page *facts)
{
	return pinner(t)->page_facts && pinner(t)->page_facts(t, page, facts);
}

/*
 * The frame that the device uses: as the pinner says, or else what the process
 * had there when it was pinned, and where DMA has gone then.
 */
uint64_t test_pinned_pfn(struct test *t, unsigned int page)
{
	struct pindma_page facts;

	return test_page_facts(t, page, &facts) ? facts.pfn : t->pinned[page];
}

static bool device_page_facts(struct test *t, unsigned int page,
			      struct pindma_page *facts)
{
	if (pindma_get_pages(t->dev, t->mr, page, facts, 1) != 1)
		test_error(t, "no facts about page %u of the mr", page);
	return true;
}

uint64_t device_start_hammer(struct test *t, uint32_t rate)
{
	struct pindma_op op = {
		.opcode = PINDMA_OP_HAMMER, .mode = PINDMA_ORDER_UP,
		.mr = t->mr, .len = NR_PAGES * PAGE_SIZE,
		.value = 1, .rate = rate };

	test_post(t, 0, &op, 1);
	return op.user_data;
}

void device_stop_hammer(struct test *t, uint64_t user_data)
{
	struct pindma_op op = { .opcode = PINDMA_OP_STOP, .value = user_data };
	struct pindma_completion c;

	test_post(t, 0, &op, 1);
	c = wait_for(t, user_data);	/* the hammer's own end comes first */
	if (c.status != PINDMA_ST_OK)
		test_error(t, "the hammer ended: %s",
			   pindma_status_string(c.status));
	wait_for(t, op.user_data);
}

static void device_open(struct test *t)
{
	int ret = pindma_open(NULL, &t->dev);

	if (ret)
		test_error(t, "cannot open /dev/pindma0: %s", strerror(-ret));
}

const struct pinner pinner_pindma = {
	.open = device_open,
	.reg = device_reg,
	.dereg = device_dereg,
	.write = device_write,
	.read = device_read,
	.start_hammer = device_start_hammer,
	.stop_hammer = device_stop_hammer,
	.page_facts = device_page_facts,
};

/* The hammer of a device that has none, as fast as it goes. */
static pthread_t hammer_thread;
static volatile bool hammer_stop;

static void *hammer_main(void *arg)
{
	struct pindma_completion c;
	uint64_t n;

	for (n = 0; !hammer_stop; n++)
		test_dma_write(arg, n % NR_PAGES * PAGE_SIZE, n + 1, &c);
	return NULL;
}

/* Stamps at offset 0 of each page of the mr, until stopped. */
uint64_t test_start_hammer(struct test *t, uint32_t rate)
{
	int err;

	if (pinner(t)->start_hammer)
		return pinner(t)->start_hammer(t, rate);
	err = pthread_create(&hammer_thread, NULL, hammer_main, t);
	if (err)
		test_error(t, "no thread: %s", strerror(err));
	return 0;
}

/* Wherever the pages of the mr are by now, the device writes to them. */
void test_hammer_goes_on(struct test *t)
{
	uint64_t before = test_dma_read(t, 0);
	double until = now_ms() + OP_TIMEOUT_MS;

	while (test_dma_read(t, 0) == before)
		if (now_ms() > until)
			test_error(t, "the device does not write to the pages any more");
}

void test_stop_hammer(struct test *t, uint64_t hammer)
{
	if (pinner(t)->stop_hammer) {
		pinner(t)->stop_hammer(t, hammer);
		return;
	}
	hammer_stop = true;
	pthread_join(hammer_thread, NULL);
}

/*
 * Name what happens next, in the journal, for the timeline. The mark is one that
 * no other case has.
 */
void test_step(struct test *t, const char *what)
{
	unsigned int n = result->nr_steps;

	if (n == MAX_STEPS)
		return;
	result->steps[n].mark = (uint64_t)getpid() << 32 | n;
	snprintf(result->steps[n].text, sizeof(result->steps[n].text), "%s",
		 what);
	result->nr_steps++;
	if (t->dev)	/* others have no journal */
		pindma_mark(t->dev, 0, result->steps[n].mark);
}

static const char *kind_name(unsigned int kind)
{
	switch (kind) {
	case PINDMA_JOURNAL_READ:
		return "device reads";
	case PINDMA_JOURNAL_WRITE:
		return "device writes";
	case PINDMA_JOURNAL_ATOMIC:
		return "device has made it";
	case PINDMA_JOURNAL_REG_MR:
		return "mr registered";
	case PINDMA_JOURNAL_DEREG_MR:
		return "mr deregistered";
	default:
		return NULL;
	}
}

/* What the mark of a step says, NULL if e is not one. */
const char *step_of(const struct pindma_journal_entry *e)
{
	unsigned int i;

	for (i = 0; e->kind == PINDMA_JOURNAL_MARK && i < result->nr_steps; i++)
		if (result->steps[i].mark == e->value)
			return result->steps[i].text;
	return NULL;
}

/*
 * All that the journal has, from *first on. Returns how many entries, which stay
 * until the next call, or a negative errno; *first is then the first there is.
 */
int test_read_journal(struct test *t, const struct pindma_journal_entry **e,
		      uint64_t *first)
{
	static struct pindma_journal_entry entries[JOURNAL_ENTRIES];

	*e = entries;
	return pindma_read_journal(t->dev, first, entries, ARRAY_SIZE(entries),
				   NULL);
}

/* The last events that the device's journal has of this mr, oldest first. */
void test_timeline(struct test *t)
{
	const struct pindma_journal_entry *e;
	enum { MAX_SHOWN = 12 };
	int shown[MAX_SHOWN], nr = 0, n, i;
	uint64_t first = 0, t0;

	n = test_read_journal(t, &e, &first);
	for (i = n - 1; i >= 0 && nr < MAX_SHOWN; i--)
		if ((e[i].key == t->mr && kind_name(e[i].kind)) || step_of(&e[i]))
			shown[nr++] = i;
	if (!nr)
		return;
	t0 = e[shown[nr - 1]].time;
	while (nr--) {
		const struct pindma_journal_entry *j = &e[shown[nr]];
		double ms = (j->time - t0) / 1e6;

		if (j->kind == PINDMA_JOURNAL_MARK)
			test_note(t, "journal %llu  +%.3f ms  -- %s --",
				  (unsigned long long)j->seq, ms, step_of(j));
		else
			test_note(t, "journal %llu  +%.3f ms  %s 0x%llx, mr+0x%llx, bus address 0x%llx, op 0x%llx",
				  (unsigned long long)j->seq, ms,
				  kind_name(j->kind),
				  (unsigned long long)j->value,
				  (unsigned long long)j->offset,
				  (unsigned long long)j->addr,
				  (unsigned long long)j->tag);
	}
}

/*
 * The mr is gone: the journal must have the driver's mark of the unpin, and no
 * access to the mr behind it. Keys begin anew when the driver is bound anew: an
 * earlier mr may have had the same.
 */
void test_check_unpinned(struct test *t, uint32_t mr)
{
	const struct pindma_journal_entry *e;
	unsigned int before = 0, after = 0;
	uint64_t first = 0, unpinned = 0;
	int n, i;

	n = test_read_journal(t, &e, &first);
	if (n < 0)
		test_error(t, "cannot read the journal: %s", strerror(-n));
	for (i = 0; i < n; i++) {
		bool access = (e[i].kind == PINDMA_JOURNAL_READ ||
			       e[i].kind == PINDMA_JOURNAL_WRITE ||
			       e[i].kind == PINDMA_JOURNAL_ATOMIC) &&
			      e[i].key == mr;

		if (e[i].kind == PINDMA_JOURNAL_REG_MR && e[i].key == mr)
			before = after = unpinned = 0;
		/* The driver's: a process may write marks to its own queue. */
		if (e[i].kind == PINDMA_JOURNAL_MARK &&
		    e[i].queue == PINDMA_QUEUE_ADMIN &&
		    e[i].value == (PINDMA_MARK_UNPIN | mr))
			unpinned = e[i].seq;
		before += access && !unpinned;
		after += access && unpinned;
	}
	if (!unpinned && first > 1)
		test_lost(t, "the unpin is no more among the last %d entries of the journal: %u of them are accesses to the mr",
			  n, before);
	if (!unpinned)
		test_lost(t, "the mr was not unpinned");
	test_note(t, "journal: unpinned at %llu, %u accesses to the mr before, %u after",
		  (unsigned long long)unpinned, before, after);
	if (after)
		test_lost(t, "%u accesses to the mr after it was unpinned (journal entry %llu)",
			  after, (unsigned long long)unpinned);
	if (!before)
		test_error(t, "no access to the mr is in the journal: the hammer did not run");
}
