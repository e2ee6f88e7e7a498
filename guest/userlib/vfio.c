// SPDX-License-Identifier: MIT
/*
 * The device without its driver: bound to vfio-pci, behind an IOMMU, and driven
 * from here. All that the kernel does is to pin memory and map it (vfio type1),
 * and to hand on interrupts.
 *
 * The rest of the library does not notice: what it asks of the driver by
 * ioctl(2) is done here instead, as far as it makes sense.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libpindma.h"

/* Slots of the rings: the submission ring of a queue is two pages. */
#define ENTRIES		64
#define RINGS_CQ	(ENTRIES * sizeof(struct pindma_sqe))
#define RINGS_HEAD	(RINGS_CQ + ENTRIES * sizeof(struct pindma_cqe))
#define RINGS_SHADOW	(RINGS_HEAD + sizeof(struct pindma_shadow))
#define RINGS_SIZE	(3 * PINDMA_PAGE_SIZE)
_Static_assert(RINGS_CQ % PINDMA_PAGE_SIZE == 0 &&
	       RINGS_SHADOW % sizeof(struct pindma_shadow) == 0 &&
	       RINGS_SHADOW + sizeof(struct pindma_shadow) <= RINGS_SIZE,
	       "rings");

/* The device needs microseconds; the rest is for a busy host. */
#define ADMIN_TIMEOUT_MS 10000

/*
 * Bus addresses are ours to choose. What an MSI is written to cannot be had, and
 * an IOMMU may have as few as 39 bits.
 */
#define IOVA_FIRST	(1ull << 20)
#define IOVA_BITS	39
#define MSI_FIRST	0xfee00000ull
#define MSI_END		0xfef00000ull

/* A range of bus addresses, in a list sorted by them */
struct mapping {
	struct mapping *next;
	uint64_t iova, size;
	uint32_t key;		/* of the mr, 0 if it is none */
};

struct pindma_vfio {
	int container, group, device;
	int admin_event;	/* that of the channel is the handle's fd */
	pid_t owner;
	void *regs;
	const void *journal;
	size_t journal_size;
	uint32_t journal_entries, max_mrs;
	uint64_t iova_end;
	struct pindma_queue *admin, *channel;
	void *rings[2];

	pthread_mutex_t lock;	/* admin commands and all that follows */
	struct mapping *mappings;
	uint32_t last_key;
	bool failed;
};

static uint32_t read32(struct pindma_vfio *v, unsigned int reg)
{
	return __atomic_load_n((uint32_t *)((char *)v->regs + reg),
			       __ATOMIC_ACQUIRE);
}

static void write32(struct pindma_vfio *v, unsigned int reg, uint32_t value)
{
	__atomic_store_n((uint32_t *)((char *)v->regs + reg), value,
			 __ATOMIC_RELEASE);
}

/* In halves: a counter may have a carry in between, so look at the high one again. */
static uint64_t read64(struct pindma_vfio *v, unsigned int reg)
{
	uint32_t high, low;

	do {
		high = read32(v, reg + 4);
		low = read32(v, reg);
	} while (high != read32(v, reg + 4));
	return (uint64_t)high << 32 | low;
}

static void write64(struct pindma_vfio *v, unsigned int reg, uint64_t value)
{
	write32(v, reg + 4, (uint32_t)(value >> 32));
	write32(v, reg, (uint32_t)value);
}

/* When this returns the device has forgotten all mrs and rings. */
static void reset(struct pindma_vfio *v)
{
	write32(v, PINDMA_REG_CTRL, PINDMA_CTRL_RESET);
	read32(v, PINDMA_REG_MAGIC);	/* flushes the posted write */
}

/* ------------------------------------------------------- memory, mapped */

/* The lowest hole that is large enough; *place is where it goes into the list. */
static uint64_t find_hole(struct pindma_vfio *v, uint64_t size,
			  struct mapping ***place)
{
	uint64_t iova = IOVA_FIRST;

