// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtual interrupt controller and the clock. The timer's interrupt serves for all; a device may
 * interrupt long after its answer was seen, so those of the others are blocked meanwhile.
 */
#include "check.h"

static volatile uint32_t seen_enabled;

static void look(void *context)
{
	(void)context;
	seen_enabled = lguest_data.irq_enabled;
	timer_ticks++;
}

static void spin_milliseconds(uint32_t milliseconds)
{
	uint64_t end = cycles() + (uint64_t)milliseconds * cycles_per_millisecond;

	while (cycles() < end)
		;
}

static uint64_t end_of_patience(void)
{
	return cycles() + PATIENCE * 1000ull * cycles_per_millisecond;
}

/* Gives the host the chance to deliver until a tick came. */
static void await_tick(uint32_t before)
{
	uint64_t end = end_of_patience();

	while (timer_ticks == before && cycles() < end)
		hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
}

static void await_pending(void)
{
	uint64_t end = end_of_patience();

	while (!lguest_data.irq_pending && cycles() < end)
		hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
}

static void check_masks(void)
{
	uint32_t before = timer_ticks;

	interrupts_off();
	/* One of those that are blocked now may have been waiting. */
	hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
	check_equal(lguest_data.irq_pending, 0, "no interrupt waits when none was asked for");
	timer_arm(1000000);
	await_pending();
	check_equal(timer_ticks, before, "no interrupt comes while they are off");
	check_equal(lguest_data.irq_pending, EFLAGS_IF, "the host tells that one waits");
	interrupts_on();
	check_equal(timer_ticks, before + 1, "it comes when they are on again");
	check_equal(lguest_data.irq_pending, 0, "and the host tells that none waits");

	before = timer_ticks;
	lguest_data.blocked_interrupts |= 1 << TIMER_IRQ;
	timer_arm(1000000);
	spin_milliseconds(20);
	hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
	check_equal(timer_ticks, before, "a blocked interrupt does not come");
	lguest_data.blocked_interrupts &= ~(1 << TIMER_IRQ);
	await_tick(before);
	check_equal(timer_ticks, before + 1, "it comes when it is not blocked any more");
}

static void check_handler(void)
{
	uint32_t before = timer_ticks;

	timer_handle(look);
	seen_enabled = 1;
	timer_arm(1000000);
	/* Nothing here leaves the guest: the host must come by itself. */
	for (uint64_t end = end_of_patience();
	     timer_ticks == before && cycles() < end;)
		;
	check_equal(timer_ticks, before + 1, "an interrupt comes to a guest that only spins");
	check_equal(seen_enabled, 0, "interrupts are off in an interrupt gate's handler");
	check_equal(lguest_data.irq_enabled, EFLAGS_IF, "and on again behind it");
}

static void check_halt(void)
{
	uint32_t before;

	interrupts_off();
	before = timer_ticks;
	timer_arm(2000000);
	halt();
	check_equal(timer_ticks, before + 1, "halt sleeps until an interrupt came");
	check_equal(lguest_data.irq_enabled, EFLAGS_IF, "and they are on behind it");
	/* Once more if the host was so slow that it fired before it was stopped. */
	do {
		before = timer_ticks;
		timer_arm(20000000);
		timer_arm(0);
	} while (timer_ticks != before);
	spin_milliseconds(60);
	check_equal(timer_ticks, before, "a timer that was stopped does not fire");
}

static void check_clock(void)
{
	uint64_t start, took;
	uint32_t seconds;
	int32_t milliseconds;

	/* The host takes the wall time with each tick: here after the start, then before the end. */
	start = cycles();
	sleep_milliseconds(1);
	seconds = lguest_data.seconds;
	milliseconds = lguest_data.nanoseconds / 1000000;
	for (uint32_t i = 0; i < 10; i++)
		sleep_milliseconds(10);
	took = divide(cycles() - start, cycles_per_millisecond);
	check(took >= 98, "ten sleeps of ten milliseconds take at least that");
	milliseconds = (int32_t)(lguest_data.seconds - seconds) * 1000 +
		       (int32_t)(lguest_data.nanoseconds / 1000000) - milliseconds;
	check(milliseconds >= 95 && milliseconds <= (int32_t)(took + took / 10) + 2,
	      "the wall time goes on as the cycles do");
}

/* A fast timer while the kernel traps and returns: the window of `iret` is hit again and again. */
static volatile bool stormy;

static void storm(void *context)
{
	(void)context;
	timer_ticks++;
	if (stormy)
		timer_arm(50000);
}

static void breakpoint(void *argument)
{
	(void)argument;
	asm volatile("int3");
}

static void check_storm(void)
{
	uint64_t end = end_of_patience();
	uint32_t before = timer_ticks, wrong = 0;

	timer_handle(storm);
	stormy = true;
	timer_arm(50000);
	while (timer_ticks - before < 50 && cycles() < end) {
		wrong += !probe(breakpoint, NULL) || probe_result.vector != 3 ||
			 lguest_data.irq_enabled != EFLAGS_IF;
		/* One that came within the handler waits until the host is told. */
		interrupts_on();
	}
	interrupts_off();
	stormy = false;
	timer_arm(0);
	interrupts_on();
	sleep_milliseconds(1);
	check_equal(wrong, 0, "traps and interrupts mix");
	check(timer_ticks - before >= 50, "interrupts came in the meantime");
}

void check_interrupts(void)
{
	uint32_t blocked = lguest_data.blocked_interrupts;

	lguest_data.blocked_interrupts = ~(1u << TIMER_IRQ);
	check_masks();
	check_handler();
	check_halt();
	check_clock();
	check_storm();
	timer_handle(NULL);
	lguest_data.blocked_interrupts = blocked;
}
