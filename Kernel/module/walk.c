// SPDX-License-Identifier: GPL-2.0-only
/*
 * A walk of the guest's page tables, as the CPU would make it: 32-bit tables
 * of two levels, or PAE's of three.  Each entry is read once and used from the
 * copy.  A walk that succeeds leaves the accessed bit in the entries it used,
 * and the dirty bit if it was for a write.
 */
#include "walk.h"

#define PTE_PRESENT	BIT(0)
#define PTE_ACCESSED	BIT(5)
#define PTE_PAT		BIT(7)
#define PTE_FLAGS	0xfffu

/* A directory entry may have no other flags: no large pages, no caching. */
#define PDE_ALLOWED	(PTE_PRESENT | LG_PAGE_WRITABLE | LG_PAGE_USER | \
			 PTE_ACCESSED | LG_PAGE_DIRTY)
/* Those of a PDPT entry that are reserved: they tell it from other entries. */
#define PDPTE_RESERVED	(BIT(1) | BIT(2) | BIT(5) | BIT(6) | BIT(7) | BIT(8))

static u32 entry_size(const struct lg_tables *tables)
{
	return tables->paging == LG_PAGING_PAE ? 8 : 4;
}

static bool read_entry(struct lguest *lg, const struct lg_tables *tables,
		       u32 gpa, struct lg_entry *entry)
{
	entry->high = 0;
	return lg_read_phys(lg, gpa, entry, entry_size(tables));
}

/* False when the entry points outside of the guest. */
static bool entry_pfn(const struct lg_tables *tables,
		      const struct lg_entry *entry, u32 *pfn)
{
	u32 high = entry->high & ~LG_PAGE_NO_EXECUTE;

	/* 2^20 pages is all that pfn_limit can allow. */
	if (high)
		return false;
	*pfn = entry->low >> 12;
	return *pfn < tables->pfn_limit;
}

static enum lg_walk_result bad(struct lg_walk *walk, const char *reason)
{
	walk->reason = reason;
	return LG_WALK_BAD;
}

static enum lg_walk_result fault(struct lg_walk *walk, u32 error)
{
	walk->error = error;
	return LG_WALK_FAULT;
}

static bool linear(const struct lg_tables *tables, u32 vaddr,
		   struct lg_mapping *page)
{
	u32 pfn = vaddr >> 12;

	if (pfn >= tables->pfn_limit && vaddr >= LG_BOOT_LINEAR)
		pfn = (vaddr - LG_BOOT_LINEAR) >> 12;
	if (pfn >= tables->pfn_limit)
		return false;
	*page = (struct lg_mapping){
		.pfn = pfn, .flags = LG_PAGE_WRITABLE | LG_PAGE_DIRTY,
	};
	return true;
}

/* What both entries allow. */
static u32 page_flags(const struct lg_entry *pde, const struct lg_entry *pte)
{
	u32 both = pde->low & pte->low & (LG_PAGE_WRITABLE | LG_PAGE_USER);

	return both | (pte->low & LG_PAGE_DIRTY) |
	       ((pde->high | pte->high) & LG_PAGE_NO_EXECUTE);
}

static void mark(struct lguest *lg, u32 gpa, struct lg_entry *entry, u32 bits)
{
	if ((entry->low & bits) == bits)
		return;
	entry->low |= bits;
	lg_write_phys(lg, gpa, &entry->low, sizeof(entry->low));
}