	for (*place = &v->mappings;; *place = &(**place)->next) {
		const struct mapping *m = **place;

		if (iova < MSI_END && iova + size > MSI_FIRST)
			iova = MSI_END;
		if (iova + size <= (m ? m->iova : v->iova_end))
			return iova;
		if (!m)
			return 0;
		if (iova < m->iova + m->size)
			iova = m->iova + m->size;
	}
}

/* Whole pages. They are pinned from here on, with FOLL_LONGTERM. */
static int map(struct pindma_vfio *v, uintptr_t addr, uint64_t size, bool writable,
	       struct mapping **mapping)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DMA_MAP_FLAG_READ |
			 (writable ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = addr,
		.size = size,
	};
	struct mapping *m, **place;
	int ret = -ENOSPC;

	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	if (size < v->iova_end)
		arg.iova = find_hole(v, size, &place);
	if (!arg.iova)
		goto err_free;
	if (ioctl(v->container, VFIO_IOMMU_MAP_DMA, &arg)) {
		ret = -errno;
		goto err_free;
	}
	m->iova = arg.iova;
	m->size = size;
	m->next = *place;
	*place = m;
	*mapping = m;
	return 0;

err_free:
	free(m);
	return ret;
}

static void unmap(struct pindma_vfio *v, struct mapping *m)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg),
		.iova = m->iova,
		.size = m->size,
	};
	struct mapping **place = &v->mappings;

	while (*place != m)
		place = &(*place)->next;
	*place = m->next;
	ioctl(v->container, VFIO_IOMMU_UNMAP_DMA, &arg);
	free(m);
}

/*
 * Memory of the library's own. It is shared, so that fork() has nothing to copy:
 * that the library works shall not depend on what is tested with it.
 */
static void *shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* ------------------------------------------------------- admin commands */

