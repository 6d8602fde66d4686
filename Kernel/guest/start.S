/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's first instructions and its hypercalls.
 *
 * The host starts us at a physical address with paging on: all memory is mapped at 0 and again at
 * PAGE_OFFSET. Segments are flat, interrupts off in lguest_data.
 */
#include "lguest.h"

	.section .text.start, "ax"
	.globl	start
start:
	movl	$boot_stack_top, %esp
	xorl	%ebp, %ebp
	movl	$1f, %eax
	jmp	*%eax
1:	call	guest_main
	ud2

	.text
/* void hypercall(number, a, b, c, d) */
	.globl	hypercall
hypercall:
	pushl	%ebx
	pushl	%esi
	movl	12(%esp), %eax
	movl	16(%esp), %ebx
	movl	20(%esp), %ecx
	movl	24(%esp), %edx
	movl	28(%esp), %esi
	int	$HYPERCALL_VECTOR
	popl	%esi
	popl	%ebx
	ret

/* The host may rewrite the three bytes of vmcall. */
	.globl	hypercall_vmcall
hypercall_vmcall:
	pushl	%ebx
	pushl	%esi
	movl	12(%esp), %eax
	movl	16(%esp), %ebx
	movl	20(%esp), %ecx
	movl	24(%esp), %edx
	movl	28(%esp), %esi
	.globl	vmcall_site
vmcall_site:
	.byte	0x0f, 0x01, 0xc1
	popl	%esi
	popl	%ebx
	ret

	.bss
	.balign	PAGE_SIZE
boot_stack:
	.skip	4 * PAGE_SIZE
boot_stack_top:
