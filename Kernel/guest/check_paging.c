// SPDX-License-Identifier: GPL-2.0-only
/* Page tables: faults, mappings and their end, accessed and dirty, several roots. */
#include "check.h"
#include "paging.h"

#define USER_PLACE 0x20000000
#define ROOTS 7
#define MANY_PAGES 1500
#define BLOCK 16

static volatile uint32_t *const place = (uint32_t *)PLAYGROUND;

static void check_faults(void)
{
	void *hole = (void *)(PLAYGROUND + 0x123450);

	check_trap(read_word, hole, 14, 0, "reading what is not mapped faults");
	check_equal(probe_result.cr2, (uint32_t)hole, "cr2 has the address");
	check_trap(write_word, hole, 14, 2, "writing what is not mapped faults");
	check_trap(read_word, (void *)0x10, 14, 0, "nothing is mapped at 0 any more");
}

static void check_mapping(void)
{
	uint32_t *one = page_alloc(), *two = page_alloc();

	one[0] = 1;
	two[0] = 2;
	pte_set(kernel_root, PLAYGROUND, physical(one) | PTE_KERNEL);
	check_equal(*place, 1, "a page that was mapped is there");
	*place = 11;
	check_equal(one[0], 11, "writing it writes the page");
	pte_set(kernel_root, PLAYGROUND, physical(two) | PTE_KERNEL);
	check_equal(*place, 2, "another page in its place is seen");
	pte_set(kernel_root, PLAYGROUND, physical(two) | PTE_PRESENT | PTE_ACCESSED);
	check_equal(*place, 2, "a read-only page can be read");
	check_trap(write_word, (void *)place, 14, 3, "a read-only page cannot be written");
	pte_set(kernel_root, PLAYGROUND, 0);
	check_trap(read_word, (void *)place, 14, 0, "a mapping that was removed is gone");
	/* Linux makes no call when an entry that was not present becomes so. */
	*(volatile pte_t *)pte_of(kernel_root, PLAYGROUND) = physical(one) | PTE_KERNEL;
	check_equal(*place, 11, "an entry that became present needs no hypercall");
	*(volatile pte_t *)pte_of(kernel_root, PLAYGROUND) = physical(two) | PTE_KERNEL;
	flush_page(PLAYGROUND);
	check_equal(*place, 2, "an entry that changed is seen after a flush of the page");
	*(volatile pte_t *)pte_of(kernel_root, PLAYGROUND) = physical(one) | PTE_KERNEL;
	flush_all();
	check_equal(*place, 11, "and after a flush of everything");
	pte_set(kernel_root, PLAYGROUND, 0);
	page_free(one);
	page_free(two);
}

/* Bits that a host must not take over: global, and how the page is cached. */
static void check_strange_bits(void)
{
	uint32_t *page = page_alloc();

	page[0] = 6;
	pte_set(kernel_root, PLAYGROUND, physical(page) | PTE_KERNEL | PTE_GLOBAL | 0x018);
	check_equal(*place, 6, "a page that is global and not cached is a page");
	*place = 7;
	check_equal(page[0], 7, "like any other");
	pte_set(kernel_root, PLAYGROUND, 0);
	flush_user();
	check_trap(read_word, (void *)place, 14, 0, "and goes like any other");
	page_free(page);
}

/* Code in pages of all kinds. */
static void check_execution(void)
{
	uint8_t *page = page_alloc();

	page[0] = 0xc3; /* ret */
	pte_set(kernel_root, PLAYGROUND, physical(page) | PTE_KERNEL);
	check(!probe(run_at, (void *)place), "the kernel runs a page of its own");
	pte_set(kernel_root, PLAYGROUND, physical(page) | PTE_KERNEL | PTE_USER);
	check(!probe(run_at, (void *)place), "and one that is user mode's");
#ifdef PAE
	pte_set(kernel_root, PLAYGROUND, physical(page) | PTE_KERNEL | PTE_NO_EXECUTE);
	check_trap(run_at, (void *)place, 14, 0x11, "a page that is not to be run faults");
	check_equal(*(volatile uint8_t *)place, 0xc3, "but can be read");
#endif
	pte_set(kernel_root, PLAYGROUND, 0);
	page_free(page);
}

static void check_accessed_dirty(void)
{
	volatile pte_t *entry = pte_of(kernel_root, PLAYGROUND);
	uint32_t *page = page_alloc();

	pte_set(kernel_root, PLAYGROUND, physical(page) | PTE_PRESENT | PTE_WRITE);
	check(!(*entry & (PTE_ACCESSED | PTE_DIRTY)), "a fresh mapping is not accessed");
	read_word((void *)place);
	check((*entry & (PTE_ACCESSED | PTE_DIRTY)) == PTE_ACCESSED,
	      "reading sets accessed and not dirty");
	write_word((void *)place);
	check(*entry & PTE_DIRTY, "writing sets dirty");
	check_equal(page[0], 0x600d, "and writes");
	pte_set(kernel_root, PLAYGROUND, *entry & ~(pte_t)PTE_DIRTY);
	read_word((void *)place);
	check(!(*entry & PTE_DIRTY), "dirty, once cleared, stays so while the page is only read");
	write_word((void *)place);
	check(*entry & PTE_DIRTY, "and comes back by the next write");
	pte_set(kernel_root, PLAYGROUND, 0);
	page_free(page);
}

