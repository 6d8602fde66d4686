// SPDX-License-Identifier: GPL-2.0-only
/* What a program's traps become: signals that tell vector, error code and address rightly. */
#include "check.h"

enum {
	SIGILL = 4,
	SIGTRAP = 5,
	SIGFPE = 8,
	SIGSEGV = 11,
	SA_NODEFER = 0x40000000,
};

/* The frame of an i386 signal handler: the registers, as the kernel names them. */
struct context {
	uint32_t gs, fs, es, ds, di, si, bp, sp, bx, dx, cx, ax;
	uint32_t trap, error, ip, cs, flags, sp_at_signal, ss;
	uint32_t fpu, old_mask, cr2;
};

volatile struct fault fault;
static volatile uint32_t skip;

static void remember(int signal, struct context context)
{
	volatile struct context *in_frame = &context;

	fault.signal = signal;
	fault.trap = context.trap;
	fault.error = context.error;
	fault.address = context.cr2;
	in_frame->ip += skip;
}

void expect_fault(uint32_t length)
{
	fault.signal = 0;
	fault.trap = fault.error = ~0u;
	fault.address = 0;
	skip = length;
}

void handle_signal(int signal, void *handler)
{
	struct {
		void *handler;
		uint32_t mask, flags;
		void *restorer;
	} action = { handler, 0, SA_NODEFER, NULL };

	CALL3(SYS_SIGACTION, signal, &action, NULL);
}

static bool came(int signal, uint32_t trap)
{
	return fault.signal == signal && fault.trap == trap;
}

/* An instruction that must fault; its length, for going on behind it. */
#define TRY(length, instruction)                                                 \
	do {                                                                     \
		expect_fault(length);                                            \
		__asm__ volatile(instruction ::: "eax", "ecx", "edx", "memory"); \
	} while (0)

static void page_faults(void)
{
	TRY(2, "mov $0x10, %%eax; .byte 0x8b, 0x00");
	check(came(SIGSEGV, 14) && fault.address == 0x10 && fault.error == 4,
	      "a read where nothing is tells address and error");
	TRY(2, "mov $0xc0101000, %%eax; .byte 0x89, 0x00");
	check(came(SIGSEGV, 14) && fault.address == 0xc0101000, "the kernel is not a program's to write");
	TRY(2, "mov $0xffc01000, %%eax; .byte 0x8b, 0x00");
	check(came(SIGSEGV, 14) && fault.address == 0xffc01000, "nor the end of the address space to read");
}

static void forbidden(void)
{
	TRY(1, "hlt");
	check(came(SIGSEGV, 13), "hlt");
	TRY(1, "cli");
	check(came(SIGSEGV, 13), "cli");
	TRY(2, "in $0x64, %%al");
	check(came(SIGSEGV, 13), "in");
	TRY(3, "mov %%cr0, %%eax");
	check(came(SIGSEGV, 13), "a control register");
	TRY(3, "mov %%db6, %%eax");
	check(came(SIGSEGV, 13), "a debug register");
	TRY(2, "mov $0xffff, %%eax; mov %%eax, %%gs");
	check(fault.signal == SIGSEGV, "a selector that is none");
	TRY(2, "int $0x1f");
	check(came(SIGSEGV, 13), "the vector of hypercalls");
	TRY(2, "int $0x20");
	check(came(SIGSEGV, 13), "the vector of an interrupt");
	TRY(3, "xor %%eax, %%eax; vmcall");
	check(fault.signal == SIGILL || fault.signal == SIGSEGV, "vmcall");
}

void check_traps(void)
{
	static const int signals[] = { SIGILL, SIGTRAP, SIGFPE, SIGSEGV };

	for (uint32_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		handle_signal(signals[i], remember);
	page_faults();
	forbidden();
	TRY(0, "int3");
	check(came(SIGTRAP, 3), "int3");
	TRY(2, "ud2");
	check(came(SIGILL, 6), "ud2");
	TRY(2, "mov $1, %%eax; xor %%ecx, %%ecx; xor %%edx, %%edx; .byte 0xf7, 0xf1");
	check(came(SIGFPE, 0), "a division by zero");
	TRY(0, "int $4");
	check(came(SIGSEGV, 4), "int $4, the vector of an overflow");
	TRY(0, "pushf; orl $0x100, (%%esp); popf; nop; pushf; andl $~0x100, (%%esp); popf");
	check(came(SIGTRAP, 1), "a single step");
}
