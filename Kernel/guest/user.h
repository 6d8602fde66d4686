/* SPDX-License-Identifier: GPL-2.0-only */
/* User mode: where the user program lies, what it may ask for, and its entries. */
#ifndef GUEST_USER_H
#define GUEST_USER_H

#include "paging.h"

#define USER_TEXT 0x08048000
#define USER_STACK 0xbfff0000
#define USER_STACK_PAGES 4

#define USER_PRINT 1
#define USER_EXIT 2
#define USER_CALLS 3

/* The result of a program that trapped: this and the vector. */
#define USER_TRAPPED 0x80000000

/* An address space of its own with the user program in it. */
pte_t *user_space(void);
void user_space_free(pte_t *root);
uint32_t user_run_in(pte_t *root, void (*entry)(void), uint32_t argument);
/* Runs one entry in a fresh address space. */
uint32_t user_run(void (*entry)(void), uint32_t argument);

/* The entries, in userland.c; the argument comes in ebx. */
void user_hello(void);
void user_syscalls(void);
void user_counted(void);
void user_registers(void);
void user_nested(void);
void user_read(void);
void user_write(void);
void user_jump(void);
void user_cli(void);
void user_hypercall(void);
void user_vmcall(void);
void user_divide(void);
void user_breakpoint(void);
void user_fake_interrupt(void);
void user_sysenter(void);
void user_syscall_instruction(void);
void user_tls(void);
void user_fpu(void);
void user_spin(void);
void user_push(void);

#endif
