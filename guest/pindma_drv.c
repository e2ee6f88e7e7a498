// SPDX-License-Identifier: GPL-2.0-only
/*
 * pindma: driver for a device that masters the bus whenever it likes
 *
 * A reference for drivers that give user memory to hardware: how pages are
 * pinned, charged and mapped (pindma_pin.c) and registered (pindma_mr.c), how
 * requests and completions go through rings (pindma_queue.c) and interrupts are
 * shared or not (pindma_irq.c), and in which order all that is taken down when
 * a process dies or the device goes away.
 *
 * The rule that everything else follows from: a page is unpinned only after
 * the device has confirmed that it will not access it any more, or was reset.
 */
#include <linux/dma-mapping.h>
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "pindma_compat.h"
#include "pindma_drv.h"

#define CREATE_TRACE_POINTS
#include "pindma_trace.h"

static DEFINE_IDA(pindma_ids);

static void pindma_dev_free(struct kref *ref)
{
	struct pindma_dev *pd = container_of(ref, struct pindma_dev, ref);

	ida_destroy(&pd->mr_ida);
	xa_destroy(&pd->demands);
	destroy_workqueue(pd->demand_wq);
	xa_destroy(&pd->ctxs);
	kfree(pd->misc.name);
	kvfree(pd);
}

void pindma_dev_put(struct pindma_dev *pd)
{
	kref_put(&pd->ref, pindma_dev_free);
}

/* Stop all DMA at once; when this returns the device has forgotten all mrs. */
void pindma_dev_reset(struct pindma_dev *pd)
{
	writel(PINDMA_CTRL_RESET, pd->regs + PINDMA_REG_CTRL);
	readl(pd->regs + PINDMA_REG_MAGIC);	/* flushes the posted write */
}

/*
 * Stop the device, which makes unpinning safe, and end the ops of all files.
 * Their system calls fail from now on.
 */
void pindma_dev_halt(struct pindma_dev *pd)
{
	int i;

	atomic_inc(&pd->resets);
	pindma_dev_reset(pd);
	/*
	 * Whoever sees this may unpin, so it comes after the reset: cmpxchg()
	 * is a barrier. Whoever has done more than this wins.
	 */
	cmpxchg(&pd->state, PINDMA_UP, PINDMA_FAILED);
	for (i = 0; i < PINDMA_NUM_QUEUES; i++)
		pindma_queue_flush(&pd->queues[i]);
	wake_up_all(&pd->dead_wait);
}

/* The device does not answer. */
void pindma_dev_fail(struct pindma_dev *pd, const char *why)
{
	dev_err(&pd->pdev->dev,
		"%s: halted; reset it (sysfs) or rebind the driver to go on\n",
		why);
	pindma_dev_halt(pd);
}

/*
 * The error of a system call on a device in this state. Whoever holds gone_sem
 * may touch the hardware if it is 0. If it is not, the device has been reset.
 */
int pindma_dev_status(struct pindma_dev *pd)
{
	/* Pairs with pindma_dev_halt() and pindma_remove(): the reset comes before this is seen. */
	switch (smp_load_acquire(&pd->state)) {
	case PINDMA_UP:
		return 0;
	case PINDMA_GONE:
		return -ENODEV;
	default:
		return -EIO;
	}
}

/* Is there something to be told? With gone_sem. */
bool pindma_dev_reachable(struct pindma_dev *pd)
{
	return READ_ONCE(pd->state) < PINDMA_AWAY;
}

/* A 64-bit register. The device may be counting it up meanwhile. */
u64 pindma_dev_read64(struct pindma_dev *pd, u32 reg)
{
#ifdef CONFIG_64BIT
	return readq(pd->regs + reg);
#else
	u32 high, low;

	/* Two halves: again if a carry came in between. */
	do {
		high = readl(pd->regs + reg + 4);
		low = readl(pd->regs + reg);
	} while (high != readl(pd->regs + reg + 4));
	return (u64)high << 32 | low;
#endif
}

