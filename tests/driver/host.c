// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can happen to a device from outside, while it writes: it is pulled out,
 * plugged in, reset, reports errors, the whole machine stops or moves. Who does
 * it is the host, see tests/rig/host.py, or sysfs.
 *
 * To see them red: leave out the reset in pindma_remove() and let the pages go
 * before it (unplug); let pindma_can_dma() not ask whether the VM runs (pause,
 * migrate_load); leave journal_seq out of the vmstate (migrate); leave FLR out of
 * pindma_config_write() (function_reset) or the call of pindma_reset() out of
 * pindma_device_reset() (bus_reset, function_reset); drop pindma_error_handlers, or
 * pindma_restart_mrs() (sleep_deep, too), or pindma_userq_cut_off() (the resets,
 * aer_fatal), the pindma_stop() of pindma_sleep() (sleep), or the
 * pci_restore_state() (aer_fatal); do not write the slot's control word (surprise);
 * arm no fault in host.py (host_fault), or compare there with re.match()
 * (host_refuses).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared.h"
#include "host.h"

#define PORTS		"/sys/class/virtio-ports"
#define PORT_NAME	"org.pindma.host"
#define ANSWER_MS	50000	/* a migration takes a while */

/* A slot's button may be pressed again for 5 s before anything happens. */
#define UNPLUG_MS	30000
#define PLUG_MS		20000
#define BACK_MS		10000

