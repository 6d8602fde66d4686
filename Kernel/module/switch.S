/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The Switcher: from the host into a guest, and back.
 *
 * This text stands alone on its pages, which are mapped at the same address in
 * the host and in every guest, as are the state page and the IDT.  Nothing
 * else of the host is there when the guest's page tables are loaded.
 *
 * The order makes traps in here tractable.  On the way in the guest's IDT is
 * loaded first, on the way out the host's IDT is loaded last, and the stack
 * pointer is in the state page all that time.  So the host's handlers run only
 * with all of the host's state in place, and a trap in here finds the state
 * page by rounding the stack pointer down.  Interrupts are off, so what can
 * come is an NMI, a machine check, or a fault over a guest's bad selector:
 *
 *   on the way in	nothing of the guest has run: turn round, and report
 *			the NMI or machine check, or the fault with
 *			LG_SWITCHER_FAULT added, which kills the guest;
 *   while reflecting	give up reflecting, and leave with the system call;
 *   on the way out	note an NMI or machine check, and go on.
 *
 * No way back from an NMI uses iret, which would unblock the next NMI before
 * the host has handled this one: the host's NMI handler, called by int $2 from
 * C, ends with the iret that does.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#if __has_include(<linux/annotate.h>)	/* its macros' home since 6.18 */
#include <linux/annotate.h>
#endif
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/page_types.h>
#include <asm/processor-flags.h>
#include <asm/segment.h>
#include <asm/trapnr.h>

#include "switcher.h"

/* So many returns a CPU predicts at most. */
#define RSB_DEPTH	32

	.section .text.switcher, "ax", @progbits
	.balign PAGE_SIZE

	.globl lg_switcher_start
lg_switcher_start:
	ANNOTATE_NOENDBR
SYM_FUNC_START(lg_switch)
	/*
	 * %rdi is the state page.  C has saved what it can save: CR3, CR4, the
	 * GS base, and the segments that belong to the launcher.
	 */
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	sgdt	LG_HOST_GDTR(%rdi)
	sidt	LG_HOST_IDTR(%rdi)
	sldt	LG_HOST_LDT(%rdi)
	movq	%rsp, LG_HOST_RSP(%rdi)
	leaq	LG_REGS(%rdi), %rsp
	/* A TSS that is marked busy cannot be loaded; both were, last time. */
	andb	$~2, LG_GUEST_GDT + LG_GDT_TSS * 8 + 5(%rdi)
	andb	$~2, LG_TRANSITION_GDT + GDT_ENTRY_TSS * 8 + 5(%rdi)

	lidt	LG_GUEST_IDTR(%rdi)
.Lway_in:
	lgdt	LG_GUEST_GDTR(%rdi)
	movl	$LG_GDT_TSS * 8, %eax
	ltr	%ax
	xorl	%eax, %eax
	lldt	%ax
	movq	LG_GUEST_CR4(%rdi), %rax
	movq	%rax, %cr4
	movq	LG_GUEST_CR3(%rdi), %rax
	movq	%rax, %cr3

	/*
	 * The frame for iretq is a copy below the registers: an NMI that comes
	 * now may overwrite only what is below the stack pointer.
	 */
	movl	LG_REGS + LG_REG_SS(%rdi), %eax
	pushq	%rax
	movl	LG_REGS + LG_REG_ESP(%rdi), %eax
	pushq	%rax
	movl	LG_REGS + LG_REG_EFLAGS(%rdi), %eax
	pushq	%rax
	movl	LG_REGS + LG_REG_CS(%rdi), %eax
	pushq	%rax
	movl	LG_REGS + LG_REG_EIP(%rdi), %eax
	pushq	%rax

	movl	LG_REGS + LG_REG_DS(%rdi), %eax
	movl	%eax, %ds
	movl	LG_REGS + LG_REG_ES(%rdi), %eax
	movl	%eax, %es
	movl	LG_REGS + LG_REG_FS(%rdi), %eax
	movl	%eax, %fs
	movl	LG_REGS + LG_REG_GS(%rdi), %eax
	movl	%eax, %gs

	testl	$LG_CLEAR_BUFFERS, LG_FLAGS(%rdi)
	jz	1f
	verw	LG_VERW_SELECTOR(%rdi)
