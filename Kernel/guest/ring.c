// SPDX-License-Identifier: GPL-2.0-only
/* The ring of hypercalls that wait until the next direct one. */
#include "guest.h"

void hypercall_async(uint32_t number, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	static uint32_t next;
	bool enabled = interrupts_off();

	if (lguest_data.hcall_status[next] != SLOT_DONE) {
		hypercall(number, a, b, c, d);
	} else {
		lguest_data.hcalls[next][0] = number;
		lguest_data.hcalls[next][1] = a;
		lguest_data.hcalls[next][2] = b;
		lguest_data.hcalls[next][3] = c;
		lguest_data.hcalls[next][4] = d;
		asm volatile("" : : : "memory");
		lguest_data.hcall_status[next] = SLOT_READY;
		next = (next + 1) % RING_SLOTS;
	}
	if (enabled)
		interrupts_on();
}
