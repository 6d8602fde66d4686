// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lguest bus: descriptors in the page above the guest's memory, and what the guest's writes to
 * their status mean. The page is the guest's to scribble on, so all that counts is kept here too.
 */
#include "launcher.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	HEADER_BYTES = 5,
	STATUS = 4, /* offset in a descriptor */
	VQCONFIG_BYTES = 8,
	DRIVER_OK = 4,
	FAILED = 0x80,
};

static struct device *devices;
static uint32_t page_used;
static unsigned int next_irq = 1; /* 0 is the guest's clock */

static void put16(uint8_t *to, uint16_t value)
{
	memcpy(to, &value, sizeof(value));
}

static void put32(uint8_t *to, uint32_t value)
{
	memcpy(to, &value, sizeof(value));
}

struct device *device_new(uint8_t type, const char *name, unsigned int queues,
			  const void *features, unsigned int feature_bytes, const void *config,
			  unsigned int config_bytes)
{
	static struct device pool[16];
	static unsigned int made;
	uint32_t bytes = HEADER_BYTES + queues * VQCONFIG_BYTES + 2 * feature_bytes + config_bytes;
	struct device *device, **end = &devices;
	uint8_t *at;

	if (made == sizeof(pool) / sizeof(pool[0]) || page_used + bytes > PAGE)
		fail("too many devices");
	device = &pool[made++];
	device->type = type;
	device->name = name;
	device->queue_count = queues;
	device->descriptor = guest.ram + page_used;
	at = guest.memory + device->descriptor;
	page_used += bytes;
	at[0] = type;
	at[1] = queues;
	at[2] = feature_bytes;
	at[3] = config_bytes;
	at += HEADER_BYTES;
	for (unsigned int i = 0; i < queues; i++, at += VQCONFIG_BYTES) {
		struct queue *queue = &device->queues[i];

		queue->device = device;
		queue->irq = next_irq++;
		queue->address = guest.limit;
		guest.limit += QUEUE_PAGES * PAGE;
		put16(at, QUEUE_SIZE);
		put16(at + 2, queue->irq);
		put32(at + 4, queue->address / PAGE);
	}
	if (guest.limit > guest.ram + DEVICE_PAGES * PAGE)
		fail("too many devices");
	memcpy(at, features, feature_bytes);
	device->accepted = at + feature_bytes;
	device->feature_bytes = feature_bytes;
	memcpy(at + 2 * feature_bytes, config, config_bytes);
	while (*end)
		end = &(*end)->next;
	*end = device;
	return device;
}

static void start(struct device *device)
{
	if (device->running)
		return;
	device->running = true;
	for (unsigned int i = 0; i < device->queue_count; i++)
		queue_start(&device->queues[i]);
}

static void stop(struct device *device)
{
	if (!device->running)
		return;
	device->running = false;
	for (unsigned int i = 0; i < device->queue_count; i++)
		queue_stop(&device->queues[i]);
}

static void status_written(struct device *device)
{
	uint8_t status = guest.memory[device->descriptor + STATUS];

	if (status == 0 || status & FAILED) {
		if (status)
			fprintf(stderr, "launcher: the guest gives %s up\n", device->name);
		stop(device);
		memset(device->accepted, 0, device->feature_bytes);
	} else if (status & DRIVER_OK) {
		start(device);
	}
}

static void early_console(uint32_t address)
{
	const char *text = guest_bytes(address, 0);
	size_t length;

	if (!text) {
		fprintf(stderr, "launcher: the guest notifies %#x, which is not in it\n", address);
		return;
	}
	length = strnlen(text, guest.limit - address);
	if (write(STDOUT_FILENO, text, length) < 0)
		fail("the console is gone");
}

void device_notified(uint32_t address)
{
	for (struct device *device = devices; device; device = device->next) {
		if (address == device->descriptor) {
			status_written(device);
			return;
		}
		for (unsigned int i = 0; i < device->queue_count; i++)
			if (address == device->queues[i].address) {
				/* A driver may kick before DRIVER_OK, as Linux 2.6.31's do. */
				start(device);
				return;
			}
	}
	early_console(address);
}

void device_stop_all(void)
{
	for (struct device *device = devices; device; device = device->next)
		stop(device);
}
