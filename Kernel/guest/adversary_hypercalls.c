// SPDX-License-Identifier: GPL-2.0-only
/* Hypercalls with arguments that are out of all bounds. */
#include "adversary.h"
#include "user.h"

static void unknown(void)
{
	hypercall(42, 0, 0, 0, 0);
}

static void unknown_huge(void)
{
	hypercall(0xffffffff, 0, 0, 0, 0);
}

static void old_call(void)
{
	hypercall(3, 0, 0, 0, 0);
}

static void init_twice(void)
{
	hypercall(HCALL_LGUEST_INIT, physical(&lguest_data), 0, 0, 0);
}

static void init_by_ring(void)
{
	hypercall_async(HCALL_LGUEST_INIT, physical(&lguest_data), 0, 0, 0);
	hypercall(HCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

static void unknown_by_ring(void)
{
	for (uint32_t i = 0; i < RING_SLOTS; i++)
		hypercall_async(1000 + i, random(), random(), random(), random());
	hypercall(HCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

static void shutdown_outside(void)
{
	hypercall(HCALL_SHUTDOWN, 0xfffffff0, SHUTDOWN_POWEROFF, 0, 0);
}

static void shutdown_unknown(void)
{
	hypercall(HCALL_SHUTDOWN, physical("an unknown reason"), 77, 0, 0);
}

/* A message without an end, of bytes that a terminal would mind. */
static void shutdown_noise(void)
{
	uint8_t *page = page_alloc();

	memset(page, 0x1b, PAGE_SIZE);
	hypercall(HCALL_SHUTDOWN, physical(page), SHUTDOWN_POWEROFF, 0, 0);
}

static void stack_segment(void)
{
	hypercall(HCALL_SET_STACK, USER_DS, PAGE_OFFSET + 0x200000, 1, 0);
}

static void stack_host_segment(void)
{
	hypercall(HCALL_SET_STACK, 0x18, PAGE_OFFSET + 0x200000, 1, 0);
}

static void stack_pages(void)
{
	hypercall(HCALL_SET_STACK, KERNEL_DS, PAGE_OFFSET + 0x200000, 1000, 0);
}

/* Stacks that are not there when a trap of user mode needs them. */
static void stack_unmapped(void)
{
	hypercall(HCALL_SET_STACK, KERNEL_DS, 0xe8000000, 2, 0);
	user_run(user_divide, 0);
}

static void stack_unmapped_syscall(void)
{
	hypercall(HCALL_SET_STACK, KERNEL_DS, 0xe8000000, 2, 0);
	user_run(user_syscalls, 1);
}

static void stack_at_zero(void)
{
	hypercall(HCALL_SET_STACK, KERNEL_DS, 0, 2, 0);
	user_run(user_syscalls, 1);
}

static void stack_in_top(void)
{
	hypercall(HCALL_SET_STACK, KERNEL_DS, 0xfffff000, 2, 0);
	user_run(user_syscalls, 1);
}

/* A stack that user mode can write is the guest's own affair. */
static void stack_in_user(void)
{
	pte_t *root = user_space();

	hypercall(HCALL_SET_STACK, KERNEL_DS, USER_STACK - PAGE_SIZE, 2, 0);
	user_run_in(root, user_syscalls, 1000);
}

static void idt_type(void)
{
	hypercall(HCALL_LOAD_IDT_ENTRY, 0x21, KERNEL_CS << 16, PAGE_OFFSET | 0xec00, 0);
}

static void idt_range(void)
{
	hypercall(HCALL_LOAD_IDT_ENTRY, 256, KERNEL_CS << 16, PAGE_OFFSET | 0x8e00, 0);
	hypercall(HCALL_LOAD_IDT_ENTRY, 0xffffffff, KERNEL_CS << 16, PAGE_OFFSET | 0x8e00, 0);
}

static void gdt_range(void)
{
	descriptor_load(GDT_ENTRIES, 0x0000ffff, 0x00cfbb00);
	descriptor_load(0x10000000, 0x0000ffff, 0x00cfbb00);
	descriptor_load(0xffffffff, 0x0000ffff, 0x00cfbb00);
}

static void tls_outside(void)
{
	hypercall(HCALL_LOAD_TLS, 0xfffffff8, 0, 0, 0);
}

static void clock_storm(void)
{
	for (uint32_t i = 0; i < 5000; i++) {
		timer_arm(1);
		hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
	}
	timer_arm(0xffffffff);
	timer_arm(0);
}

/* An address that nobody waits for, one in each page and some that no guest has. */
static void notify_everything(void)
{
	uint32_t end = memory_bytes + (256 + 16) * PAGE_SIZE;

	for (uint32_t address = memory_bytes - 4 * PAGE_SIZE; address < end; address += PAGE_SIZE)
		hypercall(HCALL_NOTIFY, address, 0, 0, 0);
	hypercall(HCALL_NOTIFY, 0, 0, 0, 0);
	hypercall(HCALL_NOTIFY, 0x7fffffff, 0, 0, 0);
	hypercall(HCALL_NOTIFY, 0x80000000, 0, 0, 0);
	hypercall(HCALL_NOTIFY, 0xffffffff, 0, 0, 0);
	for (uint32_t i = 0; i < 200; i++)
		hypercall(HCALL_NOTIFY, random(), 0, 0, 0);
}

static void notify_by_ring(void)
{
	for (uint32_t i = 0; i < 3 * RING_SLOTS; i++)
		hypercall_async(HCALL_NOTIFY, 0xf0000000 + i, 0, 0, 0);
	hypercall(HCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

/* Nobody is ever woken: the test ends the launcher. */
static void halt_for_ever(void)
{
	print("sleeps\n");
	lguest_data.blocked_interrupts = ~0u;
	for (;;)
		halt();
}

static void spin_for_ever(void)
{
	print("spins\n");
	interrupts_off();
	for (;;)
		;
}

const struct adversary_case hypercall_cases[] = {
	{ "unknown", unknown },
	{ "unknown-huge", unknown_huge },
	{ "old-call", old_call },
	{ "init-twice", init_twice },
	{ "init-by-ring", init_by_ring },
	{ "unknown-by-ring", unknown_by_ring },
	{ "shutdown-outside", shutdown_outside },
	{ "shutdown-unknown", shutdown_unknown },
	{ "shutdown-noise", shutdown_noise },
	{ "stack-segment", stack_segment },
	{ "stack-host-segment", stack_host_segment },
	{ "stack-pages", stack_pages },
	{ "stack-unmapped", stack_unmapped },
	{ "stack-unmapped-syscall", stack_unmapped_syscall },
	{ "stack-in-user", stack_in_user },
	{ "stack-at-zero", stack_at_zero },
	{ "stack-in-top", stack_in_top },
	{ "idt-type", idt_type },
	{ "idt-range", idt_range },
	{ "gdt-range", gdt_range },
	{ "tls-outside", tls_outside },
	{ "clock-storm", clock_storm },
	{ "notify-everything", notify_everything },
	{ "notify-by-ring", notify_by_ring },
	{ "halt-for-ever", halt_for_ever },
	{ "spin-for-ever", spin_for_ever },
	{ NULL, NULL },
};
