// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's own page tables, as far as the host hears of them: by a page
 * fault, which asks for one of their entries, and by the hypercalls with which
 * it changes the top level or an entry.  shadow.c keeps what comes of that.
 *
 * An entry of the shadow is writable only once the guest's own is dirty.  The
 * guest tells when it changes or takes away an entry; what it does not tell, a
 * real CPU's TLB might not see either.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <asm/pgtable_types.h>

#include "lg.h"
#include "shadow.h"

static u64 leaf(struct lguest *lg, const struct lg_root *root,
		const struct lg_mapping *page)
{
	const u32 written = LG_PAGE_WRITABLE | LG_PAGE_DIRTY;
	u64 entry = page_to_phys(lg->pages[page->pfn]) | _PAGE_PRESENT |
		    _PAGE_ACCESSED;

	if ((page->flags & written) == written)
		entry |= _PAGE_RW | _PAGE_DIRTY;
	/*
	 * The first tables give everything to user mode, in which nothing
	 * runs yet, while SMEP would not let the guest's kernel execute it.
	 */
	if ((page->flags & LG_PAGE_USER) && root->pgdir != lg->boot_pgdir)
		entry |= _PAGE_USER;
	if (page->flags & LG_PAGE_NO_EXECUTE)
		entry |= __supported_pte_mask & _PAGE_NX;
	return entry;
}

/* Where the entry is; NULL when there is none and the guest is dead. */
static u64 *fill(struct lguest *lg, struct lg_root *root, u32 vaddr,
		 const struct lg_walk *walk)
{
	u32 slot = lg_shadow_slot(vaddr);
	u32 *directory;
	u64 *entry;

	if (vaddr >= -LG_RESERVED_TOP) {
		lg_kill(lg, "attempt to access switcher pages");
		return NULL;
	}
	if (!lg_page(lg, walk->page.pfn)) {
		lg_kill(lg, "failed to get page %u", walk->page.pfn);
		return NULL;
	}
	lg_shadow_make_room(lg);
	directory = lg_shadow_directory(lg, root, slot);
	if (*directory != walk->table) {
		if (*directory)
			lg_shadow_drop_slot(lg, root, slot);
		*directory = walk->table;
	}
	entry = lg_shadow_entry(lg, root, vaddr, true);
	if (!entry) {
		lg_kill(lg, "out of memory allocating pte page");
		return NULL;
	}
	*entry = leaf(lg, root, &walk->page);
	lg->counters.pages_mapped++;
	return entry;
}

/*
 * Maps the pages around one of the kernel's as well, where it is likely to
 * fault next: those that are pinned, and that a CPU could have in its TLB.  A
 * program's are not worth it: they go with it, mostly before they are used.
 */
static void fill_around(struct lguest *lg, struct lg_root *root, u32 vaddr,
			const struct lg_walk *walk, u64 *entry)
{
	u64 *entries = entry - (vaddr >> PAGE_SHIFT) % LG_AROUND;
	struct lg_mapping pages[LG_AROUND];
	u32 found = lg_walk_around(lg, &lg->tables, walk, vaddr, pages);

	for (; found; found &= found - 1) {
		u32 i = __ffs(found);
		struct lg_mapping *page = &pages[i];

		page->pfn = array_index_nospec(page->pfn, lg->pfn_limit);
		if (entries[i] || !lg->pages[page->pfn])
			continue;
		entries[i] = leaf(lg, root, page);
		lg->counters.pages_mapped++;
	}
}

/*
 * Maps what the guest's tables have at vaddr, if they allow the access.  After
 * LG_WALK_FAULT *error is the guest's page fault.  May kill the guest.
 */
