// SPDX-License-Identifier: GPL-2.0-only
/*
 * A small kernel that runs as an lguest guest.
 *
 * It starts as Linux 2.6.31 does: the first hypercall, LGUEST_INIT, names lguest_data; then it makes
 * page tables, segments, traps, interrupts and time of its own, and finds its devices. Words on the
 * command line say what it is then: a monitor for a person (no word), a test of itself and its host
 * (`selfcheck`), a guest that does what it must not (`adversary=CASE`), a stop-watch (`speed`), what
 * that measures in turn and for ever (`mix`), very many requests (`kicks=N`), barriers between writes
 * (`barriers=N`), or writes that do not end well (`writes=N`).
 */
#include "bus.h"
#include "console.h"
#include "guest.h"
#include "paging.h"

#define BOOT_PARAMS_E820_SIZE 0x2d8
#define BOOT_PARAMS_COMMAND_LINE 0x228

volatile struct lguest_data lguest_data __attribute__((aligned(PAGE_SIZE)));
const char *command_line;
uint32_t memory_bytes;

extern const uint8_t noirq_start[], noirq_end[], image_end[];

const char *word(const char *name)
{
	const char *at = command_line;

	while (*at) {
		const char *rest = after_prefix(at, name);

		if (rest && (*rest == '\0' || *rest == ' '))
			return "";
		if (rest && *rest == '=')
			return rest + 1;
		while (*at && *at != ' ')
			at++;
		while (*at == ' ')
			at++;
	}
	return NULL;
}

/* LGUEST_INIT. With the layout of Linux 3.2 the fields after tsc_khz stand four bytes lower. */
static void greet_host(void)
{
	volatile uint32_t *tail = lguest_data.tail;
	typedef void call(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
	call *by_physical_address = (call *)physical(hypercall_vmcall);

	memset((void *)lguest_data.hcall_status, SLOT_DONE, RING_SLOTS);
	lguest_data.blocked_interrupts = 1;
	if (!word("layout32"))
		tail++;
	tail[NOIRQ_START] = (uint32_t)noirq_start;
	tail[NOIRQ_END] = (uint32_t)noirq_end;
	tail[KERNEL_ADDRESS] = PAGE_OFFSET;
	tail[SYSCALL_VEC] = SYSCALL_VECTOR;
	/* As Linux makes its first call: below PAGE_OFFSET. */
	if (word("vmcall"))
		by_physical_address(HCALL_LGUEST_INIT, physical(&lguest_data), 0, 0, 0);
	else
		hypercall(HCALL_LGUEST_INIT, physical(&lguest_data), 0, 0, 0);
}

_Noreturn static void shut_down(const char *text, uint32_t how)
{
	hypercall(HCALL_SHUTDOWN, physical(text), how, 0, 0);
	for (;;)
		;
}

void power_off(void)
{
	static const char text[] = "Power down";

	shut_down(text, SHUTDOWN_POWEROFF);
}

void restart(void)
{
	static const char text[] = "Restarting system";

	shut_down(text, SHUTDOWN_RESTART);
}

void panic(const char *form, ...)
{
	static char text[128];
	va_list arguments;

	interrupts_off();
	va_start(arguments, form);
	format(text, sizeof(text), form, arguments);
	va_end(arguments);
	shut_down(text, SHUTDOWN_POWEROFF);
}

void guest_main(void)
{
	uint32_t host_tables;

	command_line = virtual(*(uint32_t *)virtual(BOOT_PARAMS_COMMAND_LINE));
	memory_bytes = *(uint32_t *)virtual(BOOT_PARAMS_E820_SIZE);
	if (word("adversary"))
		adversary_early(word("adversary"));
	greet_host();
	print("lguest guest: %u MiB, %s tables\n", memory_bytes >> 20,
	      sizeof(pte_t) == 8 ? "PAE" : "2-level");
	/* The host's first tables, of both kinds, lie at the end of memory and are left alone. */
	host_tables = (memory_bytes / PAGE_SIZE / 1024 * 3 + 8) * PAGE_SIZE;
	memory_init(physical(image_end), memory_bytes - host_tables);
	interrupts_init();
	segments_init();
	paging_init(BUS_PAGES);
	traps_init();
	timer_init();
	interrupts_on();
	if (word("early")) {
		print("early console, traps and timer are up\n");
		power_off();
	}
	bus_init();
	console_init();
	if (word("selfcheck"))
		selfcheck();
	else if (word("adversary"))
		adversary(word("adversary"));
	else if (word("speed"))
		speed();
	else if (word("mix"))
		mix();
	else if (word("kicks"))
		kicks(number(word("kicks")));
	else if (word("barriers"))
		barriers(number(word("barriers")));
	else if (word("writes"))
		writes(number(word("writes")));
	else
		monitor();
	power_off();
}
