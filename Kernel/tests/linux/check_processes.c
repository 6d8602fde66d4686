// SPDX-License-Identifier: GPL-2.0-only
/* What a program keeps while others run: segments, FPU, registers. And that many can run. */
#include "check.h"

enum {
	CHILDREN = 3,
	YIELDS = 200,
	SIGALRM = 14,
	TICKS = 20,
	FORKS = 60,
	BATCH = 6,
	PAGES = 32,
};

static volatile uint32_t ticks;

static void tick(int signal)
{
	(void)signal;
	ticks++;
}

/* Each child runs body(its number) beside the others; true when all of them end with 0. */
static bool in_children(uint32_t count, int (*body)(uint32_t number))
{
	bool all = true;

	for (uint32_t i = 0; i < count; i++)
		if (!CALL0(SYS_FORK))
			leave(body(i));
	for (uint32_t i = 0; i < count; i++)
		all &= wait_for(-1) == 0;
	return all;
}

static uint32_t thread_word(void)
{
	uint32_t word;

	__asm__ volatile("mov %%gs:4, %0" : "=r"(word));
	return word;
}

static int thread_word_wrong(uint32_t number)
{
	(void)number;
	return thread_word() != 0x55667788;
}

static void thread_segments(void)
{
	static uint32_t block[] = { 0x11223344, 0x55667788 };
	struct {
		uint32_t entry, base, limit, flags;
	} descriptor = { ~0u, (uint32_t)block, 0xfffff, 0x51 };

	check(CALL1(SYS_SET_THREAD_AREA, &descriptor) == 0, "a thread's segment is given");
	__asm__ volatile("mov %w0, %%gs" ::"r"(descriptor.entry * 8 + 3));
	check(thread_word() == 0x55667788, "it can be read");
	sleep_milliseconds(30);
	check(thread_word() == 0x55667788, "after others have run as well");
	check(in_children(CHILDREN, thread_word_wrong), "and in children");
}

static int x87_wrong(uint32_t number)
{
	double mine = number + 1, seen;
	int wrong = 0;

	__asm__ volatile("fninit; fldl %0" ::"m"(mine));
	for (int i = 0; i < YIELDS; i++) {
		CALL0(SYS_SCHED_YIELD);
		__asm__ volatile("fstl %0" : "=m"(seen));
		wrong |= seen != mine;
	}
	return wrong;
}

static int sse_wrong(uint32_t number)
{
	uint32_t mine[4] = { number, number * 3 + 1, ~number, number << 8 }, seen[4];
	int wrong = 0;

	__asm__ volatile("movups %0, %%xmm5" ::"m"(mine));
	for (int i = 0; i < YIELDS; i++) {
		CALL0(SYS_SCHED_YIELD);
		__asm__ volatile("movups %%xmm5, %0" : "=m"(seen));
		for (int word = 0; word < 4; word++)
			wrong |= seen[word] != mine[word];
	}
	return wrong;
}

/* A while of computing; true when a register has not kept what was put into it. */
static bool registers_lost(void)
{
	uint32_t lost;

	__asm__ volatile("mov $0x12345678, %%ebx; mov $0x9abcdef0, %%esi; mov $0x0fedcba9, %%edi\n"
			 "	mov $20000, %%ecx\n"
			 "1:	dec %%ecx; jnz 1b\n"
			 "	sub $0x12345678, %%ebx; sub $0x9abcdef0, %%esi; sub $0x0fedcba9, %%edi\n"
			 "	or %%ebx, %%esi; or %%esi, %%edi; mov %%edi, %0"
			 : "=a"(lost)::"ebx", "ecx", "esi", "edi");
	return lost;
}

static void interrupted(void)
{
	uint32_t every_10ms[] = { 0, 10000, 0, 10000 }, never[] = { 0, 0, 0, 0 };
	bool lost = false;

	handle_signal(SIGALRM, tick);
	CALL3(SYS_SETITIMER, 0, every_10ms, NULL);
	while (ticks < TICKS)
		lost |= registers_lost();
	CALL3(SYS_SETITIMER, 0, never, NULL);
	check(!lost, "registers are kept when the timer interrupts");
}

static int pages_wrong(uint32_t number)
{
	volatile uint8_t *pages = map_pages(NULL, PAGES);
	int wrong = 0;

	for (uint32_t i = 0; i < PAGES; i++)
		pages[i * PAGE] = i + number;
	CALL0(SYS_SCHED_YIELD);
	for (uint32_t i = 0; i < PAGES; i++)
		wrong |= pages[i * PAGE] != (uint8_t)(i + number);
	return wrong;
}

void check_processes(void)
{
	bool all = true;

	thread_segments();
	check(in_children(CHILDREN, x87_wrong), "x87 registers are each process's own");
	check(in_children(CHILDREN, sse_wrong), "SSE registers are, too");
	interrupted();
	for (int i = 0; i < FORKS; i += BATCH)
		all &= in_children(BATCH, pages_wrong);
	check(all, "many processes, each with pages of its own");
}
