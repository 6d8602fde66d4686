// SPDX-License-Identifier: GPL-2.0-only
/* The rng driver: one buffer at a time. */
#include "rng.h"
#include "bus.h"

static struct virtqueue queue;

bool rng_init(void)
{
	struct bus_device device;

	if (!bus_find(DEVICE_RNG, &device))
		return false;
	bus_start(&device);
	bus_accept(&device, 0);
	bus_queue(&device, 0, &queue);
	bus_ready(&device);
	return true;
}

uint32_t rng_read(void *to, uint32_t bytes)
{
	struct buffer buffer = { to, bytes, true };
	uint32_t came;
	void *token;

	if (!virtqueue_add(&queue, &buffer, 1, NULL))
		return 0;
	virtqueue_kick(&queue);
	if (!virtqueue_wait(&queue, PATIENCE) || !virtqueue_take(&queue, &token, &came))
		return 0;
	return came;
}
