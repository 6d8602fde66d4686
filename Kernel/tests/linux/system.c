// SPDX-License-Identifier: GPL-2.0-only
/* Where the program starts, and its few routines. */
#include "system.h"

/* The kernel gives argc and argv on the stack, which C wants to be aligned. */
__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov (%esp), %eax\n"
	"	lea 4(%esp), %edx\n"
	"	and $-16, %esp\n"
	"	sub $8, %esp\n"
	"	push %edx\n"
	"	push %eax\n"
	"	call main\n"
	"	ud2\n");

void *memcpy(void *to, const void *from, size_t bytes)
{
	uint8_t *t = to;
	const uint8_t *f = from;

	while (bytes--)
		*t++ = *f++;
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	uint8_t *t = to;

	while (bytes--)
		*t++ = value;
	return to;
}

void say(const char *text)
{
	size_t length = 0;

	while (text[length])
		length++;
	CALL3(SYS_WRITE, 1, text, length);
}

void say_number(uint32_t number)
{
	char digits[11];
	char *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do {
		*--at = '0' + number % 10;
		number /= 10;
	} while (number);
	say(at);
}

void sleep_milliseconds(uint32_t milliseconds)
{
	uint32_t time[2] = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

	CALL2(SYS_NANOSLEEP, time, NULL);
}

uint8_t *map_pages(void *at, uint32_t pages)
{
	enum { READ_WRITE = 3, PRIVATE = 2, FIXED = 0x10, ANONYMOUS = 0x20 };
	int flags = PRIVATE | ANONYMOUS | (at ? FIXED : 0);

	/* The sixth argument is an offset, in EBP, where C has what it likes: there is no file. */
	return (uint8_t *)call5(SYS_MMAP2, (long)at, pages * PAGE, READ_WRITE, flags, -1);
}

int wait_for(int child)
{
	int status = -1;

	CALL3(SYS_WAITPID, child, &status, 0);
	return status >> 8;
}

_Noreturn void leave(int code)
{
	for (;;)
		CALL1(SYS_EXIT, code);
}
