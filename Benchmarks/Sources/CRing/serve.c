// SPDX-License-Identifier: Apache-2.0
/*
 * The loop of a device that does nothing. A file of its own: it calls the ring as a device in another
 * library does, and as the Swift loop calls VirtioRing, across a boundary that nothing is inlined over.
 */
#include "cring.h"

int cring_serve(struct cring *ring, int limit, uint32_t written)
{
	int served = 0;

	while (served < limit) {
		int taken = cring_pop(ring);

		if (taken <= 0)
			return taken < 0 ? -1 : served;
		cring_push(ring, written);
		served++;
	}
	return served;
}
