// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ring of hypercalls that a guest leaves in its lguest_data for the next
 * time it traps.  A slot's status byte is 0 when it is to be done, and 0xff
 * once it is; the guest fills them in order, and the host follows.
 */
#include "ring.h"

#define SLOT_DONE	0xff

/*
 * Does what the guest has left, at most one round of the ring.  call tells
 * whether to go on: not after the guest's death, nor when the launcher has to
 * see something first.
 */
void lg_ring_run(struct lguest *lg, struct lg_ring *ring,
		 bool (*call)(struct lguest *lg, const struct lg_call *call))
{
	u32 i, arg;

	for (i = 0; i < LG_RING_SLOTS; i++) {
		u32 slot = ring->next;
		const struct lg_call *from = &ring->slots->calls[slot];
		struct lg_call copy;

		if (READ_ONCE(ring->slots->status[slot]) == SLOT_DONE)
			break;
		copy.number = READ_ONCE(from->number);
		for (arg = 0; arg < ARRAY_SIZE(copy.args); arg++)
			copy.args[arg] = READ_ONCE(from->args[arg]);
		/* The slot is the guest's again before the call is done. */
		WRITE_ONCE(ring->slots->status[slot], SLOT_DONE);
		ring->next = (slot + 1) % LG_RING_SLOTS;
		if (!call(lg, &copy))
			break;
	}
}
