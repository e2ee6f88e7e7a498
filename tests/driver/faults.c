// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware that misbehaves on request: does a program, or the driver, notice? Each
 * case looks for the symptom three times: without the fault, when it must not be
 * there; with the fault; and without it again, when device and driver must be as
 * good as before. To see one red: let the device ignore the fault.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared.h"

#define MS		1000000ull	/* of the device's clock */
#define OFFSET		0x208		/* of the word that is written */
#define CHANNEL_0	BIT(PINDMA_QUEUE_IO)

/* LATE: the host was so slow that there was nothing left to be seen. */
enum seen { NO, YES, LATE };
typedef enum seen symptom_fn(struct test *t);

static volatile uint64_t *word(struct test *t)
{
	return (volatile uint64_t *)(t->mem + OFFSET);
}

static struct pindma_op write_word(struct test *t, uint64_t value)
{
	return (struct pindma_op){
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_IMMEDIATE,
		.mr = t->mr, .offset = OFFSET, .len = 8, .value = value };
}

static bool word_becomes(struct test *t, uint64_t value, unsigned int ms)
{
	while (*word(t) != value && ms--)
		usleep(1000);
	return *word(t) == value;
}

static void setup(struct test *t)
{
	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
}

static void disarm(struct test *t)
{
	test_fault(t, (struct pindma_fault){ .kind = PINDMA_FAULT_NONE });
}

/* Is there an access of this file's mr that the fault has hit? */
static bool in_journal(struct test *t, uint8_t kind)
{
	const struct pindma_journal_entry *e;
	uint64_t first = 0;
	int n = test_read_journal(t, &e, &first);

	while (n-- > 0)
		if (e[n].key == t->mr && e[n].fault == kind)
			return true;
	return false;
}

static void try_fault(struct test *t, struct pindma_fault fault,
		      symptom_fn *symptom)
{
	enum seen seen = LATE;
	unsigned int tries;
	uint64_t hits = 0;

	fault.queues = CHANNEL_0;
	if (symptom(t) == YES)
		test_error(t, "the symptom of fault %u is there without it",
			   fault.kind);
	for (tries = 0; tries < 5 && seen == LATE; tries++) {
		test_fault(t, fault);
		seen = symptom(t);
		hits = test_info(t).fault_hits;
		disarm(t);
		fault.delay *= 2;
	}
	if (seen == LATE)
		test_error(t, "the host is too slow");
	if (seen == NO)
		test_lost(t, "fault %u was not noticed (%llu hits)", fault.kind,
			  (unsigned long long)hits);
	CHECK(t, hits);
	if (symptom(t) == YES)
		test_lost(t, "fault %u is still there", fault.kind);
}

/* --------------------------------------------------------- what is written */

/* The op has ended well, but not all of it is there, and never will be. */
static enum seen missing(struct test *t)
{
	uint64_t token = test_token(t);

	*word(t) = 0;
	test_run_ok(t, write_word(t, token));
	return word_becomes(t, token, 50) ? NO : YES;
}

static void drop(struct test *t)
{
	setup(t);
	try_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_DROP, .count = 1 }, missing);
	CHECK(t, in_journal(t, PINDMA_FAULT_DROP));
	test_kept(t);
}

#define BIT_NR	37

static enum seen flipped(struct test *t)
{
	uint64_t token = test_token(t);

	*word(t) = 0;
	test_run_ok(t, write_word(t, token));
	if (*word(t) == token)
		return NO;
	CHECK(t, *word(t) == (token ^ 1ull << BIT_NR));
	return YES;
}

static void bit_flip(struct test *t)
{
	setup(t);
	try_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_BIT_FLIP, .count = 1, .arg = BIT_NR },
		flipped);
	CHECK(t, in_journal(t, PINDMA_FAULT_BIT_FLIP));
	test_kept(t);
}

/* The op has ended, but bytes that it wrote come when the process goes on. */
static enum seen incomplete(struct test *t, uint64_t late_bytes)
{
	uint64_t token = test_token(t), now;

