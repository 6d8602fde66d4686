// SPDX-License-Identifier: GPL-2.0-only
/* Traps in the kernel itself, instructions that the host emulates, and the FPU. */
#include "check.h"

static void breakpoint(void *argument)
{
	(void)argument;
	asm volatile("int3");
}

static void divide_by_zero(void *argument)
{
	(void)argument;
	asm volatile("divl %0" : : "r"(0), "a"(1), "d"(0));
}

static void undefined(void *argument)
{
	(void)argument;
	asm volatile("ud2");
}

static void bound(void *argument)
{
	static const int32_t limits[2] = { 0, 1 };

	(void)argument;
	asm volatile("boundl %0, %1" : : "r"(5), "m"(limits));
}

static void overflow(void *argument)
{
	(void)argument;
	asm volatile("movb $127, %%al\n\taddb $1, %%al\n\tinto" : : : "eax");
}

static void load_bad_selector(void *argument)
{
	asm volatile("movw %w0, %%gs" : : "r"(argument));
}

static void halt_instruction(void *argument)
{
	(void)argument;
	asm volatile("hlt");
}

static void single_step(void *argument)
{
	(void)argument;
	asm volatile("pushfl\n\torl $0x100, (%%esp)\n\tpopfl\n\tnop\n\tnop" : : : "memory");
}

static void read_control_register(void *argument)
{
	uint32_t value;

	(void)argument;
	asm volatile("movl %%cr0, %0" : "=r"(value));
}

static void wait_fpu(void *argument)
{
	(void)argument;
	asm volatile("fninit");
}

static void check_io(void)
{
	uint8_t byte = 0;
	uint16_t half = 0;
	uint32_t whole = 0;

	asm volatile("inb $0x64, %0" : "=a"(byte));
	asm volatile("inw %%dx, %0" : "=a"(half) : "d"(0x300));
	asm volatile("inl %%dx, %0" : "=a"(whole) : "d"(0xcf8));
	check(byte == 0xff && half == 0xffff && whole == 0xffffffff, "there is nothing at any port");
	asm volatile("movl $0x12345600, %%eax\n\tinb %%dx, %%al" : "=a"(whole) : "d"(0x64));
	check_equal(whole, 0x123456ff, "a byte from a port changes a byte");
	asm volatile("outb %%al, $0x21\n\toutb %%al, %%dx\n\toutl %%eax, %%dx" : : "a"(0), "d"(0xa1));
	asm volatile("cli\n\tnop");
	check(true, "out and cli do nothing");
}

static void check_fpu(void)
{
	uint32_t before = trap_counts[7], value = 12345, back = 0;

	hypercall(HCALL_TS, 1, 0, 0, 0);
	check_trap(wait_fpu, NULL, 7, 0, "the FPU traps while TS is set");
	check_equal(trap_counts[7], before + 1, "once");
	hypercall(HCALL_TS, 0, 0, 0, 0);
	asm volatile("fninit\n\tfildl %0" : : "m"(value));
	sleep_milliseconds(5);
	asm volatile("fistpl %0" : "=m"(back));
	check_equal(back, value, "the FPU keeps its numbers while the guest sleeps");
}

static void check_sse(void)
{
	static const uint32_t pattern[4] __attribute__((aligned(16))) = { 1, 2, 3, 0xdeadbeef };
	static uint32_t back[4] __attribute__((aligned(16)));
	uint32_t eax = 1, ebx, ecx = 0, edx;

	asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	if (!(edx & 1 << 26))
		return;
	asm volatile("movaps %0, %%xmm5" : : "m"(pattern));
	sleep_milliseconds(5);
	asm volatile("movaps %%xmm5, %0" : "=m"(back));
	check(memcmp(pattern, back, sizeof(pattern)) == 0, "and so do the SSE registers");
}

void check_traps(void)
{
	check_trap(breakpoint, NULL, 3, 0, "int3");
	check_trap(divide_by_zero, NULL, 0, 0, "division by zero");
	check_trap(undefined, NULL, 6, 0, "an undefined instruction");
	check_trap(bound, NULL, 5, 0, "bound");
	check_trap(overflow, NULL, 4, 0, "into");
	check_trap(load_bad_selector, (void *)0xf8, 13, 0xf8, "a selector without a descriptor");
	check_trap(load_bad_selector, (void *)0x44, 13, 0x44, "a selector of the local table");
	check_trap(halt_instruction, NULL, 13, 0, "hlt");
	check_trap(read_control_register, NULL, 13, 0, "a control register");
	check_trap(single_step, NULL, 1, 0, "single step");
	check_io();
	check_fpu();
	check_sse();
}
