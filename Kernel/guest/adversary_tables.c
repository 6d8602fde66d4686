// SPDX-License-Identifier: GPL-2.0-only
/* Page tables that point where they must not. */
#include "adversary.h"
#include "paging.h"

#define USER_PLACE 0x20000000
#define PTE_BIT7 0x080

static uint32_t outside(void)
{
	return memory_bytes + (300 << 20);
}

static void root_outside(void)
{
	hypercall(HCALL_NEW_PGTABLE, outside(), 0, 0, 0);
	read_word((void *)USER_PLACE);
}

static void root_at_the_end(void)
{
	hypercall(HCALL_NEW_PGTABLE, 0xfffff000, 0, 0, 0);
}

static void root_unaligned(void)
{
	hypercall(HCALL_NEW_PGTABLE, physical(kernel_root) + 0x321, 0, 0, 0);
}

/* A root of random bytes. */
static void root_of_noise(void)
{
	uint32_t *root = page_alloc();

	for (uint32_t i = 0; i < PAGE_SIZE / 4; i++)
		root[i] = random();
	hypercall(HCALL_NEW_PGTABLE, physical(root), 0, 0, 0);
	flush_all();
}

/* A root in which not even this code is mapped. */
static void root_of_nothing(void)
{
	hypercall(HCALL_NEW_PGTABLE, physical(page_alloc()), 0, 0, 0);
	flush_all();
}

static void pte_outside(void)
{
	*(volatile pte_t *)pte_of(kernel_root, PLAYGROUND) = outside() | PTE_KERNEL;
	read_word((void *)PLAYGROUND);
}

static void pte_outside_by_call(void)
{
	pte_set(kernel_root, PLAYGROUND, outside() | PTE_KERNEL);
	read_word((void *)PLAYGROUND);
}

static void pte_at_the_end(void)
{
	pte_set(kernel_root, PLAYGROUND, 0xfffff000 | PTE_KERNEL);
	write_word((void *)PLAYGROUND);
}

static void pte_bit7(void)
{
	pte_set(kernel_root, PLAYGROUND, physical(page_alloc()) | PTE_KERNEL | PTE_BIT7);
	read_word((void *)PLAYGROUND);
}

static void table_outside(void)
{
	pte_of(kernel_root, PLAYGROUND);
#ifdef PAE
	pte_t *middle = virtual((uint32_t)kernel_root[PLAYGROUND >> TOP_SHIFT] & ~(PAGE_SIZE - 1));
	uint32_t index = PLAYGROUND >> 21 & (PTES - 1);

	middle[index] = outside() | PTE_KERNEL;
	hypercall(HCALL_SET_PMD, physical(middle), index, 0, 0);
#else
	kernel_root[PLAYGROUND >> TOP_SHIFT] = outside() | PTE_KERNEL;
	hypercall(HCALL_SET_PGD, physical(kernel_root), PLAYGROUND >> TOP_SHIFT, 0, 0);
#endif
	read_word((void *)PLAYGROUND);
}

/* A page of 4 or 2 MiB, which this interface does not have. */
static void large_page(void)
{
	pte_of(kernel_root, PLAYGROUND);
#ifdef PAE
	pte_t *middle = virtual((uint32_t)kernel_root[PLAYGROUND >> TOP_SHIFT] & ~(PAGE_SIZE - 1));
	uint32_t index = PLAYGROUND >> 21 & (PTES - 1);

	middle[index] = PTE_BIT7 | PTE_KERNEL;
	hypercall(HCALL_SET_PMD, physical(middle), index, 0, 0);
#else
	kernel_root[PLAYGROUND >> TOP_SHIFT] = PTE_BIT7 | PTE_KERNEL;
	hypercall(HCALL_SET_PGD, physical(kernel_root), PLAYGROUND >> TOP_SHIFT, 0, 0);
#endif
	read_word((void *)(PLAYGROUND + 0x100000));
}

static void top_read(void)
{
	read_word((void *)0xffc00000);
}

static void top_write(void)
{
	write_word((void *)0xfffffff0);
}

static void top_execute(void)
{
	run_at((void *)0xffc01000);
}

static void top_mapped(void)
{
	for (uint32_t address = 0xffe00000; address; address += PAGE_SIZE)
		pte_set(kernel_root, address, physical(page_alloc()) | PTE_KERNEL | PTE_USER);
	read_word((void *)0xffffe000);
}