static void clear_event(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

static int admin_wait(struct pindma_vfio *v, struct pindma_completion *c)
{
	struct pollfd pfd = { .fd = v->admin_event, .events = POLLIN };
	int64_t end = pindma_now_ms() + ADMIN_TIMEOUT_MS;

	do {
		clear_event(v->admin_event);
		if (pindma_queue_reap(v->admin, c, 1))
			return 0;
		poll(&pfd, 1, pindma_left_ms(end));
	} while (pindma_left_ms(end));
	return pindma_queue_reap(v->admin, c, 1) ? 0 : -EIO;
}

/* An op of the admin queue. If the device does not answer it is reset: -EIO. */
static int admin(struct pindma_vfio *v, const struct pindma_op *op)
{
	struct pindma_completion c;

	if (v->failed)
		return -EIO;
	if (pindma_queue_post(v->admin, op, 1) != 1 || admin_wait(v, &c)) {
		reset(v);
		v->failed = true;
		return -EIO;
	}
	switch (c.status) {
	case PINDMA_ST_OK:
		return 0;
	case PINDMA_ST_NO_SPACE:
		return -ENOSPC;
	case PINDMA_ST_BAD_KEY:
		return -ENOENT;
	default:
		return -EIO;
	}
}

/* --------------------------------------------------------------- the mrs */

/* A key whose slot is free, and that the slot did not have before; 0: none */
static uint32_t find_key(struct pindma_vfio *v)
{
	const struct mapping *m;
	uint32_t tries;

	for (tries = 0; tries < v->max_mrs; tries++) {
		if (!++v->last_key)
			++v->last_key;
		for (m = v->mappings; m; m = m->next)
			if (m->key &&
			    !((m->key ^ v->last_key) & (v->max_mrs - 1)))
				break;
		if (!m)
			return v->last_key;
	}
	return 0;
}

/* Tell the device: by a list of the pages, which it copies. */
static int register_mr(struct pindma_vfio *v, const struct pindma_reg_mr *arg,
		       struct mapping *m)
{
	struct pindma_op op = {
		.opcode = PINDMA_OP_REG_MR,
		.mode = arg->flags & PINDMA_MR_READONLY ?
			PINDMA_ACCESS_READ :
			PINDMA_ACCESS_READ | PINDMA_ACCESS_WRITE,
		.mr = m->key,
		.offset = arg->addr % PINDMA_PAGE_SIZE,
		.len = arg->len,
	};
	uint64_t i, n = m->size / PINDMA_PAGE_SIZE;
	size_t size = (n * sizeof(uint64_t) + PINDMA_PAGE_SIZE - 1) &
		      -(size_t)PINDMA_PAGE_SIZE;
	uint64_t *list = shared(size);
	struct mapping *mapping;
	int ret;

	if (!list)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		list[i] = m->iova + i * PINDMA_PAGE_SIZE;
	ret = map(v, (uintptr_t)list, size, false, &mapping);
	if (!ret) {
		op.value = mapping->iova;
		ret = admin(v, &op);
		unmap(v, mapping);
	}
	munmap(list, size);
	return ret;
}

static int reg_mr(struct pindma_vfio *v, struct pindma_reg_mr *arg)
{
	uint64_t start = arg->addr & -(uint64_t)PINDMA_PAGE_SIZE;
	uint64_t end = arg->addr + arg->len + PINDMA_PAGE_SIZE - 1;
	struct mapping *m;
	uint32_t key;
	int ret;

	if (arg->pin_mode != PINDMA_PIN_LONGTERM ||
	    arg->flags & ~PINDMA_MR_READONLY)
		return -EOPNOTSUPP;
	if (!arg->len || end < arg->addr || end > UINTPTR_MAX)
		return -EINVAL;
	end &= -(uint64_t)PINDMA_PAGE_SIZE;
	if ((end - start) / PINDMA_PAGE_SIZE >
	    read32(v, PINDMA_REG_MAX_PAGES))
		return -ENOSPC;
	key = find_key(v);
	if (!key)
		return -ENOSPC;
	ret = map(v, (uintptr_t)start, end - start,
		  !(arg->flags & PINDMA_MR_READONLY), &m);
	if (ret)
		return ret;
	m->key = key;
	ret = register_mr(v, arg, m);
	if (ret)
		unmap(v, m);
	else
		arg->mr = key;
	return ret;
}

static int dereg_mr(struct pindma_vfio *v, const struct pindma_dereg_mr *arg)
{
	struct pindma_op op = { .opcode = PINDMA_OP_DEREG_MR, .mr = arg->mr };
	struct mapping *m = v->mappings;

	while (m && (m->key != arg->mr || !m->key))
		m = m->next;
	if (!m)
		return -ENOENT;
	/* Even if that fails: the device has been reset then. */
	admin(v, &op);
	unmap(v, m);
	return 0;
}

/* ------------------------------------------- what else the driver is asked */

static int get_info(struct pindma_vfio *v, struct pindma_info *info)
{
	*info = (struct pindma_info){
		.size = sizeof(*info),
		.uapi_version = PINDMA_UAPI_VERSION,
		.device_version = read32(v, PINDMA_REG_VERSION),
		.device_caps = read32(v, PINDMA_REG_CAPS),
		.max_mrs = v->max_mrs,
		.max_pages = read32(v, PINDMA_REG_MAX_PAGES),
		.max_ops = ENTRIES - 1,
		.max_chain = ENTRIES - 1,
		.num_channels = 1,
		.journal_entries = v->journal_entries,
		.dma_bits = read32(v, PINDMA_REG_DMA_BITS),
		.irq_mode = PINDMA_IRQ_MSIX,
		.fault = read32(v, PINDMA_REG_FAULT),
		.fault_hits = read64(v, PINDMA_REG_FAULT_HITS),
		.time = read64(v, PINDMA_REG_TIME),
		.journal_lost = read64(v, PINDMA_REG_JOURNAL_LOST),
		.stale = read64(v, PINDMA_REG_STALE),
		.stale_addr = read64(v, PINDMA_REG_STALE_ADDR),
	};
	return 0;
}

static int post(struct pindma_vfio *v, struct pindma_post *arg)
{
	int ret = -EINVAL;

	if (v->failed)
		return -EIO;
	if (!arg->channel)
		ret = pindma_queue_post(v->channel,
					(void *)(uintptr_t)arg->ops, arg->nr);
	if (ret < 0)
		return ret;
	arg->nr = (uint32_t)ret;
	return 0;
}

/* The event is taken before the look at the ring, so none is missed. */
static int reap(struct pindma_vfio *v, int event, struct pindma_reap *arg)
{
	static const uint64_t one = 1;
	int n;

	clear_event(event);
	n = pindma_queue_reap(v->channel, (void *)(uintptr_t)arg->completions,
			      arg->nr);
	if (!n && v->failed)
		return -EIO;
	/* There may be more: then poll() shall say so. */
	if ((uint32_t)n == arg->nr && write(event, &one, sizeof(one)) < 0)
		return -errno;
	arg->nr = (uint32_t)n;
	return 0;
}

/* False: the entry is not there any more. seq is 0 while one is written. */
static bool journal_get(struct pindma_vfio *v, uint64_t seq,
			struct pindma_journal_entry *entry)
{
	const struct pindma_journal_entry *from =
		(const struct pindma_journal_entry *)v->journal +
		seq % v->journal_entries;

	if (__atomic_load_n(&from->seq, __ATOMIC_ACQUIRE) != seq)
		return false;
	memcpy(entry, from, sizeof(*entry));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&from->seq, __ATOMIC_RELAXED) == seq;
}

