/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the guest offer each other, file by file. */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lguest.h"
#include "string.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static inline uint32_t physical(const volatile void *address)
{
	return (uint32_t)address - PAGE_OFFSET;
}

static inline void *virtual(uint32_t address)
{
	return (void *)(address + PAGE_OFFSET);
}

/* main.c */
extern const char *command_line;
extern uint32_t memory_bytes;
/* The text after `word=` on the command line, "" after a word alone, NULL when it is not there. */
const char *word(const char *name);
_Noreturn void power_off(void);
_Noreturn void restart(void);
_Noreturn void panic(const char *form, ...);

/* print.c */
void print(const char *form, ...);
/* Whether text goes to the virtio console from now on. */
void print_use_console(bool use);

/* memory.c: pages of zeros, physically anywhere, reached through the linear map. */
void memory_init(uint32_t first, uint32_t end);
void *page_alloc(void);
void page_free(void *page);
uint32_t pages_free(void);

/* traps.c */
struct frame {
	uint32_t ds, es;
	uint32_t edi, esi, ebp, unused_esp, ebx, edx, ecx, eax;
	uint32_t vector, error;
	uint32_t eip, cs, eflags;
	uint32_t esp, ss; /* only when it comes from user mode */
};

struct probe_result {
	uint32_t vector, error, cr2, eip, eflags;
};

extern struct probe_result probe_result;
extern volatile uint32_t trap_counts[IDT_ENTRIES];
/* The interrupt that is being handled has interrupted user mode. */
extern bool interrupted_user;
/* So many page faults of user mode are returned from, as from a handler that does nothing. */
extern uint32_t faults_ignored;
void traps_init(void);
/* Gives a vector a gate; `type` is the descriptor's type word, as 0x8e00. */
void gate(uint32_t vector, const void *handler, uint32_t type);
/* Calls body(argument); true when it trapped, and probe_result says how. */
int probe(void (*body)(void *), void *argument);
/* Bodies for it, and for whoever wants the trap itself. */
void read_word(void *address);
void write_word(void *address);
void run_at(void *address);

/* interrupts.c */
typedef void interrupt_handler(void *context);
void interrupts_init(void);
void interrupt_handle(uint32_t irq, interrupt_handler *handler, void *context);
void interrupt_arrived(uint32_t irq);
void interrupts_on(void);
bool interrupts_off(void); /* true when they were on */
/* With interrupts off: sleeps until one comes. They are on afterwards. */
void halt(void);

/* segments.c */
void segments_init(void);
void descriptor_load(uint32_t index, uint32_t low, uint32_t high);

/* timer.c */
/* Seconds to wait for what must come: hosts may be very slow, and this is to end a hang only. */
#define PATIENCE 20
void timer_init(void);
uint64_t cycles(void);
extern uint32_t cycles_per_millisecond;
extern volatile uint32_t timer_ticks;
/* A handler that counts timer_ticks itself; NULL is the usual one. */
void timer_handle(interrupt_handler *handler);
/* One timer interrupt in so many nanoseconds; 0 stops it. */
void timer_arm(uint32_t nanoseconds);
void sleep_milliseconds(uint32_t milliseconds);
/* Sleeps until the condition holds; false when that takes longer. */
bool wait_until(bool (*condition)(void *), void *context, uint32_t seconds);

/* user.c */
uint32_t user_syscall(struct frame *frame);
uint32_t enter_user(uint32_t eip, uint32_t esp, uint32_t argument);
_Noreturn void leave_user(uint32_t result);

/* Each of these ends the guest. */
void monitor(void);
void selfcheck(void);
void adversary(const char *which);
/* The cases that come before LGUEST_INIT; it returns when `which` is none of them. */
void adversary_early(const char *which);
void speed(void);
void mix(void);
void kicks(uint32_t count);
void barriers(uint32_t rounds);
void writes(uint32_t count);

#endif
