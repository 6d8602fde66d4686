// SPDX-License-Identifier: GPL-2.0-only
/* The frames that a trap pushes, and the guest's gates. */
#include "frame.h"
#include "unit.h"

static const struct lg_context kernel = { 0x69, 0xc0102000, 0x246, 0x61, 0xc0100123 };
static const struct lg_context user = { 0x7b, 0xbffff000, 0x202, 0x73, 0x08048123 };

static void test_build(void)
{
	struct lg_frame frame;
	u32 error = 5;

	lg_frame_build(&frame, &kernel, 0x69, 0xc0200000, true, NULL);
	check(frame.count == 3 && frame.esp == 0xc0102000 - 12 && frame.ss == 0x69,
	      "within the kernel: three words on its own stack");
	check(frame.words[0] == 0xc0100123 && frame.words[1] == 0x61 && frame.words[2] == 0x246,
	      "eip, cs, eflags");
	lg_frame_build(&frame, &kernel, 0x69, 0xc0200000, false, &error);
	check(frame.count == 4 && frame.words[0] == 5 && frame.words[3] == 0x046,
	      "an error code below them; the interrupt flag is what the guest believes");

	lg_frame_build(&frame, &user, 0x69, 0xc0200000, true, &error);
	check(frame.count == 6 && frame.esp == 0xc0200000 - 24 && frame.ss == 0x69,
	      "from user mode: six words on the kernel's stack");
	check(frame.words[0] == 5 && frame.words[1] == 0x08048123 && frame.words[2] == 0x73 &&
		      frame.words[3] == 0x202 && frame.words[4] == 0xbffff000 &&
		      frame.words[5] == 0x7b,
	      "error, eip, cs, eflags, esp, ss");
	lg_frame_build(&frame, &user, 0x69, 8, true, NULL);
	check(frame.count == 5 && frame.esp == (u32)(8 - 20), "a stack may wrap around zero");
}

static void test_gates(void)
{
	struct lg_gate interrupt = { 0x00611234, 0xc0108e00 };
	struct lg_gate trap = { 0x00611234, 0xc010ef00 };
	struct lg_gate none = { 0, 0 };
	u32 wrong = 0;

	check(lg_gate_present(&interrupt) && !lg_gate_present(&none), "a gate is there or not");
	check(lg_gate_offset(&interrupt) == 0xc0101234, "where it leads");
	check(lg_gate_is_interrupt(&interrupt) && !lg_gate_is_interrupt(&trap),
	      "interrupt gates and trap gates");
	for (u32 type = 0; type < 32; type++) {
		struct lg_gate gate = { 0x00611234, 0xc0108000 | type << 8 };

		wrong += lg_gate_type_ok(&gate) != (type == 14 || type == 15);
	}
	check_all(wrong, "there are no other types");
	check(!lg_gate_settable(2) && !lg_gate_settable(8) && !lg_gate_settable(15) &&
		      !lg_gate_settable(0x1f) && lg_gate_settable(0) && lg_gate_settable(14) &&
		      lg_gate_settable(0x20) && lg_gate_settable(0x80) && lg_gate_settable(255),
	      "NMI, double fault, the reserved vector and the hypercall are never the guest's");
	wrong = 0;
	for (u32 vector = 0; vector < 256; vector++)
		wrong += lg_trap_has_error(vector) !=
			 (vector < 32 && ((1u << vector) & 0x00027d00) != 0);
	check_all(wrong, "traps 8, 10 to 14 and 17 come with an error code");
}

void test_frame(void)
{
	test_build();
	test_gates();
}
