/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LG_WALK_H
#define LG_WALK_H

#include "pure.h"

enum lg_paging {
	LG_PAGING_LINEAR,	/* as at the start: identity, and at 3 GiB */
	LG_PAGING_2LEVEL,
	LG_PAGING_PAE,
};

/* The guest's tables as the host sees them at this moment. */
struct lg_tables {
	enum lg_paging paging;
	u32 pgdir;		/* guest-physical address of the top level */
	u32 pfn_limit;		/* the first page number out of bounds */
};

/* What is wanted of a page; these are the bits of a page fault's error code. */
#define LG_ACCESS_PRESENT	BIT(0)	/* in an error code: a protection fault */
#define LG_ACCESS_WRITE		BIT(1)
#define LG_ACCESS_USER		BIT(2)
#define LG_ACCESS_RESERVED	BIT(3)
#define LG_ACCESS_FETCH		BIT(4)

enum lg_walk_result {
	LG_WALK_MAPPED,
	LG_WALK_FAULT,		/* the guest's own fault: reflect it */
	LG_WALK_BAD,		/* tables that no guest may have: kill it */
};

/* An entry of a table; without PAE there is no high half. */
struct lg_entry {
	u32 low;
	u32 high;
};

/* What tables say of a page: these bits of entries, the last of a high half. */
#define LG_PAGE_WRITABLE	BIT(1)
#define LG_PAGE_USER		BIT(2)
#define LG_PAGE_DIRTY		BIT(6)
#define LG_PAGE_NO_EXECUTE	BIT(31)

struct lg_mapping {
	u32 pfn;
	u32 flags;
};

struct lg_walk {
	struct lg_mapping page;
	u32 table;		/* PAE: the page directory that was used */
	struct lg_entry directory;	/* the entry that names the last table */
	u32 entry_gpa;		/* where the entry of the page is */
	u32 error;		/* after LG_WALK_FAULT, for the guest */
	const char *reason;	/* after LG_WALK_BAD */
};

/* The linear map of the first tables is here as well as at zero. */
#define LG_BOOT_LINEAR		0xc0000000u

enum lg_walk_result lg_walk(struct lguest *lg, const struct lg_tables *tables,
			    u32 vaddr, u32 access, struct lg_walk *walk);

/* So many pages, aligned to as many, are mapped and pinned together. */
#define LG_AROUND		16

u32 lg_walk_around(struct lguest *lg, const struct lg_tables *tables,
		   const struct lg_walk *walk, u32 vaddr,
		   struct lg_mapping pages[LG_AROUND]);
enum lg_paging lg_guess_paging(const u32 words[8]);

#endif