/*
 * A host may map the pages around one that was touched, as a CPU may fetch them into its TLB: those
 * that are accessed, with the rights that they have. Nobody may notice.
 */
static void check_around(void)
{
	/* Plain, read-only, clean, not accessed. */
	static const uint32_t without[] = {
		0, PTE_WRITE | PTE_DIRTY, PTE_DIRTY, PTE_ACCESSED | PTE_DIRTY
	};
	volatile pte_t *entries = pte_of(kernel_root, PLAYGROUND);
	uint32_t *pages[BLOCK], wrong = 0, marked = 0, unmarked = 0, dirty = 0;

	for (uint32_t i = 0; i < BLOCK; i++) {
		pages[i] = page_alloc();
		pages[i][0] = i;
		entries[i] = physical(pages[i]) | (PTE_KERNEL & ~without[i % 4]);
	}
	flush_all();
	read_word((void *)(place + 5 * PAGE_SIZE / 4));
	for (uint32_t i = 0; i < BLOCK; i++)
		marked += i != 5 && i % 4 == 3 && entries[i] & PTE_ACCESSED;
	check_equal(marked, 0, "a page is not accessed because one beside it was");
	entries[4] = physical(pages[8]) | PTE_KERNEL;
	flush_page(PLAYGROUND + 4 * PAGE_SIZE);
	check_equal(place[4 * PAGE_SIZE / 4], 8, "one that was never touched can become another");
	pte_set(kernel_root, PLAYGROUND + 4 * PAGE_SIZE, physical(pages[4]) | PTE_KERNEL);
	for (uint32_t i = 0; i < BLOCK; i++)
		wrong += place[i * PAGE_SIZE / 4] != i;
	check_equal(wrong, 0, "pages side by side are all there");
	for (uint32_t i = 0; i < BLOCK; i++) {
		unmarked += !(entries[i] & PTE_ACCESSED);
		dirty += i % 4 == 2 && entries[i] & PTE_DIRTY;
	}
	check_equal(unmarked, 0, "and accessed once they are read");
	check_equal(dirty, 0, "and reading them makes none of them dirty");
	check_trap(write_word, (void *)(place + 9 * PAGE_SIZE / 4), 14, 3, "a read-only one cannot be written");
	write_word((void *)(place + 10 * PAGE_SIZE / 4));
	check(entries[10] & PTE_DIRTY, "writing a clean one makes it dirty");
	check(!(entries[14] & PTE_DIRTY), "and only that one");
	for (uint32_t i = 0; i < BLOCK; i++) {
		pte_set(kernel_root, PLAYGROUND + i * PAGE_SIZE, 0);
		page_free(pages[i]);
	}
	check_trap(read_word, (void *)place, 14, 0, "and all of them can go");
}

/* Frames far apart, that nobody has touched: a host has none of them at hand yet. */
static void check_untouched(void)
{
	volatile pte_t *entries = pte_of(kernel_root, PLAYGROUND);
	uint32_t first = memory_bytes / 2, wrong = 0;

	for (uint32_t i = 0; i < BLOCK; i++)
		entries[i] = (first + i * BLOCK * PAGE_SIZE) | PTE_KERNEL;
	flush_all();
	for (uint32_t i = 0; i < BLOCK; i++) {
		volatile uint32_t *page = place + i * PAGE_SIZE / 4;
		uint32_t before = *page;

		*page = 1000 + i;
		wrong += *(volatile uint32_t *)virtual(first + i * BLOCK * PAGE_SIZE) != 1000 + i;
		*page = before;
	}
	check_equal(wrong, 0, "pages that nobody has touched come one by one");
	for (uint32_t i = 0; i < BLOCK; i++)
		pte_set(kernel_root, PLAYGROUND + i * PAGE_SIZE, 0);
}

/* The entry of the last table but one, and the call that tells of it. */
static void table_set(pte_t value)
{
#ifdef PAE
	pte_t *table = virtual((uint32_t)kernel_root[PLAYGROUND >> TOP_SHIFT] & ~(PAGE_SIZE - 1));
	uint32_t index = PLAYGROUND >> 21 & (PTES - 1), call = HCALL_SET_PMD;
#else
	pte_t *table = kernel_root;
	uint32_t index = PLAYGROUND >> TOP_SHIFT, call = HCALL_SET_PGD;
#endif

	((volatile pte_t *)table)[index] = value;
	hypercall(call, physical(table), index, 0, 0);
}

