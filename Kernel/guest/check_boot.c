// SPDX-License-Identifier: GPL-2.0-only
/* What the host gave at the start, and the hypercalls that are not about one subject. */
#include "check.h"
#include "paging.h"

/* Up to here a Linux kernel has room for its memory at PAGE_OFFSET. */
#define LOW_MEMORY 0x30000000u

extern uint8_t vmcall_site[];

/*
 * The host's first tables map all memory at 0 and at PAGE_OFFSET; they are read as data here. The
 * host cannot know which kind a guest wants, so the four entries of PAE's top level stand in the
 * place of the first eight of the other kind, which nobody reads.
 */
static bool maps(const pte_t *root, uint32_t address, uint32_t page)
{
	const pte_t *table;
	pte_t entry = root[address >> TOP_SHIFT];

	if (!(entry & PTE_PRESENT))
		return false;
	table = virtual((uint32_t)entry & ~(PAGE_SIZE - 1));
#ifdef PAE
	entry = table[address >> 21 & (PTES - 1)];
	if (!(entry & PTE_PRESENT))
		return false;
	table = virtual((uint32_t)entry & ~(PAGE_SIZE - 1));
#endif
	entry = table[address / PAGE_SIZE & (PTES - 1)];
	return ((uint32_t)entry & ~(PAGE_SIZE - 1)) == page && entry & PTE_PRESENT;
}

void check_boot(void)
{
	uint32_t last = memory_bytes - PAGE_SIZE;

	check_equal(lguest_data.reserve_mem, 4 << 20, "the host says how much of the top it uses");
	check(lguest_data.seconds > 1000000000, "the host gives the wall time");
	if (!word("layout32")) {
		const pte_t *root = virtual(lguest_data.tail[0]);

		check(lguest_data.tail[0] && lguest_data.tail[0] < memory_bytes &&
			      lguest_data.tail[0] < LOW_MEMORY,
		      "the host gives tables to begin with, where a kernel can read them");
#ifdef PAE
		check(maps(root, 0, 0) && maps(root, 0x100000, 0x100000) && maps(root, last, last),
		      "they map all memory at 0");
#endif
		check(maps(root, PAGE_OFFSET, 0) && maps(root, PAGE_OFFSET + last, last),
		      "they map all memory at PAGE_OFFSET");
	}
}

static bool registers_survive(void)
{
	uint32_t ok;

	asm volatile("pushl %%ebx\n\tpushl %%ebp\n\tmovl $0x12345678, %%ebp\n\t"
		     "movl $19, %%eax\n\tmovl $1, %%ebx\n\tmovl $2, %%ecx\n\tmovl $3, %%edx\n\t"
		     "movl $4, %%esi\n\tmovl $5, %%edi\n\tint $0x1f\n\t"
		     "xorl $19, %%eax\n\txorl $1, %%ebx\n\torl %%ebx, %%eax\n\txorl $2, %%ecx\n\t"
		     "orl %%ecx, %%eax\n\txorl $3, %%edx\n\torl %%edx, %%eax\n\txorl $4, %%esi\n\t"
		     "orl %%esi, %%eax\n\txorl $5, %%edi\n\torl %%edi, %%eax\n\t"
		     "xorl $0x12345678, %%ebp\n\torl %%ebp, %%eax\n\tpopl %%ebp\n\tpopl %%ebx"
		     : "=a"(ok)
		     :
		     : "ecx", "edx", "esi", "edi", "memory");
	return ok == 0;
}

static bool ring_is_empty(void)
{
	for (uint32_t i = 0; i < RING_SLOTS; i++)
		if (lguest_data.hcall_status[i] != SLOT_DONE)
			return false;
	return true;
}

/* Mappings by way of the ring: the last one wins, so its order shows. */
static void check_ring(void)
{
	pte_t *entry = pte_of(kernel_root, PLAYGROUND);
	uint32_t *pages[2] = { page_alloc(), page_alloc() };

	pages[0][0] = 100;
	pages[1][0] = 101;
	for (uint32_t i = 0; i < 200; i++) {
		*(volatile pte_t *)entry = physical(pages[i & 1]) | PTE_KERNEL;
		hypercall_async(HCALL_SET_PTE, physical(kernel_root), PLAYGROUND, (uint32_t)*entry,
				0);
	}
	hypercall(HCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	check(ring_is_empty(), "a hypercall empties the ring");
	check_equal(*(volatile uint32_t *)PLAYGROUND, 101, "the ring is worked off in order");
	pte_set(kernel_root, PLAYGROUND, 0);
	page_free(pages[0]);
	page_free(pages[1]);
}

void check_hypercalls(void)
{
	static const uint8_t patched[] = { 0xcd, 0x1f, 0x90 };

	check(registers_survive(), "a hypercall changes no register");
	hypercall_vmcall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
	check(memcmp(vmcall_site, patched, sizeof(patched)) == 0,
	      "vmcall is rewritten into int $0x1f");
	hypercall_vmcall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
	check_ring();
}
