/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cring: the yardstick. The device side of split and packed rings in plain C, with the checks that
 * VirtioRing makes, in the order in which it makes them. It serves chains without looking at their
 * bytes: take, give back.
 */
#ifndef LGDEV_CRING_H
#define LGDEV_CRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cring_region {
	uint64_t guest_address;
	uint64_t byte_count;
	uintptr_t host_address;
};

/* Sets a queue up. The host addresses are those of the ring's areas: split: descriptors, available,
 * used; packed: descriptors, driver event, device event. The regions are sorted and stay alive.
 * Returns NULL where memory is short. */
struct cring *cring_new(bool packed, uint16_t size, bool indirect, uintptr_t first,
			uintptr_t second, uintptr_t third, const struct cring_region *regions,
			size_t region_count);
void cring_free(struct cring *ring);

/* Takes a chain. Returns 1 where there was one, 0 where there was none, -1 where the driver broke the
 * ring. */
int cring_pop(struct cring *ring);

/* Gives the chain back that was taken last. */
void cring_push(struct cring *ring, uint32_t written);

/* Takes and gives back up to `limit` chains, `written` bytes each.
 * Returns how many there were, or -1 where the driver broke the ring. */
int cring_serve(struct cring *ring, int limit, uint32_t written);

#endif
