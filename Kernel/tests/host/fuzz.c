// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz SEED FIRST COUNT: random guest programs.
 *
 * Each program is made of fragments that a hostile guest could try: hypercalls with arguments from
 * a pool of awkward numbers, descriptors and gates, page tables, selectors, flags, software
 * interrupts, memory accesses, plain noise. It runs for a short time and is then dropped in the
 * middle. All that is asked is that the host stays whole, which its kernel's log tells; program N
 * of a seed is always the same.
 */
#include "raw.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "lguest_abi.h"

#define ROOT 0x20000u /* page tables that programs use and change */
#define ROOT_PAGES 8u
#define FRAGMENTS 24
#define MILLISECONDS 4
#define READS 40

static uint64_t state;

static uint32_t any(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 16;
}

static uint32_t below(uint32_t limit)
{
	return any() % limit;
}

/* A number that is likely to matter somewhere. */
static uint32_t awkward(void)
{
	static const uint32_t numbers[] = {
		0,	    1,		3,	    4,		 5,	     31,	 32,
		0x60,	    0x61,	0x69,	    0x73,	 0x7b,	     0x80,	 255,
		256,	    512,	1023,	    1024,	 4095,	     4096,	 0x7fffffff,
		0x80000000, 0xc0000000, 0xffbff000, 0xffc00000,	 0xfffff000, 0xfffffffc, 0xffffffff,
		RAW_DATA,   RAW_STACK,	RAW_BYTES,  RAW_BYTES - 4, ROOT,     ROOT + 8,	 RAW_BYTES - 4096,
	};

	switch (below(4)) {
	case 0:
		return any();
	case 1:
		return ROOT + below(ROOT_PAGES) * 4096;
	case 2:
		return below(RAW_BYTES);
	default:
		return numbers[below(sizeof(numbers) / sizeof(numbers[0]))];
	}
}

static uint32_t entry(void)
{
	uint32_t flags = below(64) ? any() & 0x67 : any() & 0xfff;
	uint32_t page = below(64) ? below(RAW_PAGES) << 12 : awkward() & ~0xfffu;

	return below(4) ? page | flags : 0;
}

static void put8(struct raw *raw, uint8_t byte)
{
	raw_bytes(raw, &byte, 1);
}

static void put32(struct raw *raw, uint32_t word)
{
	raw_bytes(raw, &word, 4);
}

/* One in eight is wild, which is mostly deadly; the others would pass from a sane guest. */
static void hypercall(struct raw *raw)
{
	static const uint8_t usual[] = { 0, 5, 8, 9, 14, 14, 15, 17, 19, 4, 16, 7 };
	uint32_t number = usual[below(sizeof(usual))], a = awkward();

	if (below(8) == 0) {
		raw_hypercall(raw, awkward(), awkward(), awkward(), awkward(), awkward());
		return;
	}
	if (number == 4 || number >= 14)
		a = number == 17 ? a : below(RAW_PAGES) << 12;
	if (number == 7)
		raw_hypercall(raw, 7, 0x69, below(2) ? RAW_STACK : awkward(), 1 + below(2), 0);
	else
		raw_hypercall(raw, number, a, awkward(), entry(), 0);
}

static void descriptor(struct raw *raw)
{
	uint32_t high = any();

	if (below(2)) /* Flat and present, of any type and privilege. */
		high = 0x00cf8000 | (any() & 0x00207f00);
	raw_hypercall(raw, 18, below(16) ? below(32) : awkward(), below(2) ? 0xffff : any(), high,
		      0);
}

static void gate(struct raw *raw)
{
	uint32_t type = below(16) ? (below(2) ? 0x8e00 : 0xef00) : any() & 0xffff;
	uint32_t handler = RAW_START + below(4096);

	raw_hypercall(raw, 6, below(256), 0x610000 | (handler & 0xffff), (handler & ~0xffffu) | type,
		      0);
}

static void page_table(struct raw *raw)
{
	uint32_t at = ROOT + below(ROOT_PAGES) * 4096 + below(1024) * 4;

	put8(raw, 0xc7); /* movl $entry, at */
	put8(raw, 0x05);
	put32(raw, at);
	put32(raw, entry());
	switch (below(4)) {
	case 0:
		raw_hypercall(raw, 4, ROOT + below(ROOT_PAGES) * 4096, 0, 0, 0);
		break;
	case 1:
		raw_hypercall(raw, 14, ROOT, awkward(), entry(), below(4) ? 0 : any());
		break;
	case 2:
		raw_hypercall(raw, below(2) ? 15 : 13, ROOT, below(1100), 0, 0);
		break;
	default:
		raw_hypercall(raw, 5, below(2), 0, 0, 0);
	}
}

/* mov $selector, %eax; mov %eax, %sreg */
static void selector(struct raw *raw)
{
	static const uint8_t registers[] = { 0xc0, 0xd0, 0xd8, 0xe0, 0xe8 };

	put8(raw, 0xb8);
	put32(raw, below(2) ? below(32) << 3 | below(8) : any() & 0xffff);
	put8(raw, 0x8e);
	put8(raw, registers[below(sizeof(registers))]);
}

/* pushl $flags; popf. Never VM: QEMU lets a guest's return set it, a CPU does not. */
static void flags(struct raw *raw)
{
	put8(raw, 0x68);
	put32(raw, any() & 0x0024cfff);
	put8(raw, 0x9d);
}

static void memory(struct raw *raw)
{
	put8(raw, below(2) ? 0xa1 : 0xa3); /* mov between eax and memory */
	put32(raw, awkward());
}

