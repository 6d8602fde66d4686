// SPDX-License-Identifier: GPL-2.0-only
/* The decoder of the few instructions that the host emulates. */
#include "emulate.h"
#include "unit.h"

#define DR6 0xffff4ff0

/* The registers of one emulation, in the order of their numbers. */
struct registers {
	u32 values[8];
};

static u32 emulate(const u8 *bytes, u32 available, struct registers *registers)
{
	u32 *gpr[8];

	for (u32 i = 0; i < 8; i++)
		gpr[i] = &registers->values[i];
	return lg_emulate(bytes, available, gpr, DR6);
}

static void expect(const u8 *bytes, u32 available, u32 length, u32 eax, const char *title)
{
	struct registers seen = { { 0x12345600, 1, 2, 3, 4, 5, 6, 7 } };
	const struct registers wanted = { { eax, 1, 2, 3, 4, 5, 6, 7 } };
	u32 result = emulate(bytes, available, &seen);

	check(result == length && !memcmp(&seen, &wanted, sizeof(seen)), title);
}

/* mov %dbN, %reg for all of both: that register changes, and no other. */
static void debug_registers(void)
{
	static const u32 wanted[8] = { 0, 0, 0, 0, DR6, 0x400, DR6, 0x400 };
	u32 wrong = 0;

	for (u32 modrm = 0; modrm < 256; modrm++) {
		const u8 bytes[] = { 0x0f, 0x21, modrm };
		struct registers seen = { { 9, 9, 9, 9, 9, 9, 9, 9 } };
		u32 changed = 0;

		if (emulate(bytes, sizeof(bytes), &seen) != 3 ||
		    seen.values[modrm & 7] != wanted[modrm >> 3 & 7])
			wrong++;
		for (u32 i = 0; i < 8; i++)
			changed += seen.values[i] != 9;
		wrong += changed != 1;
	}
	check_all(wrong, "each debug register is read into each register");
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
	EXPECT("a debug register is not written", 0, 0x12345600, 0x0f, 0x23, 0xf0);
	EXPECT("a control register is not read", 0, 0x12345600, 0x0f, 0x20, 0xc0);
	EXPECT("a debug register that is cut off", 0, 0x12345600, 0x0f, 0x21);
	EXPECT("a debug register with a prefix", 0, 0x12345600, 0x66, 0x0f, 0x21);
	debug_registers();
	EXPECT("a port that is cut off", 0, 0x12345600, 0xe4);
	EXPECT("a prefix alone", 0, 0x12345600, 0x66);
	expect(known, 0, 0, 0x12345600, "no bytes at all");
	for (u32 i = 0; i < 256; i++) {
		const u8 bytes[] = { i, 0x90, 0x90 };
		struct registers seen = { { 0 } };

		if (i != 0x66 && !memchr(known, i, sizeof(known)))
			wrong += emulate(bytes, sizeof(bytes), &seen) != 0 || seen.values[0];
	}
	check_all(wrong, "no other instruction is emulated");
	check(sizeof(lg_insn_vmcall) == sizeof(lg_insn_hypercall) && lg_insn_hypercall[0] == 0xcd &&
		      lg_insn_hypercall[1] == 0x1f && lg_insn_hypercall[2] == 0x90,
	      "vmcall is replaced by int $0x1f and nop");
}