enum lg_walk_result lg_paging_fault(struct lguest *lg, u32 vaddr, u32 access,
				    u32 *error)
{
	struct lg_root *root = lg->shadow.current_root;
	enum lg_walk_result result;
	struct lg_walk walk;
	u64 *entry;

	result = lg_walk(lg, &lg->tables, vaddr, access, &walk);
	switch (result) {
	case LG_WALK_MAPPED:
		if ((access & (LG_ACCESS_USER | LG_ACCESS_FETCH)) ==
		    LG_ACCESS_FETCH && (walk.page.flags & LG_PAGE_USER))
			lg->shadow.smep = false;
		entry = fill(lg, root, vaddr, &walk);
		if (entry && lg_shadow_is_shared(lg, lg_shadow_slot(vaddr)))
			fill_around(lg, root, vaddr, &walk, entry);
		break;
	case LG_WALK_FAULT:
		*error = walk.error;
		break;
	case LG_WALK_BAD:
		lg_kill(lg, "%s for %#x", walk.reason, vaddr);
		break;
	}
	return result;
}

/* Lets the Switcher write the frames of system calls without a fault. */
void lg_paging_pin_stack(struct lguest *lg)
{
	u32 page, error;

	for (page = 0; page < lg->stack_pages; page++) {
		u32 vaddr = lg->kernel_esp - 1 - page * PAGE_SIZE;
		u64 *entry = lg_shadow_entry(lg, lg->shadow.current_root, vaddr,
					false);

		if (entry && (*entry & _PAGE_RW))
			continue;
		lg_paging_fault(lg, vaddr, LG_ACCESS_WRITE, &error);
	}
	lg->shadow.pin_stack = false;
}

/*
 * Writes words where the CPU itself could write them now: what the shadow has
 * writable is a page of the guest's that is pinned, and dirty in its tables.
 * False where that takes a walk of those.
 */
bool lg_paging_push(struct lguest *lg, u32 vaddr, const u32 *words, u32 count)
{
	const u64 *entry;
	u32 *to;
	u32 i;

	if (vaddr % sizeof(u32) ||
	    offset_in_page(vaddr) + count * sizeof(u32) > PAGE_SIZE)
		return false;
	entry = lg_shadow_entry(lg, lg->shadow.current_root, vaddr, false);
	if (!entry || !(*entry & _PAGE_PRESENT) || !(*entry & _PAGE_RW))
		return false;
	to = __va(*entry & PTE_PFN_MASK) + offset_in_page(vaddr);
	for (i = 0; i < count; i++)
		WRITE_ONCE(to[i], words[i]);
	return true;
}

/* The guest loads CR3. */
void lg_paging_new_root(struct lguest *lg, u32 pgdir)
{
	u32 words[8];

	if (!lg_read_phys(lg, pgdir, words, sizeof(words))) {
		lg_kill(lg, "bad guest page %#x", pgdir >> PAGE_SHIFT);
		return;
	}
	if (lg->tables.paging == LG_PAGING_LINEAR) {
		lg->tables.paging = lg_guess_paging(words);
		lg_shadow_flush_all(lg);
	}
	if (pgdir & (lg->tables.paging == LG_PAGING_PAE ? 31 : ~PAGE_MASK)) {
		lg_kill(lg, "bad page directory %#x", pgdir);
		return;
	}
	if (!lg_shadow_use_root(lg, pgdir)) {
		lg_kill(lg, "out of memory allocating pte page");
		return;
	}
	/* The first tables are gone, and their page may be any other's. */
	if (lg->boot_pgdir != LG_NO_PGDIR) {
		struct lg_root *root = lg_shadow_find_root(lg, lg->boot_pgdir);

		lg->boot_pgdir = LG_NO_PGDIR;
		if (root && root != lg->shadow.current_root) {
			lg_shadow_drop_user(lg, root);
			root->live = false;
		}
	}
}

/*
 * The guest has changed one entry.  One that was accessed is likely to be the
 * answer to a fault, so it is mapped without waiting for the next.  pte only
 * says what the change is for: what counts is what stands in memory.
 */
