/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An interrupt, NMI or machine check that came while the guest ran has been
 * taken by the guest's IDT.  These 256 slots hand it to the host's: each is
 * called as a function, with interrupts off and the host's state in place.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#if __has_include(<linux/annotate.h>)
#include <linux/annotate.h>
#endif
#include <asm/ibt.h>
#include <asm/nospec-branch.h>

	.text
SYM_FUNC_START(lg_replay)
	/* Nobody calls this; what is called are the slots. */
	int3
	.balign 16
SYM_INNER_LABEL(lg_replay_table, SYM_L_GLOBAL)
	vector = 0
	.rept 256
	.balign 16
	ENDBR
	int	$vector
	RET
	vector = vector + 1
	.endr
SYM_FUNC_END(lg_replay)
STACK_FRAME_NON_STANDARD lg_replay
