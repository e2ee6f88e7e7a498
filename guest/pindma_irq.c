// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts: with MSI-X each queue has a vector of its own; with MSI, and with
 * INTx, there is one for all, and a register tells whose it is.
 *
 * What an interrupt says is only "look at the ring". One too many finds nothing
 * there; one that gets lost is made up for by the next.
 */
#include <linux/bitops.h>
#include <linux/interrupt.h>

#include "pindma_compat.h"
#include "pindma_drv.h"

static irqreturn_t pindma_irq_queue(int irq, void *data)
{
	struct pindma_queue *q = data;

	atomic_long_inc(&q->pd->interrupts);
	pindma_queue_scan(q);
	return IRQ_HANDLED;	/* the vector is ours alone, whatever it meant */
}

static irqreturn_t pindma_irq_shared(int irq, void *data)
{
	struct pindma_dev *pd = data;
	unsigned long news;
	unsigned int nr;
	u32 intr;

	if (!pindma_dev_reachable(pd))
		return IRQ_NONE;
	intr = readl(pd->regs + PINDMA_REG_INTR);
	news = intr;
	/* Not ours; or the device is gone, and nothing can be read any more. */
	if (!intr || intr == U32_MAX)
		return IRQ_NONE;
	/*
	 * First acknowledge, then look: a cqe that comes after the look sets
	 * its bit again. The other way round that bit could be cleared unseen.
	 */
	writel(intr, pd->regs + PINDMA_REG_INTR);
	atomic_long_inc(&pd->interrupts);
	for_each_set_bit(nr, &news, PINDMA_NUM_QUEUES)
		pindma_queue_scan(&pd->queues[nr]);
	return IRQ_HANDLED;
}

static unsigned int pindma_irq_count(struct pindma_dev *pd)
{
	return pd->irq_mode == PINDMA_IRQ_MSIX ? PINDMA_NUM_QUEUES : 1;
}

static void *pindma_irq_data(struct pindma_dev *pd, unsigned int nr)
{
	return pd->irq_mode == PINDMA_IRQ_MSIX ? (void *)&pd->queues[nr] : pd;
}

static int pindma_irq_vectors(struct pindma_dev *pd)
{
	struct pci_dev *pdev = pd->pdev;
	int ret;

	ret = pci_alloc_irq_vectors(pdev, PINDMA_NUM_QUEUES, PINDMA_NUM_QUEUES,
				    PCI_IRQ_MSIX);
	if (ret > 0) {
		pd->irq_mode = PINDMA_IRQ_MSIX;
		return 0;
	}
	ret = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI | PCI_IRQ_INTX);
	if (ret < 0)
		return dev_err_probe(&pdev->dev, ret,
				     "neither MSI-X nor MSI nor INTx\n");
	pd->irq_mode = pdev->msi_enabled ? PINDMA_IRQ_MSI : PINDMA_IRQ_INTX;
	dev_warn(&pdev->dev, "no %d MSI-X vectors: all queues share one %s\n",
		 PINDMA_NUM_QUEUES, pdev->msi_enabled ? "MSI" : "INTx");
	return 0;
}

/* The queues are there: an interrupt may come from now on. */
int pindma_irq_init(struct pindma_dev *pd)
{
	struct pci_dev *pdev = pd->pdev;
	unsigned int nr;
	int ret;

	ret = pindma_irq_vectors(pd);
	if (ret)
		return ret;
	for (nr = 0; nr < pindma_irq_count(pd); nr++) {
		ret = request_irq(pci_irq_vector(pdev, nr),
				  pd->irq_mode == PINDMA_IRQ_MSIX ?
				  pindma_irq_queue : pindma_irq_shared,
				  pd->irq_mode == PINDMA_IRQ_INTX ?
				  IRQF_SHARED : 0,
				  pd->misc.name, pindma_irq_data(pd, nr));
		if (ret) {
			dev_err_probe(&pdev->dev, ret, "no interrupt %d\n",
				      pci_irq_vector(pdev, nr));
			goto err_irqs;
		}
	}
	return 0;

err_irqs:
	while (nr--)
		free_irq(pci_irq_vector(pdev, nr), pindma_irq_data(pd, nr));
	pci_free_irq_vectors(pdev);
	return ret;
}

void pindma_irq_free(struct pindma_dev *pd)
{
	unsigned int nr;

	for (nr = 0; nr < pindma_irq_count(pd); nr++)
		free_irq(pci_irq_vector(pd->pdev, nr), pindma_irq_data(pd, nr));
	pci_free_irq_vectors(pd->pdev);
}
