// SPDX-License-Identifier: GPL-2.0-only
/* Virtual interrupts: a word says whether they are on, a mask which are blocked. */
#include "guest.h"

static struct {
	interrupt_handler *handler;
	void *context;
} handlers[IRQS];

void interrupts_init(void)
{
	lguest_data.blocked_interrupts = ~0u;
}

void interrupt_handle(uint32_t irq, interrupt_handler *handler, void *context)
{
	handlers[irq].handler = handler;
	handlers[irq].context = context;
	lguest_data.blocked_interrupts &= ~(1u << irq);
}

void interrupt_arrived(uint32_t irq)
{
	if (handlers[irq].handler)
		handlers[irq].handler(handlers[irq].context);
}

void interrupts_on(void)
{
	lguest_data.irq_enabled = EFLAGS_IF;
	asm volatile("" : : : "memory");
	if (lguest_data.irq_pending)
		hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
}

bool interrupts_off(void)
{
	bool were_on = lguest_data.irq_enabled != 0;

	lguest_data.irq_enabled = 0;
	asm volatile("" : : : "memory");
	return were_on;
}

void halt(void)
{
	hypercall(HCALL_HALT, 0, 0, 0, 0);
}