	*word(t) = ~token;
	test_run_ok(t, write_word(t, token));
	now = *word(t);
	if (now == token)
		return test_info(t).fault_hits ? LATE : NO;
	if (now != ((~token & late_bytes) | (token & ~late_bytes)))
		test_lost(t, "0x%llx was written, 0x%llx is there",
			  (unsigned long long)token, (unsigned long long)now);
	CHECK(t, word_becomes(t, token, 20000));
	return YES;
}

static enum seen torn_seen(struct test *t)
{
	return incomplete(t, ~0ull << 3 * 8);
}

static void torn(struct test *t)
{
	setup(t);
	try_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_TORN, .count = 1, .arg = 3,
		.delay = 100 * MS }, torn_seen);
	CHECK(t, in_journal(t, PINDMA_FAULT_TORN));
	test_kept(t);
}

static enum seen nothing_there(struct test *t)
{
	return incomplete(t, ~0ull);
}

static void early_cqe(struct test *t)
{
	setup(t);
	try_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_EARLY_CQE, .count = 1, .delay = 100 * MS },
		nothing_there);
	CHECK(t, in_journal(t, PINDMA_FAULT_EARLY_CQE));
	test_kept(t);
}

/* What the process has written meanwhile is overwritten by old data. */
static enum seen comes_again(struct test *t)
{
	uint64_t token = test_token(t);

	test_run_ok(t, write_word(t, token));
	*word(t) = ~token;
	return word_becomes(t, token, 300) ? YES :
	       test_info(t).fault_hits ? LATE : NO;
}

static void duplicate(struct test *t)
{
	setup(t);
	try_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_DUPLICATE, .count = 1, .delay = 100 * MS },
		comes_again);
	CHECK(t, in_journal(t, PINDMA_FAULT_DUPLICATE));
	test_kept(t);
}

/* Of several tries none is quick. */
static enum seen slow(struct test *t)
{
	unsigned int i;
	uint64_t start;

	for (i = 0; i < 3; i++) {
		start = test_info(t).time;
		test_run_ok(t, write_word(t, test_token(t)));
		if (test_info(t).time - start < 100 * MS)
			return NO;
	}
	return YES;
}

static void delay(struct test *t)
{
	setup(t);
	try_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_DELAY, .delay = 100 * MS }, slow);
	test_kept(t);
}

/* The pages of an op, in the order in which they were written */
static enum seen disorder(struct test *t)
{
	struct pindma_completion c = test_run_ok(t, (struct pindma_op){
		.opcode = PINDMA_OP_WRITE, .mode = PINDMA_WRITE_STAMP,
		.mr = t->mr, .offset = OFFSET, .value = test_token(t),
		.len = NR_PAGES * PAGE_SIZE - OFFSET });
	const struct pindma_journal_entry *e;
	uint64_t first = 0, pages = 0, last = 0;
	enum seen seen = NO;
	int n = test_read_journal(t, &e, &first), i;

	for (i = 0; i < n; i++) {
		if (e[i].kind != PINDMA_JOURNAL_WRITE || e[i].tag != c.tag)
			continue;
		if (pages++ && e[i].offset < last)
			seen = YES;
		last = e[i].offset;
	}
	CHECK(t, pages == NR_PAGES);
	return seen;
}

static void reorder(struct test *t)
{
	setup(t);
	try_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_REORDER, .count = 1 }, disorder);
	CHECK(t, in_journal(t, PINDMA_FAULT_REORDER));
	test_kept(t);
}

/* As on a bus where nobody answers: the op fails, and the bit is set. */
static enum seen refused(struct test *t)
{
	const uint16_t master_abort = 0x2000;
	struct pindma_completion c;
	uint16_t status;

	*word(t) = 0;
	c = test_run_op(t, write_word(t, test_token(t)));
	if (c.status == PINDMA_ST_OK)
		return NO;
	CHECK(t, c.status == PINDMA_ST_DMA_ERROR && !*word(t));
	read_config(t, 6, &status, sizeof(status));
	CHECK(t, status & master_abort);
	write_config(t, 6, &master_abort, sizeof(master_abort));
	return YES;
}

