/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's names that the module's pure files use, for user space. */
#ifndef UNIT_COMPAT_H
#define UNIT_COMPAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;

#define BIT(n) (1ul << (n))
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