enum lg_walk_result lg_walk(struct lguest *lg, const struct lg_tables *tables,
			    u32 vaddr, u32 access, struct lg_walk *walk)
{
	bool pae = tables->paging == LG_PAGING_PAE;
	struct lg_mapping *page = &walk->page;
	struct lg_entry pde, pte;
	u32 pde_gpa, pte_gpa, pfn;

	memset(walk, 0, sizeof(*walk));
	access &= LG_ACCESS_WRITE | LG_ACCESS_USER | LG_ACCESS_FETCH;
	if (tables->paging == LG_PAGING_LINEAR)
		return linear(tables, vaddr, &walk->page) ?
		       LG_WALK_MAPPED : fault(walk, access);

	if (pae) {
		struct lg_entry pdpte;

		if (!read_entry(lg, tables, tables->pgdir + (vaddr >> 30) * 8,
				&pdpte))
			return bad(walk, "bad page directory");
		if (!(pdpte.low & PTE_PRESENT))
			return fault(walk, access);
		if ((pdpte.low & PDPTE_RESERVED) ||
		    !entry_pfn(tables, &pdpte, &pfn) ||
		    (pdpte.high & LG_PAGE_NO_EXECUTE))
			return bad(walk, "bad page directory entry");
		walk->table = pfn << 12;
		pde_gpa = walk->table + ((vaddr >> 21) & 511) * 8;
	} else {
		pde_gpa = tables->pgdir + (vaddr >> 22) * 4;
	}

	if (!read_entry(lg, tables, pde_gpa, &pde))
		return bad(walk, "bad page directory");
	if (!(pde.low & PTE_PRESENT))
		return fault(walk, access);
	if ((pde.low & PTE_FLAGS & ~PDE_ALLOWED) ||
	    !entry_pfn(tables, &pde, &pfn))
		return bad(walk, pae ? "bad page middle directory entry" :
				       "bad page directory entry");

	pte_gpa = pae ? (pfn << 12) + ((vaddr >> 12) & 511) * 8 :
			(pfn << 12) + ((vaddr >> 12) & 1023) * 4;
	if (!read_entry(lg, tables, pte_gpa, &pte))
		return bad(walk, "bad page directory entry");
	if (!(pte.low & PTE_PRESENT))
		return fault(walk, access);
	if ((pte.low & PTE_PAT) || !entry_pfn(tables, &pte, &page->pfn))
		return bad(walk, "bad page table entry");

	walk->directory = pde;
	walk->entry_gpa = pte_gpa;
	page->flags = page_flags(&pde, &pte);
	/* CR0.WP is set: the guest's kernel is bound by read-only pages too. */
	if (((access & LG_ACCESS_WRITE) && !(page->flags & LG_PAGE_WRITABLE)) ||
	    ((access & LG_ACCESS_USER) && !(page->flags & LG_PAGE_USER)) ||
	    ((access & LG_ACCESS_FETCH) && (page->flags & LG_PAGE_NO_EXECUTE)))
		return fault(walk, access | LG_ACCESS_PRESENT);

	mark(lg, pde_gpa, &pde, PTE_ACCESSED);
	mark(lg, pte_gpa, &pte, access & LG_ACCESS_WRITE ?
	     PTE_ACCESSED | LG_PAGE_DIRTY : PTE_ACCESSED);
	page->flags |= pte.low & LG_PAGE_DIRTY;
	return LG_WALK_MAPPED;
}

/*
 * The pages of the aligned block around one at which a walk has ended; the
 * result has a bit for each that there is.  Those are what a CPU could have in
 * its TLB by now: it keeps only what was accessed, and nothing is marked here.
 */
u32 lg_walk_around(struct lguest *lg, const struct lg_tables *tables,
		   const struct lg_walk *walk, u32 vaddr,
		   struct lg_mapping pages[LG_AROUND])
{
	u32 first = vaddr & ~(LG_AROUND * 4096 - 1);
	u32 stride = entry_size(tables) / sizeof(u32);
	u32 size = entry_size(tables) * LG_AROUND;
	u32 words[LG_AROUND * 2];
	u32 found = 0, i;

	if (tables->paging == LG_PAGING_LINEAR) {
		for (i = 0; i < LG_AROUND; i++)
			if (linear(tables, first + i * 4096, &pages[i]))
				found |= BIT(i);
		return found;
	}
	/*
	 * A table is larger than a block's part of it.  Torn entries do no
	 * harm: they are what a guest may write, and used from the copy.
	 */
	if (!lg_read_phys(lg, walk->entry_gpa & ~(size - 1), words, size))
		return 0;
	for (i = 0; i < LG_AROUND; i++) {
		struct lg_entry pte = { .low = words[i * stride] };

		if ((pte.low & (PTE_PRESENT | PTE_ACCESSED | PTE_PAT)) !=
		    (PTE_PRESENT | PTE_ACCESSED))
			continue;
		if (stride == 2)
			pte.high = words[i * 2 + 1];
		if (!entry_pfn(tables, &pte, &pages[i].pfn))
			continue;
		pages[i].flags = page_flags(&walk->directory, &pte);
		found |= BIT(i);
	}
	return found;
}

/*
 * Two levels or PAE?  A guest never says, but PAE's top level has four entries
 * whose flags are reserved where those of every other table are in use, and
 * whose upper halves are zero, as guests have at most 4 GiB.  words are the
 * first eight of the table.
 */
enum lg_paging lg_guess_paging(const u32 words[8])
{
	bool present = false;
	int i;

	for (i = 0; i < 8; i += 2) {
		if (words[i + 1])
			return LG_PAGING_2LEVEL;
		if (!words[i])
			continue;
		if (!(words[i] & PTE_PRESENT) || (words[i] & PDPTE_RESERVED))
			return LG_PAGING_2LEVEL;
		present = true;
	}
	return present ? LG_PAGING_PAE : LG_PAGING_2LEVEL;
}
