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

bool wait_until(bool (*condition)(void *), void *context, uint32_t seconds)
{
	bool enabled = interrupts_off();
	bool holds = condition(context);

	/* Seconds in which this guest ran count, not those in which its host stood still. */
	for (uint32_t second = 0; !holds && second < seconds; second++) {
		uint32_t before = timer_ticks;

		timer_arm(1000000000);
		while (!(holds = condition(context)) && timer_ticks == before) {
			halt();
			interrupts_off();
		}
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

/* The wall time, and the counts of cycles between which the host took it. */
struct sample {
	uint64_t before, after;
	uint32_t seconds, nanoseconds;
};

/* The host writes the wall time when it delivers an interrupt. No other than the timer's is on yet. */
static struct sample take_sample(void)
{
	struct sample sample;

	interrupts_off();
	timer_arm(1000000);
	while (!lguest_data.irq_pending)
		hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
	sample.before = cycles();
	interrupts_on();
	sample.after = cycles();
	interrupts_off();
	sample.seconds = lguest_data.seconds;
	sample.nanoseconds = lguest_data.nanoseconds;
	return sample;
}

/*
 * Cycles against the wall time, to one in a hundred: however long the host leaves the guest alone,
 * the samples go on until they are so far apart that what is not known of the two does not matter.
 */
static uint32_t measure_cycles(void)
{
	struct sample first = take_sample(), last;
	uint64_t unknown;

	do {
		last = take_sample();
		unknown = last.after - last.before + first.after - first.before;
		/* A better one to begin with; and the time has to fit into a word. */
		if (last.after - last.before < (first.after - first.before) / 4 ||
		    last.seconds - first.seconds > 3)
			first = last;
	} while (last.before - first.before < 100 * unknown || last.before == first.before);
	return divide((last.before - first.before) * 1000000,
		      (last.seconds - first.seconds) * 1000000000 + last.nanoseconds -
			      first.nanoseconds);
}

void timer_init(void)
{
	timer_handle(NULL);
	cycles_per_millisecond = lguest_data.tsc_khz;
	if (!cycles_per_millisecond)
		cycles_per_millisecond = measure_cycles();
}
