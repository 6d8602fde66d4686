// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk of the guest's page tables: by hand for each rule, then random tables against a second,
 * plainer walk.
 */
#include "unit.h"
#include "walk.h"

#define ROOT 0x1000u
#define MIDDLE 0x2000u
#define TABLE 0x3000u
#define PAGE 0x7000u
#define LIMIT (GUEST_BYTES / 4096)
#define ADDRESS 0xc0405000u

#define P 0x01u
#define W 0x02u
#define U 0x04u
#define A 0x20u
#define D 0x40u
#define BIT7 0x80u
#define G 0x100u
#define NX 0x80000000u
#define READ 0
#define WRITE LG_ACCESS_WRITE
#define USER LG_ACCESS_USER
#define FETCH LG_ACCESS_FETCH

static struct lguest *lg;
static struct lg_walk walk;
static bool pae;

static u32 pde_at(void)
{
	return pae ? MIDDLE + (ADDRESS >> 21 & 511) * 8 : ROOT + (ADDRESS >> 22) * 4;
}

static u32 pte_at(void)
{
	return TABLE + (pae ? (ADDRESS >> 12 & 511) * 8 : (ADDRESS >> 12 & 1023) * 4);
}

static void tables(u32 pde_flags, u32 pte)
{
	lg = fresh_guest();
	if (pae)
		put32(lg, ROOT + (ADDRESS >> 30) * 8, MIDDLE | P);
	put32(lg, pde_at(), TABLE | pde_flags);
	put32(lg, pte_at(), pte);
}

static enum lg_walk_result go(u32 access)
{
	struct lg_tables place = { pae ? LG_PAGING_PAE : LG_PAGING_2LEVEL, ROOT, LIMIT };

	return lg_walk(lg, &place, ADDRESS, access, &walk);
}

static bool faults(u32 access, u32 error)
{
	return go(access) == LG_WALK_FAULT && walk.error == error;
}

static void test_rules(void)
{
	u32 all = P | W | U;

	tables(all, PAGE | all);
	check(go(READ) == LG_WALK_MAPPED && walk.page.pfn == PAGE >> 12 && walk.page.flags & W && walk.page.flags & U,
	      "a mapped page is found");
	check(!(walk.page.flags & D) && get32(lg, pte_at()) == (PAGE | all | A), "reading sets accessed");
	check(get32(lg, pde_at()) == (TABLE | all | A), "in the directory too");
	check(go(WRITE) == LG_WALK_MAPPED && walk.page.flags & D && get32(lg, pte_at()) == (PAGE | all | A | D),
	      "writing sets dirty");

	tables(0, PAGE | all);
	check(faults(READ, 0), "no table: a fault");
	tables(all, 0);
	check(faults(READ, 0) && faults(WRITE, 2) && faults(USER, 4) && faults(USER | WRITE, 6),
	      "no page: a fault that says what was tried");
	check(!lg->writes, "a fault changes no table");
	tables(all, PAGE | P | U);
	check(faults(WRITE, 3) && go(READ) == LG_WALK_MAPPED && !(walk.page.flags & W), "a read-only page");
	tables(P | U, PAGE | all);
	check(faults(WRITE, 3) && go(READ) == LG_WALK_MAPPED && !(walk.page.flags & W),
	      "a read-only directory entry");
	tables(all, PAGE | P | W);
	check(faults(USER, 5) && go(WRITE) == LG_WALK_MAPPED && !(walk.page.flags & U), "a kernel page");
	tables(P | W, PAGE | all);
	check(faults(USER | WRITE, 7) && go(READ) == LG_WALK_MAPPED && !(walk.page.flags & U),
	      "a kernel directory entry");
	tables(all, PAGE | all | G);
	check(go(READ) == LG_WALK_MAPPED, "a global page is a page");

	tables(all, LIMIT << 12 | all);
	check(go(READ) == LG_WALK_BAD && walk.reason, "a page just outside is refused");
	tables(all, 0xfffff000 | all);
	check(go(READ) == LG_WALK_BAD, "a page far outside is refused");
	tables(all, (LIMIT - 1) << 12 | all);
	check(go(READ) == LG_WALK_MAPPED && walk.page.pfn == LIMIT - 1, "the last page is one");
	tables(all, PAGE | all | BIT7);
	check(go(READ) == LG_WALK_BAD, "bit 7 of a page is refused");
	tables(all | BIT7, PAGE | all);
	check(go(READ) == LG_WALK_BAD, "a large page is refused");
	tables(all | 0x08, PAGE | all);
	check(go(READ) == LG_WALK_BAD, "cache bits of a directory entry are refused");
	tables(all, PAGE | all);
	put32(lg, pde_at(), 0xfffff000 | all);
	check(go(READ) == LG_WALK_BAD, "a table outside is refused");
	check(!lg->writes, "and what is refused is not changed");
}