/* Not atomic on a 32-bit kernel: two writes must not mix their halves. */
void pindma_dev_write64(struct pindma_dev *pd, u32 reg, u64 value)
{
#ifdef CONFIG_64BIT
	writeq(value, pd->regs + reg);
#else
	writel(upper_32_bits(value), pd->regs + reg + 4);
	writel(lower_32_bits(value), pd->regs + reg);	/* a mark acts now */
#endif
}

/* Map the BARs and find out whether we understand this device. */
static int pindma_map(struct pindma_dev *pd)
{
	struct pci_dev *pdev = pd->pdev;
	struct device *dev = &pdev->dev;
	int ret;

	ret = pcim_request_all_regions(pdev, "pindma");
	if (ret)
		return dev_err_probe(dev, ret, "the BARs are in use\n");
	pd->regs = pcim_iomap(pdev, PINDMA_BAR_REGS, PINDMA_BAR_REGS_SIZE);
	if (!pd->regs)
		return dev_err_probe(dev, -ENOMEM, "cannot map BAR %d\n",
				     PINDMA_BAR_REGS);
	if (readl(pd->regs + PINDMA_REG_MAGIC) != PINDMA_MAGIC)
		return dev_err_probe(dev, -ENODEV, "magic is 0x%x, not 0x%x\n",
				     readl(pd->regs + PINDMA_REG_MAGIC),
				     PINDMA_MAGIC);
	pd->version = readl(pd->regs + PINDMA_REG_VERSION);
	if (pd->version >> 16 != PINDMA_VERSION_MAJOR ||
	    (pd->version & 0xffff) < PINDMA_VERSION_MINOR)
		return dev_err_probe(dev, -ENODEV,
				     "version %u.%u of the device is not supported, only %u.%u and later ones of %u\n",
				     pd->version >> 16, pd->version & 0xffff,
				     PINDMA_VERSION_MAJOR, PINDMA_VERSION_MINOR,
				     PINDMA_VERSION_MAJOR);
	pd->caps = readl(pd->regs + PINDMA_REG_CAPS);
	pd->max_mrs = readl(pd->regs + PINDMA_REG_MAX_MRS);
	pd->max_pages = readl(pd->regs + PINDMA_REG_MAX_PAGES);
	pd->journal_entries = readl(pd->regs + PINDMA_REG_JOURNAL_ENTRIES);
	pd->dma_bits = readl(pd->regs + PINDMA_REG_DMA_BITS);
	if (!pd->max_mrs || !is_power_of_2(pd->max_mrs) ||
	    pd->dma_bits < PINDMA_PAGE_SHIFT || pd->dma_bits > 64 ||
	    (u64)pd->journal_entries * sizeof(struct pindma_journal_entry) >
	    pci_resource_len(pdev, PINDMA_BAR_JOURNAL))
		return dev_err_probe(dev, -ENODEV,
				     "impossible: %u mrs, %u journal entries, %u address bits\n",
				     pd->max_mrs, pd->journal_entries,
				     pd->dma_bits);
	pd->journal = pcim_iomap(pdev, PINDMA_BAR_JOURNAL, 0);
	if (!pd->journal)
		return dev_err_probe(dev, -ENOMEM, "cannot map BAR %d\n",
				     PINDMA_BAR_JOURNAL);
	return 0;
}

/*
 * Memory that the device cannot reach would be mapped through bounce buffers,
 * which are copied when the mr goes away, and not while it is in use.
 */
static int pindma_set_dma_mask(struct pindma_dev *pd)
{
	struct device *dev = &pd->pdev->dev;
	u64 mask = DMA_BIT_MASK(pd->dma_bits);
	int ret;

	ret = dma_set_mask_and_coherent(dev, mask);
	if (ret)
		return dev_err_probe(dev, ret, "no %u-bit DMA\n", pd->dma_bits);
	if (dma_get_required_mask(dev) > mask)
		return dev_err_probe(dev, -ENODEV,
				     "%u address bits do not reach all memory: an IOMMU, or less memory, is needed\n",
				     pd->dma_bits);
	dma_set_max_seg_size(dev, UINT_MAX);
	return 0;
}

