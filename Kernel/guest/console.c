// SPDX-License-Identifier: GPL-2.0-only
/* The virtio console: one page of input at a time, output that waits until it is out. */
#include "console.h"
#include "bus.h"

static struct virtqueue input, output;
static char *page;
static uint32_t have, taken;

static void ask(void)
{
	struct buffer buffer = { page, PAGE_SIZE, true };

	have = taken = 0;
	virtqueue_add(&input, &buffer, 1, NULL);
	virtqueue_kick(&input);
}

void console_init(void)
{
	struct bus_device device;

	if (!bus_find(DEVICE_CONSOLE, &device))
		return;
	bus_start(&device);
	bus_accept(&device, 0);
	bus_queue(&device, 0, &input);
	bus_queue(&device, 1, &output);
	page = page_alloc();
	bus_ready(&device);
	ask();
	print_use_console(true);
}

void console_write(const char *text, size_t bytes)
{
	struct buffer buffer = { text, bytes, false };
	uint32_t written;
	void *token;

	if (!bytes || !virtqueue_add(&output, &buffer, 1, NULL))
		return;
	virtqueue_kick(&output);
	/* Callers hold interrupts off: looking again and again, the host runs in between. */
	while (!virtqueue_take(&output, &token, &written))
		hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
}

char console_read(void)
{
	while (taken == have) {
		void *token;

		while (!virtqueue_take(&input, &token, &have))
			virtqueue_wait(&input, PATIENCE);
		taken = 0;
		if (!have)
			ask();
	}
	char byte = page[taken++];

	if (taken == have)
		ask();
	return byte;
}
