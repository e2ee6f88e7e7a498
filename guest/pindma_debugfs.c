// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/pindma/pindmaN/counters: a name and a number a line
 *
 *	mrs		registered now, of all files
 *	pages		in them
 *	posted		ops, of all files, since the driver was bound
 *	completed	those that have ended, however
 *	commands	the driver's own, to register and deregister mrs
 *	interrupts
 *	resets		of the device: after a time-out, or by others
 *
 * What a process posts to a queue of its own the driver does not see. More about
 * the device is in PINDMA_IOC_INFO: faults, and accesses to deregistered mrs.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "pindma_drv.h"

static struct dentry *pindma_debugfs_root;

static int counters_show(struct seq_file *m, void *unused)
{
	struct pindma_dev *pd = m->private;
	u64 posted = 0, completed = 0, commands = 0;
	struct pindma_queue *q;
	int nr;

	for (nr = 0; nr < PINDMA_NUM_QUEUES; nr++) {
		q = &pd->queues[nr];
		spin_lock_irq(&q->lock);
		if (nr == PINDMA_QUEUE_ADMIN) {
			commands = q->generation;
		} else {
			/* Each has a tag of its own. */
			posted += q->generation;
			completed += q->generation -
				     (PINDMA_MAX_REQS - q->num_free);
		}
		spin_unlock_irq(&q->lock);
	}
	seq_printf(m, "mrs %d\n", atomic_read(&pd->num_mrs));
	seq_printf(m, "pages %ld\n", atomic_long_read(&pd->num_pages));
	seq_printf(m, "posted %llu\n", posted);
	seq_printf(m, "completed %llu\n", completed);
	seq_printf(m, "commands %llu\n", commands);
	seq_printf(m, "interrupts %ld\n", atomic_long_read(&pd->interrupts));
	seq_printf(m, "resets %d\n", atomic_read(&pd->resets));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

void pindma_debugfs_add(struct pindma_dev *pd)
{
	pd->debugfs = debugfs_create_dir(pd->misc.name, pindma_debugfs_root);
	debugfs_create_file("counters", 0400, pd->debugfs, pd, &counters_fops);
}

/* Nobody reads any more when this returns. */
void pindma_debugfs_remove(struct pindma_dev *pd)
{
	debugfs_remove_recursive(pd->debugfs);
}

void pindma_debugfs_init(void)
{
	pindma_debugfs_root = debugfs_create_dir("pindma", NULL);
}

void pindma_debugfs_exit(void)
{
	debugfs_remove_recursive(pindma_debugfs_root);
}