1:
	movl	LG_REGS + LG_REG_EBX(%rdi), %ebx
	movl	LG_REGS + LG_REG_ECX(%rdi), %ecx
	movl	LG_REGS + LG_REG_EDX(%rdi), %edx
	movl	LG_REGS + LG_REG_ESI(%rdi), %esi
	movl	LG_REGS + LG_REG_EBP(%rdi), %ebp
	movl	LG_REGS + LG_REG_EAX(%rdi), %eax
	movl	LG_REGS + LG_REG_EDI(%rdi), %edi
	xorl	%r8d, %r8d
	xorl	%r9d, %r9d
	xorl	%r10d, %r10d
	xorl	%r11d, %r11d
	xorl	%r12d, %r12d
	xorl	%r13d, %r13d
	xorl	%r14d, %r14d
	xorl	%r15d, %r15d
	iretq
.Lway_in_end:

	/*
	 * A trap.  Its stub has pushed the vector, above an error code.  From
	 * the guest the stack is the end of the registers in the state page.
	 */
.Ltrap:
	testb	$3, 24(%rsp)
	jz	.Ltrap_in_switcher
.Ltrap_in_guest:
	pushq	%rax
	pushq	%rbp
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%rbx
	movl	%gs, %eax
	pushq	%rax
	movl	%fs, %eax
	pushq	%rax
	movl	%es, %eax
	pushq	%rax
	movl	%ds, %eax
	pushq	%rax
	movq	%rsp, %rbx
	andq	$PAGE_MASK, %rbx
	movq	%cr2, %rax
	movq	%rax, LG_CR2(%rbx)
	movl	LG_REGS + LG_REG_VECTOR(%rbx), %eax
	movl	%eax, LG_EXIT_VECTOR(%rbx)

.Lrestore_host:
	/* %rbx is the state page; this may start over from any place. */
	leaq	LG_REGS(%rbx), %rsp
	/* The guest's AC would leave SMAP without effect, and its DF is set. */
	pushq	$X86_EFLAGS_FIXED
	popfq
	movq	LG_HOST_CR3(%rbx), %rax
	movq	%rax, %cr3
	movq	LG_HOST_CR4(%rbx), %rax
	movq	%rax, %cr4
	/*
	 * ltr marks the TSS busy, and the host's GDT cannot be written; so it
	 * is loaded from a copy in which it is not busy.
	 */
	lgdt	LG_TRANSITION_GDTR(%rbx)
	andb	$~2, LG_TRANSITION_GDT + GDT_ENTRY_TSS * 8 + 5(%rbx)
	movl	$GDT_ENTRY_TSS * 8, %eax
	ltr	%ax
	lgdt	LG_HOST_GDTR(%rbx)
	movl	$__KERNEL_DS, %eax
	movl	%eax, %ss
	lldt	LG_HOST_LDT(%rbx)
	/* C puts the launcher's selectors back, where a bad one is mended. */
	xorl	%eax, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	LG_HOST_GS_BASE(%rbx), %eax
	movl	LG_HOST_GS_BASE + 4(%rbx), %edx
	movl	$MSR_GS_BASE, %ecx
	wrmsr

	testl	$LG_IBPB, LG_FLAGS(%rbx)
	jz	1f
	movl	$PRED_CMD_IBPB, %eax
	xorl	%edx, %edx
	movl	$MSR_IA32_PRED_CMD, %ecx
	wrmsr
1:
	testl	$LG_STUFF_RSB, LG_FLAGS(%rbx)
	jz	3f
	.rept	RSB_DEPTH
	ANNOTATE_INTRA_FUNCTION_CALL
	call	2f
	int3
2:
	.endr
	addq	$RSB_DEPTH * 8, %rsp
	lfence
3:
	movl	LG_EXIT_VECTOR(%rbx), %eax
	lidt	LG_HOST_IDTR(%rbx)
	movq	LG_HOST_RSP(%rbx), %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	RET

	/*
	 * The gate of int $0x80: the guest goes on in its handler, without the
	 * host.  The frame for that is written through the guest's own page
	 * tables, on the stack that C has found to be right for it (if none is,
	 * that is 0, and the write faults); the frame for iretq C has left
	 * ready but for the flags.  Nothing of the trap is overwritten, nor any
	 * register that the guest can name, so that whatever goes wrong here,
	 * up to iretq itself, leaves like any other trap.
	 */