static int open_port(struct test *t)
{
	char path[512], name[64];
	DIR *dir = opendir(PORTS);
	struct pollfd pfd = { .events = POLLOUT };
	struct dirent *e;

	pfd.fd = -1;
	while (dir && pfd.fd < 0 && (e = readdir(dir))) {
		snprintf(path, sizeof(path), PORTS "/%s/name", e->d_name);
		if (!kernel_get(path, name, sizeof(name)) ||
		    strcmp(name, PORT_NAME))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		pfd.fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	if (dir)
		closedir(dir);
	if (pfd.fd < 0)
		test_skip(t, "no port to the host");
	if (poll(&pfd, 1, 1000) != 1 || pfd.revents & POLLHUP)
		test_skip(t, "nobody on the host listens");
	return pfd.fd;
}

/* Write a line to the host; returns the line that it answers, or "". */
const char *tell_host(struct test *t, const char *line)
{
	static char answer[256];
	struct pollfd pfd = { .events = POLLIN };
	size_t len = 0;
	ssize_t n;
	int i;

	pfd.fd = open_port(t);
	CHECK(t, dprintf(pfd.fd, "%s\n", line) == (int)strlen(line) + 1);
	/* While the machine moves the port may have nobody at its other end. */
	for (i = 0; i < ANSWER_MS / 10; i++) {
		poll(&pfd, 1, 10);
		n = read(pfd.fd, answer + len, sizeof(answer) - 1 - len);
		if (n > 0)
			len += n;
		else
			usleep(10000);
		answer[len] = '\0';
		if (strchr(answer, '\n') || len == sizeof(answer) - 1)
			break;
	}
	close(pfd.fd);
	answer[strcspn(answer, "\n")] = '\0';
	return answer;
}

/* Ask the host for something; returns what it says besides "ok". */
const char *ask_host(struct test *t, const char *fmt, ...)
{
	const char *answer;
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	answer = tell_host(t, line);
	if (strncmp(answer, "ok", 2))
		test_error(t, "the host was asked for '%s' and answers '%s'",
			   line, answer);
	return answer + 2;
}

/*
 * A card into a slot, "plug" or "plug second". Lockdep says of the first one that
 * pciehp, of 6.12, takes its reset_lock and pci_rescan_remove_lock in either order;
 * what it says of the driver's own probe() it says of the cases that bind it, too.
 */
void plug_in(struct test *t, const char *action)
{
	test_tolerate_if_kept(t, "possible circular locking");
	ask_host(t, "%s", action);
}

/* --------------------------------------------------------- the kernel's log */

static int kernel_log = -1;

void watch_kernel_log(struct test *t)
{
	kernel_log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	CHECK(t, kernel_log >= 0);
	lseek(kernel_log, 0, SEEK_END);
}

/* Has the kernel said something since, with both words in a line? Wait so long. */
bool kernel_says(struct test *t, const char *word, const char *other,
		 unsigned int seconds)
{
	struct timespec end, now;
	char record[8192];
	ssize_t n;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += seconds;
	for (;;) {
		n = read(kernel_log, record, sizeof(record) - 1);
		if (n > 0) {
			record[n] = '\0';
			record[strcspn(record, "\n")] = '\0';
			if (strstr(record, word) && strstr(record, other)) {
				test_note(t, "kernel: %.200s",
					  strchr(record, ';') + 1);
				return true;
			}
		} else if (errno != EPIPE) {
			clock_gettime(CLOCK_MONOTONIC, &now);
			if (now.tv_sec >= end.tv_sec)
				return false;
			usleep(10000);
		}
	}
}

/* ------------------------------------------------------------- what is there */

/* Pages pinned before the hammer's were */
static long pinned_before;

static uint64_t hammer_at_work(struct test *t, uint32_t rate)
{
	uint64_t hammer;

	pinned_before = kernel_pinned_pages();
	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	hammer = test_start_hammer(t, rate);
	CHECK(t, stamps_go_on(t->mem, 5000));
	return hammer;
}

static bool exists(const char *path)
{
	return !access(path, F_OK);
}

/* A new device, or the same one anew; it must work as if nothing had been. */
static void works_again(struct test *t)
{
	unsigned int ms = PLUG_MS;
	uint64_t hammer;

	while (!exists("/dev/pindma0") && --ms)
		usleep(1000);
	CHECK(t, ms);
	test_open(t);
	test_reg_mr(t);
	hammer = test_start_hammer(t, 0);
	CHECK(t, stamps_go_on(t->mem, 5000));
	test_stop_hammer(t, hammer);
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	CHECK(t, kernel_pinned_pages() == pinned_before);
}

/* What the user of a file finds whose device has gone */
struct farewell {
	bool hangup, stopped, unpinned, aborted, no_device;
};

static struct farewell say_farewell(struct test *t, uint64_t hammer)
{
	struct pollfd pfd = { .events = 0, .fd = pindma_fd(t->dev) };
	struct pindma_completion c = { 0 };
	struct farewell f;

	f.hangup = poll(&pfd, 1, UNPLUG_MS) == 1 && pfd.revents & POLLHUP;
	f.stopped = !stamps_go_on(t->mem, 50);
	f.aborted = pindma_wait(t->dev, &c, 1, 1000) == 1 &&
		    c.user_data == hammer && c.status == PINDMA_ST_ABORTED;
	f.no_device = pindma_wait(t->dev, &c, 1, 1000) == -ENODEV;
	f.unpinned = kernel_pinned_pages() == pinned_before;
	pindma_close(t->dev);
	t->dev = NULL;
	return f;
}

static void check_farewell(struct test *t, const struct farewell *f)
{
	CHECK(t, f->hangup);
	CHECK(t, f->stopped);
	CHECK(t, f->aborted);
	CHECK(t, f->no_device);
	CHECK(t, f->unpinned);
}

static void wait_until_removed(const char *dir)
{
	unsigned int ms = UNPLUG_MS;

	while (exists(dir) && --ms)
		usleep(1000);
}

/* ------------------------------------------------------------------ the cases */

/* Few enough stamps for the journal to have all of them at the end */
#define AER_RATE	1000
#define MOVE_RATE	200

/* The root port that the device is plugged into: its directory is around its. */
static int open_root_port(struct test *t)
{
	char path[600];
	int fd;

	snprintf(path, sizeof(path), "%s/../config", device_dir(t));
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(t, fd >= 0);
	return fd;
}

/* Where the PCI Express capability of config space is, 0: it has none. */
static off_t express_capability(const uint8_t config[256])
{
	uint8_t at;

	for (at = config[0x34]; at && config[at] != 0x10; at = config[at + 1])
		;
	return at;
}

/*
 * Who reported errors to the root port last? 0: nobody did; low half: correctable
 * ones. A new error shows, as this is cleared by nothing but power.
 */
static uint32_t error_source(struct test *t)
{
	uint32_t header = 0, source = 0;
	int fd = open_root_port(t);
	unsigned int at = 0x100;

	while (at && pread(fd, &header, 4, at) == 4 && (header & 0xffff) != 1)
		at = header >> 20;
	if (at)
		CHECK(t, pread(fd, &source, 4, at + 0x34) == 4);
	close(fd);
	return source;
}

/*
 * Slot control of the root port: without power and light QEMU takes the device
 * away at once. The kernel hears of it only when all is as it was, but for the
 * device: otherwise it takes the slot for one that it has switched off itself.
 */
#define SLOT_NO_POWER	0x0400
#define SLOT_OFF	(SLOT_NO_POWER | 0x0300)
#define SLOT_IRQ	0x0020

static int open_slot(struct test *t, off_t *control)
{
	uint8_t config[256];
	int fd = open_root_port(t);

	CHECK(t, pread(fd, config, 256, 0) == 256);
	*control = express_capability(config) + 0x18;
	if (*control == 0x18)
		test_skip(t, "the device is not on PCI Express");
	return fd;
}

static void pull_out(struct test *t, off_t control, int slot)
{
	uint16_t was, word;

	CHECK(t, pread(slot, &was, 2, control) == 2);
	word = (was | SLOT_OFF) & ~SLOT_IRQ;
	CHECK(t, pwrite(slot, &word, 2, control) == 2);
	CHECK(t, pwrite(slot, &was, 2, control) == 2);
}

/*
 * The kernel has done with the slot when it has switched it off, which can be long
 * after the device is gone: what is plugged in before goes, too.
 */
static void wait_until_off(off_t control, int slot)
{
	unsigned int ms = UNPLUG_MS;
	uint16_t word = 0;

	while (pread(slot, &word, 2, control) == 2 &&
	       !(word & SLOT_NO_POWER) && --ms)
		usleep(1000);
}

static void removal(struct test *t, bool surprise)
{
	char dir[300], name[256];
	struct farewell f;
	uint64_t hammer;
	off_t control;
	bool stopped = true;
	int slot;

	close(open_port(t));
	hammer = hammer_at_work(t, 0);
	find_device(t, name);
	snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s", name);
	slot = open_slot(t, &control);
	if (surprise) {
		pull_out(t, control, slot);
		stopped = !stamps_go_on(t->mem, 20);
	} else {
		ask_host(t, "unplug");
	}
	f = say_farewell(t, hammer);
	wait_until_removed(dir);
	wait_until_off(control, slot);
	close(slot);

	/* Whatever was seen: the other cases need a device. */
	plug_in(t, "plug");
	works_again(t);
	CHECK(t, stopped);
	check_farewell(t, &f);
	test_kept(t);
}

static void unplug(struct test *t)
{
	removal(t, false);
}

static void surprise(struct test *t)
{
	removal(t, true);
}

static bool write_to(const char *dir, const char *file, const char *text)
{
	char path[700];
	int fd;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* Until the device is back from whatever it was */
static void wait_until_back(struct test *t)
{
	struct pindma_info info;
	unsigned int ms = BACK_MS;

	while (pindma_get_info(t->dev, &info) == -EIO && --ms)
		usleep(1000);
	CHECK(t, ms);
}

/*
 * The device was away, and the hammer with it: its end can be fetched, the mr has
 * stayed pinned and works as before, no page of it was accessed in between.
 */
static void came_back(struct test *t, uint64_t hammer)
{
	struct pindma_completion c;

	CHECK(t, pindma_wait(t->dev, &c, 1, 1000) == 1);
	CHECK(t, c.user_data == hammer && c.status == PINDMA_ST_ABORTED);
	wait_until_back(t);
	CHECK(t, !stamps_go_on(t->mem, 50));
	CHECK(t, kernel_pinned_pages() == pinned_before + NR_PAGES);
	hammer = test_start_hammer(t, 0);
	CHECK(t, stamps_go_on(t->mem, 5000));
	test_stop_hammer(t, hammer);
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	CHECK(t, kernel_pinned_pages() == pinned_before);
	test_check_unpinned(t, t->mr);
}

/* A queue of the file's own is cut off by a reset; the next one works. */
static void check_cut_off(struct test *t, struct pindma_queue *queue)
{
	struct pollfd pfd = { .fd = pindma_fd(t->dev) };
	struct pindma_op nop = { .opcode = PINDMA_OP_NOP };
	struct pindma_completion c;

	CHECK(t, pindma_queue_post(queue, &nop, 1) == 1);
	CHECK(t, pindma_queue_wait(queue, &c, 1, 1000) == -EIO);
	CHECK(t, poll(&pfd, 1, 0) == 1 && pfd.revents == POLLERR);
	pindma_queue_destroy(queue);
	CHECK(t, !poll(&pfd, 1, 0));
	CHECK(t, !pindma_queue_create(t->dev, 16, &queue));
	CHECK(t, pindma_queue_post(queue, &nop, 1) == 1);
	CHECK(t, pindma_queue_wait(queue, &c, 1, 5000) == 1);
	pindma_queue_destroy(queue);
}

/* Before 5.15 there is no choice: it is the first that the device has, which is flr. */
static bool choose_reset(const char *dir, const char *method)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/reset_method", dir);
	return exists(path) ? write_to(dir, "reset_method", method) :
			      !strcmp(method, "flr");
}

/* Somebody resets the device under the driver. */
static void reset(struct test *t, const char *method)
{
	char dir[512], name[256];
	uint64_t hammer = hammer_at_work(t, 0);
	struct pindma_queue *queue;
	bool done;

	CHECK(t, !pindma_queue_create(t->dev, 16, &queue));
	find_device(t, name);
	snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s", name);
	if (!choose_reset(dir, method)) {
		test_stop_hammer(t, hammer);
		test_skip(t, "this kernel cannot reset by '%s' alone", method);
	}
	done = write_to(dir, "reset", "1");
	/* All of them, in the order that is the default */
	write_to(dir, "reset_method", "default");
	CHECK(t, done);
	check_cut_off(t, queue);
	came_back(t, hammer);
	test_kept(t);
}

static void function_reset(struct test *t)
{
	reset(t, "flr");
}

static void bus_reset(struct test *t)
{
	reset(t, "bus");
}

/* Report errors, of all kinds: PCI's own SERR#, and PCI Express's device control. */
static void report_errors(struct test *t)
{
	uint8_t config[256];
	uint16_t word;
	off_t at;

	read_config(t, 0, config, sizeof(config));
	at = express_capability(config);
	if (!at)
		test_skip(t, "the device is not on PCI Express");
	read_config(t, 4, &word, 2);
	word |= 0x100;
	write_config(t, 4, &word, 2);
	read_config(t, at + 8, &word, 2);
	word |= 0xf;
	write_config(t, at + 8, &word, 2);
	read_config(t, at + 8, &word, 2);
	if ((word & 7) != 7)
		test_skip(t, "the device cannot report errors");
}

static void aer(struct test *t, const char *kind, const char *severity)
{
	uint64_t hammer;
	bool said;

	close(open_port(t));
	test_open(t);
	report_errors(t);
	pindma_close(t->dev);
	hammer = hammer_at_work(t, AER_RATE);
	watch_kernel_log(t);
	ask_host(t, "aer %s", kind);
	said = kernel_says(t, "PCIe Bus Error", severity, 5);
	CHECK(t, stamps_go_on(t->mem, 5000));
	test_stop_hammer(t, hammer);
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	test_check_unpinned(t, t->mr);
	/* QEMU 7.2 says of errors that are correctable only the device's part. */
	if (!said && !(error_source(t) & 0xffff) && !strcmp(kind, "correctable"))
		test_skip(t, "this QEMU does not tell the root port of correctable errors");
	CHECK(t, said);
	test_kept(t);
}

static void aer_correctable(struct test *t)
{
	aer(t, "correctable", "severity=Correct");
}

static void aer_nonfatal(struct test *t)
{
	aer(t, "nonfatal", "severity=Uncorrect");
}

/* The kernel resets the link, and tells the driver before and afterwards. */
static void aer_fatal(struct test *t)
{
	uint64_t hammer;

	close(open_port(t));
	test_open(t);
	report_errors(t);
	pindma_close(t->dev);
	hammer = hammer_at_work(t, AER_RATE);
	watch_kernel_log(t);
	ask_host(t, "aer fatal");
	CHECK(t, kernel_says(t, "PCIe Bus Error", "Fatal", 5));
	came_back(t, hammer);
	CHECK(t, kernel_says(t, "device recovery", "successful", 5));
	test_kept(t);
}

/* Since the mr was registered last the device has made no access for so long. */
static void check_quiet(struct test *t, uint64_t ns)
{
	const struct pindma_journal_entry *e;
	uint64_t first = 0, last = 0, again = 0;
	int n, i;

	n = test_read_journal(t, &e, &first);
	for (i = 0; i < n; i++) {
		if (e[i].kind == PINDMA_JOURNAL_WRITE)
			last = e[i].time;
		if (e[i].kind == PINDMA_JOURNAL_REG_MR)
			again = e[i].time;
	}
	test_note(t, "no access for %.3f s", (again - last) / 1e9);
	CHECK(t, last && again > last && again - last > ns);
}

/*
 * The kernel puts all devices to sleep, waits, and wakes them up: as far as drivers
 * can see that is what happens when the machine sleeps. Returns how many ms it took.
 */
static double nap(struct test *t, unsigned int seconds)
{
	double start = now_ms();
	char text[16];
	int ret;

	snprintf(text, sizeof(text), "%u", seconds);
	kernel_set("/sys/module/suspend/parameters/pm_test_delay", text);
	kernel_set("/sys/power/pm_test", "devices");
	ret = kernel_set("/sys/power/state", "freeze");
	kernel_set("/sys/power/pm_test", "none");
	if (ret)
		test_lost(t, "the machine does not go to sleep: %s",
			  strerror(-ret));
	return now_ms() - start;
}

/*
 * The kernel waits with mdelay(), calibrated at boot, which a busy host upsets: a
 * second of 40 ms has been seen. So a nap before says how long a second is; the one
 * with the hammer is to be of two. A device that is awake stamps every few us.
 */
static void sleep_(struct test *t)
{
	unsigned int seconds;
	uint64_t hammer;

	if (kernel_set("/sys/power/pm_test", "none"))
		test_skip(t, "this kernel cannot try to sleep (CONFIG_PM_DEBUG)");
	seconds = 1 + 2000 / nap(t, 1);
	hammer = hammer_at_work(t, 0);
	nap(t, seconds);
	check_quiet(t, 100000000);
	came_back(t, hammer);
	test_kept(t);
}

#define RTC	"/sys/class/rtc/rtc0/wakealarm"
#define LPC	"/sys/bus/pci/devices/0000:00:1f.0/config"
#define PMBASE	0x40	/* and the control word that switches the ports on */

/* SeaBIOS 1.16 does not give them back to who wakes up: no port to power off by. */
static void move_power_ports(struct test *t, bool save, uint8_t ports[8])
{
	int fd = open(LPC, O_RDWR | O_CLOEXEC);
	ssize_t n = save ? pread(fd, ports, 8, PMBASE) :
			   pwrite(fd, ports, 8, PMBASE);

	if (n != 8)
		test_error(t, LPC ": %s", strerror(errno));
	close(fd);
}

/*
 * The machine sleeps in earnest (S3): its devices have no power, and know nothing of
 * their past when the clock's alarm wakes them up. Only if asked for: root ports, too,
 * forget that errors are to be reported, of which kernels do not remind them, and the
 * machine cannot be moved any more.
 */
static void sleep_deep(struct test *t)
{
	char kinds[64] = "", line[4096] = "";
	uint8_t ports[8];
	uint64_t hammer;
	int ret;

	kernel_get("/proc/cmdline", line, sizeof(line));
	if (!strstr(line, "mem_sleep_default=deep"))
		test_skip(t, "wants --append mem_sleep_default=deep");
	kernel_get("/sys/power/mem_sleep", kinds, sizeof(kinds));
	if (!strstr(kinds, "[deep]"))
		test_skip(t, "this machine has no S3");
	if (access(RTC, W_OK))
		test_skip(t, "no alarm would wake it up: no " RTC);
	move_power_ports(t, true, ports);
	hammer = hammer_at_work(t, 0);
	kernel_set(RTC, "0");
	ret = kernel_set(RTC, "+2");
	if (!ret)
		ret = kernel_set("/sys/power/state", "mem");
	move_power_ports(t, false, ports);
	if (ret)
		test_lost(t, "the machine does not go to sleep: %s",
			  strerror(-ret));
	came_back(t, hammer);
	test_kept(t);
}

/* A guest that wants more than it may have: the host does nothing, and goes on. */
static void host_refuses(struct test *t)
{
	static const char *const lines[] = {
		"quit", "system_reset", "unplug pindma0", "unplug\001",
		"aer fatal; quit", "aer MALF_TLP", "fault hang", "fault drop\r",
		"pause 0x80000000", "pause 0x1 0x2", "pause -1",
		"migrate exec:reboot", "plug,romfile=/etc/shadow", "\xff\xfe", "",
	};
	static char endless[4000];
	const char *answer;
	unsigned int i;

	test_open(t);
	for (i = 0; i < ARRAY_SIZE(lines); i++) {
		answer = tell_host(t, lines[i]);
		if (strncmp(answer, "error: ", 7))
			test_lost(t, "the host answers '%s' to '%s'", answer,
				  lines[i]);
	}
	memset(endless, 'x', sizeof(endless) - 1);
	CHECK(t, !strncmp(tell_host(t, endless), "error: ", 7));
	CHECK(t, test_info(t).fault == PINDMA_FAULT_NONE);
	test_kept(t);
}

/*
 * A fault that is armed while the guest runs, and not by its driver; what that has
 * said of the last one, here that it hits no channel, does not count.
 */
static void host_fault(struct test *t)
{
	struct pindma_fault none = { .kind = PINDMA_FAULT_NONE };
	volatile uint64_t *word;
	struct pindma_completion c;
	struct pindma_info info;

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);
	word = (volatile uint64_t *)t->mem;
	*word = 1;
	CHECK(t, !pindma_fault(t->dev, &none));
	ask_host(t, "fault drop");
	info = test_info(t);
	CHECK(t, info.fault == PINDMA_FAULT_DROP);
	test_dma_write(t, 0, 2, &c);
	CHECK(t, *word == 1);
	CHECK(t, test_info(t).fault_hits == 1);
	test_dma_write(t, 0, 3, &c);
	CHECK(t, *word == 3);
	test_kept(t);
}