static void test_pae(void)
{
	u32 all = P | W | U;

	tables(all, PAGE | all);
	put32(lg, pte_at() + 4, 0x80000000);
	check(go(READ) == LG_WALK_MAPPED && walk.page.flags & NX && faults(FETCH, 0x11),
	      "PAE: no execution");
	put32(lg, pte_at() + 4, 1);
	check(go(READ) == LG_WALK_BAD, "PAE: a page above 4 GiB is refused");
	tables(all, PAGE | all);
	put32(lg, pde_at() + 4, 0x00100000);
	check(go(READ) == LG_WALK_BAD, "PAE: a table above 4 GiB is refused");
	tables(all, PAGE | all);
	put32(lg, ROOT + (ADDRESS >> 30) * 8, MIDDLE | P | W);
	check(go(READ) == LG_WALK_BAD, "PAE: reserved bits of the top level are refused");
	put32(lg, ROOT + (ADDRESS >> 30) * 8, 0);
	check(faults(WRITE, 2), "PAE: no directory is a fault");
	put32(lg, ROOT + (ADDRESS >> 30) * 8, 0x7ffff000 | P);
	check(go(READ) == LG_WALK_BAD, "PAE: a directory outside is refused");
}

/* The block around a walk's end: what it says of each page, and what a walk of that page says. */
static u32 block_differences(const struct lg_tables *place, u32 address)
{
	u32 first = address & ~(LG_AROUND * 4096u - 1), wrong = 0, writes = lg->writes;
	struct lg_mapping pages[LG_AROUND] = {};
	static struct lguest before;
	u32 size = place->paging == LG_PAGING_PAE ? 8 : 4;
	u32 accessed = 0, found;

	for (u32 i = 0; place->paging != LG_PAGING_LINEAR && i < LG_AROUND; i++)
		if (get32(lg, (walk.entry_gpa & ~(LG_AROUND * size - 1)) + i * size) & A)
			accessed |= BIT(i);
	found = lg_walk_around(lg, place, &walk, address, pages);
	wrong += lg->writes != writes;
	before = *lg;
	for (u32 i = 0; i < LG_AROUND; i++) {
		struct lg_walk own;
		bool maps;

		/* Random tables are each other's: what one walk marks may be what the next one reads. */
		if (lg->writes != writes)
			*lg = before;
		maps = lg_walk(lg, place, first + i * 4096, READ, &own) == LG_WALK_MAPPED;
		if (place->paging != LG_PAGING_LINEAR)
			maps = maps && accessed & BIT(i);
		wrong += !(found & BIT(i)) != !maps;
		if (found & BIT(i) && maps)
			wrong += pages[i].pfn != own.page.pfn || pages[i].flags != own.page.flags;
	}
	return wrong;
}

