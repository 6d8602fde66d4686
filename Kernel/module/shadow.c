// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow page tables: what the CPU walks while the guest runs.
 *
 * Each top-level table of the guest that was used lately has a root here.  In
 * its low 4 GiB, four slots of 1 GiB, entries come into being when the guest
 * faults, from a walk of its own tables; above there are only the Switcher's
 * pages, which all roots share.  They share the guest's kernel part too.
 *
 *	root->pgd -> (P4D, where the host has five levels) -> root->slots
 *	  [0..3] -> directory -> [512] -> table -> [512] -> guest page
 *	  [4..]  empty: there a guest's access that straddles 4 GiB ends
 *	root->pgd above the first entry -> the Switcher
 *
 * An entry is all zero or maps a pinned page.  What the guest tells of its own
 * tables, and so what becomes of entries, is paging.c's.
 *
 * Tables change only while the guest is outside, and each entry into it loads
 * CR3 with a flush, so there is never anything stale to get rid of.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <asm/cpufeature.h>
#include <asm/pgtable_types.h>

#include "lg.h"
#include "shadow.h"

#define SHADOW_LINK	(_PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_ACCESSED)
#define SHADOW_ADDRESS	0x000ffffffffff000ull

static u64 *child(u64 entry)
{
	return __va(entry & SHADOW_ADDRESS);
}

/*
 * Tables come and go with the guest's processes, so a few that are not in use
 * are kept at hand.
 */
static u64 *take_spare(struct lguest *lg)
{
	struct page *page;
	u64 *table;

	page = list_first_entry_or_null(&lg->shadow.spares, struct page, lru);
	if (!page)
		return NULL;
	list_del(&page->lru);
	lg->shadow.spare_count--;
	table = page_address(page);
	memset64(table, 0, PAGE_SIZE / sizeof(*table));
	return table;
}

static u64 *alloc_table(struct lguest *lg)
{
	u64 *table = take_spare(lg);

	if (!table)
		table = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (table) {
		lg->shadow.pages++;
		lg->counters.tables = lg->shadow.pages;
	}
	return table;
}

static void free_table(struct lguest *lg, u64 *table)
{
	if (lg->shadow.spare_count < LG_SPARES_MAX) {
		list_add(&virt_to_page(table)->lru, &lg->shadow.spares);
		lg->shadow.spare_count++;
	} else {
		free_page((unsigned long)table);
	}
	lg->shadow.pages--;
	lg->counters.tables = lg->shadow.pages;
}

static void free_spares(struct lguest *lg)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, &lg->shadow.spares, lru)
		free_page((unsigned long)page_address(page));
	INIT_LIST_HEAD(&lg->shadow.spares);
	lg->shadow.spare_count = 0;
}

/*
 * The pages that hold entries of guest pages are in a list, of their root or
 * of the part that is shared, and know the entry that points to them.
 */
static void alloc_leaf_table(struct lguest *lg, struct list_head *list,
			     u64 *parent)
{
	u64 *table = alloc_table(lg);
	struct page *page;

	if (!table)
		return;
	page = virt_to_page(table);
	set_page_private(page, (unsigned long)parent);
	list_add(&page->lru, list);
	*parent = __pa(table) | SHADOW_LINK;
}

static void free_leaf_table(struct lguest *lg, u64 *table)
{
	struct page *page = virt_to_page(table);

	*(u64 *)page_private(page) = 0;
	set_page_private(page, 0);
	list_del(&page->lru);
	free_table(lg, table);
}

static void free_leaf_tables(struct lguest *lg, struct list_head *list)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, list, lru)
		free_leaf_table(lg, page_address(page));
}

static u64 *directory_entry(u64 *directory, u32 vaddr)
{
	return &directory[(vaddr >> 21) & 511];
}

static void link_shared(struct lguest *lg, struct lg_root *root)
{
	u32 slot;

	for (slot = lg->shadow.shared_slot; slot < LG_SLOTS; slot++)
		if (lg->shadow.shared[slot])
			root->slots[slot] = __pa(lg->shadow.shared[slot]) |
					    SHADOW_LINK;
}

static void alloc_directory(struct lguest *lg, struct lg_root *root, u32 slot)
{
	u64 *directory = alloc_table(lg);
	int i;

	if (!directory)
		return;
	if (!lg_shadow_is_shared(lg, slot)) {
		root->slots[slot] = __pa(directory) | SHADOW_LINK;
		return;
	}
	lg->shadow.shared[slot] = directory;
	for (i = 0; i < LG_ROOTS; i++)
		if (lg->shadow.roots[i].slots)
			link_shared(lg, &lg->shadow.roots[i]);
}

/* The list of the pages of entries that a slot of a root is made of. */
static struct list_head *tables_of(struct lguest *lg, struct lg_root *root,
				   u32 slot)
{
	return lg_shadow_is_shared(lg, slot) ? &lg->shadow.shared_tables : &root->tables;
}