static void pause_vm(struct test *t)
{
	unsigned long long first, last;
	const char *answer;
	uint64_t hammer;

	close(open_port(t));
	hammer = hammer_at_work(t, 0);
	answer = ask_host(t, "pause 0x%llx",
			  (unsigned long long)test_pfn(t, t->mem) * PAGE_SIZE);
	CHECK(t, sscanf(answer, "%llx %llx", &first, &last) == 2);
	test_note(t, "stamp 0x%llx when the VM had stopped, 0x%llx half a second later",
		  first, last);
	CHECK(t, first && first == last);
	CHECK(t, stamps_go_on(t->mem, 5000));
	CHECK(t, *(volatile uint64_t *)t->mem > first);
	test_stop_hammer(t, hammer);
	test_kept(t);
}

/*
 * The stamps of the hammer in the journal: each is one more than the one before.
 * Returns how many there are after entry since.
 */
static unsigned int check_stamps(struct test *t, uint64_t since)
{
	const struct pindma_journal_entry *e;
	uint64_t first = 0, seq = 0, stamp = 0;
	unsigned int after = 0, before = 0;
	int n, i;

	n = test_read_journal(t, &e, &first);
	for (i = 0; i < n; i++) {
		if (seq && e[i].seq != seq + 1)
			test_lost(t, "journal entry %llu follows %llu",
				  (unsigned long long)e[i].seq,
				  (unsigned long long)seq);
		seq = e[i].seq;
		if (e[i].kind != PINDMA_JOURNAL_WRITE || e[i].key != t->mr ||
		    e[i].offset % PAGE_SIZE)
			continue;
		if (stamp && e[i].value != stamp + 1)
			test_lost(t, "journal %llu: stamp %llu follows %llu",
				  (unsigned long long)seq,
				  (unsigned long long)e[i].value,
				  (unsigned long long)stamp);
		stamp = e[i].value;
		before += seq <= since;
		after += seq > since;
	}
	test_note(t, "%u stamps before the move, %u after, none missing",
		  before, after);
	CHECK(t, before);
	return after;
}

