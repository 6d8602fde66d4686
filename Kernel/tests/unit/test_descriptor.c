// SPDX-License-Identifier: GPL-2.0-only
/* The filter that keeps a guest in 32-bit segments of ring 1 and above. */
#include "descriptor.h"
#include "unit.h"

#define FLAT_LOW 0x0000ffffu
#define CODE 0x00cf9b00u
#define DATA 0x00cf9300u
#define RING(n) ((u32)(n) << 13)
#define ENTRY(n) ((n) << 3)

static u32 filtered(u32 high)
{
	return lg_descriptor_filter(FLAT_LOW, high) >> 32;
}

static void test_filter(void)
{
	check(filtered(CODE | RING(1)) == (CODE | RING(1)), "kernel code passes unchanged");
	check(filtered(DATA | RING(3)) == (DATA | RING(3)), "user data passes unchanged");
	check((u32)lg_descriptor_filter(0x12345678, DATA | RING(1)) == 0x12345678,
	      "the lower half is left alone");
	check(filtered(CODE) == (CODE | RING(1)), "ring 0 becomes ring 1");
	check(filtered(0x00cf9200 | RING(1)) == (DATA | RING(1)), "accessed is set");
	check(filtered(DATA & ~0x8000u) == 0, "what is not present becomes nothing");
	check(filtered(CODE | RING(1) | 1 << 21) == 0, "64-bit code is refused");
	check(filtered(0x00afbb00) == 0, "64-bit code in its usual form is refused");
	check(filtered(CODE | RING(1) | 1 << 10) == 0, "conforming code is refused");
	check(filtered(0x0000ec00) == 0, "a call gate is refused");
	check(filtered(0x0000e500) == 0, "a task gate is refused");
	check(filtered(0x0000e200) == 0, "a local table is refused");
	check(filtered(0x0000e900) == 0 && filtered(0x0000eb00) == 0, "a TSS is refused");
}

/* Whatever goes in, what comes out is nothing, or harmless. */
static void test_any(void)
{
	u32 wrong = 0, kept = 0;

	for (u32 i = 0; i < 2000000; i++) {
		u32 low = random_word(), in = random_word();
		u64 out = lg_descriptor_filter(low, in);
		u32 high = out >> 32;

		if (!out)
			continue;
		kept++;
		wrong += !(high & 0x8000) || !(high & 0x1000) || !(high & 0x6000) ||
			 !(high & 0x100) || (high & 0x200000) ||
			 ((high & 0x800) && (high & 0x400)) || (u32)out != low ||
			 (!(high & 0x800) && !(high & 0x400000)) ||
			 ((high ^ in) & ~(0x6000u | 0x100 | 0x200000 | 0x400000));
	}
	check(kept > 100000, "many random descriptors pass");
	check_all(wrong, "those that pass are present, of ring 1 to 3, 32-bit, not conforming");
	check(filtered(0x008f9300 | RING(1)) == (DATA | RING(1)), "a stack has 32 bits");
}

static void test_entries(void)
{
	u32 wrong = 0;

	for (u32 i = 0; i < 6; i++)
		wrong += lg_descriptor_settable(i);
	wrong += lg_descriptor_settable(16) + lg_descriptor_settable(17);
	check_all(wrong, "the host's entries cannot be set");
	check(lg_descriptor_settable(6) && lg_descriptor_settable(12) &&
		      lg_descriptor_settable(15) && lg_descriptor_settable(31),
	      "a guest's entries can");
	check(!lg_descriptor_settable(32) && !lg_descriptor_settable(0x20000006) &&
		      !lg_descriptor_settable(0xffffffff),
	      "and none behind the table");
}

static void test_selectors(void)
{
	u64 gdt[32] = { 0 };

	gdt[2] = (u64)CODE << 32 | FLAT_LOW;
	gdt[12] = lg_descriptor_filter(FLAT_LOW, CODE | RING(1));
	gdt[13] = lg_descriptor_filter(FLAT_LOW, DATA | RING(1));
	gdt[14] = lg_descriptor_filter(FLAT_LOW, CODE | RING(3));
	gdt[15] = lg_descriptor_filter(FLAT_LOW, DATA | RING(3));
	gdt[20] = lg_descriptor_filter(FLAT_LOW, 0x00cf9900 | RING(3)); /* execute only */
	gdt[21] = lg_descriptor_filter(FLAT_LOW, 0x00cf9100 | RING(1)); /* read only */

	check(lg_code_selector_ok(gdt, ENTRY(12) | 1), "kernel code at ring 1");
	check(lg_code_selector_ok(gdt, ENTRY(14) | 3), "user code at ring 3");
	check(!lg_code_selector_ok(gdt, ENTRY(12)), "no code at ring 0");
	check(!lg_code_selector_ok(gdt, ENTRY(12) | 3), "no code at another ring than its own");
	check(!lg_code_selector_ok(gdt, ENTRY(13) | 1), "data is no code");
	check(!lg_code_selector_ok(gdt, ENTRY(2) | 0) && !lg_code_selector_ok(gdt, ENTRY(2) | 1),
	      "the host's code is not the guest's");
	check(!lg_code_selector_ok(gdt, ENTRY(12) | 5), "no local table");
	check(!lg_code_selector_ok(gdt, 0), "no null code");
	check(!lg_code_selector_ok(gdt, 0x10000 | ENTRY(12) | 1), "a selector has 16 bits");

	check(lg_data_selector_ok(gdt, 0) && lg_data_selector_ok(gdt, 3), "data may be null");
	check(lg_data_selector_ok(gdt, ENTRY(13) | 1), "kernel data");
	check(!lg_data_selector_ok(gdt, ENTRY(13) | 3), "kernel data is not user mode's");
	check(lg_data_selector_ok(gdt, ENTRY(15) | 3), "user data");
	check(!lg_data_selector_ok(gdt, ENTRY(20) | 3), "code that cannot be read is no data");
	check(!lg_data_selector_ok(gdt, ENTRY(25) | 3), "an empty entry is no data");
	check(!lg_data_selector_ok(gdt, ENTRY(40) | 3) && !lg_data_selector_ok(gdt, 0xfffb),
	      "nothing behind the table is data");

	check(lg_stack_selector_ok(gdt, ENTRY(13) | 1, 1), "a kernel stack");
	check(lg_stack_selector_ok(gdt, ENTRY(15) | 3, 3), "a user stack");
	check(!lg_stack_selector_ok(gdt, ENTRY(15) | 3, 1), "a user stack is not the kernel's");
	check(!lg_stack_selector_ok(gdt, ENTRY(21) | 1, 1), "a stack can be written");
	check(!lg_stack_selector_ok(gdt, ENTRY(12) | 1, 1), "code is no stack");
	check(!lg_stack_selector_ok(gdt, 0, 1), "no null stack");
	check(lg_descriptor_flat(gdt[12]) && lg_descriptor_flat(gdt[15]), "flat is flat");
	check(!lg_descriptor_flat(lg_descriptor_filter(0xfffe, DATA | RING(1))) &&
		      !lg_descriptor_flat(lg_descriptor_filter(0x1ffff, DATA | RING(1))) &&
		      !lg_descriptor_flat(lg_descriptor_filter(FLAT_LOW, 0x004f9300 | RING(1))) &&
		      !lg_descriptor_flat(lg_descriptor_filter(FLAT_LOW, 0x00cf9700 | RING(1))) &&
		      !lg_descriptor_flat(0),
	      "anything else is not");
}

void test_descriptor(void)
{
	test_filter();
	test_any();
	test_entries();
	test_selectors();
}
