// SPDX-License-Identifier: GPL-2.0-only
/*
 * The few privileged instructions that Linux executes as a guest: its early
 * start turns interrupts off, a driver or two probes a port, and its handler
 * of debug traps reads DR6.  Nothing is behind any port: IN reads ones, OUT
 * does nothing.  There are no breakpoints: the debug registers other than DR6
 * read as after a reset.
 */
#include "emulate.h"

#define DR7_RESET	0x400

/* DR4 and DR5 are other names of DR6 and DR7. */
static u32 debug_register(u32 number, u32 dr6)
{
	if (number < 4)
		return 0;
	return number & 1 ? DR7_RESET : dr6;
}

const u8 lg_insn_vmcall[LG_INSN_MAX] = { 0x0f, 0x01, 0xc1 };
const u8 lg_insn_hypercall[LG_INSN_MAX] = { 0xcd, 0x1f, 0x90 };

/*
 * Returns the length of the instruction that was emulated, or 0 when it is
 * none of these.  gpr are the registers in the order of their numbers.
 */
u32 lg_emulate(const u8 *insn, u32 available, u32 *const gpr[8], u32 dr6)
{
	u32 operand = 0xffffffff;
	u32 length = 0;
	u32 ones = 0;

	if (available && insn[0] == 0x66) {
		operand = 0xffff;
		length = 1;
	}
	if (length >= available)
		return 0;

	switch (insn[length]) {
	case 0xfa:		/* cli */
		length += 1;
		break;
	case 0xe4:		/* in $port, %al */
		ones = 0xff;
		length += 2;
		break;
	case 0xec:		/* in %dx, %al */
		ones = 0xff;
		length += 1;
		break;
	case 0xe5:		/* in $port, %eax */
		ones = operand;
		length += 2;
		break;
	case 0xed:		/* in %dx, %eax */
		ones = operand;
		length += 1;
		break;
	case 0xe6:		/* out %al, $port */
	case 0xe7:		/* out %eax, $port */
		length += 2;
		break;
	case 0xee:		/* out %al, %dx */
	case 0xef:		/* out %eax, %dx */
		length += 1;
		break;
	case 0x0f:		/* mov %db, %reg */
		if (length || available < 3 || insn[1] != 0x21)
			return 0;
		*gpr[insn[2] & 7] = debug_register(insn[2] >> 3 & 7, dr6);
		return 3;
	default:
		return 0;
	}
	if (length > available)
		return 0;
	*gpr[0] |= ones;
	return length;
}