static int read_journal(struct pindma_vfio *v, struct pindma_journal *arg)
{
	struct pindma_journal_entry *to = (void *)(uintptr_t)arg->entries;
	uint64_t oldest = 1, seq;
	uint32_t n = 0;

	arg->newest = read64(v, PINDMA_REG_JOURNAL_SEQ);
	if (arg->newest > v->journal_entries)
		oldest = arg->newest - v->journal_entries + 1;
	if (arg->first < oldest)
		arg->first = oldest;
	for (seq = arg->first; n < arg->nr && seq <= arg->newest; seq++) {
		if (journal_get(v, seq, &to[n])) {
			n++;
			continue;
		}
		/* Overwritten meanwhile, and so is all before it. */
		n = 0;
		arg->first = seq + 1;
	}
	arg->nr = n;
	return 0;
}

static int mark(struct pindma_vfio *v, const struct pindma_mark *arg)
{
	if (arg->channel || arg->value >= PINDMA_MARK_UNPIN)
		return -EINVAL;
	pindma_queue_mark(v->channel, arg->value);
	return 0;
}

int pindma_vfio_ioctl(struct pindma *handle, unsigned long cmd, void *arg)
{
	struct pindma_vfio *v = handle->vfio;
	int ret;

	switch (cmd) {
	case PINDMA_IOC_INFO:
		return get_info(v, arg);
	case PINDMA_IOC_POST:
		return post(v, arg);
	case PINDMA_IOC_REAP:
		return reap(v, handle->fd, arg);
	case PINDMA_IOC_JOURNAL:
		return read_journal(v, arg);
	case PINDMA_IOC_MARK:
		return mark(v, arg);
	case PINDMA_IOC_REG_MR:
	case PINDMA_IOC_DEREG_MR:
		pthread_mutex_lock(&v->lock);
		ret = cmd == PINDMA_IOC_REG_MR ? reg_mr(v, arg) :
						 dereg_mr(v, arg);
		pthread_mutex_unlock(&v->lock);
		return ret;
	default:
		return -EOPNOTSUPP;
	}
}

/* ------------------------------------------------------ opening, closing */

