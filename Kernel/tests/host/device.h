/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of the device's test. */
#ifndef DEVICE_H
#define DEVICE_H

#include <stdbool.h>
#include <sys/types.h>

void check(bool holds, const char *title);
/* Whether a system call failed with that errno. */
bool gives(ssize_t result, int error);

/* device_signals.c */
/* A signal each so many milliseconds; 0 ends them. */
void alarm_each(unsigned int milliseconds);
void signals(void);
void used_time(void);

/* device_memory.c */
/* A guest that notifies 0x5000, writes into each page of its memory, and notifies 0x6000. */
struct raw *toucher(void);
void memory_taken_away(void);
void memory_changed(void);
void memory_cut(void);
void memory_kinds(void);
void memory_holes(void);
void memory_in_parts(void);
void memory_accounted(void);
void memory_limited(void);

/* device_others.c */
/* What this program does when it has taken another one's place: looks whether it may run the guest. */
void after_exec(int fd);
void orphan(void);
void other_program(void);
void other_threads(void);
void heir(void);

#endif
