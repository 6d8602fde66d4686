// SPDX-License-Identifier: GPL-2.0-only
/* The lguest bus; see bus.h. Fields in the page are packed, so they are moved byte by byte. */
#include "bus.h"
#include "paging.h"

#define HEADER_BYTES 5
#define QUEUE_BYTES 8

#define ACKNOWLEDGE 1
#define DRIVER 2
#define DRIVER_OK 4

/* As a queue lies in the page. */
struct queue_descriptor {
	uint16_t count;
	uint16_t irq;
	uint32_t page;
} __attribute__((packed));

static volatile uint8_t *page(void)
{
	return (volatile uint8_t *)DEVICE_BASE;
}

static uint32_t size(volatile struct bus_descriptor *descriptor)
{
	return HEADER_BYTES + QUEUE_BYTES * descriptor->queue_count +
	       2 * descriptor->feature_bytes + descriptor->config_bytes;
}

static void set_status(struct bus_device *device, uint8_t status)
{
	device->descriptor->status = status;
	hypercall(HCALL_NOTIFY, device->address, 0, 0, 0);
}

bool bus_find(enum device_type type, struct bus_device *device)
{
	for (uint32_t at = 0; at + HEADER_BYTES <= PAGE_SIZE && page()[at];) {
		volatile struct bus_descriptor *descriptor = (void *)(page() + at);

		if (descriptor->type == type) {
			device->descriptor = descriptor;
			device->address = memory_bytes + at;
			return true;
		}
		at += size(descriptor);
	}
	return false;
}

void bus_init(void)
{
	static const char *const names[] = { "none", "net", "block", "console", "rng" };

	for (uint32_t at = 0; at + HEADER_BYTES <= PAGE_SIZE && page()[at];) {
		volatile struct bus_descriptor *descriptor = (void *)(page() + at);
		uint8_t type = descriptor->type;

		print("bus: %s\n", type < ARRAY_SIZE(names) ? names[type] : "unknown device");
		at += size(descriptor);
	}
}

void bus_reset(struct bus_device *device)
{
	set_status(device, 0);
}

void bus_start(struct bus_device *device)
{
	bus_reset(device);
	set_status(device, ACKNOWLEDGE);
	set_status(device, ACKNOWLEDGE | DRIVER);
}

static volatile uint8_t *features_at(struct bus_device *device)
{
	return (volatile uint8_t *)device->descriptor + HEADER_BYTES +
	       QUEUE_BYTES * device->descriptor->queue_count;
}

uint32_t bus_features(struct bus_device *device)
{
	volatile uint8_t *offered = features_at(device);
	uint32_t features = 0;

	for (uint32_t i = 0; i < device->descriptor->feature_bytes && i < 4; i++)
		features |= (uint32_t)offered[i] << 8 * i;
	return features;
}

void bus_accept(struct bus_device *device, uint32_t features)
{
	uint32_t bytes = device->descriptor->feature_bytes;
	volatile uint8_t *accepted = features_at(device) + bytes;

	for (uint32_t i = 0; i < bytes; i++)
		accepted[i] = i < 4 ? features >> 8 * i : 0;
}

void bus_queue(struct bus_device *device, uint32_t index, struct virtqueue *queue)
{
	struct queue_descriptor found;

	found = *((struct queue_descriptor *)((uint8_t *)device->descriptor + HEADER_BYTES) +
		  index);
	virtqueue_init(queue, found.count, found.irq, found.page);
}

void bus_ready(struct bus_device *device)
{
	set_status(device, ACKNOWLEDGE | DRIVER | DRIVER_OK);
}

void bus_config(struct bus_device *device, uint32_t offset, void *to, uint32_t bytes)
{
	volatile uint8_t *config = features_at(device) + 2 * device->descriptor->feature_bytes;

	for (uint32_t i = 0; i < bytes; i++)
		((uint8_t *)to)[i] = config[offset + i];
}
