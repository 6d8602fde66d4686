/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LG_EMULATE_H
#define LG_EMULATE_H

#include "pure.h"

/* The longest instruction that is emulated, and that is looked at. */
#define LG_INSN_MAX	3

/* vmcall, and the int $0x1f; nop that takes its place. */
extern const u8 lg_insn_vmcall[LG_INSN_MAX];
extern const u8 lg_insn_hypercall[LG_INSN_MAX];

u32 lg_emulate(const u8 *insn, u32 available, u32 *const gpr[8], u32 dr6);

#endif
