// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which segments a guest may have.
 *
 * The guest is shut in by its segments: in 32-bit ones every linear address
 * has 32 bits, and the Switcher's pages are far above.  So there are no 64-bit
 * code segments, no call gates or task gates, nothing with the privilege of
 * ring 0, and no conforming code.  The Switcher's own entries are not the
 * guest's to load or to change.
 */
#include "descriptor.h"

#define DESC_ACCESSED	BIT(8)
#define DESC_WRITABLE	BIT(9)		/* of code: readable */
#define DESC_EXPANDS	BIT(10)		/* of code: conforming */
#define DESC_CODE	BIT(11)
#define DESC_SEGMENT	BIT(12)		/* not a system descriptor */
#define DESC_DPL_SHIFT	13
#define DESC_PRESENT	BIT(15)
#define DESC_LONG	BIT(21)
#define DESC_BIG	BIT(22)
#define DESC_PAGES	BIT(23)
#define DESC_LIMIT_HIGH	0x000f0000u
#define DESC_BASE_HIGH	0xff0000ffu

#define GDT_ENTRIES	32

static u32 dpl(u32 high)
{
	return (high >> DESC_DPL_SHIFT) & 3;
}

/* Entries 0 to 5 are the host's kernel segments; 16 and 17 the guest's TSS. */
bool lg_descriptor_settable(u32 index)
{
	return index >= 6 && index < GDT_ENTRIES && index != 16 && index != 17;
}

/* What to put into the GDT for this; zero, absent, where it may not be had. */
u64 lg_descriptor_filter(u32 low, u32 high)
{
	if (!(high & DESC_PRESENT) || !(high & DESC_SEGMENT))
		return 0;
	if ((high & DESC_CODE) && (high & (DESC_LONG | DESC_EXPANDS)))
		return 0;
	if (!(high & DESC_CODE)) {
		/* Reserved here; a CPU may one day see something in it. */
		high &= ~DESC_LONG;
		/*
		 * To a stack of 16 bits iretq would return with only SP, and
		 * leave the upper half of the Switcher's own in ESP.
		 */
		high |= DESC_BIG;
	}
	if (!dpl(high))
		high |= 1 << DESC_DPL_SHIFT;
	/* Or the CPU would write to the GDT when it loads the segment. */
	high |= DESC_ACCESSED;
	return (u64)high << 32 | low;
}

/* The upper half of the descriptor, or zero for what the guest may not load. */
static u32 lookup(const u64 *gdt, u32 selector)
{
	if (selector > 0xffff || (selector & 4) ||
	    !lg_descriptor_settable(selector >> 3))
		return 0;
	return gdt[selector >> 3] >> 32;
}

/* For DS, ES, FS and GS, which the CPU checks again, with RPL and DPL. */
bool lg_data_selector_ok(const u64 *gdt, u32 selector)
{
	u32 high;

	if (selector <= 3)
		return true;
	high = lookup(gdt, selector);
	if (!high || ((high & DESC_CODE) && !(high & DESC_WRITABLE)))
		return false;
	return dpl(high) >= (selector & 3);
}

bool lg_code_selector_ok(const u64 *gdt, u32 selector)
{
	u32 high = lookup(gdt, selector);

	return (high & DESC_CODE) && (selector & 3) &&
	       dpl(high) == (selector & 3);
}

bool lg_stack_selector_ok(const u64 *gdt, u32 selector, u32 ring)
{
	u32 high = lookup(gdt, selector);

	return high && !(high & DESC_CODE) && (high & DESC_WRITABLE) &&
	       (selector & 3) == ring && dpl(high) == ring;
}

/* Base zero, 4 GiB, 32 bits, and not expanding down. */
bool lg_descriptor_flat(u64 descriptor)
{
	u32 low = descriptor;
	u32 high = descriptor >> 32;

	if (low != 0xffff || (high & DESC_BASE_HIGH))
		return false;
	if ((high & DESC_LIMIT_HIGH) != DESC_LIMIT_HIGH)
		return false;
	if (!(high & DESC_PAGES) || !(high & DESC_BIG))
		return false;
	return (high & DESC_CODE) || !(high & DESC_EXPANDS);
}
