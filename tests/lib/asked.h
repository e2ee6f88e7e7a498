/* SPDX-License-Identifier: GPL-2.0-only */
/* What the runner wants of asked.c. */
#ifndef ASKED_H
#define ASKED_H

void asked_start(void);
void asked_end(const char *name);

#endif /* ASKED_H */
