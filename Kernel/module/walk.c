// SPDX-License-Identifier: GPL-2.0-only
/*
 * A walk of the guest's page tables, as the CPU would make it: 32-bit tables
 * of two levels, or PAE's of three.  Each entry is read once and used from the
 * copy.  A walk that succeeds leaves the accessed bit in the entries it used,
 * and the dirty bit if it was for a write.
 */
#include "walk.h"

#define PTE_PRESENT	BIT(0)
#define PTE_WRITABLE	BIT(1)
#define PTE_USER	BIT(2)
#define PTE_ACCESSED	BIT(5)
#define PTE_DIRTY	BIT(6)
#define PTE_PAT		BIT(7)
#define PTE_FLAGS	0xfffu
#define PTE_NX_HIGH	BIT(31)		/* in the upper half of PAE's entries */

/* A directory entry may have no other flags: no large pages, no caching. */
#define PDE_ALLOWED	(PTE_PRESENT | PTE_WRITABLE | PTE_USER | \
			 PTE_ACCESSED | PTE_DIRTY)
/* Those of a PDPT entry that are reserved: they tell it from other entries. */
#define PDPTE_RESERVED	(BIT(1) | BIT(2) | BIT(5) | BIT(6) | BIT(7) | BIT(8))

struct entry {
	u32 low;
	u32 high;
};

static bool read_entry(struct lguest *lg, const struct lg_tables *tables,
		       u32 gpa, struct entry *entry)
{
	u32 size = tables->paging == LG_PAGING_PAE ? 8 : 4;

	entry->high = 0;
	return lg_read_phys(lg, gpa, entry, size);
}

/* False when the entry points outside of the guest. */
static bool entry_pfn(const struct lg_tables *tables, const struct entry *entry,
		      u32 *pfn)
{
	u32 high = entry->high & ~PTE_NX_HIGH;

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

static enum lg_walk_result walk_linear(const struct lg_tables *tables,
				       u32 vaddr, u32 access,
				       struct lg_walk *walk)
{
	u32 pfn = vaddr >> 12;

	if (pfn >= tables->pfn_limit && vaddr >= LG_BOOT_LINEAR)
		pfn = (vaddr - LG_BOOT_LINEAR) >> 12;
	if (pfn >= tables->pfn_limit)
		return fault(walk, access);
	walk->pfn = pfn;
	walk->writable = true;
	walk->dirty = true;
	return LG_WALK_MAPPED;
}

static void mark(struct lguest *lg, u32 gpa, struct entry *entry, u32 bits)
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
	struct entry pde, pte;
	u32 pde_gpa, pte_gpa, pfn;

	memset(walk, 0, sizeof(*walk));
	access &= LG_ACCESS_WRITE | LG_ACCESS_USER | LG_ACCESS_FETCH;
	if (tables->paging == LG_PAGING_LINEAR)
		return walk_linear(tables, vaddr, access, walk);

	if (pae) {
		struct entry pdpte;

		if (!read_entry(lg, tables, tables->pgdir + (vaddr >> 30) * 8,
				&pdpte))
			return bad(walk, "bad page directory");
		if (!(pdpte.low & PTE_PRESENT))
			return fault(walk, access);
		if ((pdpte.low & PDPTE_RESERVED) ||
		    !entry_pfn(tables, &pdpte, &pfn) ||
		    (pdpte.high & PTE_NX_HIGH))
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
	if ((pte.low & PTE_PAT) || !entry_pfn(tables, &pte, &walk->pfn))
		return bad(walk, "bad page table entry");

	walk->writable = pde.low & pte.low & PTE_WRITABLE;
	walk->user = pde.low & pte.low & PTE_USER;
	walk->no_execute = (pde.high | pte.high) & PTE_NX_HIGH;
	/* CR0.WP is set: the guest's kernel is bound by read-only pages too. */
	if (((access & LG_ACCESS_WRITE) && !walk->writable) ||
	    ((access & LG_ACCESS_USER) && !walk->user) ||
	    ((access & LG_ACCESS_FETCH) && walk->no_execute))
		return fault(walk, access | LG_ACCESS_PRESENT);

	mark(lg, pde_gpa, &pde, PTE_ACCESSED);
	mark(lg, pte_gpa, &pte, access & LG_ACCESS_WRITE ?
	     PTE_ACCESSED | PTE_DIRTY : PTE_ACCESSED);
	walk->dirty = pte.low & PTE_DIRTY;
	return LG_WALK_MAPPED;
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