#define OF_STATE(field)		((field) - LG_REGS - LG_REG_EIP)(%rsp)
#define OF_TRAP(field)		((field) - LG_REG_EIP)(%rsp)
SYM_INNER_LABEL(lg_reflect_syscall, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
.Lreflect:
	testb	$2, OF_TRAP(LG_REG_CS)
	jz	.Lleave_with_syscall
	movl	OF_STATE(LG_SYSCALL_ESP), %r8d
	movl	OF_TRAP(LG_REG_SS), %r9d
	movl	%r9d, -4(%r8)
	movl	OF_TRAP(LG_REG_ESP), %r9d
	movl	%r9d, -8(%r8)
	movl	OF_TRAP(LG_REG_CS), %r9d
	movl	%r9d, -16(%r8)
	movl	OF_TRAP(LG_REG_EIP), %r9d
	movl	%r9d, -20(%r8)
	movl	OF_TRAP(LG_REG_EFLAGS), %r9d
	movl	%r9d, -12(%r8)
	/* IF is set: it is as long as a guest runs. */
	andl	$(LG_EFLAGS_GUEST & ~LG_EFLAGS_TF) | LG_EFLAGS_ALWAYS, %r9d
	movl	%r9d, OF_STATE(LG_SYSCALL_FRAME + 16)
	leaq	OF_STATE(LG_SYSCALL_FRAME), %rsp
	iretq
.Lreflect_end:

.Lleave_with_syscall:
	pushq	$0
	pushq	$0x80
	jmp	.Ltrap_in_guest

	/*
	 * A trap in here.  Below the frame: the vector at 24(%rsp), RIP at 40,
	 * RFLAGS at 56, RSP at 64.
	 */
SYM_INNER_LABEL(lg_trap_in_switcher, SYM_L_LOCAL)
	ANNOTATE_NOENDBR
.Ltrap_in_switcher:
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	movq	%rsp, %rbx
	andq	$PAGE_MASK, %rbx
	movl	24(%rsp), %eax

	leaq	.Lway_in(%rip), %rcx
	subq	40(%rsp), %rcx
	negq	%rcx
	cmpq	$(.Lway_in_end - .Lway_in), %rcx
	jb	.Lturn_round

	leaq	.Lreflect(%rip), %rcx
	subq	40(%rsp), %rcx
	negq	%rcx
	cmpq	$(.Lreflect_end - .Lreflect), %rcx
	jb	.Lgive_up_reflecting

	cmpl	$X86_TRAP_NMI, %eax
	je	1f
	cmpl	$X86_TRAP_MC, %eax
	jne	.Lfault
1:
	btsl	%eax, LG_NOTED(%rbx)
	/* Return without iret. */
	movq	64(%rsp), %rbx
	movq	40(%rsp), %rax
	movq	%rax, -8(%rbx)
	subq	$8, 64(%rsp)
	popq	%rcx
	popq	%rbx
	popq	%rax
	pushq	32(%rsp)
	popfq
	movq	40(%rsp), %rsp
	ANNOTATE_UNRET_SAFE
	ret
	int3

.Lturn_round:
	cmpl	$X86_TRAP_NMI, %eax
	je	1f
	cmpl	$X86_TRAP_MC, %eax
	je	1f
.Lfault:
	orl	$LG_SWITCHER_FAULT, %eax
1:
	movl	%eax, LG_EXIT_VECTOR(%rbx)
	jmp	.Lrestore_host

	/* A page fault on the guest's stack, or an NMI. */
.Lgive_up_reflecting:
	cmpl	$X86_TRAP_NMI, %eax
	je	1f
	cmpl	$X86_TRAP_MC, %eax
	jne	2f
1:
	btsl	%eax, LG_NOTED(%rbx)
2:
	leaq	LG_REGS + LG_REG_EIP(%rbx), %r8
	popq	%rcx
	popq	%rbx
	popq	%rax
	movq	%r8, %rsp
	jmp	.Lleave_with_syscall

	.balign LG_STUB_SIZE
SYM_INNER_LABEL(lg_stubs, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	vector = 0
	.rept 256
	.balign LG_STUB_SIZE
	/* On the host's side of the border it may look for these. */
	endbr64
	has_error = 0
	.irp with_error, X86_TRAP_DF, X86_TRAP_TS, X86_TRAP_NP, X86_TRAP_SS, \
		X86_TRAP_GP, X86_TRAP_PF, X86_TRAP_AC, X86_TRAP_CP, \
		X86_TRAP_VC, 30
	.if vector == \with_error
	has_error = 1
	.endif
	.endr
	.if !has_error
	pushq	$0
	.endif
	pushq	$vector
	jmp	.Ltrap
	vector = vector + 1
	.endr
SYM_FUNC_END(lg_switch)
STACK_FRAME_NON_STANDARD lg_switch

	.balign PAGE_SIZE, 0xcc
SYM_DATA_START_LOCAL(lg_switcher_tail)
	.globl lg_switcher_end
lg_switcher_end:
SYM_DATA_END(lg_switcher_tail)
