// SPDX-License-Identifier: GPL-2.0-only
/* The decoder of the few instructions that the host emulates. */
#include "emulate.h"
#include "unit.h"

static void expect(const u8 *bytes, u32 available, u32 length, u32 eax, const char *title)
{
	u32 seen = 0x12345600;
	u32 result = lg_emulate(bytes, available, &seen);

	check(result == length && seen == eax, title);
}

#define EXPECT(title, length, eax, ...)                                    \
	expect((const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }), \
	       length, eax, title)

void test_emulate(void)
{
	static const u8 known[] = { 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, 0xfa };
	u32 wrong = 0;

	EXPECT("inb of a port reads a byte of ones", 2, 0x123456ff, 0xe4, 0x64);
	EXPECT("inb %dx", 1, 0x123456ff, 0xec);
	EXPECT("inl of a port reads a word of ones", 2, 0xffffffff, 0xe5, 0x64);
	EXPECT("inl %dx", 1, 0xffffffff, 0xed);
	EXPECT("inw %dx leaves the upper half", 2, 0x1234ffff, 0x66, 0xed);
	EXPECT("inw of a port", 3, 0x1234ffff, 0x66, 0xe5, 0x64);
	EXPECT("a prefix does not widen a byte", 2, 0x123456ff, 0x66, 0xec);
	EXPECT("outb to a port", 2, 0x12345600, 0xe6, 0x21);
	EXPECT("outl to a port", 2, 0x12345600, 0xe7, 0x21);
	EXPECT("outb %dx", 1, 0x12345600, 0xee);
	EXPECT("outw %dx", 2, 0x12345600, 0x66, 0xef);
	EXPECT("cli", 1, 0x12345600, 0xfa);
	EXPECT("sti is not emulated", 0, 0x12345600, 0xfb);
	EXPECT("hlt is not emulated", 0, 0x12345600, 0xf4);
	EXPECT("insb is not emulated", 0, 0x12345600, 0x6c);
	EXPECT("two prefixes are not read", 0, 0x12345600, 0x66, 0x66, 0xed);
	EXPECT("rep is not read", 0, 0x12345600, 0xf3, 0xed);
	EXPECT("a port that is cut off", 0, 0x12345600, 0xe4);
	EXPECT("a prefix alone", 0, 0x12345600, 0x66);
	expect(known, 0, 0, 0x12345600, "no bytes at all");
	for (u32 i = 0; i < 256; i++) {
		const u8 bytes[] = { i, 0x90, 0x90 };
		u32 eax = 0;

		if (i != 0x66 && !memchr(known, i, sizeof(known)))
			wrong += lg_emulate(bytes, sizeof(bytes), &eax) != 0 || eax;
	}
	check_all(wrong, "no other instruction is emulated");
	check(sizeof(lg_insn_vmcall) == sizeof(lg_insn_hypercall) && lg_insn_hypercall[0] == 0xcd &&
		      lg_insn_hypercall[1] == 0x1f && lg_insn_hypercall[2] == 0x90,
	      "vmcall is replaced by int $0x1f and nop");
}
