// SPDX-License-Identifier: GPL-2.0-only
/* The driver's side of a legacy split ring; see virtqueue.h. */
#include "virtqueue.h"
#include "paging.h"

#define NEXT 1
#define WRITE 2
#define NO_NOTIFY 1

void virtqueue_init(struct virtqueue *queue, uint32_t count, uint32_t irq, uint32_t page)
{
	uint8_t *ring = (uint8_t *)DEVICE_BASE + page * PAGE_SIZE - memory_bytes;

	queue->count = count;
	queue->irq = irq;
	queue->address = page * PAGE_SIZE;
	queue->descriptors = (struct descriptor *)ring;
	queue->available = (void *)(ring + count * sizeof(struct descriptor));
	/* The used ring begins on the next page. */
	queue->used = (void *)(((uint32_t)&queue->available->heads[count] + 2 + PAGE_SIZE - 1) &
			       ~(PAGE_SIZE - 1));
	queue->free_head = 0;
	queue->free_count = count;
	queue->used_seen = 0;
	for (uint32_t i = 0; i < count; i++)
		queue->descriptors[i].next = i + 1;
	/* Nothing needs to be done when it comes: whoever waits sleeps until any interrupt. */
	interrupt_handle(irq, NULL, NULL);
}

bool virtqueue_add(struct virtqueue *queue, const struct buffer *buffers, uint32_t count,
		   void *token)
{
	uint16_t head = queue->free_head, at = head;

	if (count == 0 || count > queue->free_count)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		struct descriptor *one = &queue->descriptors[at];

		one->address = physical(buffers[i].address);
		one->bytes = buffers[i].bytes;
		one->flags = (buffers[i].device_writes ? WRITE : 0) | (i + 1 < count ? NEXT : 0);
		at = one->next;
	}
	queue->free_head = at;
	queue->free_count -= count;
	queue->lengths[head] = count - 1;
	queue->tokens[head] = token;
	queue->available->heads[queue->available->index % queue->count] = head;
	/* The head is seen before the index that covers it; x86 keeps stores in order. */
	asm volatile("" : : : "memory");
	queue->available->index++;
	return true;
}

void virtqueue_kick(struct virtqueue *queue)
{
	/* The index is seen before the device's wish is read. */
	asm volatile("lock; addl $0, (%%esp)" : : : "memory");
	if (!(queue->used->flags & NO_NOTIFY))
		hypercall(HCALL_NOTIFY, queue->address, 0, 0, 0);
}

bool virtqueue_ready(struct virtqueue *queue)
{
	return queue->used->index != queue->used_seen;
}

bool virtqueue_take(struct virtqueue *queue, void **token, uint32_t *bytes)
{
	volatile struct used_element *element;
	uint16_t head, last;

	if (!virtqueue_ready(queue))
		return false;
	asm volatile("" : : : "memory");
	element = &queue->used->elements[queue->used_seen++ % queue->count];
	head = element->head;
	*bytes = element->bytes;
	*token = queue->tokens[head];
	last = head;
	for (uint32_t i = 0; i < queue->lengths[head]; i++)
		last = queue->descriptors[last].next;
	queue->descriptors[last].next = queue->free_head;
	queue->free_head = head;
	queue->free_count += queue->lengths[head] + 1;
	return true;
}

static bool ready(void *queue)
{
	return virtqueue_ready(queue);
}

bool virtqueue_wait(struct virtqueue *queue, uint32_t seconds)
{
	return virtqueue_ready(queue) || wait_until(ready, queue, seconds);
}
