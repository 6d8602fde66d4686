/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's page tables, 2-level or (built with PAE) 3-level.
 *
 * The host shadows them: it learns of a change by a hypercall, or when it faults a page in. Each
 * function here that changes a live table tells the host, as Linux does.
 */
#ifndef GUEST_PAGING_H
#define GUEST_PAGING_H

#include "guest.h"

#ifdef PAE
typedef uint64_t pte_t;
#define PTES 512
#define TOP_ENTRIES 4
#define TOP_SHIFT 30
#define PTE_NO_EXECUTE (1ull << 63)
#else
typedef uint32_t pte_t;
#define PTES 1024
#define TOP_ENTRIES 1024
#define TOP_SHIFT 22
#endif

#define PTE_PRESENT 0x001
#define PTE_WRITE 0x002
#define PTE_USER 0x004
#define PTE_ACCESSED 0x020
#define PTE_DIRTY 0x040
#define PTE_GLOBAL 0x100
#define PTE_KERNEL (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY)

/* Where the pages above memory, which belong to devices, are mapped. */
#define DEVICE_BASE 0xfe900000
/* Where tests may map what they like. */
#define PLAYGROUND 0xff000000

extern pte_t *kernel_root;

/* Makes the kernel's own tables and changes over to them. */
void paging_init(uint32_t device_pages);
/* The last-level entry of an address; its table is made when it is not there. */
pte_t *pte_of(pte_t *root, uint32_t address);
/* Writes an entry and tells the host. */
void pte_set(pte_t *root, uint32_t address, pte_t value);
/* A root with the kernel's half in it. */
pte_t *root_new(void);
void root_free(pte_t *root);
void root_use(pte_t *root);
pte_t *root_current(void);
void flush_user(void);
void flush_all(void);
void flush_page(uint32_t address);

#endif