static void unsupported(struct test *t)
{
	setup(t);
	try_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_UNSUPPORTED, .count = 1 }, refused);
	CHECK(t, in_journal(t, PINDMA_FAULT_UNSUPPORTED));
	test_kept(t);
}

/* -------------------------------------------------------------- interrupts */

/* The data is there, but poll() does not tell, until something else does. */
static enum seen untold(struct test *t, long interrupts)
{
	struct pindma_op nop = { .opcode = PINDMA_OP_NOP }, op;
	long before = count_interrupts(t);
	uint64_t token = test_token(t);
	struct pindma_completion c[2];
	int ret;

	*word(t) = ~token;
	op = write_word(t, token);
	test_post(t, 0, &op, 1);
	CHECK(t, word_becomes(t, token, 10000));
	ret = pindma_wait(t->dev, c, 1, 1000);
	if (ret == 1)
		return NO;
	CHECK(t, ret == -ETIMEDOUT);
	CHECK(t, count_interrupts(t) - before == interrupts);
	test_post(t, 0, &nop, 1);
	test_collect(t, c, 2);
	CHECK(t, c[0].user_data == op.user_data);
	CHECK(t, c[1].user_data == nop.user_data);
	return YES;
}

static enum seen not_told(struct test *t)
{
	return untold(t, 0);
}

static void lost_msi(struct test *t)
{
	setup(t);
	try_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_LOST_MSI, .count = 1 }, not_told);
	test_kept(t);
}

static enum seen told_too_early(struct test *t)
{
	return untold(t, 1);
}

static void early_msi(struct test *t)
{
	setup(t);
	try_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_EARLY_MSI, .count = 1, .delay = 100 * MS },
		told_too_early);
	test_kept(t);
}

/* More interrupts than completions */
static enum seen too_many(struct test *t)
{
	enum { OPS = 20 };
	long before = count_interrupts(t);
	unsigned int i;

	for (i = 0; i < OPS; i++)
		test_run_ok(t, (struct pindma_op){ .opcode = PINDMA_OP_NOP });
	return count_interrupts(t) - before > OPS * 3 / 2 ? YES : NO;
}

static void spurious_msi(struct test *t)
{
	setup(t);
	try_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_SPURIOUS_MSI, .delay = MS }, too_many);
	test_kept(t);
}

/* The driver's own commands: it must find the answer without being told. */
static void lost_msi_admin(struct test *t)
{
	struct pindma_fault fault = {
		.kind = PINDMA_FAULT_LOST_MSI, .count = 1,
		.queues = BIT(PINDMA_QUEUE_ADMIN) };
	uint32_t mr;

	setup(t);
	test_fault(t, fault);
	CHECK(t, !pindma_reg_mr(t->dev, t->mem, PAGE_SIZE, PINDMA_PIN_PIN, 0,
				&mr));
	CHECK(t, test_info(t).fault_hits == 1);
	fault.kind = PINDMA_FAULT_EARLY_MSI;
	fault.delay = 10 * MS;
	test_fault(t, fault);
	CHECK(t, !pindma_dereg_mr(t->dev, mr));
	CHECK(t, test_info(t).fault_hits == 1);
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	test_check_unpinned(t, t->mr);
	test_kept(t);
}

/* -------------------------------------------------------------------- hang */

static void rebind(struct test *t)
{
	char name[256];

	pindma_close(t->dev);
	t->dev = NULL;
	find_device(t, name);
	unbind_device(t, name);
	bind_device(t, name);
	test_open(t);
}

/* A channel hangs: nothing else does, and a reset by the driver cures it. */
static void hang(struct test *t)
{
	struct pindma_op op;
	struct pindma_completion c;
	long pinned = kernel_pinned_pages();
	uint32_t mr;

	setup(t);
	mr = t->mr;
	test_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_HANG, .count = 1, .queues = CHANNEL_0 });
	op = write_word(t, test_token(t));
	test_post(t, 0, &op, 1);
	CHECK(t, pindma_wait(t->dev, &c, 1, 300) == -ETIMEDOUT);
	CHECK(t, *word(t) != op.value && test_info(t).fault_hits == 1);
	op.value = test_token(t);
	test_run_ops(t, 1, &op, 1, &c);
	CHECK(t, c.status == PINDMA_ST_OK && *word(t) == op.value);
	CHECK(t, !pindma_dereg_mr(t->dev, mr));
	CHECK(t, kernel_pinned_pages() == pinned);
	CHECK(t, pindma_wait(t->dev, &c, 1, 100) == -ETIMEDOUT);
	t->mr = 0;
	rebind(t);
	test_reg_mr(t);		/* which tries channel 0 */
	test_kept(t);
}

