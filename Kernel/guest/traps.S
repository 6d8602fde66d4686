/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ways into the kernel by trap and interrupt, and the one way back.
 *
 * The host pushes the frame that an i386 CPU would. Whether interrupts are on is a word in
 * lguest_data, so `iret` alone cannot turn them on again: the word is set first, in a few
 * instructions (noirq_start to noirq_end) within which the host delivers nothing.
 */
#include "lguest.h"

	.text
	.globl	trap_stubs
	.balign	16
trap_stubs:
	vector = 0
	.rept	IDT_ENTRIES
	.balign	16
	/* Vectors 8, 10 to 14 and 17 come with an error code; the others get a zero. */
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
	pushl	$0
	.endif
	pushl	$vector
	jmp	trap_entry
	vector = vector + 1
	.endr

trap_entry:
	pushal
	pushl	%es
	pushl	%ds
	movl	$KERNEL_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	cld
	pushl	%esp
	call	trap
	addl	$4, %esp

	.globl	trap_return
trap_return:
	popl	%ds
	popl	%es
	popal
	addl	$8, %esp
	pushl	%eax
	movl	12(%esp), %eax		/* the frame's EFLAGS */
	andl	$EFLAGS_IF, %eax
	.globl	noirq_start, noirq_end
noirq_start:
	movl	%eax, %ss:lguest_data
	popl	%eax
	iret
noirq_end:

/* int int80_fast's handler: system call 0 does nothing and should cost nothing. */
	.globl	syscall_entry
syscall_entry:
	testl	%eax, %eax
	jnz	1f
	iret
1:	pushl	$0
	pushl	$SYSCALL_VECTOR
	jmp	trap_entry

/*
 * int probe(void (*body)(void *), void *argument): calls the body; 0 when it returns, 1 when it
 * trapped, which probe_result then describes.
 */
	.globl	probe
probe:
	pushl	%ebp
	pushl	%ebx
	pushl	%esi
	pushl	%edi
	movl	20(%esp), %eax
	movl	24(%esp), %ecx
	movl	%esp, probe_stack
	pushl	%ecx
	call	*%eax
	addl	$4, %esp
	movl	$0, probe_stack
	xorl	%eax, %eax
	jmp	1f
	.globl	probe_trapped
probe_trapped:
	movl	probe_stack, %esp
	movl	$0, probe_stack
	movl	$KERNEL_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	$1, %eax
1:	popl	%edi
	popl	%esi
	popl	%ebx
	popl	%ebp
	ret

/*
 * uint32_t enter_user(uint32_t eip, uint32_t esp, uint32_t argument): runs user code until it makes
 * the exit call or traps; what it gives then comes back from here.
 */
	.globl	enter_user
enter_user:
	pushl	%ebp
	pushl	%ebx
	pushl	%esi
	pushl	%edi
	movl	20(%esp), %ecx
	movl	24(%esp), %edx
	movl	28(%esp), %ebx
	movl	%esp, user_return_stack
	pushl	$USER_DS
	pushl	%edx
	pushl	$EFLAGS_IF | 2
	pushl	$USER_CS
	pushl	%ecx
	movl	$USER_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xorl	%esi, %esi
	xorl	%edi, %edi
	xorl	%ebp, %ebp
	/* EFLAGS_IF goes into lguest_data as on every return; 0 and the vector are dropped there. */
	pushl	$0
	pushl	$0
	pushal
	pushl	%es
	pushl	%ds
	jmp	trap_return

/* void leave_user(uint32_t result): back to enter_user's caller. */
	.globl	leave_user
leave_user:
	movl	4(%esp), %eax
	movl	user_return_stack, %esp
	popl	%edi
	popl	%esi
	popl	%ebx
	popl	%ebp
	ret
