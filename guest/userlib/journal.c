// SPDX-License-Identifier: MIT
/* The device's own record of what it did, and what it is told to do wrong. */
#include "libpindma.h"

int pindma_read_journal(struct pindma *handle, uint64_t *first,
			struct pindma_journal_entry *entries, uint32_t nr,
			uint64_t *newest)
{
	struct pindma_journal arg = {
		.size = sizeof(arg),
		.nr = nr,
		.first = *first,
		.entries = (uintptr_t)entries,
	};
	int ret = pindma_ioctl(handle, PINDMA_IOC_JOURNAL, &arg);

	if (ret)
		return ret;
	*first = arg.first;
	if (newest)
		*newest = arg.newest;
	return (int)arg.nr;
}

int pindma_mark(struct pindma *handle, uint32_t channel, uint64_t value)
{
	struct pindma_mark arg = {
		.size = sizeof(arg),
		.channel = channel,
		.value = value,
	};

	return pindma_ioctl(handle, PINDMA_IOC_MARK, &arg);
}

int pindma_fault(struct pindma *handle, const struct pindma_fault *fault)
{
	struct pindma_fault arg = *fault;

	arg.size = sizeof(arg);
	return pindma_ioctl(handle, PINDMA_IOC_FAULT, &arg);
}
