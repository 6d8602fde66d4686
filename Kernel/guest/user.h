/* SPDX-License-Identifier: GPL-2.0-only */
/* User mode: where the user program lies and what it may ask for. */
#ifndef GUEST_USER_H
#define GUEST_USER_H

#include "paging.h"

#define USER_TEXT 0x08048000
#define USER_STACK 0xbfff0000
#define USER_STACK_PAGES 4

#define USER_NOTHING 0
#define USER_PRINT 1
#define USER_EXIT 2
#define USER_CALLS 3

/* Results of user_run for a program that trapped: this and the vector. */
#define USER_TRAPPED 0x80000000

/* An address space of its own with the user program in it. */
pte_t *user_space(void);
void user_space_free(pte_t *root);
uint32_t user_run_in(pte_t *root, uint32_t entry, uint32_t argument);

/* Entries of the user program, userland.c; the argument comes in ebx. */
void user_hello(void);

#endif