/* The IOMMU group of the device, as a file of vfio's */
static int open_group(const char *address)
{
	char path[PATH_MAX], link[PATH_MAX];
	const char *number;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", address);
	if (strchr(address, '/') || access(path, F_OK))
		return -ENOENT;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
		 address);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return -ENODEV;	/* there is no IOMMU */
	link[n] = '\0';
	number = strrchr(link, '/');
	snprintf(path, sizeof(path), "/dev/vfio/%.32s",
		 number ? number + 1 : link);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	return errno == ENOENT ? -ENODEV : -errno;	/* not vfio-pci's */
}

static int open_device(struct pindma_vfio *v, const char *address)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };

	v->group = open_group(address);
	if (v->group < 0)
		return v->group;
	v->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (v->container < 0 ||
	    ioctl(v->group, VFIO_GROUP_GET_STATUS, &status))
		return -errno;
	/* Another device of the group has a driver. */
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return -EBUSY;
	if (ioctl(v->group, VFIO_GROUP_SET_CONTAINER, &v->container) ||
	    ioctl(v->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -errno;
	v->device = ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, address);
	return v->device < 0 ? -errno : 0;
}

/* A BAR of the device. *size: at least so much; out: what was mapped. */
static void *map_bar(struct pindma_vfio *v, uint32_t bar, int prot, size_t *size)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = bar };
	void *p;

	if (ioctl(v->device, VFIO_DEVICE_GET_REGION_INFO, &info) ||
	    !(info.flags & VFIO_REGION_INFO_FLAG_MMAP) || info.size < *size)
		return NULL;
	*size = (size_t)info.size;
	p = mmap(NULL, *size, prot, MAP_SHARED, v->device, (off_t)info.offset);
	return p == MAP_FAILED ? NULL : p;
}

/* Is it a device that we understand? If so it is stopped, whatever it did. */
static int map_device(struct pindma_vfio *v)
{
	size_t size = PINDMA_BAR_REGS_SIZE;
	uint32_t bits;

	v->regs = map_bar(v, PINDMA_BAR_REGS, PROT_READ | PROT_WRITE, &size);
	if (!v->regs)
		return -ENODEV;
	if (read32(v, PINDMA_REG_MAGIC) != PINDMA_MAGIC ||
	    read32(v, PINDMA_REG_VERSION) >> 16 != PINDMA_VERSION_MAJOR ||
	    (read32(v, PINDMA_REG_VERSION) & 0xffff) < PINDMA_VERSION_MINOR)
		return -ENODEV;
	reset(v);
	v->max_mrs = read32(v, PINDMA_REG_MAX_MRS);
	v->journal_entries = read32(v, PINDMA_REG_JOURNAL_ENTRIES);
	/* No key of a handle before: the journal has an entry for each mr. */
	v->last_key = (uint32_t)read64(v, PINDMA_REG_JOURNAL_SEQ);
	bits = read32(v, PINDMA_REG_DMA_BITS);
	v->iova_end = 1ull << (bits < IOVA_BITS ? bits : IOVA_BITS);
	v->journal_size = v->journal_entries *
			  sizeof(struct pindma_journal_entry);
	v->journal = map_bar(v, PINDMA_BAR_JOURNAL, PROT_READ,
			     &v->journal_size);
	return v->journal ? 0 : -ENODEV;
}

/* vfio-pci leaves that to us. */
static int set_master(struct pindma_vfio *v)
{
	struct vfio_region_info info = { .argsz = sizeof(info),
					 .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t command;
	off_t where;

	if (ioctl(v->device, VFIO_DEVICE_GET_REGION_INFO, &info))
		return -errno;
	where = (off_t)info.offset + PCI_COMMAND;
	if (pread(v->device, &command, sizeof(command), where) !=
	    sizeof(command))
		return -EIO;
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(v->device, &command, sizeof(command), where) !=
	    sizeof(command))
		return -EIO;
	return 0;
}

