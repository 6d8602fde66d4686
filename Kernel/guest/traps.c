// SPDX-License-Identifier: GPL-2.0-only
/*
 * Traps: the IDT, and where each goes. A trap that a test provokes on purpose is caught by probe();
 * one of user mode ends the user program; any other is a defect, and the guest says so and dies.
 */
#include "guest.h"

#define INTERRUPT_GATE 0x8e00
#define INTERRUPT_GATE_USER 0xee00
#define TRAP_GATE_USER 0xef00
#define TASK_GATE 0x8500

#define EFLAGS_TF 0x0100
#define EFLAGS_NT 0x4000

#define TRAP_STACK_PAGES 2

extern const uint8_t trap_stubs[], probe_trapped[], syscall_entry[];

struct probe_result probe_result;
uint32_t probe_stack;
uint32_t faults_ignored;
bool interrupted_user;
volatile uint32_t trap_counts[IDT_ENTRIES];

static uint8_t trap_stack[TRAP_STACK_PAGES * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

void gate(uint32_t vector, const void *handler, uint32_t type)
{
	uint32_t address = (uint32_t)handler;

	hypercall(HCALL_LOAD_IDT_ENTRY, vector, KERNEL_CS << 16 | (address & 0xffff),
		  (address & 0xffff0000) | type, 0);
}

void traps_init(void)
{
	for (uint32_t vector = 0; vector < IDT_ENTRIES; vector++)
		gate(vector, trap_stubs + 16 * vector, INTERRUPT_GATE);
	gate(3, trap_stubs + 16 * 3, INTERRUPT_GATE_USER);
	gate(4, trap_stubs + 16 * 4, INTERRUPT_GATE_USER);
	/* As Linux does; the host is to ignore it. */
	gate(8, NULL, TASK_GATE);
	gate(SYSCALL_VECTOR, syscall_entry, TRAP_GATE_USER);
	hypercall(HCALL_SET_STACK, KERNEL_DS, (uint32_t)(trap_stack + sizeof(trap_stack)),
		  TRAP_STACK_PAGES, 0);
}

static bool from_user(const struct frame *frame)
{
	return (frame->cs & 3) == 3;
}

void trap(struct frame *frame)
{
	uint32_t vector = frame->vector;

	trap_counts[vector]++;
	if (vector >= FIRST_IRQ_VECTOR && vector < FIRST_IRQ_VECTOR + IRQS) {
		interrupted_user = from_user(frame);
		interrupt_arrived(vector - FIRST_IRQ_VECTOR);
		return;
	}
	if (vector == SYSCALL_VECTOR && from_user(frame)) {
		frame->eax = user_syscall(frame);
		return;
	}
	probe_result = (struct probe_result){ vector, frame->error, lguest_data.cr2, frame->eip,
					      frame->eflags };
	if (from_user(frame)) {
		if (vector == 14 && faults_ignored) {
			faults_ignored--;
			return;
		}
		interrupts_on();
		leave_user(0x80000000 | vector);
	}
	if (!probe_stack)
		panic("trap %u, error %x, at %x, cr2 %x", vector, frame->error, frame->eip,
		      lguest_data.cr2);
	frame->eip = (uint32_t)probe_trapped;
	frame->cs = KERNEL_CS;
	frame->eflags &= ~(EFLAGS_TF | EFLAGS_NT);
}

void read_word(void *address)
{
	(void)*(volatile uint32_t *)address;
}

void write_word(void *address)
{
	*(volatile uint32_t *)address = 0x600d;
}

void run_at(void *address)
{
	((void (*)(void))address)();
}
