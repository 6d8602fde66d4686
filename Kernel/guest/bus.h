/* SPDX-License-Identifier: GPL-2.0-only */
/* The lguest bus: a page of device descriptors above the guest's memory. */
#ifndef GUEST_BUS_H
#define GUEST_BUS_H

#include "virtqueue.h"

enum device_type { DEVICE_NET = 1, DEVICE_BLOCK = 2, DEVICE_CONSOLE = 3, DEVICE_RNG = 4 };

/* A descriptor's header as it lies in the page; queues, features and configuration follow. */
struct bus_descriptor {
	uint8_t type;
	uint8_t queue_count;
	uint8_t feature_bytes;
	uint8_t config_bytes;
	uint8_t status;
};

struct bus_device {
	volatile struct bus_descriptor *descriptor;
	uint32_t address; /* guest-physical, of the descriptor */
};

/* A launcher has at most so many pages for devices, from the end of memory. */
#define BUS_PAGES 256

void bus_init(void);
/* The first device of a type; false when the launcher gave none. */
bool bus_find(enum device_type type, struct bus_device *device);
/* The steps of every driver: reset and greet; accept features; queues; ready. */
void bus_start(struct bus_device *device);
void bus_accept(struct bus_device *device, uint32_t features);
void bus_queue(struct bus_device *device, uint32_t index, struct virtqueue *queue);
void bus_ready(struct bus_device *device);
void bus_reset(struct bus_device *device);
uint32_t bus_features(struct bus_device *device);
void bus_config(struct bus_device *device, uint32_t offset, void *to, uint32_t bytes);

#endif