void lg_paging_set_pte(struct lguest *lg, u32 pgdir, u32 vaddr, u32 pte)
{
	struct lg_root *root = lg_shadow_find_root(lg, pgdir);
	struct lg_tables tables = lg->tables;
	struct lg_walk walk;
	u64 *entry;

	if (!root) {
		if (!lg_shadow_is_shared(lg, lg_shadow_slot(vaddr)))
			return;
		root = lg->shadow.current_root;
	}
	entry = lg_shadow_entry(lg, root, vaddr, false);
	if (entry)
		*entry = 0;
	if (!(pte & _PAGE_PRESENT) ||
	    !(pte & (_PAGE_ACCESSED | _PAGE_DIRTY)) ||
	    vaddr >= -LG_RESERVED_TOP ||
	    lg->tables.paging == LG_PAGING_LINEAR)
		return;
	tables.pgdir = pgdir;
	if (lg_walk(lg, &tables, vaddr, 0, &walk) == LG_WALK_MAPPED)
		fill(lg, root, vaddr, &walk);
}

static void set_pdpte(struct lguest *lg, u32 pgdir, u32 index)
{
	struct lg_root *root;
	u64 entry;

	if (index >= LG_SLOTS)
		return;
	index = array_index_nospec(index, LG_SLOTS);
	if (!lg_shadow_is_shared(lg, index)) {
		root = lg_shadow_find_root(lg, pgdir);
		if (root)
			lg_shadow_drop_slot(lg, root, index);
		return;
	}
	/* Each new top-level table gets the kernel's directory once more. */
	if (lg_read_phys(lg, pgdir + index * sizeof(entry), &entry,
			 sizeof(entry)) &&
	    (entry & PAGE_MASK) == lg->shadow.shared_directory[index])
		return;
	lg_shadow_drop_slot(lg, lg->shadow.current_root, index);
}

/*
 * The guest has changed an entry of a top-level table.  An index that PAE's
 * four entries do not have tells which paging it has.
 */
void lg_paging_set_pgd(struct lguest *lg, u32 pgdir, u32 index)
{
	struct lg_root *root;
	u32 vaddr;

	if (lg->tables.paging == LG_PAGING_LINEAR) {
		if (index >= LG_SLOTS)
			lg_boot_found_paging(lg, LG_PAGING_2LEVEL);
		lg_shadow_flush_all(lg);
		return;
	}
	if (lg->tables.paging == LG_PAGING_PAE) {
		set_pdpte(lg, pgdir, index);
		return;
	}
	if (index >= 1023)
		return;
	vaddr = index << 22;
	root = lg_shadow_is_shared(lg, lg_shadow_slot(vaddr)) ? lg->shadow.current_root :
					       lg_shadow_find_root(lg, pgdir);
	if (root) {
		lg_shadow_drop_entry(lg, root, vaddr);
		lg_shadow_drop_entry(lg, root, vaddr + (1 << 21));
	}
}

/* The guest has changed an entry of a page directory: this is PAE. */
void lg_paging_set_pmd(struct lguest *lg, u32 pmd, u32 index)
{
	u32 slot;
	int i;

	if (lg->tables.paging == LG_PAGING_LINEAR) {
		lg_boot_found_paging(lg, LG_PAGING_PAE);
		lg_shadow_flush_all(lg);
		return;
	}
	if (index >= 512 || lg->tables.paging != LG_PAGING_PAE)
		return;
	for (i = 0; i < LG_ROOTS; i++) {
		struct lg_root *root = &lg->shadow.roots[i];

		for (slot = 0; slot < lg->shadow.shared_slot; slot++)
			if (root->live && root->directory[slot] == pmd)
				lg_shadow_drop_entry(lg, root, slot << 30 |
						     index << 21);
	}
	for (slot = lg->shadow.shared_slot; slot < LG_SLOTS; slot++)
		if (lg->shadow.shared_directory[slot] == pmd)
			lg_shadow_drop_entry(lg, lg->shadow.current_root,
					     slot << 30 | index << 21);
}
