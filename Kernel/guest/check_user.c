// SPDX-License-Identifier: GPL-2.0-only
/* User mode: system calls, what a program may not do, thread-local storage, interruption. */
#include "check.h"
#include "user.h"

#define TRAPPED(vector) (USER_TRAPPED | (vector))
#define STACK_PLACE (USER_STACK - PAGE_SIZE)

static void check_program(void (*entry)(void), uint32_t argument, uint32_t result,
			  const char *title)
{
	check_equal(user_run(entry, argument), result, title);
}

/* A page fault's error code tells what was tried. */
static void check_fault(void (*entry)(void), uint32_t address, uint32_t error, const char *title)
{
	uint32_t result = user_run(entry, address);

	if (result == TRAPPED(14) && (probe_result.error != error || probe_result.cr2 != address))
		print("error %x, cr2 %x:\n", probe_result.error, probe_result.cr2);
	check(result == TRAPPED(14) && probe_result.error == error && probe_result.cr2 == address,
	      title);
}

/* The same fault over and over is the guest's own affair, as long as it handles it. */
static void check_stubborn(void)
{
	uint32_t before = trap_counts[14];

	faults_ignored = 1000;
	check_fault(user_read, 0x1000, 4, "a program may fault at one place a thousand times");
	check_equal(trap_counts[14] - before, 1001, "and the kernel sees each of them");
}

static void check_tls(void)
{
	static uint32_t descriptors[6];
	static const uint32_t limit = PAGE_SIZE - 1;
	uint32_t base = STACK_PLACE;
	pte_t *root = user_space();
	uint32_t *page = virtual((uint32_t)*pte_of(root, base) & ~(PAGE_SIZE - 1));

	page[0] = 4711;
	descriptors[0] = base << 16 | limit;
	descriptors[1] = (base & 0xff000000) | 0x0040f300 | (base >> 16 & 0xff);
	hypercall(HCALL_LOAD_TLS, physical(descriptors), 0, 0, 0);
	check_equal(user_run_in(root, user_tls, 0x33), 4711, "thread-local storage by gs");
	descriptors[1] = 0;
	hypercall(HCALL_LOAD_TLS, physical(descriptors), 0, 0, 0);
	check_equal(user_run_in(root, user_tls, 0x33), TRAPPED(13),
		    "and none when its descriptor is gone");
	user_space_free(root);
}

/* exit(77) by every vector: only the system call's leads there. */
static void check_ints(void)
{
	static const uint8_t code[] = { 0xb8, 2, 0, 0, 0, 0xbb, 77, 0, 0, 0, 0xcd, 0, 0x0f, 0x0b };
	pte_t *root = user_space();
	uint8_t *page = virtual((uint32_t)*pte_of(root, STACK_PLACE) & ~(PAGE_SIZE - 1));
	uint32_t wrong = 0;

	memcpy(page, code, sizeof(code));
	for (uint32_t vector = 0; vector < 256; vector++) {
		uint32_t wanted = TRAPPED(vector == 3 || vector == 4 ? vector : 13);

		page[11] = vector;
		if (vector == SYSCALL_VECTOR)
			wanted = 77;
		wrong += user_run_in(root, (void (*)(void))STACK_PLACE, 0) != wanted;
	}
	check_equal(wrong, 0, "user mode can call breakpoint, overflow, system call, and no other");
	user_space_free(root);
}

static void end_program(void *context)
{
	(void)context;
	timer_ticks++;
	if (!interrupted_user) {
		/* On a slow host the program has not begun. */
		timer_arm(20000000);
		return;
	}
	interrupts_on();
	leave_user(77);
}

static void check_interruption(void)
{
	timer_handle(end_program);
	timer_arm(20000000);
	check_program(user_spin, 0, 77, "an interrupt ends a program that only spins");
	timer_handle(NULL);
}

void check_user(void)
{
	uint32_t free = pages_free();

	check_program(user_hello, 0, 7, "a program prints and ends");
	check_program(user_registers, 0, 1, "a system call leaves registers and flags alone");
	check_program(user_syscalls, 1000, 0, "a thousand system calls that return at once");
	check_program(user_counted, 1000, 1000, "a thousand system calls through the kernel");
	check_program(user_fpu, 99, 99, "the FPU in user mode");
	check_program(user_cli, 0, TRAPPED(13), "cli in user mode");
	check_program(user_hypercall, 0, TRAPPED(13), "a hypercall from user mode");
	check_program(user_vmcall, 0, TRAPPED(6), "vmcall from user mode");
	check_program(user_divide, 0, TRAPPED(0), "division by zero in user mode");
	check_program(user_breakpoint, 0, TRAPPED(3), "int3 in user mode");
	check_program(user_fake_interrupt, 0, TRAPPED(13), "an interrupt faked by user mode");
	check_equal(user_run(user_sysenter, 0) & USER_TRAPPED, USER_TRAPPED, "sysenter");
	check_program(user_syscall_instruction, 0, TRAPPED(6), "syscall");
	check_fault(user_read, PAGE_OFFSET + 0x100000, 5, "user mode cannot read the kernel");
	check_fault(user_write, PAGE_OFFSET + 0x100000, 7, "nor write it");
	check_fault(user_read, 0, 4, "nothing is at 0");
	check_fault(user_write, USER_TEXT, 7, "a program cannot write its text");
	check_program(user_jump, PAGE_OFFSET + 0x100000, TRAPPED(14), "nor run the kernel");
	check_program(user_write, STACK_PLACE, STACK_PLACE, "it can write its stack");
	check_program(user_push, 0, TRAPPED(14), "and overrun it");
	check_equal(probe_result.cr2, USER_STACK - USER_STACK_PAGES * PAGE_SIZE - 4,
		    "where it ends");
	check_stubborn();
	check_ints();
	check_tls();
	check_interruption();
	check_equal(pages_free(), free, "a program's pages come back");
}