/* The driver gets no answer: it resets the device, before it unpins. */
static void hang_admin(struct test *t)
{
	struct pollfd pfd = { .events = POLLIN };
	struct pindma_completion c;
	struct pindma_info info;
	uint64_t hammer, stands;
	uint32_t mr;

	setup(t);
	mr = t->mr;
	hammer = test_start_hammer(t, 1000);
	test_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_HANG, .count = 1,
		.queues = BIT(PINDMA_QUEUE_ADMIN) });
	CHECK(t, !pindma_dereg_mr(t->dev, mr));
	stands = *(volatile uint64_t *)t->mem;
	CHECK(t, pindma_get_info(t->dev, &info) == -EIO);
	pfd.fd = pindma_fd(t->dev);
	CHECK(t, poll(&pfd, 1, 0) == 1 && pfd.revents & POLLERR);
	CHECK(t, pindma_wait(t->dev, &c, 1, 0) == 1 && c.user_data == hammer &&
		 c.status == PINDMA_ST_ABORTED);
	usleep(50000);
	CHECK(t, *(volatile uint64_t *)t->mem == stands);
	t->mr = 0;
	rebind(t);
	test_check_unpinned(t, mr);
	test_reg_mr(t);
	test_kept(t);
}

/* --------------------------------------------------------- after the end */

#define MORE	5u	/* stamps */

static uint64_t newest_stamp(struct test *t)
{
	uint64_t newest = 0;

	for (unsigned int page = 0; page < NR_PAGES; page++) {
		uint64_t stamp = *(volatile uint64_t *)(t->mem +
							page * PAGE_SIZE);

		if (stamp > newest)
			newest = stamp;
	}
	return newest;
}

/* A hammer has ended, with so many stamps (the first is 1): are there more? */
static enum seen goes_on(struct test *t, uint64_t stamps)
{
	unsigned int ms = 200;

	while (ms-- && newest_stamp(t) < stamps + MORE)
		usleep(1000);
	if (newest_stamp(t) == stamps)
		return NO;
	if (newest_stamp(t) != stamps + MORE)
		test_lost(t, "the hammer has made %llu stamps, number %llu is there",
			  (unsigned long long)stamps,
			  (unsigned long long)newest_stamp(t));
	return YES;
}

static void clear_stamps(struct test *t)
{
	for (unsigned int page = 0; page < NR_PAGES; page++)
		*(volatile uint64_t *)(t->mem + page * PAGE_SIZE) = 0;
}

static enum seen after_stop_seen(struct test *t)
{
	struct pindma_op stop = { .opcode = PINDMA_OP_STOP };
	struct pindma_completion c[2];

	clear_stamps(t);
	stop.value = test_start_hammer(t, 2000);
	CHECK(t, stamps_go_on(t->mem, 10000));
	test_post(t, 0, &stop, 1);
	test_collect(t, c, 2);
	CHECK(t, c[0].user_data == stop.value && c[0].status == PINDMA_ST_OK);
	return goes_on(t, c[0].result);
}

/* The same with the mr taken away: only the device itself can tell. */
static enum seen stale_seen(struct test *t, bool seen_in_memory)
{
	uint64_t stale = test_info(t).stale, journal = 0, first = 0, newest;
	const struct pindma_journal_entry *e;
	struct pindma_completion c;
	uint32_t mr = t->mr;
	unsigned int ms = 200;
	enum seen seen;
	int n;

