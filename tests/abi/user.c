// SPDX-License-Identifier: GPL-2.0-only
/* A user of the installed library: valid C and C++. Not even a device is there. */
#include <errno.h>
#include <pindma.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	struct pindma *handle = NULL;
	int ret = pindma_open("/nonexistent", &handle);

	pindma_close(handle);
	if (ret != -ENOENT || strcmp(pindma_status_string(PINDMA_ST_OK), "ok") ||
	    strcmp(pindma_status_string(12345), "unknown status")) {
		printf("pindma_open: %d\n", ret);
		return 1;
	}
	return 0;
}