static void migrate(struct test *t)
{
	uint64_t hammer, newest = 0, first = 0;
	struct pindma_journal_entry e;

	close(open_port(t));
	hammer = hammer_at_work(t, MOVE_RATE);
	if (error_source(t)) {
		test_stop_hammer(t, hammer);
		test_skip(t, "QEMU does not move a root port that was told of an error");
	}
	CHECK(t, pindma_read_journal(t->dev, &first, &e, 0, &newest) >= 0);
	test_note(t, "the host compared%s bytes of both memories",
		  ask_host(t, "migrate"));
	CHECK(t, stamps_go_on(t->mem, 5000));
	usleep(100000);
	CHECK(t, check_stamps(t, newest) > 10);
	test_stop_hammer(t, hammer);
	/* And it can do all that it could do before. */
	CHECK(t, !pindma_dereg_mr(t->dev, t->mr));
	test_check_unpinned(t, t->mr);
	works_again(t);
	test_kept(t);
}

/* As fast as it can: whatever it wrote too late, the two memories would differ. */
static void migrate_load(struct test *t)
{
	uint64_t hammer;

	close(open_port(t));
	hammer = hammer_at_work(t, 0);
	if (error_source(t)) {
		test_stop_hammer(t, hammer);
		test_skip(t, "QEMU does not move a root port that was told of an error");
	}
	test_note(t, "the host compared%s bytes of both memories",
		  ask_host(t, "migrate"));
	CHECK(t, stamps_go_on(t->mem, 5000));
	test_stop_hammer(t, hammer);
	test_kept(t);
}