/* Vector n is queue n's. */
static int set_irqs(struct pindma_vfio *v, int admin_event, int event)
{
	union {
		struct vfio_irq_set set;
		char room[sizeof(struct vfio_irq_set) + 2 * sizeof(int)];
	} u = {
		.set = {
			.argsz = sizeof(u),
			.flags = VFIO_IRQ_SET_DATA_EVENTFD |
				 VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = VFIO_PCI_MSIX_IRQ_INDEX,
			.start = PINDMA_QUEUE_ADMIN,
			.count = 2,
		},
	};

	memcpy(u.set.data, (int[]){ admin_event, event }, 2 * sizeof(int));
	return ioctl(v->device, VFIO_DEVICE_SET_IRQS, &u) ? -errno : 0;
}

static int init_queue(struct pindma *handle, unsigned int nr,
		      struct pindma_queue **queue)
{
	struct pindma_vfio *v = handle->vfio;
	unsigned int regs = PINDMA_QUEUE_REGS(nr);
	struct mapping *m;
	int ret;

	v->rings[nr] = shared(RINGS_SIZE);
	if (!v->rings[nr])
		return -ENOMEM;
	*queue = pindma_queue_new(handle, nr - PINDMA_QUEUE_IO, ENTRIES,
				  v->rings[nr], RINGS_CQ, RINGS_HEAD,
				  RINGS_SHADOW, (char *)v->regs + PINDMA_DB(nr));
	if (!*queue)
		return -ENOMEM;
	ret = map(v, (uintptr_t)v->rings[nr], RINGS_SIZE, true, &m);
	if (ret)
		return ret;
	write64(v, regs + PINDMA_QUEUE_SQ_ADDR, m->iova);
	write64(v, regs + PINDMA_QUEUE_CQ_ADDR, m->iova + RINGS_CQ);
	write64(v, regs + PINDMA_QUEUE_SHADOW, m->iova + RINGS_SHADOW);
	write32(v, regs + PINDMA_QUEUE_ENTRIES, ENTRIES);
	write32(v, regs + PINDMA_QUEUE_ENABLE, 1);
	return 0;
}

void pindma_vfio_close(struct pindma *handle)
{
	struct pindma_vfio *v = handle->vfio;
	struct mapping *m;
	unsigned int i;

	/* A child has the files, too, but the device is its parent's. */
	if (v->regs && v->owner == getpid())
		reset(v);
	while (v->mappings) {
		m = v->mappings;
		v->mappings = m->next;
		free(m);
	}
	pindma_queue_free(v->channel);
	pindma_queue_free(v->admin);
	for (i = 0; i < ARRAY_SIZE(v->rings); i++)
		if (v->rings[i])
			munmap(v->rings[i], RINGS_SIZE);
	if (v->journal)
		munmap((void *)v->journal, v->journal_size);
	if (v->regs)
		munmap(v->regs, PINDMA_BAR_REGS_SIZE);
	/* The last of these unmaps and unpins what is left. */
	if (v->device >= 0)
		close(v->device);
	if (v->group >= 0)
		close(v->group);
	if (v->container >= 0)
		close(v->container);
	if (v->admin_event >= 0)
		close(v->admin_event);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

int pindma_open_vfio(const char *address, struct pindma **handle)
{
	struct pindma *h = calloc(1, sizeof(*h));
	struct pindma_vfio *v = calloc(1, sizeof(*v));
	int ret;

	if (!h || !v) {
		free(h);
		free(v);
		return -ENOMEM;
	}
	v->container = v->group = v->device = -1;
	v->owner = getpid();
	pthread_mutex_init(&v->lock, NULL);
	h->vfio = v;
	h->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	v->admin_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = h->fd < 0 || v->admin_event < 0 ? -errno :
						open_device(v, address);
	if (!ret)
		ret = map_device(v);
	if (!ret)
		ret = set_master(v);
	if (!ret)
		ret = set_irqs(v, v->admin_event, h->fd);
	if (!ret)
		ret = init_queue(h, PINDMA_QUEUE_ADMIN, &v->admin);
	if (!ret)
		ret = init_queue(h, PINDMA_QUEUE_IO, &v->channel);
	if (ret)
		pindma_close(h);
	else
		*handle = h;
	return ret;
}
