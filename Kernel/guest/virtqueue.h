/* SPDX-License-Identifier: GPL-2.0-only */
/* The driver's side of a legacy split ring. One request is one chain of buffers. */
#ifndef GUEST_VIRTQUEUE_H
#define GUEST_VIRTQUEUE_H

#include "guest.h"

#define QUEUE_MAX 256

struct buffer {
	const volatile void *address; /* in the linear map */
	uint32_t bytes;
	bool device_writes;
};

struct descriptor {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags;
	uint16_t next;
};

struct used_element {
	uint32_t head;
	uint32_t bytes;
};

struct available_ring {
	uint16_t flags;
	uint16_t index;
	uint16_t heads[];
};

struct used_ring {
	uint16_t flags;
	uint16_t index;
	struct used_element elements[];
};

struct virtqueue {
	uint32_t count, irq, address; /* guest-physical */
	struct descriptor *descriptors;
	volatile struct available_ring *available;
	volatile struct used_ring *used;
	uint16_t free_head, free_count, used_seen;
	uint8_t lengths[QUEUE_MAX]; /* of the chain that begins here */
	void *tokens[QUEUE_MAX];
};

/* Takes the queue as its descriptor in the device page names it. */
void virtqueue_init(struct virtqueue *queue, uint32_t count, uint32_t irq, uint32_t page);
/* Puts a request into the ring; false when it has no room. `token` comes back with the answer. */
bool virtqueue_add(struct virtqueue *queue, const struct buffer *buffers, uint32_t count,
		   void *token);
/* Tells the device, unless it does not want to be told. */
void virtqueue_kick(struct virtqueue *queue);
bool virtqueue_ready(struct virtqueue *queue);
/* An answered request's token and how much was written; false when there is none. */
bool virtqueue_take(struct virtqueue *queue, void **token, uint32_t *bytes);
/* Sleeps until there is one; false when that takes longer. */
bool virtqueue_wait(struct virtqueue *queue, uint32_t seconds);

#endif
