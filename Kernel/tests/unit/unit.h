/* SPDX-License-Identifier: GPL-2.0-only */
/* Unit tests of the module's pure source files, in user space: the checks and the guest memory. */
#ifndef UNIT_H
#define UNIT_H

#include "pure.h"

#define GUEST_BYTES (64u * 4096u)

/* The memory behind lg_read_phys() and lg_write_phys(); accesses outside of it are refused. */
struct lguest {
	_Alignas(8) u8 memory[GUEST_BYTES];
	u32 reads, writes;
};

void check(bool holds, const char *title);
/* For what is tried very often: counted as one check, whose failure is told once. */
void check_all(u32 failures, const char *title);
u32 random_word(void);

void put32(struct lguest *lg, u32 gpa, u32 value);
u32 get32(struct lguest *lg, u32 gpa);
struct lguest *fresh_guest(void);

void test_descriptor(void);
void test_emulate(void);
void test_frame(void);
void test_ring(void);
void test_walk(void);

#endif
