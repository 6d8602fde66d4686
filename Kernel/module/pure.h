/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For the parts that think and touch no hardware: walk.c, descriptor.c,
 * frame.c, emulate.c, ring.c.  They are compiled a second time in user space
 * by unit tests, which bring a compat.h with the kernel's names and guest
 * memory of their own.
 */
#ifndef LG_PURE_H
#define LG_PURE_H

#ifdef __KERNEL__
#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/types.h>
#else
#include "compat.h"
#endif

struct lguest;

/* Guest-physical memory; false when any of it lies outside of the guest. */
bool lg_read_phys(struct lguest *lg, u32 gpa, void *buf, u32 len);
bool lg_write_phys(struct lguest *lg, u32 gpa, const void *buf, u32 len);

#endif
