// SPDX-License-Identifier: GPL-2.0-only
/* A program's memory: what it maps, protects, shares with a child and gives back. */
#include "check.h"

enum {
	READ = 1,
	READ_WRITE = 3,
	SIGSEGV = 11,
};

static void read_at(volatile uint8_t *address)
{
	expect_fault(2);
	__asm__ volatile("mov %0, %%eax; .byte 0x8b, 0x00" ::"r"(address) : "eax", "memory");
}

static void write_at(volatile uint8_t *address)
{
	expect_fault(2);
	__asm__ volatile("mov %0, %%eax; .byte 0x89, 0x00" ::"r"(address) : "eax", "memory");
}

static void protection(volatile uint8_t *page)
{
	page[0] = 7;
	CALL3(SYS_MPROTECT, page, PAGE, READ);
	write_at(page);
	check(fault.signal == SIGSEGV && fault.address == (uint32_t)page && fault.error == 7,
	      "a page that was made read-only is not written");
	check(page[0] == 7, "but read");
	CALL3(SYS_MPROTECT, page, PAGE, READ_WRITE);
	write_at(page);
	check(!fault.signal, "and written again when it may be");
}

static void copy_on_write(volatile uint8_t *page)
{
	int child;

	page[0] = 8;
	child = CALL0(SYS_FORK);
	if (!child) {
		bool inherited = page[0] == 8;

		page[0] = 55;
		leave(inherited && page[0] == 55 ? 0 : 1);
	}
	check(wait_for(child) == 0, "a child has its parent's memory, and writes its own");
	check(page[0] == 8, "which the parent does not see");
}

static void giving_back(volatile uint8_t *page)
{
	uint8_t *again;

	CALL2(SYS_MUNMAP, page, PAGE);
	read_at(page);
	check(fault.signal == SIGSEGV && fault.address == (uint32_t)page && fault.error == 4,
	      "what was given back is gone");
	again = map_pages((void *)page, 1);
	check(again == page && again[0] == 0, "and what is mapped there next is empty");
	CALL2(SYS_MUNMAP, again, PAGE);
}

static void stack(void)
{
	volatile uint8_t large[300 * 1024];

	large[0] = 1;
	large[sizeof(large) - 1] = 2;
	check(large[0] == 1 && large[sizeof(large) - 1] == 2, "the stack grows");
}

void check_memory(void)
{
	uint8_t *pages = map_pages(NULL, 3);

	protection(pages);
	copy_on_write(pages + PAGE);
	giving_back(pages + 2 * PAGE);
	CALL2(SYS_MUNMAP, pages, 2 * PAGE);
	stack();
}
