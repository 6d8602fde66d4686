/* SPDX-License-Identifier: GPL-2.0-only */
/* The virtio console. */
#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include <stddef.h>

void console_init(void);
void console_write(const char *text, size_t bytes);
/* Sleeps until a byte is typed. */
char console_read(void);

#endif