static void far(struct raw *raw)
{
	put8(raw, below(2) ? 0xea : 0x9a);
	put32(raw, awkward());
	put8(raw, below(256));
	put8(raw, below(8) ? 0 : below(256));
}

static void software_interrupt(struct raw *raw)
{
	static const uint8_t usual[] = { 0x1f, 0x20, 0x80, 3, 4, 2, 8, 14, 0xff };

	put8(raw, 0xcd);
	put8(raw, below(2) ? usual[below(sizeof(usual))] : below(256));
}

static void stack(struct raw *raw)
{
	put8(raw, 0xbc); /* mov $word, %esp */
	put32(raw, below(4) ? RAW_STACK : awkward());
}

static void noise(struct raw *raw)
{
	for (uint32_t i = 1 + below(8); i; i--) {
		uint8_t byte = below(256);

		/* iret takes flags from wherever the stack is; see flags(). */
		put8(raw, byte == 0xcf ? 0x90 : byte);
	}
}

/* A slot of the asynchronous ring. */
static void ring(struct raw *raw)
{
	uint32_t slot = below(64);

	for (uint32_t i = 0; i < 5; i++)
		raw_put32(raw, RAW_DATA + 88 + slot * 20 + i * 4, i ? awkward() : (below(8) ? 19 : below(21)));
	raw->memory[RAW_DATA + 24 + slot] = below(4) ? 0 : any();
}

/*
 * Most traps lead to code that takes the frame off the stack and goes on behind the next bytes, so
 * that a program lives on after what it may not do.
 */
static void handlers(struct raw *raw)
{
	static const uint8_t skip[] = {
		0x83, 0x04, 0x24, 0x02,	     /* addl $2, (%esp) */
		0xc2, 0x08, 0x00,	     /* ret $8: eip; drops cs and eflags */
	};
	static const uint8_t vectors[] = { 0, 1, 3, 4, 5, 6, 7, 0x20, 0x21, 0x80 };
	static const uint8_t vectors_error[] = { 10, 11, 12, 13, 14 };
	uint32_t plain = RAW_START - 0x100, with_error = RAW_START - 0x80;

	memcpy(raw->memory + plain, skip, sizeof(skip));
	memcpy(raw->memory + with_error, "\x83\xc4\x04", 3); /* addl $4, %esp */
	memcpy(raw->memory + with_error + 3, skip, sizeof(skip));
	for (uint32_t i = 0; i < sizeof(vectors); i++)
		raw_hypercall(raw, 6, vectors[i], 0x610000 | plain, 0xef00, 0);
	for (uint32_t i = 0; i < sizeof(vectors_error); i++)
		raw_hypercall(raw, 6, vectors_error[i], 0x610000 | with_error, 0xef00, 0);
}

static void build(struct raw *raw)
{
	static void (*const fragments[])(struct raw *) = {
		hypercall, hypercall, descriptor, gate,	     page_table, page_table, selector, flags,
		memory,	   far,	      noise,	  software_interrupt, stack, ring,	 memory,
	};

	for (uint32_t i = 0; i < ROOT_PAGES * 1024; i++)
		if (below(8) == 0)
			raw_put32(raw, ROOT + i * 4, entry());
	/* Often the program stays mapped when it takes these tables: where it runs, and above. */
	if (below(4)) {
		raw_put32(raw, ROOT, (ROOT + 4096) | 0x67);
		raw_put32(raw, ROOT + 0x300 * 4, (ROOT + 4096) | 0x67);
		for (uint32_t i = 0; i < RAW_PAGES; i++)
			raw_put32(raw, ROOT + 4096 + i * 4, i << 12 | 0x67);
	}
	if (below(16))
		raw_prologue(raw);
	if (below(2))
		handlers(raw);
	for (uint32_t i = 1 + below(FRAGMENTS); i; i--)
		fragments[below(sizeof(fragments) / sizeof(fragments[0]))](raw);
	raw_spin(raw);
}

static void wake(int number)
{
	(void)number;
}

static bool run(struct raw *raw, uint32_t *notifies)
{
	/* Again and again, in case the first signal is gone before a read begins. */
	struct itimerval when = { { 0, MILLISECONDS * 1000 }, { 0, MILLISECONDS * 1000 } };
	struct itimerval never = { 0 };
	unsigned long address;
	bool dead = false;

	if (raw_initialize(raw) < 0)
		return false;
	setitimer(ITIMER_REAL, &when, NULL);
	for (uint32_t i = 0; i < READS; i++) {
		ssize_t got = raw_run(raw, &address);

		if (got < 0) {
			dead = errno == ENOENT;
			break;
		}
		(*notifies)++;
		if (below(4) == 0)
			raw_request(raw, LHREQ_IRQ, below(32), 0);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	return dead;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = wake };
	uint64_t seed;
	uint32_t first, count, dead = 0, notifies = 0;

	if (argc != 4)
		return 2;
	seed = strtoull(argv[1], NULL, 0);
	first = atoi(argv[2]);
	count = atoi(argv[3]);
	sigaction(SIGALRM, &action, NULL);
	for (uint32_t i = first; i < first + count; i++) {
		struct raw *raw = raw_new();

		state = (seed + 1) * 0x9e3779b97f4a7c15 ^ (i + 1) * 0xbf58476d1ce4e5b9ull;
		if (i % 250 == 0) {
			printf("seed %llu, program %u\n", (unsigned long long)seed, i);
			fflush(stdout);
		}
		build(raw);
		dead += run(raw, &notifies);
		raw_free(raw);
	}
	printf("%u programs of seed %llu: %u died, %u notifies\n", count, (unsigned long long)seed,
	       dead, notifies);
	/* Programs that all die, or all spin, would try little. */
	return dead < count / 10 || dead == count;
}