/* The shadow entry of an address; NULL if it has none and none is made. */
u64 *lg_shadow_entry(struct lguest *lg, struct lg_root *root, u32 vaddr,
		     bool make)
{
	u32 slot = lg_shadow_slot(vaddr);
	u64 *entry, *table;

	if (!root->slots[slot] && make)
		alloc_directory(lg, root, slot);
	if (!root->slots[slot])
		return NULL;

	entry = directory_entry(child(root->slots[slot]), vaddr);
	if (!*entry && make)
		alloc_leaf_table(lg, tables_of(lg, root, slot), entry);
	if (!*entry)
		return NULL;
	table = child(*entry);
	return &table[(vaddr >> 12) & 511];
}

/* Drops what one directory entry of ours, 2 MiB, maps. */
void lg_shadow_drop_entry(struct lguest *lg, struct lg_root *root, u32 vaddr)
{
	u64 *entry;

	if (!root->slots[lg_shadow_slot(vaddr)])
		return;
	entry = directory_entry(child(root->slots[lg_shadow_slot(vaddr)]), vaddr);
	if (*entry)
		free_leaf_table(lg, child(*entry));
}

/* The guest's page directory whose shadow a slot of a root is. */
u32 *lg_shadow_directory(struct lguest *lg, struct lg_root *root, u32 slot)
{
	return lg_shadow_is_shared(lg, slot) ? &lg->shadow.shared_directory[slot] :
				     &root->directory[slot];
}

void lg_shadow_drop_slot(struct lguest *lg, struct lg_root *root, u32 slot)
{
	struct page *page, *next;
	u64 *directory;

	*lg_shadow_directory(lg, root, slot) = 0;
	if (!root->slots[slot])
		return;
	directory = child(root->slots[slot]);
	list_for_each_entry_safe(page, next, tables_of(lg, root, slot), lru)
		if ((page_private(page) & PAGE_MASK) == (unsigned long)directory)
			free_leaf_table(lg, page_address(page));
}

void lg_shadow_drop_user(struct lguest *lg, struct lg_root *root)
{
	free_leaf_tables(lg, &root->tables);
	memset(root->directory, 0, sizeof(root->directory));
}

void lg_shadow_flush_user(struct lguest *lg)
{
	lg->counters.flushes++;
	lg_shadow_drop_user(lg, lg->shadow.current_root);
}

void lg_shadow_flush_all(struct lguest *lg)
{
	int i;

	lg->counters.flushes++;
	for (i = 0; i < LG_ROOTS; i++)
		lg_shadow_drop_user(lg, &lg->shadow.roots[i]);
	free_leaf_tables(lg, &lg->shadow.shared_tables);
	memset(lg->shadow.shared_directory, 0,
	       sizeof(lg->shadow.shared_directory));
	lg->shadow.pin_stack = true;
}

struct lg_root *lg_shadow_find_root(struct lguest *lg, u32 pgdir)
{
	int i;

	for (i = 0; i < LG_ROOTS; i++)
		if (lg->shadow.roots[i].live &&
		    lg->shadow.roots[i].pgdir == pgdir)
			return &lg->shadow.roots[i];
	return NULL;
}

/* The root that was not used for the longest time; never the current one. */
static struct lg_root *oldest_root(struct lguest *lg, bool with_tables)
{
	struct lg_root *oldest = NULL;
	int i;

	for (i = 0; i < LG_ROOTS; i++) {
		struct lg_root *root = &lg->shadow.roots[i];

		if (root == lg->shadow.current_root ||
		    (with_tables && list_empty(&root->tables)))
			continue;
		if (!oldest || root->used < oldest->used)
			oldest = root;
	}
	return oldest;
}

/* Makes room for the tables that one address may need. */
void lg_shadow_make_room(struct lguest *lg)
{
	while (lg->shadow.pages + 2 > lg_max_tables) {
		struct lg_root *root = oldest_root(lg, true);

		lg->counters.evictions++;
		if (!root) {
			lg_shadow_flush_all(lg);
			return;
		}
		lg_shadow_drop_user(lg, root);
	}
}

/* The top-level pages of a root, which it keeps while the guest is. */
static bool make_root(struct lguest *lg, struct lg_root *root)
{
	u64 *pgd, *p4d = NULL;

	if (root->slots)
		return true;
	pgd = alloc_table(lg);
	if (!pgd)
		return false;
	memcpy(pgd, lg->shadow.high, PAGE_SIZE);
	root->pgd = pgd;
	if (lg->shadow.levels == 5) {
		p4d = alloc_table(lg);
		if (!p4d)
			return false;
		pgd[0] = __pa(p4d) | SHADOW_LINK;
		pgd = p4d;
	}
	root->slots = alloc_table(lg);
	if (!root->slots)
		return false;
	pgd[0] = __pa(root->slots) | SHADOW_LINK;
	link_shared(lg, root);
	return true;
}

