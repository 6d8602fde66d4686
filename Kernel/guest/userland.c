// SPDX-License-Identifier: GPL-2.0-only
/*
 * The user program: what runs at ring 3. Each entry takes its argument from ebx and ends with the
 * exit call; all of it is linked into pages that user mode may read and run, and uses no data.
 */
#include "user.h"

#define USER __attribute__((section(".user.text"), noreturn, naked))
#define EXIT "movl %%eax, %%ebx\n\tmovl $2, %%eax\n\tint $0x80\n\tud2"

/* Prints 42 and ends with 7. */
USER void user_hello(void)
{
	asm("movl $1, %%eax\n\tmovl $42, %%ebx\n\tint $0x80\n\t"
	    "movl $7, %%eax\n\t" EXIT : :);
}

/* So many system calls that do nothing; ends with 0. */
USER void user_syscalls(void)
{
	asm("movl %%ebx, %%ecx\n"
	    "1:\txorl %%eax, %%eax\n\tint $0x80\n\tdecl %%ecx\n\tjnz 1b\n\t" EXIT : :);
}

/* So many system calls through the kernel's whole path; ends with their number. */
USER void user_counted(void)
{
	asm("movl %%ebx, %%ecx\n"
	    "1:\tmovl $3, %%eax\n\tint $0x80\n\tdecl %%ecx\n\tjnz 1b\n\t" EXIT : :);
}

/* All registers but eax survive a system call, and so do the flags: ends with 1. */
USER void user_registers(void)
{
	asm("movl $0x11111111, %%ebx\n\tmovl $0x22222222, %%ecx\n\tmovl $0x33333333, %%edx\n\t"
	    "movl $0x44444444, %%esi\n\tmovl $0x55555555, %%edi\n\tmovl $0x66666666, %%ebp\n\t"
	    "movl $3, %%eax\n\tstc\n\tint $0x80\n\tjnc 1f\n\t"
	    "cmpl $0x11111111, %%ebx\n\tjne 1f\n\tcmpl $0x22222222, %%ecx\n\tjne 1f\n\t"
	    "cmpl $0x33333333, %%edx\n\tjne 1f\n\tcmpl $0x44444444, %%esi\n\tjne 1f\n\t"
	    "cmpl $0x55555555, %%edi\n\tjne 1f\n\tcmpl $0x66666666, %%ebp\n\tjne 1f\n\t"
	    "movl $1, %%eax\n\tjmp 2f\n1:\txorl %%eax, %%eax\n2:\t" EXIT : :);
}

/* System calls with NT set, one that returns at once and one through the kernel; ends with 1. */
USER void user_nested(void)
{
	asm("pushl $0x4002\n\tpopfl\n\txorl %%eax, %%eax\n\tint $0x80\n\t"
	    "pushl $0x4002\n\tpopfl\n\tmovl $3, %%eax\n\tint $0x80\n\t"
	    "movl $1, %%eax\n\t" EXIT : :);
}

/* Reads the word at the address; ends with it. */
USER void user_read(void)
{
	asm("movl (%%ebx), %%eax\n\t" EXIT : :);
}

/* Writes the address into the word there; ends with what it reads back. */
USER void user_write(void)
{
	asm("movl %%ebx, (%%ebx)\n\tmovl (%%ebx), %%eax\n\t" EXIT : :);
}

/* Runs the code at the address. */
USER void user_jump(void)
{
	asm("jmp *%%ebx" : :);
}

USER void user_cli(void)
{
	asm("cli\n\tmovl $1, %%eax\n\t" EXIT : :);
}

USER void user_hypercall(void)
{
	asm("movl $2, %%eax\n\txorl %%ebx, %%ebx\n\tmovl $1, %%ecx\n\tint $0x1f\n\t"
	    "movl $1, %%eax\n\t" EXIT : :);
}

USER void user_vmcall(void)
{
	asm("movl $2, %%eax\n\txorl %%ebx, %%ebx\n\tmovl $1, %%ecx\n\t.byte 0x0f, 0x01, 0xc1\n\t"
	    "movl $1, %%eax\n\t" EXIT : :);
}

USER void user_divide(void)
{
	asm("xorl %%ecx, %%ecx\n\tmovl $1, %%eax\n\txorl %%edx, %%edx\n\tdivl %%ecx\n\t"
	    "movl $1, %%eax\n\t" EXIT : :);
}

USER void user_breakpoint(void)
{
	asm("int3\n\tmovl $1, %%eax\n\t" EXIT : :);
}

/* A software interrupt of a hardware vector, which user mode may not fake. */
USER void user_fake_interrupt(void)
{
	asm("int $0x20\n\tmovl $1, %%eax\n\t" EXIT : :);
}

/* SYSENTER and SYSCALL: ways into a kernel that this guest's host must have closed. */
USER void user_sysenter(void)
{
	asm("sysenter\n\tmovl $1, %%eax\n\t" EXIT : :);
}

USER void user_syscall_instruction(void)
{
	asm(".byte 0x0f, 0x05\n\tmovl $1, %%eax\n\t" EXIT : :);
}

/* Loads gs with the selector and ends with the word at gs:0. */
USER void user_tls(void)
{
	asm("movw %%bx, %%gs\n\tmovl %%gs:0, %%eax\n\t" EXIT : :);
}

/* Puts a number through the FPU; ends with it. */
USER void user_fpu(void)
{
	asm("fninit\n\tpushl %%ebx\n\tfildl (%%esp)\n\txorl %%eax, %%eax\n\tint $0x80\n\t"
	    "fistpl (%%esp)\n\tpopl %%eax\n\t" EXIT : :);
}

/* Spins until an interrupt's handler ends it. */
USER void user_spin(void)
{
	asm("1:\tjmp 1b" : :);
}

/* Uses up the stack below the page that it has. */
USER void user_push(void)
{
	asm("1:\tpushl %%eax\n\tjmp 1b" : :);
}