/* No interrupt comes any more, and no op is on its way when this returns. */
static void pindma_free_queues(struct pindma_dev *pd)
{
	int i;

	pindma_irq_free(pd);
	for (i = 0; i < PINDMA_NUM_QUEUES; i++)
		pindma_queue_flush(&pd->queues[i]);
	/* Whoever waited for an answer to a command may still look at the ring. */
	mutex_lock(&pd->admin_lock);
	mutex_unlock(&pd->admin_lock);
	for (i = 0; i < PINDMA_NUM_QUEUES; i++)
		pindma_queue_free(&pd->queues[i]);
}

static int pindma_init_queues(struct pindma_dev *pd)
{
	int i, ret = 0;

	for (i = 0; i < PINDMA_NUM_QUEUES && !ret; i++)
		ret = pindma_queue_init(pd, i);
	if (!ret)
		ret = pindma_irq_init(pd);
	if (!ret)
		return 0;
	pindma_dev_reset(pd);
	while (i--)
		pindma_queue_free(&pd->queues[i]);
	return ret;
}

static struct pindma_dev *pindma_dev_alloc(struct pci_dev *pdev)
{
	struct pindma_dev *pd = kvzalloc(sizeof(*pd), GFP_KERNEL);
	static struct lock_class_key demands_class;

	if (!pd)
		return NULL;
	kref_init(&pd->ref);
	pd->pdev = pdev;
	ida_init(&pd->mr_ida);
	xa_init_flags(&pd->demands, XA_FLAGS_LOCK_IRQ);
	/* Interrupts take its lock. That of ctxs, of the same class else, they do not. */
	lockdep_set_class(&pd->demands.xa_lock, &demands_class);
	mutex_init(&pd->admin_lock);
	init_completion(&pd->admin_done);
	mutex_init(&pd->fault_lock);
	ratelimit_state_init(&pd->refusals, DEFAULT_RATELIMIT_INTERVAL,
			     DEFAULT_RATELIMIT_BURST);
	mutex_init(&pd->userq_lock);
	mutex_init(&pd->ctx_lock);
	xa_init_flags(&pd->ctxs, XA_FLAGS_ALLOC1);
	init_rwsem(&pd->gone_sem);
	init_waitqueue_head(&pd->dead_wait);
	pd->id = ida_alloc(&pindma_ids, GFP_KERNEL);
	if (pd->id < 0)
		goto err_free;
	pd->misc.minor = MISC_DYNAMIC_MINOR;
	pd->misc.fops = &pindma_fops;
	pd->misc.parent = &pdev->dev;
	pd->misc.name = kasprintf(GFP_KERNEL, "pindma%d", pd->id);
	if (!pd->misc.name)
		goto err_id;
	/* A fault may take as long as a disk does: unbound. */
	pd->demand_wq = alloc_workqueue("%s", WQ_UNBOUND, 0, pd->misc.name);
	if (!pd->demand_wq)
		goto err_name;
	return pd;

err_name:
	kfree(pd->misc.name);
err_id:
	ida_free(&pindma_ids, pd->id);
err_free:
	kvfree(pd);
	return NULL;
}

