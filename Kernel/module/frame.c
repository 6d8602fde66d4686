// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the CPU of an i386 would do for a trap: which gates there can be, and
 * the frame that the handler finds on its stack.
 */
#include "frame.h"

#define EFLAGS_IF	BIT(9)

#define GATE_PRESENT	BIT(15)
#define GATE_TYPE(high)	(((high) >> 8) & 0x1f)
#define GATE_INTERRUPT	0xe
#define GATE_TRAP	0xf

bool lg_trap_has_error(u32 vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

/*
 * From user mode the handler runs on the stack that the guest has named, and
 * the frame begins with the user's.  The CPU's interrupt flag is always set
 * while a guest runs; what the guest believes is in its lguest_data.
 */
void lg_frame_build(struct lg_frame *frame, const struct lg_context *context,
		    u32 kernel_ss, u32 kernel_esp, bool interrupts_enabled,
		    const u32 *error)
{
	u32 eflags = context->eflags & ~EFLAGS_IF;
	u32 *word = frame->words;

	if (interrupts_enabled)
		eflags |= EFLAGS_IF;

	if (error)
		*word++ = *error;
	*word++ = context->eip;
	*word++ = context->cs;
	*word++ = eflags;
	if ((context->cs & 3) != 1) {
		*word++ = context->esp;
		*word++ = context->ss;
		frame->ss = kernel_ss;
		frame->esp = kernel_esp;
	} else {
		frame->ss = context->ss;
		frame->esp = context->esp;
	}
	frame->count = word - frame->words;
	frame->esp -= frame->count * sizeof(u32);
}

/*
 * NMI, double fault and the reserved vector are never the guest's, nor is the
 * hypercall's.  Linux sets them with the others, so that this is no fault.
 */
bool lg_gate_settable(u32 vector)
{
	return vector != 2 && vector != 8 && vector != 15 && vector != 0x1f;
}

bool lg_gate_present(const struct lg_gate *gate)
{
	return gate->high & GATE_PRESENT;
}

bool lg_gate_type_ok(const struct lg_gate *gate)
{
	u32 type = GATE_TYPE(gate->high);

	return type == GATE_INTERRUPT || type == GATE_TRAP;
}

bool lg_gate_is_interrupt(const struct lg_gate *gate)
{
	return GATE_TYPE(gate->high) == GATE_INTERRUPT;
}

u32 lg_gate_dpl(const struct lg_gate *gate)
{
	return (gate->high >> 13) & 3;
}

u32 lg_gate_offset(const struct lg_gate *gate)
{
	return (gate->high & 0xffff0000u) | (gate->low & 0xffff);
}