/* A word across the end of 32 bits: the host's pages begin there in no guest's tables. */
static void straddle(void)
{
	read_word((void *)0xfffffffe);
}

static void set_indices(void)
{
	static const uint32_t indices[] = { 4, 511, 512, 1023, 1024, 0x7fffffff, 0xffffffff };

	for (uint32_t i = 0; i < ARRAY_SIZE(indices); i++)
		hypercall(HCALL_SET_PGD, physical(kernel_root), indices[i], 0, 0);
}

static void set_foreign_root(void)
{
	for (uint32_t i = 0; i < 100; i++) {
		hypercall(HCALL_SET_PTE, random() & ~0xfff, random(), random(), random());
		hypercall(HCALL_SET_PGD, random() & ~0xfff, random() & 1023, 0, 0);
	}
}

/* Its own page tables as data, through every entry of them. */
static void self_map(void)
{
	pte_set(kernel_root, PLAYGROUND, physical(kernel_root) | PTE_KERNEL);
	for (uint32_t i = 0; i < 1024; i++)
		read_word((uint32_t *)PLAYGROUND + i);
#ifndef PAE
	kernel_root[USER_PLACE >> TOP_SHIFT] = physical(kernel_root) | PTE_KERNEL;
	hypercall(HCALL_SET_PGD, physical(kernel_root), USER_PLACE >> TOP_SHIFT, 0, 0);
	for (uint32_t i = PAGE_OFFSET >> TOP_SHIFT; i < 960; i++)
		read_word((void *)(USER_PLACE + i * PAGE_SIZE));
#endif
}

/* More tables than any host would shadow at once, and none of them ever given back. */
static void table_flood(void)
{
	uint32_t *page = page_alloc();

	for (uint32_t round = 0; round < 3; round++) {
		pte_t *root = root_new();

		root_use(root);
		for (uint32_t i = 0; i < 700; i++) {
			uint32_t address = i << 22;

			*pte_of(root, address) = physical(page) | PTE_KERNEL | PTE_USER;
			read_word((void *)address);
		}
		root_use(kernel_root);
		root_free(root);
	}
}

static void root_flood(void)
{
	pte_t *roots[100];

	for (uint32_t i = 0; i < ARRAY_SIZE(roots); i++)
		roots[i] = root_new();
	for (uint32_t i = 0; i < 2000; i++)
		root_use(roots[random() % ARRAY_SIZE(roots)]);
	root_use(kernel_root);
}

/* A trap whose frame has nowhere to go. */
static void stack_lost(void)
{
	asm volatile("movl $0xe8000000, %esp\n\tint3");
}

static void stack_read_only(void)
{
	uint32_t *page = page_alloc();

	pte_set(kernel_root, PLAYGROUND, physical(page) | PTE_PRESENT | PTE_ACCESSED);
	asm volatile("movl %0, %%esp\n\tpushl %%eax" : : "r"(PLAYGROUND + PAGE_SIZE));
}

static void handler_unmapped(void)
{
	gate(3, (void *)0xe8000000, 0xee00);
	gate(14, (void *)0xe8000000, 0x8e00);
	asm volatile("int3");
}

static void no_handler(void)
{
	gate(14, NULL, 0);
	read_word((void *)0xe8000000);
}

const struct adversary_case table_cases[] = {
	{ "root-outside", root_outside },
	{ "root-at-the-end", root_at_the_end },
	{ "root-unaligned", root_unaligned },
	{ "root-of-noise", root_of_noise },
	{ "root-of-nothing", root_of_nothing },
	{ "pte-outside", pte_outside },
	{ "pte-outside-by-call", pte_outside_by_call },
	{ "pte-at-the-end", pte_at_the_end },
	{ "pte-bit7", pte_bit7 },
	{ "table-outside", table_outside },
	{ "large-page", large_page },
	{ "top-read", top_read },
	{ "top-write", top_write },
	{ "top-execute", top_execute },
	{ "top-mapped", top_mapped },
	{ "straddle", straddle },
	{ "set-indices", set_indices },
	{ "set-foreign-root", set_foreign_root },
	{ "self-map", self_map },
	{ "table-flood", table_flood },
	{ "root-flood", root_flood },
	{ "stack-lost", stack_lost },
	{ "stack-read-only", stack_read_only },
	{ "handler-unmapped", handler_unmapped },
	{ "no-handler", no_handler },
	{ NULL, NULL },
};