static void free_root(struct lguest *lg, struct lg_root *root)
{
	u32 slot;

	lg_shadow_drop_user(lg, root);
	if (root->slots) {
		for (slot = 0; slot < lg->shadow.shared_slot; slot++)
			if (root->slots[slot])
				free_table(lg, child(root->slots[slot]));
		free_table(lg, root->slots);
		root->slots = NULL;
	}
	if (root->pgd) {
		if (lg->shadow.levels == 5 && root->pgd[0])
			free_table(lg, child(root->pgd[0]));
		free_table(lg, root->pgd);
		root->pgd = NULL;
	}
	root->live = false;
}

bool lg_shadow_use_root(struct lguest *lg, u32 pgdir)
{
	struct lg_root *root = lg_shadow_find_root(lg, pgdir);

	lg->counters.root_switches++;
	if (!root) {
		root = oldest_root(lg, false);
		lg->counters.root_misses++;
		if (!make_root(lg, root)) {
			free_root(lg, root);
			return false;
		}
		lg_shadow_drop_user(lg, root);
		root->pgdir = pgdir;
		root->live = true;
		lg->shadow.pin_stack = true;
	}
	root->used = ++lg->shadow.clock;
	lg->shadow.current_root = root;
	lg->tables.pgdir = pgdir;
	lg->state->guest_cr3 = __pa(root->pgd);
	return true;
}

/* The guest names where its kernel begins: once, before it has many roots. */
void lg_shadow_share_kernel(struct lguest *lg, u32 kernel_address)
{
	int i;

	lg_shadow_flush_all(lg);
	for (i = 0; i < LG_ROOTS; i++)
		if (&lg->shadow.roots[i] != lg->shadow.current_root)
			free_root(lg, &lg->shadow.roots[i]);
	/* A kernel that begins within a slot shares what is above that. */
	if (kernel_address < 1u << 30)
		return;
	lg->shadow.shared_slot = DIV_ROUND_UP_ULL(kernel_address, 1u << 30);
	for (i = lg->shadow.shared_slot; i < LG_SLOTS; i++)
		if (lg->shadow.current_root->slots[i])
			lg->shadow.shared[i] =
				child(lg->shadow.current_root->slots[i]);
}

/* Maps one page of the Switcher, above 4 GiB, for all roots to come. */
static int map_high(struct lguest *lg, unsigned long vaddr, u64 entry)
{
	u64 *table = lg->shadow.high;
	int level;

	for (level = lg->shadow.levels; level > 1; level--) {
		u64 *link = &table[(vaddr >> (12 + 9 * (level - 1))) & 511];

		if (!*link) {
			u64 *next = alloc_table(lg);

			if (!next)
				return -ENOMEM;
			*link = __pa(next) | SHADOW_LINK;
		}
		table = child(*link);
	}
	table[(vaddr >> 12) & 511] = entry;
	return 0;
}

static void free_high(struct lguest *lg, u64 *table, int level)
{
	int i;

	for (i = 0; level > 1 && i < 512; i++)
		if (table[i])
			free_high(lg, child(table[i]), level - 1);
	free_table(lg, table);
}

int lg_shadow_init(struct lguest *lg)
{
	int i, err;

	INIT_LIST_HEAD(&lg->shadow.shared_tables);
	INIT_LIST_HEAD(&lg->shadow.spares);
	for (i = 0; i < LG_ROOTS; i++)
		INIT_LIST_HEAD(&lg->shadow.roots[i].tables);
	lg->shadow.shared_slot = LG_SLOTS;
	lg->shadow.smep = true;
	lg->shadow.levels = native_read_cr4() & X86_CR4_LA57 ? 5 : 4;
	lg->shadow.high = alloc_table(lg);
	if (!lg->shadow.high)
		return -ENOMEM;
	err = lg_switcher_pages(lg, map_high);
	if (err)
		return err;
	return lg_shadow_use_root(lg, lg->boot_pgdir) ? 0 : -ENOMEM;
}

void lg_shadow_exit(struct lguest *lg)
{
	u32 slot;
	int i;

	if (!lg->shadow.high)
		return;
	free_leaf_tables(lg, &lg->shadow.shared_tables);
	for (i = 0; i < LG_ROOTS; i++)
		free_root(lg, &lg->shadow.roots[i]);
	for (slot = lg->shadow.shared_slot; slot < LG_SLOTS; slot++)
		if (lg->shadow.shared[slot])
			free_table(lg, lg->shadow.shared[slot]);
	free_high(lg, lg->shadow.high, lg->shadow.levels);
	lg->shadow.high = NULL;
	free_spares(lg);
	WARN_ON_ONCE(lg->shadow.pages);
}