const struct scenario driver_host_scenarios[] = {
	{
		.name = "driver.unplug",
		.promise = "hot-unplug under a hammer, as the slot's button asks for it, stops the device before the pages are unpinned; plugged in again it works",
		.flags = SCENARIO_SLOW,
		.run = unplug,
	}, {
		.name = "driver.surprise",
		.promise = "a device that is pulled out while it writes takes nothing with it: pages are unpinned, files hear of it, the next device works",
		.flags = SCENARIO_SLOW,
		.run = surprise,
	}, {
		.name = "driver.function_reset",
		.promise = "a function level reset ends a hammer; its user hears of it at once, mrs stay and work again",
		.flags = SCENARIO_SLOW,
		.run = function_reset,
	}, {
		.name = "driver.bus_reset",
		.promise = "a reset of the bus ends a hammer; its user hears of it at once, mrs stay and work again",
		.flags = SCENARIO_SLOW,
		.run = bus_reset,
	}, {
		.name = "driver.host_fault",
		.promise = "a fault that the host arms in the running guest hits, and the driver can say that it did",
		.flags = SCENARIO_SLOW,
		.run = host_fault,
	}, {
		.name = "driver.host_refuses",
		.promise = "what a guest may ask of the host is a list, and nothing else",
		.flags = SCENARIO_SLOW,
		.run = host_refuses,
	}, {
		.name = "driver.pause",
		.promise = "while the VM is stopped nothing is written; afterwards the hammer goes on",
		.flags = SCENARIO_SLOW,
		.run = pause_vm,
	}, {
		.name = "driver.migrate",
		.promise = "live migration under a hammer: nothing is written after the stop, no stamp is missing or comes twice, mrs stay valid",
		.flags = SCENARIO_SLOW,
		.run = migrate,
	}, {
		.name = "driver.migrate_load",
		.promise = "live migration under a hammer without a limit: the source writes nothing after the stop",
		.flags = SCENARIO_SLOW,
		.run = migrate_load,
	}, {
		.name = "driver.sleep",
		.promise = "sleep ends a hammer and keeps the device quiet; mrs stay and work again",
		.flags = SCENARIO_SLOW,
		.run = sleep_,
	}, {
		.name = "driver.sleep_deep",
		.promise = "sleep that takes the power away (S3) ends a hammer; mrs stay and work again",
		.flags = SCENARIO_SLOW,
		.run = sleep_deep,
	}, {
		.name = "driver.aer_correctable",
		.promise = "a correctable error of the device is logged, and nothing else",
		.flags = SCENARIO_SLOW,
		.run = aer_correctable,
	}, {
		.name = "driver.aer_nonfatal",
		.promise = "an uncorrectable error that is not fatal is logged, and the device goes on",
		.flags = SCENARIO_SLOW,
		.run = aer_nonfatal,
	}, {
		.name = "driver.aer_fatal",
		.promise = "after a fatal error the link is reset; ops end, mrs stay and work again",
		.flags = SCENARIO_SLOW,
		.run = aer_fatal,
	},
	{ }
};
