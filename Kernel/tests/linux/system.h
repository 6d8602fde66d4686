/* SPDX-License-Identifier: GPL-2.0-only */
/* Linux's system calls by int 0x80, as i386 has always had them, and what little else init needs. */
#ifndef LINUX_SYSTEM_H
#define LINUX_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SYS_EXIT = 1,
	SYS_FORK = 2,
	SYS_READ = 3,
	SYS_WRITE = 4,
	SYS_OPEN = 5,
	SYS_CLOSE = 6,
	SYS_WAITPID = 7,
	SYS_MKNOD = 14,
	SYS_LSEEK = 19,
	SYS_MOUNT = 21,
	SYS_SYNC = 36,
	SYS_MKDIR = 39,
	SYS_PIPE = 42,
	SYS_GETPPID = 64,
	SYS_SIGACTION = 67,
	SYS_REBOOT = 88,
	SYS_MUNMAP = 91,
	SYS_SETITIMER = 104,
	SYS_FSYNC = 118,
	SYS_MPROTECT = 125,
	SYS_SCHED_YIELD = 158,
	SYS_NANOSLEEP = 162,
	SYS_MMAP2 = 192,
	SYS_SET_THREAD_AREA = 243,
};

#define PAGE 4096u

static inline int call5(int number, long a, long b, long c, long d, long e)
{
	int result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "0"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory");
	return result;
}

#define CALL0(number) call5(number, 0, 0, 0, 0, 0)
#define CALL1(number, a) call5(number, (long)(a), 0, 0, 0, 0)
#define CALL2(number, a, b) call5(number, (long)(a), (long)(b), 0, 0, 0)
#define CALL3(number, a, b, c) call5(number, (long)(a), (long)(b), (long)(c), 0, 0)

/* The compiler calls these two by itself. */
void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);

void say(const char *text);
void say_number(uint32_t number);
void sleep_milliseconds(uint32_t milliseconds);
/* Private memory at that address, or anywhere when it is NULL. */
uint8_t *map_pages(void *at, uint32_t pages);
/* The exit code of a child; of any when it is -1. */
int wait_for(int child);
_Noreturn void leave(int code);

#endif
