// SPDX-License-Identifier: GPL-2.0-only
/*
 * The loops behind the table in Kernel/README.md that compares hosts, each a median of five rounds, in
 * ticks of the TSC, which are nanoseconds under QEMU's -icount.
 */
#include "system.h"

enum {
	ROUNDS = 5,
	GETPPIDS = 20000,
	ROUND_TRIPS = 300,
	FORKS = 30,
	MAPPINGS = 30,
	PAGES = 64,
};

static uint64_t ticks(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/* The quotient fits: no loop here takes 2^32 ticks each time. */
static uint32_t divide(uint64_t dividend, uint32_t divisor)
{
	uint32_t quotient, high = (uint32_t)(dividend >> 32) % divisor;

	__asm__("divl %2" : "=a"(quotient), "+d"(high) : "rm"(divisor), "0"((uint32_t)dividend));
	return quotient;
}

static uint32_t getppids(void)
{
	uint64_t start = ticks();

	for (int i = 0; i < GETPPIDS; i++)
		CALL0(SYS_GETPPID);
	return divide(ticks() - start, GETPPIDS);
}

/* Sends back what comes, until a byte other than 0. */
static _Noreturn void echo(int from, int to)
{
	uint8_t byte = 0;

	while (CALL3(SYS_READ, from, &byte, 1) == 1 && !byte)
		CALL3(SYS_WRITE, to, &byte, 1);
	leave(0);
}

static uint32_t round_trips(void)
{
	int there[2], back[2], child;
	uint8_t byte = 0;
	uint64_t start;

	CALL1(SYS_PIPE, there);
	CALL1(SYS_PIPE, back);
	child = CALL0(SYS_FORK);
	if (!child)
		echo(there[0], back[1]);
	start = ticks();
	for (int i = 0; i < ROUND_TRIPS; i++) {
		CALL3(SYS_WRITE, there[1], &byte, 1);
		CALL3(SYS_READ, back[0], &byte, 1);
	}
	start = ticks() - start;
	byte = 1;
	CALL3(SYS_WRITE, there[1], &byte, 1);
	wait_for(child);
	for (int end = 0; end < 2; end++) {
		CALL1(SYS_CLOSE, there[end]);
		CALL1(SYS_CLOSE, back[end]);
	}
	return divide(start, ROUND_TRIPS);
}

static uint32_t forks(void)
{
	uint64_t start = ticks();

	for (int i = 0; i < FORKS; i++) {
		int child = CALL0(SYS_FORK);

		if (!child)
			leave(0);
		wait_for(child);
	}
	return divide(ticks() - start, FORKS);
}

static uint32_t mappings(void)
{
	uint64_t start = ticks();

	for (int i = 0; i < MAPPINGS; i++) {
		volatile uint8_t *pages = map_pages(NULL, PAGES);

		for (uint32_t page = 0; page < PAGES; page++)
			pages[page * PAGE] = 1;
		CALL2(SYS_MUNMAP, pages, PAGES * PAGE);
	}
	return divide(ticks() - start, MAPPINGS);
}

static void measure(const char *name, uint32_t (*loop)(void))
{
	uint32_t rounds[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		uint32_t value = loop();
		int at = i;

		for (; at && rounds[at - 1] > value; at--)
			rounds[at] = rounds[at - 1];
		rounds[at] = value;
	}
	say("figure ");
	say(name);
	say(" ");
	say_number(rounds[ROUNDS / 2]);
	say("\n");
}

void figures(void)
{
	measure("getppid", getppids);
	measure("pipe-round-trip", round_trips);
	measure("fork-exit-wait", forks);
	measure("mmap-64-pages", mappings);
}