static void test_block(void)
{
	struct lg_tables place = { pae ? LG_PAGING_PAE : LG_PAGING_2LEVEL, ROOT, LIMIT };
	u32 size = pae ? 8 : 4, all = P | W | U;
	struct lg_mapping pages[LG_AROUND];
	u32 at = ADDRESS >> 12 & (LG_AROUND - 1), found;

	tables(all, PAGE | all);
	put32(lg, pte_at() + size, (PAGE + 0x1000) | P | A | D);
	put32(lg, pte_at() + 2 * size, (PAGE + 0x2000) | all);
	put32(lg, pte_at() + 3 * size, LIMIT << 12 | all | A);
	put32(lg, pte_at() + 4 * size, PAGE | all | A | BIT7);
	put32(lg, pte_at() + 5 * size, PAGE | W | U | A | D);
	check(go(READ) == LG_WALK_MAPPED, "a page among others is found");
	found = lg_walk_around(lg, &place, &walk, ADDRESS, pages);
	check(found & BIT(at) && found & BIT(at + 1) && pages[at + 1].pfn == (PAGE >> 12) + 1 &&
		      !(pages[at + 1].flags & W) && !(pages[at + 1].flags & U) && pages[at + 1].flags & D,
	      "an accessed page beside is found, with its own rights");
	check(!(found & BIT(at + 2)), "one that was not accessed is not");
	check(!(found & (BIT(at + 3) | BIT(at + 4))), "nor one that a walk would refuse");
	check(!(found & BIT(at + 5)), "nor one that is not present");
	check(get32(lg, pte_at() + 2 * size) == ((PAGE + 0x2000) | all), "and nothing is marked");
}

static void test_linear(void)
{
	struct lg_tables place = { LG_PAGING_LINEAR, 0, LIMIT };

	lg = fresh_guest();
	check(lg_walk(lg, &place, 0x5000, WRITE, &walk) == LG_WALK_MAPPED && walk.page.pfn == 5 &&
		      walk.page.flags & W,
	      "at the start memory is at 0");
	check(lg_walk(lg, &place, LG_BOOT_LINEAR + 0x5000, READ, &walk) == LG_WALK_MAPPED &&
		      walk.page.pfn == 5,
	      "and at 3 GiB");
	check(lg_walk(lg, &place, LIMIT << 12, WRITE, &walk) == LG_WALK_FAULT && walk.error == 2,
	      "but not behind its end");
	check(lg_walk(lg, &place, LG_BOOT_LINEAR + (LIMIT << 12), READ, &walk) == LG_WALK_FAULT,
	      "nor there");
	check(!lg->reads, "no table is read");
	check(lg_walk(lg, &place, 0x5000, READ, &walk) == LG_WALK_MAPPED &&
		      !block_differences(&place, 0x5000),
	      "the block around a page has all of memory");
	check(lg_walk(lg, &place, (LIMIT - 1) << 12, READ, &walk) == LG_WALK_MAPPED &&
		      !block_differences(&place, (LIMIT - 1) << 12),
	      "up to its end");
}

static bool present(u32 entry)
{
	return entry & P;
}

/* What the answer should be, without accessed and dirty. */
static enum lg_walk_result model(const struct lg_tables *place, u32 address, u32 access, u32 *pfn)
{
	u32 entry, high = 0, flags, at = place->pgdir;

	if (place->paging == LG_PAGING_PAE) {
		at += (address >> 30) * 8;
		if (at + 8 > GUEST_BYTES)
			return LG_WALK_BAD;
		entry = get32(lg, at);
		if (!present(entry))
			return LG_WALK_FAULT;
		if (entry & 0x1e6 || get32(lg, at + 4) || entry >> 12 >= place->pfn_limit)
			return LG_WALK_BAD;
		at = (entry & ~4095u) + (address >> 21 & 511) * 8;
		high = get32(lg, at + 4);
	} else {
		at += (address >> 22) * 4;
	}
	entry = get32(lg, at);
	if (!present(entry))
		return LG_WALK_FAULT;
	if (entry & 0xf98 || high & 0x7fffffff || entry >> 12 >= place->pfn_limit)
		return LG_WALK_BAD;
	flags = entry;
	if (place->paging == LG_PAGING_PAE) {
		u32 no_execute = high >> 31;

		at = (entry & ~4095u) + (address >> 12 & 511) * 8;
		high = get32(lg, at + 4);
		no_execute |= high >> 31;
		entry = get32(lg, at);
		if (present(entry) && no_execute && access & FETCH && !(entry & BIT7) &&
		    !(high & 0x7fffffff) && entry >> 12 < place->pfn_limit)
			return LG_WALK_FAULT;
	} else {
		at = (entry & ~4095u) + (address >> 12 & 1023) * 4;
		entry = get32(lg, at);
	}
	if (!present(entry))
		return LG_WALK_FAULT;
	if (entry & BIT7 || high & 0x7fffffff || entry >> 12 >= place->pfn_limit)
		return LG_WALK_BAD;
	flags &= entry;
	if ((access & WRITE && !(flags & W)) || (access & USER && !(flags & U)))
		return LG_WALK_FAULT;
	*pfn = entry >> 12;
	return LG_WALK_MAPPED;
}

