/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lguest interface as a guest sees it: hypercalls, the page that guest and host share, the
 * selectors and vectors that have a meaning.
 */
#ifndef GUEST_LGUEST_H
#define GUEST_LGUEST_H

#define PAGE_OFFSET 0xc0000000
#define PAGE_SIZE 4096

/* Selectors. The kernel runs at ring 1. */
#define KERNEL_CS 0x61
#define KERNEL_DS 0x69
#define USER_CS 0x73
#define USER_DS 0x7b

#define GDT_ENTRIES 32
#define IDT_ENTRIES 256
#define FIRST_IRQ_VECTOR 0x20
#define IRQS 32
#define TIMER_IRQ 0
#define SYSCALL_VECTOR 0x80
#define HYPERCALL_VECTOR 0x1f

#define EFLAGS_IF 0x200

/* Hypercalls: number in eax, arguments in ebx, ecx, edx, esi. */
#define HCALL_FLUSH_ASYNC 0
#define HCALL_LGUEST_INIT 1
#define HCALL_SHUTDOWN 2
#define HCALL_NEW_PGTABLE 4
#define HCALL_FLUSH_TLB 5
#define HCALL_LOAD_IDT_ENTRY 6
#define HCALL_SET_STACK 7
#define HCALL_TS 8
#define HCALL_SET_CLOCKEVENT 9
#define HCALL_HALT 10
#define HCALL_SET_PMD 13
#define HCALL_SET_PTE 14
#define HCALL_SET_PGD 15
#define HCALL_LOAD_TLS 16
#define HCALL_NOTIFY 17
#define HCALL_LOAD_GDT_ENTRY 18
#define HCALL_SEND_INTERRUPTS 19

#define SHUTDOWN_POWEROFF 1
#define SHUTDOWN_RESTART 2

#define RING_SLOTS 64
#define SLOT_DONE 0xff
#define SLOT_READY 0

#ifndef __ASSEMBLER__
#include <stdint.h>

struct lguest_data {
	uint32_t irq_enabled; /* 0 or EFLAGS_IF */
	uint32_t blocked_interrupts;
	uint32_t cr2;
	uint32_t seconds;
	uint32_t nanoseconds;
	uint32_t irq_pending;
	uint8_t hcall_status[RING_SLOTS];
	uint32_t hcalls[RING_SLOTS][5];
	uint32_t reserve_mem;
	uint32_t tsc_khz;
	/* Linux 2.6.31 has pgdir first; Linux 3.2 has no pgdir, and the rest moves up. */
	uint32_t tail[5];
};

enum tail_field { NOIRQ_START, NOIRQ_END, KERNEL_ADDRESS, SYSCALL_VEC };

extern volatile struct lguest_data lguest_data;

/* `int $0x1f`. */
void hypercall(uint32_t number, uint32_t a, uint32_t b, uint32_t c, uint32_t d);
/* `vmcall`, which the host patches into the above at its first use. */
void hypercall_vmcall(uint32_t number, uint32_t a, uint32_t b, uint32_t c, uint32_t d);
/* One slot of the asynchronous ring; a direct call when the ring is full. */
void hypercall_async(uint32_t number, uint32_t a, uint32_t b, uint32_t c, uint32_t d);
#endif

#endif
