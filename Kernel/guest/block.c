// SPDX-License-Identifier: GPL-2.0-only
/* The block driver; see block.h. */
#include "block.h"
#include "bus.h"

#define FEATURE_BARRIER (1 << 0)
#define FEATURE_FLUSH (1 << 9)

static struct virtqueue queue;
static uint64_t sectors;
static uint32_t accepted;

bool block_init(void)
{
	struct bus_device device;

	if (!bus_find(DEVICE_BLOCK, &device))
		return false;
	bus_start(&device);
	accepted = bus_features(&device) & (FEATURE_BARRIER | FEATURE_FLUSH);
	bus_accept(&device, accepted);
	bus_config(&device, 0, &sectors, sizeof(sectors));
	bus_queue(&device, 0, &queue);
	bus_ready(&device);
	return true;
}

uint64_t block_sectors(void)
{
	return sectors;
}

bool block_add(struct block_request *request, uint32_t type, uint64_t sector, void *data,
	       uint32_t bytes)
{
	struct buffer buffers[] = {
		{ &request->header, sizeof(request->header), false },
		{ data, bytes, !(type & BLOCK_WRITE) },
		{ &request->status, 1, true },
	};

	request->header.type = type & (accepted & FEATURE_BARRIER ? ~0u : ~BLOCK_BARRIER);
	request->header.priority = 0;
	request->header.sector = sector;
	request->status = 0xff;
	request->done = false;
	if (!bytes)
		buffers[1] = buffers[2];
	return virtqueue_add(&queue, buffers, bytes ? 3 : 2, request);
}

void block_kick(void)
{
	virtqueue_kick(&queue);
}

bool block_submit(struct block_request *request, uint32_t type, uint64_t sector, void *data,
		  uint32_t bytes)
{
	if (!block_add(request, type, sector, data, bytes))
		return false;
	block_kick();
	return true;
}

bool block_wait(struct block_request *request)
{
	while (!request->done) {
		struct block_request *answered;
		uint32_t bytes;
		void *token;

		if (!virtqueue_wait(&queue, PATIENCE))
			return false;
		while (virtqueue_take(&queue, &token, &bytes)) {
			answered = token;
			answered->bytes_written = bytes;
			answered->done = true;
		}
	}
	return true;
}

int block_do(uint32_t type, uint64_t sector, void *data, uint32_t bytes)
{
	static struct block_request request;

	if (!block_submit(&request, type, sector, data, bytes) || !block_wait(&request))
		return -1;
	return request.status;
}
