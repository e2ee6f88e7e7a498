// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma-bufs as mrs. The exporter is udmabuf, with memory of a memfd, so the test
 * looks at the same memory by its own mapping. Kernels before 6.12 do not have it.
 *
 * To see a case red, in guest/pindma_dmabuf.c: set sgt_first to 0 (import); leave
 * out get_dma_buf() (closing: the kernel panics), or the comparison with the size
 * (refused).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared.h"

#define BUF_PAGES	16
#define BUF_SIZE	(BUF_PAGES * PAGE_SIZE)

/* A dma-buf, and a mapping of its memory that knows nothing of it. */
static int export(struct test *t)
{
	struct udmabuf_create create = { .size = BUF_SIZE,
					 .flags = UDMABUF_FLAGS_CLOEXEC };
	int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	int fd;

	if (dev < 0 && errno == ENOENT)
		test_skip(t, "no /dev/udmabuf: the kernel has no CONFIG_UDMABUF");
	CHECK(t, dev >= 0);
	t->fd = memfd_create("pindma", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(t, t->fd >= 0 && !ftruncate(t->fd, BUF_SIZE));
	t->len = BUF_SIZE;
	t->buf = mmap(NULL, BUF_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd,
		      0);
	CHECK(t, t->buf != MAP_FAILED);
	CHECK(t, !fcntl(t->fd, F_ADD_SEALS, F_SEAL_SHRINK));
	create.memfd = t->fd;
	fd = ioctl(dev, UDMABUF_CREATE, &create);
	if (fd < 0)
		test_error(t, "UDMABUF_CREATE: %s", strerror(errno));
	close(dev);
	return fd;
}

static struct pindma_completion fill(struct test *t, uint64_t len, uint8_t byte)
{
	return test_run_op(t, (struct pindma_op){
		.opcode = PINDMA_OP_FILL, .mr = t->mr, .len = len,
		.value = byte });
}

/* len bytes from offset on are byte, and no others are. */
static void check_bytes(struct test *t, uint64_t offset, uint64_t len,
			uint8_t byte)
{
	uint64_t i;

	for (i = 0; i < BUF_SIZE; i++)
		if ((t->buf[i] == byte) != (i >= offset && i - offset < len))
			test_lost(t, "byte 0x%llx is 0x%02x; the device should have written 0x%02x to 0x%llx to 0x%llx",
				  (unsigned long long)i, t->buf[i], byte,
				  (unsigned long long)offset,
				  (unsigned long long)(offset + len - 1));
}

/* The whole, a part that begins and ends anywhere, and a copy between the two */
static void import(struct test *t)
{
	const uint64_t offset = 5 * PAGE_SIZE + 100, len = 3 * PAGE_SIZE + 7;
	struct pindma_page page;
	uint32_t whole;
	int fd;

	fd = export(t);
	test_open(t);
	CHECK(t, !pindma_import_dmabuf(t->dev, fd, 0, BUF_SIZE, 0, &whole));
	CHECK(t, !pindma_import_dmabuf(t->dev, fd, offset, len, 0, &t->mr));
	CHECK(t, fill(t, len, 0xa5).status == PINDMA_ST_OK);
	check_bytes(t, offset, len, 0xa5);
	CHECK(t, fill(t, len + 1, 0xa5).status == PINDMA_ST_BOUNDS);
	CHECK(t, pindma_get_pages(t->dev, t->mr, 0, &page, 1) == -EOPNOTSUPP);
	test_run_ok(t, (struct pindma_op){
		.opcode = PINDMA_OP_COPY, .mr = whole, .len = len,
		.offset = 10 * PAGE_SIZE + 1, .src_mr = t->mr });
	CHECK(t, !memcmp(t->buf + offset, t->buf + 10 * PAGE_SIZE + 1, len));
	CHECK(t, !pindma_dereg_mr(t->dev, whole));

	/* The device reads what the CPU writes, and, if so wanted, only reads. */
	CHECK(t, !pindma_import_dmabuf(t->dev, fd, 8, 8, PINDMA_MR_READONLY,
				       &whole));
	*(volatile uint64_t *)(t->buf + 8) = 0x123456789abcdef0;
	t->mr = whole;
	CHECK(t, test_dma_read(t, 0) == 0x123456789abcdef0);
	CHECK(t, fill(t, 8, 1).status == PINDMA_ST_ACCESS);
	close(fd);
	test_kept(t);
}

static void refused(struct test *t)
{
	struct pindma_import_dmabuf arg = { .size = sizeof(arg), .len = 8,
					    .mr = 1 };
	uint32_t mr;
	int fd;

	fd = export(t);
	test_open(t);
	CHECK(t, pindma_import_dmabuf(t->dev, -1, 0, 8, 0, &mr) == -EBADF);
	CHECK(t, pindma_import_dmabuf(t->dev, t->fd, 0, 8, 0, &mr) == -EINVAL);
	CHECK(t, pindma_import_dmabuf(t->dev, fd, 0, 0, 0, &mr) == -EINVAL);
	CHECK(t, pindma_import_dmabuf(t->dev, fd, 0, BUF_SIZE + 1, 0, &mr) ==
		 -EINVAL);
	CHECK(t, pindma_import_dmabuf(t->dev, fd, BUF_SIZE, 1, 0, &mr) ==
		 -EINVAL);
	CHECK(t, pindma_import_dmabuf(t->dev, fd, -8ull, 16, 0, &mr) == -EINVAL);
	CHECK(t, pindma_import_dmabuf(t->dev, fd, 0, 8, PINDMA_MR_FAST, &mr) ==
		 -EINVAL);
	arg.fd = fd;
	CHECK(t, ioctl(pindma_fd(t->dev), PINDMA_IOC_IMPORT_DMABUF, &arg) &&
		 errno == EINVAL);
	close(fd);
	test_kept(t);
}

/* The mr keeps the dma-buf, whatever is closed meanwhile; and lets go of it. */
static void closing(struct test *t)
{
	volatile uint64_t *stamp;
	struct pindma_op op = { .opcode = PINDMA_OP_HAMMER, .len = BUF_SIZE,
				.value = 1 };
	struct pindma_completion c;
	uint32_t mr;
	int i, fd;

	test_open(t);
	for (i = 0; i < 3; i++) {
		fd = export(t);
		stamp = (volatile uint64_t *)t->buf;
		CHECK(t, !pindma_import_dmabuf(t->dev, fd, 0, BUF_SIZE, 0,
					       &op.mr));
		close(fd);
		test_post(t, 0, &op, 1);
		CHECK(t, stamps_go_on(stamp, 5000));
		close(t->fd);
		CHECK(t, stamps_go_on(stamp, 5000));
		mr = op.mr;
		if (i == 0) {
			CHECK(t, !pindma_dereg_mr(t->dev, mr));
			test_collect(t, &c, 1);
			CHECK(t, c.status == PINDMA_ST_ABORTED);
		} else if (i == 1) {
			pindma_close(t->dev);
			test_open(t);
		} else {
			char name[256];

			find_device(t, name);
			unbind_device(t, name);
			CHECK(t, !stamps_go_on(stamp, 50));
			pindma_close(t->dev);
			bind_device(t, name);
			test_open(t);
		}
		CHECK(t, !stamps_go_on(stamp, 50));
		test_check_unpinned(t, mr);
		munmap(t->buf, BUF_SIZE);
	}
	test_kept(t);
}

#define SOURCE	"Documentation/driver-api/dma-buf.rst"

const struct scenario driver_dmabuf_scenarios[] = {
	{
		.name = "driver.dmabuf_import",
		.promise = "what the device does with a dma-buf is seen by all who have its memory: " SOURCE,
		.run = import,
	}, {
		.name = "driver.dmabuf_refused",
		.promise = "what is not a dma-buf, or beyond its end, is refused",
		.run = refused,
	}, {
		.name = "driver.dmabuf_closing",
		.promise = "an mr keeps its dma-buf until the device has let go, in whatever order things are closed",
		.run = closing,
	},
	{ }
};
