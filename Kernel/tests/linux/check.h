/* SPDX-License-Identifier: GPL-2.0-only */
/* The checks of a real Linux guest, each told when it fails. */
#ifndef LINUX_CHECK_H
#define LINUX_CHECK_H

#include "system.h"

/* What the last signal told; check_traps.c fills it. */
struct fault {
	int signal;
	uint32_t trap;
	uint32_t error;
	uint32_t address;
};

extern volatile struct fault fault;

void check(bool holds, const char *title);
/* Forgets the last signal. The next one goes on `length` bytes after where it came. */
void expect_fault(uint32_t length);
/* The handler gets its arguments as the kernel puts them on the stack. */
void handle_signal(int signal, void *handler);

void check_traps(void);
void check_memory(void);
void check_processes(void);
void check_devices(void);

#endif
