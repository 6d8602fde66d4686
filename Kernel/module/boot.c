// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a guest finds when it starts: registers, and page tables in its memory
 * that map all of it at 0 and at 3 GiB, below the initrd and below 768 MiB:
 * Linux 2.6.31 reads them at 3 GiB, where in its own tables there is not room
 * for all of a guest with 1 GiB.
 *
 * Guests of Linux 2.6.31 read and change these tables before they have some of
 * their own; later ones expect every address to be mapped to itself.  Whether
 * a guest has two levels or PAE is not known yet, and each guest only looks at
 * the part that is for it.  So the top-level page is that of both:
 *
 *	bytes		two levels		PAE
 *	0 to 31		entries 0 to 7		all four entries
 *	32 to 4095	entries 8 to 1023	none
 *
 * No two-level guest reads the first eight entries; those that PAE needs, 0
 * and 3, are there.  Until the guest shows which it is (lg_boot_found_paging),
 * the shadow is filled without the tables: LG_PAGING_LINEAR.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "lg.h"

/* Offsets in boot_params, which the launcher has put at 0. */
#define BOOT_RAMDISK_SIZE	0x21c
#define BOOT_E820_SIZE		0x2d8	/* of the first entry; 64 bits */

/* Present, writable, user. */
#define BOOT_ENTRY		7u
#define BOOT_PDPTE		1u
/* At 3 GiB there is room for this much, below the reserved top. */
#define BOOT_LINEAR_PAGES	((-LG_BOOT_LINEAR - LG_RESERVED_TOP) / PAGE_SIZE)
#define BOOT_LINEAR_INDEX	(LG_BOOT_LINEAR >> 22)
/* The tables end there, or earlier. */
#define BOOT_TABLES_END		0x30000000u

struct boot_tables {
	u32 pages;		/* guest pages that they map */
	u32 tables;		/* page tables of two levels, below the top */
	u32 pae_tables;		/* page tables of PAE, below the directory */
	u32 pgdir;
	u32 first_table;
	u32 directory;
	u32 first_pae_table;
};

static int lay_out(struct lguest *lg, struct boot_tables *t)
{
	u64 mem, limit = (u64)lg->pfn_limit << PAGE_SHIFT;
	u32 initrd, needed;

	if (!lg_read_phys(lg, BOOT_E820_SIZE, &mem, sizeof(mem)) ||
	    !lg_read_phys(lg, BOOT_RAMDISK_SIZE, &initrd, sizeof(initrd)))
		return -EFAULT;
	if (!mem || mem > limit)
		mem = limit;
	if (initrd >= mem)
		return -EINVAL;

	t->pages = min_t(u64, mem >> PAGE_SHIFT, BOOT_LINEAR_PAGES);
	t->tables = DIV_ROUND_UP(t->pages, 1024);
	t->pae_tables = DIV_ROUND_UP(t->pages, 512);
	needed = (2 + t->tables + t->pae_tables) * PAGE_SIZE;
	/* The first two pages are boot_params and the command line. */
	if (mem - initrd < needed + 2 * PAGE_SIZE)
		return -EINVAL;

	t->pgdir = (min_t(u64, mem - initrd, BOOT_TABLES_END) & PAGE_MASK) -
		   PAGE_SIZE;
	t->first_table = t->pgdir - t->tables * PAGE_SIZE;
	t->directory = t->first_table - PAGE_SIZE;
	t->first_pae_table = t->directory - t->pae_tables * PAGE_SIZE;
	return 0;
}

/* count entries that map, one after the other, what begins at pfn. */
static int write_entries(struct lguest *lg, u32 gpa, u32 pfn, u32 count,
			 bool pae)
{
	u32 size = pae ? 8 : 4;
	u32 i;

	for (i = 0; i < count; i++) {
		u64 entry = (u64)(pfn + i) << PAGE_SHIFT | BOOT_ENTRY;

		if (!lg_write_phys(lg, gpa + i * size, &entry, size))
			return -EFAULT;
	}
	return 0;
}

static int clear_page_at(struct lguest *lg, u32 gpa)
{
	void *page = lg_page(lg, gpa >> PAGE_SHIFT);

	if (!page)
		return -EFAULT;
	clear_page(page);
	return 0;
}

static int write_tables(struct lguest *lg, const struct boot_tables *t)
{
	u32 table_pfn = t->first_table >> PAGE_SHIFT;
	u64 pdpte = t->directory | BOOT_PDPTE;
	u32 gpa;
	int err;

	for (gpa = t->first_pae_table; gpa <= t->pgdir; gpa += PAGE_SIZE) {
		err = clear_page_at(lg, gpa);
		if (err)
			return err;
	}
	err = write_entries(lg, t->first_table, 0, t->pages, false);
	if (!err)
		err = write_entries(lg, t->first_pae_table, 0, t->pages, true);
	if (!err)
		err = write_entries(lg, t->directory,
				    t->first_pae_table >> PAGE_SHIFT,
				    t->pae_tables, true);
	/* In the top-level page PAE's entries stand over those of the other. */
	if (!err)
		err = write_entries(lg, t->pgdir, table_pfn, t->tables, false);
	if (!err)
		err = write_entries(lg, t->pgdir + BOOT_LINEAR_INDEX * 4,
				    table_pfn, t->tables, false);
	if (!err && (!lg_write_phys(lg, t->pgdir, &pdpte, 8) ||
		     !lg_write_phys(lg, t->pgdir + 3 * 8, &pdpte, 8)))
		err = -EFAULT;
	return err;
}

int lg_boot(struct lguest *lg, u32 start)
{
	struct lg_regs *regs = lg_regs(lg);
	struct boot_tables t;
	int err;

	err = lay_out(lg, &t);
	if (err)
		return err;
	err = write_tables(lg, &t);
	if (err)
		return err;

	lg->boot_pgdir = t.pgdir;
	lg->boot_table = t.first_table;
	lg->boot_tables = t.tables;
	lg->tables.paging = LG_PAGING_LINEAR;
	lg->tables.pfn_limit = lg->pfn_limit;

	/* Flat segments of ring 1, interrupts on, and all else is zero. */
	regs->cs = LG_GUEST_CS;
	regs->ds = LG_GUEST_DS;
	regs->es = LG_GUEST_DS;
	regs->ss = LG_GUEST_DS;
	regs->eflags = LG_EFLAGS_ALWAYS;
	regs->eip = start;
	return 0;
}

/*
 * The guest has shown its paging by what it told of the first tables, and goes
 * on with them: they become what they are for this paging alone.
 */
void lg_boot_found_paging(struct lguest *lg, enum lg_paging paging)
{
	static const u64 none[2];
	u32 pfn = lg->boot_table >> PAGE_SHIFT;

	lg->tables.paging = paging;
	if (paging == LG_PAGING_PAE) {
		lg_write_phys(lg, lg->boot_pgdir + 1 * 8, none, sizeof(none));
		return;
	}
	lg_write_phys(lg, lg->boot_pgdir, none, 8);
	lg_write_phys(lg, lg->boot_pgdir + 3 * 8, none, 8);
	write_entries(lg, lg->boot_pgdir, pfn, min(lg->boot_tables, 8u), false);
}
