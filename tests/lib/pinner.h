/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who holds the case's pages, and lets a device access them.
 *
 * A verdict about the kernel should not depend on whose pin it is. The same
 * scenario can be run with each of these; none but the first knows pindma.ko:
 *
 *	pindma	pindma.ko, by the pin mode that the case names
 *	vfio	vfio type1: the same device, driven by the library alone
 *	uring	buffers registered with io_uring; the device is an NVMe disk
 *	rxe	soft-RoCE: the kernel itself does what an adapter would
 *
 * The others pin with FOLL_PIN | FOLL_LONGTERM: what comes out must be what comes
 * out of pin-longterm.
 */
#ifndef PINNER_H
#define PINNER_H

#include "test.h"

struct pinner {
	/* The case is skipped if there is no such thing here. */
	void (*open)(struct test *t);
	/* Pin the case's memory, give it back. 0 or -errno */
	int (*reg)(struct test *t);
	int (*dereg)(struct test *t);
	/*
	 * The device writes, or reads, the 8 bytes at offset in the mr. Others
	 * in the same 512 bytes may be written, too, as a disk does.
	 */
	void (*write)(struct test *t, uint64_t offset, uint64_t value,
		      struct pindma_completion *c);
	uint64_t (*read)(struct test *t, uint64_t offset);
	/* NULL: a thread calls write() again and again. */
	uint64_t (*start_hammer)(struct test *t, uint32_t rate);
	void (*stop_hammer)(struct test *t, uint64_t hammer);
	/* What the pinner knows of a page. NULL: nothing */
	bool (*page_facts)(struct test *t, unsigned int page,
			   struct pindma_page *facts);
};

/* The device by its library: with its driver, or with vfio's */
int device_reg(struct test *t);
int device_dereg(struct test *t);
void device_write(struct test *t, uint64_t offset, uint64_t value,
		  struct pindma_completion *c);
uint64_t device_read(struct test *t, uint64_t offset);
uint64_t device_start_hammer(struct test *t, uint32_t rate);
void device_stop_hammer(struct test *t, uint64_t user_data);

extern const struct pinner pinner_pindma;
extern const struct pinner pinner_vfio;
extern const struct pinner pinner_uring;
extern const struct pinner pinner_rxe;

/* The PCI address of the first pindma device */
#define PINNER_ADDRESS	32
void pinner_vfio_address(struct test *t, char address[PINNER_ADDRESS]);

/*
 * Load a module that this pinner needs, whose files are in the image; the case
 * is skipped if the kernel has none.
 */
void pinner_modprobe(struct test *t, const char *module);

/* Memory of the pinner's own, len bytes. fork() does not copy it. */
void *pinner_shared(struct test *t, size_t len);

#endif /* PINNER_H */