	CHECK(t, !pindma_read_journal(t->dev, &first, NULL, 0, &newest));
	first = newest;
	clear_stamps(t);
	test_start_hammer(t, 2000);
	CHECK(t, stamps_go_on(t->mem, 10000));
	CHECK(t, !pindma_dereg_mr(t->dev, mr));
	test_collect(t, &c, 1);
	CHECK(t, c.status == PINDMA_ST_ABORTED);
	seen = goes_on(t, c.result);
	while (ms-- && test_info(t).stale < stale + MORE)
		usleep(1000);
	stale = test_info(t).stale - stale;
	n = test_read_journal(t, &e, &first);
	/* What the IOMMU has refused is there, too, as that. */
	while (n-- > 0)
		journal += e[n].key == mr && e[n].fault &&
			   (e[n].status == PINDMA_ST_STALE ||
			    e[n].status == PINDMA_ST_DMA_ERROR);
	t->mr = 0;
	test_reg_mr(t);
	CHECK(t, journal == stale);
	if (!stale) {
		CHECK(t, seen == NO);
		return NO;
	}
	CHECK(t, stale == MORE && test_info(t).stale_addr);
	CHECK(t, !seen_in_memory || seen == YES);
	return YES;
}

static bool iommu_is_on(void)
{
	DIR *dir = opendir("/sys/class/iommu");
	struct dirent *e;
	bool on = false;

	while (dir && (e = readdir(dir)))
		on |= e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return on;
}

/* An IOMMU keeps it from memory that is not mapped any more. */
static enum seen after_dereg_seen(struct test *t)
{
	return stale_seen(t, !iommu_is_on());
}

static void after_stop(struct test *t)
{
	struct pindma_fault fault = {
		.kind = PINDMA_FAULT_AFTER_STOP, .count = 1, .arg = MORE,
		.delay = 20 * MS };

	setup(t);
	try_fault(t, fault, after_stop_seen);
	try_fault(t, fault, after_dereg_seen);
	test_kept(t);
}

/* No IOMMU can keep this one from it. */
static enum seen stale_atc_seen(struct test *t)
{
	return stale_seen(t, true);
}

static void stale_atc(struct test *t)
{
	setup(t);
	try_fault(t, (struct pindma_fault){
		.kind = PINDMA_FAULT_STALE_ATC, .count = 1, .arg = MORE,
		.delay = 20 * MS }, stale_atc_seen);
	test_kept(t);
}

/* Those that take a second or more are SCENARIO_SLOW. */
#define ROW(fn, _flags, what)					\
	{ .name = "faults." #fn, .promise = what, .flags = _flags, .run = fn }

const struct scenario fault_scenarios[] = {
	ROW(drop, 0, "a write that is dropped is missed by the process"),
	ROW(bit_flip, 0, "a wrong bit is seen by the process"),
	ROW(torn, 0, "a write that is torn is seen in its parts"),
	ROW(early_cqe, 0, "a completion before its data is seen"),
	ROW(delay, 0, "an access that is delayed holds up its op"),
	ROW(reorder, 0, "pages that are written out of order are in the journal so"),
	ROW(unsupported, 0, "an access that nobody answers fails the op and sets the bit in the PCI status"),
	ROW(spurious_msi, 0, "interrupts without a completion do no harm"),
	ROW(duplicate, SCENARIO_SLOW, "a write that is done again destroys what came between"),
	ROW(lost_msi, SCENARIO_SLOW, "an interrupt that is lost leaves poll() waiting, and the next one tells both completions"),
	ROW(early_msi, SCENARIO_SLOW, "an interrupt before its completion does no harm but to who waits for it"),
	ROW(lost_msi_admin, SCENARIO_SLOW, "the driver finds the answers to its own commands when their interrupts are lost or early"),
	ROW(hang, SCENARIO_SLOW, "a channel that hangs stops no other one, and binding the driver anew cures it"),
	ROW(hang_admin, SCENARIO_SLOW, "a device that does not answer the driver is reset before the pages are unpinned"),
	ROW(after_stop, SCENARIO_SLOW, "stamps after a hammer was stopped are seen, and counted if the mr is gone"),
	ROW(stale_atc, SCENARIO_SLOW, "stamps that do not ask the IOMMU reach pages that were unpinned, and are counted"),
	{ }
};
