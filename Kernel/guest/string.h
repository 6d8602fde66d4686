/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory and strings; the compiler itself calls the first four. */
#ifndef GUEST_STRING_H
#define GUEST_STRING_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *text);
/* Where `prefix` ends in `text`, or NULL if the text does not begin with it. */
const char *after_prefix(const char *text, const char *prefix);
/* A decimal or, after 0x, hexadecimal number. */
uint32_t number(const char *text);
/* i386 has no 64-bit division of its own. */
uint64_t divide(uint64_t dividend, uint32_t divisor);

/* %d %u %x %c %s %%, a width with or without leading zeros, %U for uint64_t. */
size_t format(char *to, size_t size, const char *form, va_list arguments);

#endif