static int pindma_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct pindma_dev *pd = pindma_dev_alloc(pdev);
	int ret;

	if (!pd)
		return -ENOMEM;
	pci_set_drvdata(pdev, pd);
	ret = pcim_enable_device(pdev);
	if (ret) {
		dev_err_probe(&pdev->dev, ret, "cannot enable the device\n");
		goto err_put;
	}
	ret = pindma_map(pd);
	if (ret)
		goto err_put;
	/* Whatever it was doing, for firmware or a driver before us: stop it. */
	pindma_dev_reset(pd);
	ret = pindma_set_dma_mask(pd);
	if (ret)
		goto err_put;
	pci_set_master(pdev);
	ret = pindma_init_queues(pd);
	if (ret)
		goto err_master;
	ret = misc_register(&pd->misc);
	if (ret) {
		dev_err_probe(&pdev->dev, ret, "cannot register /dev/%s\n",
			      pd->misc.name);
		goto err_queues;
	}
	/* For pindma_slot_reset() */
	pci_save_state(pdev);
	pindma_debugfs_add(pd);
	if (num_possible_cpus() == 1)
		dev_warn(&pdev->dev,
			 "one CPU: QEMU's TCG may lose concurrent atomics, use -smp 2\n");
	dev_info(&pdev->dev, "/dev/%s: device %u.%u, up to %u mrs with %u pages\n",
		 pd->misc.name, pd->version >> 16, pd->version & 0xffff,
		 pd->max_mrs, pd->max_pages);
	return 0;

err_queues:
	pindma_dev_reset(pd);
	pindma_free_queues(pd);
err_master:
	pci_clear_master(pdev);
err_put:
	ida_free(&pindma_ids, pd->id);
	pindma_dev_put(pd);
	return ret;
}

/* Unbind, unplug or surprise removal, perhaps with files open and DMA running */
static void pindma_remove(struct pci_dev *pdev)
{
	struct pindma_dev *pd = pci_get_drvdata(pdev);
	struct pindma_ctx *ctx;
	unsigned long domain;

	pindma_debugfs_remove(pd);
	misc_deregister(&pd->misc);
	/* Files that are still open do not need the name: the next device may. */
	ida_free(&pindma_ids, pd->id);
	/*
	 * A device that was pulled out does not hear the reset, but neither does
	 * it DMA, nor answer: whoever waits for that holds the semaphore.
	 */
	pindma_dev_halt(pd);
	down_write(&pd->gone_sem);
	/* A queue may have been created meanwhile: once more. */
	pindma_dev_reset(pd);
	/* Whoever sees this may unpin, so it comes after the reset. */
	smp_store_release(&pd->state, PINDMA_GONE);
	up_write(&pd->gone_sem);
	pindma_free_queues(pd);
	wake_up_all(&pd->dead_wait);
	pci_clear_master(pdev);

	/* The mappings must go while there is a struct device to unmap from. */
	mutex_lock(&pd->ctx_lock);
	xa_for_each(&pd->ctxs, domain, ctx) {
		pindma_userq_release(ctx);
		pindma_ctx_release_mrs(ctx);
	}
	mutex_unlock(&pd->ctx_lock);
	pindma_dev_put(pd);
}

static const struct pci_device_id pindma_pci_ids[] = {
	{ PCI_DEVICE_SUB(PINDMA_VENDOR_ID, PINDMA_DEVICE_ID,
			 PINDMA_SUBSYSTEM_VENDOR_ID, PINDMA_SUBSYSTEM_ID) },
	{ }
};
MODULE_DEVICE_TABLE(pci, pindma_pci_ids);

static struct pci_driver pindma_driver = {
	.name		= "pindma",
	.id_table	= pindma_pci_ids,
	.probe		= pindma_probe,
	.remove		= pindma_remove,
	.err_handler	= &pindma_error_handlers,
	.driver.pm	= pm_sleep_ptr(&pindma_pm_ops),
};

static int __init pindma_init(void)
{
	int ret;

	pindma_debugfs_init();
	ret = pci_register_driver(&pindma_driver);
	if (ret)
		pindma_debugfs_exit();
	return ret;
}
module_init(pindma_init);

static void __exit pindma_exit(void)
{
	pci_unregister_driver(&pindma_driver);
	pindma_debugfs_exit();
}
module_exit(pindma_exit);

MODULE_DESCRIPTION("DMA into pinned user pages, at any time");
MODULE_LICENSE("GPL");
