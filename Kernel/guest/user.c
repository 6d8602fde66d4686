// SPDX-License-Identifier: GPL-2.0-only
/*
 * User mode: an address space with the user program and a stack, and the system calls.
 *
 * A system call is `int $0x80` with its number in eax: 0 does nothing, 1 prints the number in ebx,
 * 2 ends the program with the result in ebx. 3 gives the number of calls so far.
 */
#include "user.h"
#include "paging.h"

extern const uint8_t user_load[], user_end[];

uint32_t user_return_stack;
static uint32_t calls;

pte_t *user_space(void)
{
	pte_t *root = root_new();
	uint32_t page = 0;

	for (const uint8_t *at = user_load; at < user_end; at += PAGE_SIZE, page += PAGE_SIZE)
		*pte_of(root, USER_TEXT + page) =
			physical(at) | PTE_PRESENT | PTE_USER | PTE_ACCESSED;
	for (page = USER_STACK - USER_STACK_PAGES * PAGE_SIZE; page < USER_STACK; page += PAGE_SIZE)
		*pte_of(root, page) = physical(page_alloc()) | PTE_KERNEL | PTE_USER;
	return root;
}

void user_space_free(pte_t *root)
{
	for (uint32_t page = USER_STACK - USER_STACK_PAGES * PAGE_SIZE; page < USER_STACK;
	     page += PAGE_SIZE)
		page_free(virtual((uint32_t)*pte_of(root, page) & ~(PAGE_SIZE - 1)));
	root_free(root);
}

uint32_t user_run_in(pte_t *root, void (*entry)(void), uint32_t argument)
{
	uint32_t result;

	calls = 0;
	root_use(root);
	result = enter_user((uint32_t)entry, USER_STACK - 16, argument);
	root_use(kernel_root);
	return result;
}

uint32_t user_run(void (*entry)(void), uint32_t argument)
{
	pte_t *root = user_space();
	uint32_t result = user_run_in(root, entry, argument);

	user_space_free(root);
	return result;
}

uint32_t user_syscall(struct frame *frame)
{
	calls++;
	switch (frame->eax) {
	case USER_PRINT:
		print("user: %u\n", frame->ebx);
		return 0;
	case USER_EXIT:
		leave_user(frame->ebx);
	case USER_CALLS:
		return calls;
	default:
		return -38;
	}
}
