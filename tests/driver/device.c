// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same driver on devices that can less: MSI or INTx in place of MSI-X, buses
 * with narrower addresses. What the device can is read from its configuration
 * space, so that these cases are right however QEMU was started.
 *
 * To see it red: let pindma_irq_vectors() begin with MSI, acknowledge PINDMA_REG_INTR
 * after the scan (then completions get lost under load), or use 64 bits always.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared.h"

static bool has_capability(struct test *t, uint8_t id)
{
	uint8_t config[256], at;

	read_config(t, 0, config, sizeof(config));
	for (at = config[0x34]; at; at = config[at + 1])
		if (config[at] == id)
			return true;
	return false;
}

/* The best that the device has */
static void irq_mode(struct test *t)
{
	struct pindma_completion c;
	struct pindma_info info;
	uint32_t channel;
	long before;
	unsigned int want = PINDMA_IRQ_INTX;

	test_open(t);
	info = test_info(t);
	if (has_capability(t, 0x05))
		want = PINDMA_IRQ_MSI;
	if (has_capability(t, 0x11))
		want = PINDMA_IRQ_MSIX;
	if (info.irq_mode != want)
		test_lost(t, "interrupt mode %u, where %u could be had",
			  info.irq_mode, want);
	/* Each channel's completion is told by an interrupt. */
	for (channel = 0; channel < info.num_channels; channel++) {
		struct pindma_op nop = { .opcode = PINDMA_OP_NOP };

		before = count_interrupts(t);
		test_run_ops(t, channel, &nop, 1, &c);
		CHECK(t, c.status == PINDMA_ST_OK);
		CHECK(t, count_interrupts(t) > before);
	}
	test_kept(t);
}

/* As many as there can be, on all channels, again and again: none gets lost. */
static void irq_load(struct test *t)
{
	enum { DEPTH = 8, ROUNDS = 50, MAX_CHANNELS = 64 };
	struct pindma_completion c[MAX_CHANNELS * DEPTH];
	struct pindma_op nop[DEPTH] = { { 0 } };
	unsigned int i;
	uint32_t channel, channels;

	test_open(t);
	channels = test_info(t).num_channels;
	CHECK(t, channels <= MAX_CHANNELS);
	for (i = 0; i < ROUNDS; i++) {
		for (channel = 0; channel < channels; channel++)
			test_post(t, channel, nop, DEPTH);
		test_collect(t, c, channels * DEPTH);
	}
	test_kept(t);
}

static void dma_bits(struct test *t)
{
	char path[512], text[16] = "";
	struct pindma_info info;
	int fd;

	test_alloc(t);
	test_open(t);
	test_reg_mr(t);	/* which tries DMA, too */
	info = test_info(t);
	snprintf(path, sizeof(path), "%s/dma_mask_bits", device_dir(t));
	fd = open(path, O_RDONLY);
	CHECK(t, fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	if ((unsigned long)atol(text) != info.dma_bits)
		test_lost(t, "the kernel maps for %ld bits, the device has %u",
			  atol(text), info.dma_bits);
	test_kept(t);
}

const struct scenario driver_device_scenarios[] = {
	{
		.name = "driver.irq_mode",
		.promise = "the driver uses MSI-X if the device has it, else MSI, else INTx, and every channel's completions are told",
		.run = irq_mode,
	}, {
		.name = "driver.irq_load",
		.promise = "no completion gets lost when all channels complete at once",
		.run = irq_load,
	}, {
		.name = "driver.dma_bits",
		.promise = "memory is mapped to where the device can reach it",
		.run = dma_bits,
	},
	{ }
};