/* Entries that mostly make sense, so that walks get anywhere. */
static u32 random_entry(void)
{
	u32 entry = (random_word() % (LIMIT + 1)) << 12 | (random_word() & 0x7f);

	if (random_word() % 4)
		entry = (entry & ~0x18u) | P;
	if (random_word() % 32 == 0)
		entry = random_word();
	return entry;
}

static void test_random(enum lg_paging paging)
{
	struct lg_tables place = { paging, ROOT, LIMIT };
	u32 wrong = 0, mapped = 0, outside = 0, different = 0;

	for (u32 round = 0; round < 200; round++) {
		lg = fresh_guest();
		for (u32 at = 0; at < GUEST_BYTES; at += paging == LG_PAGING_PAE ? 8 : 4) {
			put32(lg, at, random_entry());
			if (paging == LG_PAGING_PAE && random_word() % 8 == 0)
				put32(lg, at + 4, random_word() % 2 ? 0x80000000 : random_word());
		}
		for (u32 i = 0; paging == LG_PAGING_PAE && i < 4; i++)
			put32(lg, ROOT + i * 8, (random_word() % LIMIT) << 12 | P);
		for (u32 i = 0; i < 500; i++) {
			u32 address = random_word(), access = random_word() & (WRITE | USER | FETCH);
			u32 pfn = 0;
			enum lg_walk_result should = model(&place, address, access, &pfn);
			enum lg_walk_result is = lg_walk(lg, &place, address, access, &walk);

			wrong += is != should || (is == LG_WALK_MAPPED && walk.page.pfn != pfn);
			outside += is == LG_WALK_MAPPED && walk.page.pfn >= LIMIT;
			mapped += is == LG_WALK_MAPPED;
			if (is == LG_WALK_MAPPED)
				different += block_differences(&place, address);
		}
	}
	check(mapped > 1000, "many walks of random tables end at a page");
	check_all(outside, "none of which lies outside");
	check_all(wrong, "and all walks end as in the model");
	check_all(different, "and the block around each is as walks of its pages find it");
}

static void test_guess(void)
{
	static const u32 pae_top[8] = { 0x1001, 0, 0x2001, 0, 0, 0, 0x3001, 0 };
	static const u32 empty[8] = { 0 };
	static const u32 two_level[8] = { 0x1067, 0, 0x2067, 0, 0, 0, 0, 0 };
	static const u32 neighbours[8] = { 0x1001, 0x2001, 0, 0, 0, 0, 0, 0 };

	check(lg_guess_paging(pae_top) == LG_PAGING_PAE, "PAE's top level is known by its entries");
	check(lg_guess_paging(empty) == LG_PAGING_2LEVEL, "nothing is 2-level");
	check(lg_guess_paging(two_level) == LG_PAGING_2LEVEL, "usual entries are 2-level");
	check(lg_guess_paging(neighbours) == LG_PAGING_2LEVEL, "entries side by side are 2-level");
}

void test_walk(void)
{
	for (int kind = 0; kind < 2; kind++) {
		pae = kind;
		test_rules();
		test_block();
	}
	test_pae();
	test_linear();
	test_random(LG_PAGING_2LEVEL);
	test_random(LG_PAGING_PAE);
	test_guess();
}
