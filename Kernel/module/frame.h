/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LG_FRAME_H
#define LG_FRAME_H

#include "pure.h"

/* Where the guest was when the trap or interrupt came. */
struct lg_context {
	u32 ss;
	u32 esp;
	u32 eflags;
	u32 cs;
	u32 eip;
};

struct lg_frame {
	u32 words[6];		/* from the lowest address upwards */
	u32 count;
	u32 esp;		/* the handler's, where words are to be written */
	u32 ss;
};

void lg_frame_build(struct lg_frame *frame, const struct lg_context *context,
		    u32 kernel_ss, u32 kernel_esp, bool interrupts_enabled,
		    const u32 *error);
bool lg_trap_has_error(u32 vector);

/* A gate of the guest's IDT: two words, as in i386's. */
struct lg_gate {
	u32 low;
	u32 high;
};

bool lg_gate_present(const struct lg_gate *gate);
bool lg_gate_type_ok(const struct lg_gate *gate);
bool lg_gate_is_interrupt(const struct lg_gate *gate);
u32 lg_gate_dpl(const struct lg_gate *gate);
u32 lg_gate_offset(const struct lg_gate *gate);
bool lg_gate_settable(u32 vector);

#endif
