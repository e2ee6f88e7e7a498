/* SPDX-License-Identifier: GPL-2.0-only */
/* How a case tells the runner its outcome: memory that both share. */
#ifndef RESULT_H
#define RESULT_H

#include "test.h"

struct result {
	enum outcome outcome;
	bool faults;		/* the device was told to misbehave */
	char reason[256];
	char tolerated[64];
	size_t notes_len;
	char notes[16384];	/* lines */
};

extern struct result *result;

#endif /* RESULT_H */
