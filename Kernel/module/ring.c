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
 * see something first.  False when lguest_data is not in the guest's memory.
 */
bool lg_ring_run(struct lguest *lg, struct lg_ring *ring,
		 bool (*call)(struct lguest *lg, const struct lg_call *call))
{
	static const u8 done = SLOT_DONE;
	u8 status[LG_RING_SLOTS];
	u32 i;

	if (!lg_read_phys(lg, ring->data + LG_RING_STATUS, status,
			  sizeof(status)))
		return false;

	for (i = 0; i < LG_RING_SLOTS; i++) {
		u32 slot = ring->next;
		struct lg_call copy;

		if (status[slot] == SLOT_DONE)
			break;
		if (!lg_read_phys(lg, ring->data + LG_RING_CALLS +
				  slot * sizeof(copy), &copy, sizeof(copy)))
			return false;
		/* The slot is the guest's again before the call is done. */
		if (!lg_write_phys(lg, ring->data + LG_RING_STATUS + slot,
				   &done, sizeof(done)))
			return false;
		ring->next = (slot + 1) % LG_RING_SLOTS;
		if (!call(lg, &copy))
			break;
	}
	return true;
}
