// SPDX-License-Identifier: GPL-2.0-only
/*
 * What stops the device for a while: a reset that others ask for (sysfs, a VM
 * that it was passed to), an error that the bus reports, and the sleep of the
 * whole machine.
 *
 * All have the same shape, and <linux/pindma.h> says what users see of it: before,
 * the device is made quiet and all ops end; afterwards it is told of the mrs again,
 * which have stayed pinned and mapped. In between its registers are not touched,
 * and whoever closes a file may unpin: the device has been reset.
 */
#include <linux/pci.h>

#include "pindma_compat.h"
#include "pindma_drv.h"

/* When this returns there is no DMA, and nobody touches the registers any more. */
static void pindma_stop(struct pindma_dev *pd)
{
	if (READ_ONCE(pd->state) == PINDMA_AWAY)
		return;
	/* First, because commands that get no answer hold the semaphore. */
	pindma_dev_halt(pd);
	down_write(&pd->gone_sem);
	/* A queue may have been created meanwhile: once more. */
	pindma_dev_reset(pd);
	/*
	 * The link may be in a state in which the device does not hear the reset.
	 * Nor does it hear this, but then a bridge stands before it that does.
	 */
	pci_clear_master(pd->pdev);
	WRITE_ONCE(pd->state, PINDMA_AWAY);
	pindma_userq_cut_off(pd);
	up_write(&pd->gone_sem);
}

static int pindma_restart_mrs(struct pindma_dev *pd)
{
	struct pindma_ctx *ctx;
	struct pindma_mr *mr;
	unsigned long domain, key;
	int ret = 0;

	mutex_lock(&pd->ctx_lock);
	xa_for_each(&pd->ctxs, domain, ctx) {
		mutex_lock(&ctx->mr_lock);
		xa_for_each(&ctx->mrs, key, mr) {
			if (mr->ops->lost)
				mr->ops->lost(mr);
			ret = pindma_mr_register(mr);
			if (ret)
				break;
		}
		mutex_unlock(&ctx->mr_lock);
		if (ret)
			break;
	}
	mutex_unlock(&pd->ctx_lock);
	return ret;
}

/* The device is back, as new, and has its configuration space. */
static void pindma_restart(struct pindma_dev *pd)
{
	u32 magic;
	int i, ret;

	down_write(&pd->gone_sem);
	if (pd->state != PINDMA_AWAY)
		goto out;
	magic = readl(pd->regs + PINDMA_REG_MAGIC);
	if (magic != PINDMA_MAGIC) {
		dev_err(&pd->pdev->dev, "magic is 0x%x, not 0x%x\n", magic,
			PINDMA_MAGIC);
		WRITE_ONCE(pd->state, PINDMA_FAILED);
		pindma_dev_fail(pd, "the device did not come back");
		goto out;
	}
	pindma_dev_reset(pd);
	pci_set_master(pd->pdev);
	pci_save_state(pd->pdev);	/* for pindma_slot_reset() */
	for (i = 0; i < PINDMA_NUM_QUEUES; i++)
		pindma_queue_restart(&pd->queues[i]);
	/*
	 * Now commands get there. Those of invalidations do not ask for gone_sem;
	 * users do, and wait until we are done.
	 */
	smp_store_release(&pd->state, PINDMA_UP);
	ret = pindma_restart_mrs(pd);
	if (ret) {
		dev_err(&pd->pdev->dev, "an mr cannot be registered again: %d\n",
			ret);
		pindma_dev_fail(pd, "mrs were lost");
	}
out:
	up_write(&pd->gone_sem);
}

/* ------------------------------------------------------------------- resets */

static void pindma_reset_prepare(struct pci_dev *pdev)
{
	pindma_stop(pci_get_drvdata(pdev));
}

static void pindma_reset_done(struct pci_dev *pdev)
{
	pindma_restart(pci_get_drvdata(pdev));
}

/* ------------------------------------------------------------------- errors */

/*
 * An error that is not fatal has hit one transaction, of which the device tells in
 * a completion. After others the link cannot be relied on: it is to be reset.
 */
static pci_ers_result_t pindma_error_detected(struct pci_dev *pdev,
					      pci_channel_state_t state)
{
	if (state == pci_channel_io_normal)
		return PCI_ERS_RESULT_CAN_RECOVER;
	dev_warn(&pdev->dev, "a fatal error: all ops end\n");
	pindma_stop(pci_get_drvdata(pdev));
	return state == pci_channel_io_frozen ? PCI_ERS_RESULT_NEED_RESET :
						PCI_ERS_RESULT_DISCONNECT;
}

/* The link was reset, and with it the device, perhaps on behalf of another one. */
static pci_ers_result_t pindma_slot_reset(struct pci_dev *pdev)
{
	pindma_stop(pci_get_drvdata(pdev));
	pci_restore_state(pdev);
	return PCI_ERS_RESULT_RECOVERED;
}

static void pindma_resume(struct pci_dev *pdev)
{
	pindma_restart(pci_get_drvdata(pdev));
}

const struct pci_error_handlers pindma_error_handlers = {
	.reset_prepare	= pindma_reset_prepare,
	.reset_done	= pindma_reset_done,
	.error_detected	= pindma_error_detected,
	.slot_reset	= pindma_slot_reset,
	.resume		= pindma_resume,
};

/* -------------------------------------------------------------------- sleep */

/* Processes do not run meanwhile, but the device would. */
static int pindma_sleep(struct device *dev)
{
	pindma_stop(dev_get_drvdata(dev));
	return 0;
}

static int pindma_wake(struct device *dev)
{
	pindma_restart(dev_get_drvdata(dev));
	return 0;
}

DEFINE_SIMPLE_DEV_PM_OPS(pindma_pm_ops, pindma_sleep, pindma_wake);
