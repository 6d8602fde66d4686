/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's test of itself and its host: one file a subject, one line a check. */
#ifndef GUEST_CHECK_H
#define GUEST_CHECK_H

#include "guest.h"

void check(bool holds, const char *title);
/* As check, and shows the two numbers when they differ. */
void check_equal(uint32_t seen, uint32_t wanted, const char *title);
/* Calls body(argument), which is to trap so. */
void check_trap(void (*body)(void *), void *argument, uint32_t vector, uint32_t error,
		const char *title);

void check_boot(void);
void check_hypercalls(void);
void check_paging(void);
void check_traps(void);
void check_interrupts(void);
void check_user(void);
void check_devices(void);

#endif
