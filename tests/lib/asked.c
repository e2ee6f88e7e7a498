// SPDX-License-Identifier: GPL-2.0-only
/*
 * --coverage: where does the kernel ask whether a page is pinned, and in which
 * case was the answer yes?
 *
 * folio_maybe_dma_pinned() is inline. Its trace in the code of x86 is the only
 * comparison of a folio's reference count with GUP_PIN_COUNTING_BIAS, and before
 * it a branch for folios of several pages, which count their pins apart:
 *
 *	test $0x40,%al ; jne large		folio_test_large()
 *	mov 0x34(%folio),%eax			_refcount
 *	cmp $0x3ff,%eax
 * large:
 *	mov 0x5c(%folio),%eax			_pincount
 *
 * or both from a pointer to folio->lru, 8 bytes on.
 *
 * So the places are looked for in the text of the running kernel (/proc/kcore),
 * modules included, and a kprobe with a histogram for a counter is put on both
 * branches. Nothing is built, and no place can be forgotten. The offsets are those
 * of Linux 6.6 to 6.12; with others nothing is found, which is said.
 *
 * Those who ask in other words, or refuse to pin, are functions with a name; of them
 * counts how often they returned what only a pin, or a page that may not be pinned,
 * makes them return.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asked.h"
#include "test.h"

#define TRACEFS		"/sys/kernel/tracing/"
#define REFCOUNT	0x34
#define PINCOUNT	0x5c
#define MAX_PLACES	64
#define REACH		24	/* bytes from the branch to the comparison */

struct symbol {
	uint64_t addr;
	char name[96];		/* and its module */
};

/* A kprobe that counts; hits is how often the folio was pinned */
struct counter {
	uint64_t addr;
	struct operand {
		unsigned int reg, disp;
	} count;
	uint64_t hits;
};

static struct place {
	char name[128];
	struct counter page, folio;
} places[MAX_PLACES];
static unsigned int nr_places;

static const struct answer {
	const char *name, *probe, *condition;
} answers[] = {
	{ "memfd_fcntl() = EBUSY, memfd_wait_for_pins()",
	  "memfd_fcntl answer=$retval:s64", "answer == -16" },
	{ "check_vma_flags() = EFAULT, writable_file_mapping_allowed()",
	  "check_vma_flags answer=$retval:s32", "answer == -14" },
	{ "gup_fast_folio_allowed() = false",
	  "gup_fast_folio_allowed answer=$retval:u8", "answer == 0" },
	{ "migrate_longterm_unpinnable_folios(), folio_is_longterm_pinnable()",
	  "migrate_longterm_unpinnable_folios answer=$retval:s32",
	  "answer <= 0" },
};

static struct symbol *symbols;
static size_t nr_symbols;

