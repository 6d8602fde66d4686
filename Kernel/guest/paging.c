// SPDX-License-Identifier: GPL-2.0-only
/* The guest's page tables; see paging.h. */
#include "paging.h"

pte_t *kernel_root;
static pte_t *current;

static pte_t *table_of(pte_t entry)
{
	return virtual((uint32_t)entry & ~(PAGE_SIZE - 1));
}

static void set_top(pte_t *root, uint32_t index, pte_t value)
{
	root[index] = value;
	if (current)
		hypercall(HCALL_SET_PGD, physical(root), index, 0, 0);
}

/* A table's entry below the top, made on demand. The PAE top entry takes no flags but PRESENT. */
static pte_t *descend(pte_t *root, uint32_t address)
{
	uint32_t index = address >> TOP_SHIFT;

	if (!(root[index] & PTE_PRESENT)) {
#ifdef PAE
		set_top(root, index, physical(page_alloc()) | PTE_PRESENT);
#else
		set_top(root, index, physical(page_alloc()) | PTE_KERNEL | PTE_USER);
#endif
	}
	return table_of(root[index]);
}

pte_t *pte_of(pte_t *root, uint32_t address)
{
	pte_t *table = descend(root, address);

#ifdef PAE
	uint32_t index = address >> 21 & (PTES - 1);

	if (!(table[index] & PTE_PRESENT)) {
		table[index] = physical(page_alloc()) | PTE_KERNEL | PTE_USER;
		if (current)
			hypercall(HCALL_SET_PMD, physical(table), index, 0, 0);
	}
	table = table_of(table[index]);
#endif
	return &table[address / PAGE_SIZE & (PTES - 1)];
}

void pte_set(pte_t *root, uint32_t address, pte_t value)
{
	*(volatile pte_t *)pte_of(root, address) = value;
	hypercall(HCALL_SET_PTE, physical(root), address, value, (uint64_t)value >> 32);
}

void paging_init(uint32_t device_pages)
{
	pte_t *root = page_alloc();

	kernel_root = root;
	for (uint32_t page = 0; page < memory_bytes; page += PAGE_SIZE)
		*pte_of(root, PAGE_OFFSET + page) = page | PTE_KERNEL;
	for (uint32_t i = 0; i < device_pages; i++)
		*pte_of(root, DEVICE_BASE + i * PAGE_SIZE) =
			(memory_bytes + i * PAGE_SIZE) | PTE_KERNEL;
	/* The kernel's tables exist from now on, so that all roots share them for ever. */
	for (uint32_t i = PAGE_OFFSET >> TOP_SHIFT; i < TOP_ENTRIES; i++)
		descend(root, i << TOP_SHIFT);
	root_use(root);
}

pte_t *root_new(void)
{
	pte_t *root = page_alloc();
	uint32_t first = PAGE_OFFSET >> TOP_SHIFT;

	memcpy(root + first, kernel_root + first, (TOP_ENTRIES - first) * sizeof(pte_t));
	return root;
}

void root_free(pte_t *root)
{
	for (uint32_t i = 0; i < PAGE_OFFSET >> TOP_SHIFT; i++) {
		pte_t *table;

		if (!(root[i] & PTE_PRESENT))
			continue;
		table = table_of(root[i]);
#ifdef PAE
		for (uint32_t j = 0; j < PTES; j++)
			if (table[j] & PTE_PRESENT)
				page_free(table_of(table[j]));
#endif
		set_top(root, i, 0);
		page_free(table);
	}
	page_free(root);
}

void root_use(pte_t *root)
{
	current = root;
	hypercall(HCALL_NEW_PGTABLE, physical(root), 0, 0, 0);
}

pte_t *root_current(void)
{
	return current;
}

void flush_user(void)
{
	hypercall(HCALL_FLUSH_TLB, 0, 0, 0, 0);
}

void flush_all(void)
{
	hypercall(HCALL_FLUSH_TLB, 1, 0, 0, 0);
}

/* The interface has no call for a single page; Linux drops it with an entry of zero. */
void flush_page(uint32_t address)
{
	hypercall(HCALL_SET_PTE, physical(current), address, 0, 0);
}