static pte_t table_entry(void)
{
#ifdef PAE
	pte_t *table = virtual((uint32_t)kernel_root[PLAYGROUND >> TOP_SHIFT] & ~(PAGE_SIZE - 1));

	return table[PLAYGROUND >> 21 & (PTES - 1)];
#else
	return kernel_root[PLAYGROUND >> TOP_SHIFT];
#endif
}

/* A table of the kernel's half goes, and with it pages beside one that was touched. */
static void check_table_gone(void)
{
	volatile pte_t *entries = pte_of(kernel_root, PLAYGROUND);
	uint32_t *page = page_alloc();
	pte_t before = table_entry();

	page[0] = 8;
	for (uint32_t i = 0; i < BLOCK; i++)
		entries[i] = physical(page) | PTE_KERNEL;
	flush_all();
	check_equal(place[0], 8, "a page of the kernel's half is there");
	table_set(0);
	check_trap(read_word, (void *)place, 14, 0, "it is gone with its table");
	check_trap(read_word, (void *)(place + PAGE_SIZE / 4), 14, 0, "and so is the one beside");
	table_set(before & ~(pte_t)PTE_WRITE);
	check_equal(place[0], 8, "the table may come back, read-only");
	check_trap(write_word, (void *)(place + PAGE_SIZE / 4), 14, 3, "and that holds beside, too");
	table_set(before);
	for (uint32_t i = 0; i < BLOCK; i++)
		pte_set(kernel_root, PLAYGROUND + i * PAGE_SIZE, 0);
	page_free(page);
}

/* More roots than the host caches, each with a page of its own at the same address. */
static void check_roots(void)
{
	pte_t *roots[ROOTS];
	uint32_t *pages[ROOTS], *shared = page_alloc();
	uint32_t wrong = 0, wrong_shared = 0;

	for (uint32_t i = 0; i < ROOTS; i++) {
		roots[i] = root_new();
		pages[i] = page_alloc();
		pages[i][0] = 1000 + i;
		*pte_of(roots[i], USER_PLACE) = physical(pages[i]) | PTE_KERNEL | PTE_USER;
	}
	for (uint32_t round = 0; round < 40; round++) {
		uint32_t i = (round * 5 + round / 3) % ROOTS;

		root_use(roots[i]);
		if (round == 10) {
			pte_set(roots[i], PLAYGROUND, physical(shared) | PTE_KERNEL);
			shared[0] = 77;
		}
		if (round >= 10 && *place != 77)
			wrong_shared++;
		if (*(volatile uint32_t *)USER_PLACE != 1000 + i)
			wrong++;
	}
	check_equal(wrong, 0, "each root has its own pages, however often they change");
	check_equal(wrong_shared, 0, "the kernel's half is the same in all roots");
	*(volatile pte_t *)pte_of(root_current(), USER_PLACE) = physical(shared) | PTE_KERNEL | PTE_USER;
	flush_user();
	check_equal(*(volatile uint32_t *)USER_PLACE, 77, "a flush of user pages is enough for them");
	root_current()[USER_PLACE >> TOP_SHIFT] &= ~(pte_t)PTE_PRESENT;
	hypercall(HCALL_SET_PGD, physical(root_current()), USER_PLACE >> TOP_SHIFT, 0, 0);
	check_trap(read_word, (void *)USER_PLACE, 14, 0, "a top entry that was removed is gone");
	root_current()[USER_PLACE >> TOP_SHIFT] |= PTE_PRESENT;
	root_use(kernel_root);
	pte_set(kernel_root, PLAYGROUND, 0);
	for (uint32_t i = 0; i < ROOTS; i++) {
		root_free(roots[i]);
		page_free(pages[i]);
	}
	page_free(shared);
}

static void check_many(void)
{
	uint32_t *page = page_alloc(), wrong = 0;
	pte_t *root = root_new();

	root_use(root);
	page[0] = 5;
	for (uint32_t i = 0; i < MANY_PAGES; i++)
		*pte_of(root, USER_PLACE + i * 16 * PAGE_SIZE) = physical(page) | PTE_KERNEL | PTE_USER;
	for (uint32_t i = 0; i < MANY_PAGES; i++)
		if (*(volatile uint32_t *)(USER_PLACE + i * 16 * PAGE_SIZE) != 5)
			wrong++;
	check_equal(wrong, 0, "many mappings, far apart, are all right");
	root_use(kernel_root);
	root_free(root);
	page_free(page);
}

/* The linear map is whole: pages that were written before all this are as they were. */
static void check_linear(void)
{
	uint32_t *pages[50];
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = page_alloc();
		pages[i][i] = physical(pages[i]);
	}
	flush_all();
	for (uint32_t i = 0; i < ARRAY_SIZE(pages); i++) {
		wrong += pages[i][i] != physical(pages[i]);
		page_free(pages[i]);
	}
	check_equal(wrong, 0, "a flush of everything loses nothing");
}

void check_paging(void)
{
	check_faults();
	check_mapping();
	check_strange_bits();
	check_execution();
	check_accessed_dirty();
	check_around();
	check_untouched();
	check_table_gone();
	check_roots();
	check_many();
	check_linear();
}