static int by_addr(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static void read_symbols(void)
{
	FILE *f = fopen("/proc/kallsyms", "re");
	unsigned long long addr;
	char line[600], type, name[512], module[64];
	size_t room = 0;

	while (f && fgets(line, sizeof(line), f)) {
		module[0] = '\0';
		if (sscanf(line, "%llx %c %511s %63s", &addr, &type, name,
			   module) < 3 || !addr || !strchr("tTwW", type) ||
		    !strncmp(module, "[pindma", 7))
			continue;
		if (nr_symbols == room) {
			room = room ? 2 * room : 65536;
			symbols = realloc(symbols, room * sizeof(*symbols));
			if (!symbols)
				abort();
		}
		symbols[nr_symbols].addr = addr;
		snprintf(symbols[nr_symbols++].name, sizeof(symbols->name),
			 "%.60s%s%.30s", name, module[0] ? " " : "", module);
	}
	if (f)
		fclose(f);
	qsort(symbols, nr_symbols, sizeof(*symbols), by_addr);
}

/* Where /proc/kcore has which addresses */
static Elf64_Phdr segments[64];
static unsigned int nr_segments;

static int open_kcore(void)
{
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr eh;
	ssize_t n;

	if (fd < 0 || pread(fd, &eh, sizeof(eh), 0) != sizeof(eh))
		return -1;
	n = pread(fd, segments, sizeof(segments), eh.e_phoff);
	if (n > 0)
		nr_segments = n / sizeof(*segments);
	if (nr_segments > eh.e_phnum)
		nr_segments = eh.e_phnum;
	return fd;
}

/* What is at @addr of the kernel; how much of @len there was */
static size_t read_text(int kcore, uint64_t addr, uint8_t *buf, size_t len)
{
	unsigned int i;
	ssize_t n;

	for (i = 0; i < nr_segments; i++) {
		Elf64_Phdr *ph = &segments[i];

		if (ph->p_type != PT_LOAD || addr < ph->p_vaddr ||
		    addr >= ph->p_vaddr + ph->p_memsz)
			continue;
		n = pread(kcore, buf, len, ph->p_offset + addr - ph->p_vaddr);
		return n < 0 ? 0 : n;
	}
	return 0;
}

/* mov disp8(%reg),%any32 or cmpl $0,disp8(%reg) at @p? */
static bool loads(const uint8_t *p, struct operand *o)
{
	o->reg = 0;
	if ((*p & 0xf0) == 0x40)
		o->reg = *p++ & 1 ? 8 : 0;
	if (p[0] != 0x8b && (p[0] != 0x83 || (p[1] & 0x38) != 0x38))
		return false;
	if (p[1] >> 6 != 1)
		return false;
	o->reg |= p[1] & 7;
	if ((p[1] & 7) == 4 && *++p != 0x24)	/* SIB: %rsp and %r12 */
		return false;
	o->disp = p[2];
	return true;
}

static bool is_comparison(const uint8_t *p)
{
	static const uint8_t bias[4] = { 0xff, 0x03, 0, 0 };

	return !memcmp(p, bias, 4) &&
	       (p[-1] == 0x3d || (p[-2] == 0x81 && (p[-1] & 0xf8) == 0xf8));
}

/* The branch that leads away shortly before @p: to where it does, in @text */
static size_t branch_before(const uint8_t *text, size_t at, size_t len)
{
	size_t i;
	int32_t rel;

	for (i = at - 1; i > at - REACH; i--) {
		if (text[i] == 0x0f && text[i + 1] == 0x85) {
			memcpy(&rel, text + i + 2, 4);
			i += 6;
		} else if (text[i] == 0x75) {
			rel = (int8_t)text[i + 1];
			i += 2;
		} else {
			continue;
		}
		return i + rel < len ? i + rel : 0;
	}
	return 0;
}

static void add_place(const struct symbol *s, const uint8_t *text, size_t len,
		      size_t cmp)
{
	struct place p = { .page.addr = 0 };
	size_t at = cmp - 3, large;

	while (!loads(text + at, &p.page.count))
		if (--at == cmp - 12)
			return;
	if ((text[at - 1] & 0xf0) == 0x40)	/* a REX prefix */
		loads(text + --at, &p.page.count);
	p.page.addr = s->addr + at;
	large = branch_before(text, at, len - 16);
	if (large && loads(text + large, &p.folio.count) &&
	    p.folio.count.disp == p.page.count.disp + PINCOUNT - REFCOUNT)
		p.folio.addr = s->addr + large;
	else if (p.page.count.disp != REFCOUNT)
		return;
	snprintf(p.name, sizeof(p.name), "%s+0x%zx", s->name, at);
	if (nr_places < MAX_PLACES)
		places[nr_places++] = p;
}

static void look_for_places(int kcore)
{
	enum { MAX = 64 << 10 };
	uint8_t *text = malloc(MAX);
	size_t i, n, len, at;

	for (i = 0; text && i + 1 < nr_symbols; i++) {
		len = symbols[i + 1].addr - symbols[i].addr;
		if (len < 2 * REACH || len > MAX)
			continue;
		n = read_text(kcore, symbols[i].addr, text, len);
		for (at = REACH; at + 4 <= n; at++)
			if (is_comparison(text + at))
				add_place(&symbols[i], text, n,
					  at - 1 - (text[at - 1] != 0x3d));
	}
	free(text);
}

static int write_probe(const char *text)
{
	int fd = open(TRACEFS "kprobe_events", O_WRONLY | O_APPEND | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int count_if(const char *kind, unsigned int nr, const char *condition)
{
	char text[128], path[128];

	snprintf(path, sizeof(path), TRACEFS "events/asked/%s%u/trigger", kind,
		 nr);
	snprintf(text, sizeof(text), "hist:keys=common_cpu if %s", condition);
	return kernel_set(path, text);
}

static int count_at(struct counter *c, const char *kind, unsigned int nr,
		    const char *condition)
{
	static const char *const regs[] = {
		"ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8", "r9",
		"r10", "r11", "r12", "r13", "r14", "r15",
	};
	char text[128];
	int ret;

	snprintf(text, sizeof(text), "p:asked/%s%u 0x%llx count=+%u(%%%s):u32\n",
		 kind, nr, (unsigned long long)c->addr, c->count.disp,
		 regs[c->count.reg]);
	ret = write_probe(text);
	return ret ? ret : count_if(kind, nr, condition);
}

/* As a place of its own, behind the others */
static void count_answers(const struct answer *a)
{
	char text[160];
	int ret;

	if (nr_places == MAX_PLACES)
		return;
	snprintf(text, sizeof(text), "r:asked/page%u %s\n", nr_places, a->probe);
	ret = write_probe(text);
	if (!ret)
		ret = count_if("page", nr_places, a->condition);
	printf("# asked place %u answer %s %s\n", nr_places,
	       ret ? strerror(-ret) : "ok", a->name);
	nr_places++;
}

static uint64_t hits(const char *kind, unsigned int nr)
{
	unsigned long long n = 0;
	char path[128], line[256];
	FILE *f;

	snprintf(path, sizeof(path), TRACEFS "events/asked/%s%u/hist", kind, nr);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " Hits: %llu", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

void asked_start(void)
{
	int kcore = open_kcore();
	unsigned int i;
	int ret;

	/* Modules that are loaded later are not looked at. */
	if (system("modprobe -qa ext4 xfs btrfs"))
		printf("# pindma-test: asked not all filesystems could be loaded\n");
	if (kcore < 0) {
		printf("# pindma-test: asked /proc/kcore: %s\n", strerror(errno));
		return;
	}
	read_symbols();
	look_for_places(kcore);
	close(kcore);
	for (i = 0; i < nr_places; i++) {
		struct place *p = &places[i];

		ret = count_at(&p->page, "page", i, "count > 1023");
		if (!ret && p->folio.addr)
			ret = count_at(&p->folio, "folio", i, "count > 0");
		printf("# asked place %u %s %s %s\n", i,
		       p->folio.addr ? "both" : "page",
		       ret ? strerror(-ret) : "ok", p->name);
	}
	for (i = 0; nr_places && i < ARRAY_SIZE(answers); i++)
		count_answers(&answers[i]);
}

/* What this case has added */
void asked_end(const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_places; i++) {
		struct place *p = &places[i];
		uint64_t page = hits("page", i);
		uint64_t folio = p->folio.addr ? hits("folio", i) : 0;

		if (page > p->page.hits || folio > p->folio.hits)
			printf("# asked %u %llu %llu %s\n", i,
			       (unsigned long long)(page - p->page.hits),
			       (unsigned long long)(folio - p->folio.hits),
			       name);
		p->page.hits = page;
		p->folio.hits = folio;
	}
}
