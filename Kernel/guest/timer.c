// SPDX-License-Identifier: GPL-2.0-only
/* Time: the one-shot timer of the host, and the CPU's cycle counter measured against it. */
#include "guest.h"

volatile uint32_t timer_ticks;
uint32_t cycles_per_millisecond;

static void tick(void *context)
{
	(void)context;
	timer_ticks++;
}

uint64_t cycles(void)
{
	uint64_t count;

	asm volatile("rdtsc" : "=A"(count));
	return count;
}

void timer_arm(uint32_t nanoseconds)
{
	hypercall(HCALL_SET_CLOCKEVENT, nanoseconds, 0, 0, 0);
}

void sleep_milliseconds(uint32_t milliseconds)
{
	uint32_t before = timer_ticks;
	bool enabled = interrupts_off();

	timer_arm(milliseconds * 1000000);
	while (timer_ticks == before) {
		halt();
		interrupts_off();
	}
	if (enabled)
		interrupts_on();
}

bool wait_until(bool (*condition)(void *), void *context, uint32_t milliseconds)
{
	uint32_t before = timer_ticks;
	bool enabled = interrupts_off();
	bool holds;

	timer_arm(milliseconds * 1000000);
	while (!(holds = condition(context)) && timer_ticks == before) {
		halt();
		interrupts_off();
	}
	timer_arm(0);
	if (enabled)
		interrupts_on();
	return holds;
}

void timer_handle(interrupt_handler *handler)
{
	interrupt_handle(TIMER_IRQ, handler ? handler : tick, NULL);
}

/* Cycles against the wall time, which the host writes when it delivers an interrupt. */
static uint32_t measure_cycles(void)
{
	uint64_t start;
	uint32_t seconds, nanoseconds;

	sleep_milliseconds(1);
	start = cycles();
	seconds = lguest_data.seconds;
	nanoseconds = lguest_data.nanoseconds;
	sleep_milliseconds(20);
	nanoseconds = (lguest_data.seconds - seconds) * 1000000000 + lguest_data.nanoseconds -
		      nanoseconds;
	return divide((cycles() - start) * 1000000, nanoseconds);
}

void timer_init(void)
{
	timer_handle(NULL);
	cycles_per_millisecond = lguest_data.tsc_khz;
	if (!cycles_per_millisecond)
		cycles_per_millisecond = measure_cycles();
}
