// SPDX-License-Identifier: GPL-2.0-only
/* The device's side of a legacy split ring, and the thread that serves it. */
#include "launcher.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lguest_abi.h"

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};

struct used_element {
	uint32_t id;
	uint32_t length;
};

enum {
	NEXT = 1,
	WRITE = 2,
	NO_INTERRUPT = 1,
	AVAIL_INDEX = 1,
	AVAIL_RING = 2,
};

static struct descriptor *descriptors(const struct queue *queue)
{
	return (struct descriptor *)(guest.memory + queue->address);
}

static _Atomic uint16_t *avail(const struct queue *queue)
{
	return (_Atomic uint16_t *)(guest.memory + queue->address + PAGE);
}

static _Atomic uint16_t *used(const struct queue *queue)
{
	return (_Atomic uint16_t *)(guest.memory + queue->address + 2 * PAGE);
}

static bool broken(struct queue *queue, const char *why)
{
	fprintf(stderr, "launcher: %s: %s; the queue is closed\n", queue->device->name, why);
	return false;
}

/* Reads each of the guest's words once; false when the chain is not sound. */
static bool materialise(struct queue *queue, struct chain *chain)
{
	unsigned int index = chain->head;

	chain->out_count = chain->in_count = 0;
	chain->out_bytes = chain->in_bytes = 0;
	for (unsigned int steps = 0; steps < QUEUE_SIZE; steps++) {
		struct descriptor one;
		struct iovec part;

		if (index >= QUEUE_SIZE)
			return broken(queue, "a descriptor out of range");
		one = *(volatile struct descriptor *)&descriptors(queue)[index];
		part.iov_base = guest_bytes(one.address, one.length);
		part.iov_len = one.length;
		if (!part.iov_base)
			return broken(queue, "a buffer outside the guest's memory");
		if (one.flags & WRITE) {
			chain->in[chain->in_count++] = part;
			chain->in_bytes += part.iov_len;
		} else {
			if (chain->in_count)
				return broken(queue, "a readable buffer after a writable one");
			chain->out[chain->out_count++] = part;
			chain->out_bytes += part.iov_len;
		}
		if (!(one.flags & NEXT))
			return true;
		index = one.next;
	}
	return broken(queue, "a chain without an end");
}

bool queue_wait(struct queue *queue, struct chain *chain)
{
	for (;;) {
		uint16_t waiting;
		uint64_t count;

		if (queue->stop)
			return false;
		waiting = avail(queue)[AVAIL_INDEX] - queue->last_avail;
		if (waiting > QUEUE_SIZE)
			return broken(queue, "an available index that jumps");
		if (waiting) {
			chain->head = avail(queue)[AVAIL_RING + queue->last_avail % QUEUE_SIZE];
			queue->last_avail++;
			return materialise(queue, chain);
		}
		/* Nothing is left to do: the time to tell the guest, and to sleep. */
		queue_interrupt(queue);
		if (read(queue->kick, &count, sizeof(count)) < 0 && errno != EINTR)
			fail("%s: waiting for the guest: %s", queue->device->name, strerror(errno));
	}
}

void queue_push(struct queue *queue, const struct chain *chain, uint32_t written)
{
	uint16_t index = used(queue)[1];
	struct used_element *ring = (void *)(guest.memory + queue->address + 2 * PAGE + 4);

	ring[index % QUEUE_SIZE] = (struct used_element){ chain->head, written };
	/* Sequentially consistent: the element is seen before the index that covers it. */
	used(queue)[1] = index + 1;
	queue->used_since_irq = true;
}

void queue_interrupt(struct queue *queue)
{
	if (!queue->used_since_irq)
		return;
	queue->used_since_irq = false;
	if (guest.late)
		usleep(guest.late);
	if (!(avail(queue)[0] & NO_INTERRUPT))
		guest_interrupt(queue->irq);
}

static void attach(struct queue *queue, int fd)
{
	unsigned long request[] = { LHREQ_EVENTFD, queue->address, fd };

	if (write(guest.fd, request, sizeof(request)) < 0 && errno != ENOENT)
		fail("%s: eventfd: %s", queue->device->name, strerror(errno));
}

static void *thread(void *argument)
{
	struct queue *queue = argument;

	queue->serve(queue);
	return NULL;
}

void queue_start(struct queue *queue)
{
	int error;

	queue->last_avail = 0;
	queue->used_since_irq = false;
	queue->stop = false;
	queue->kick = eventfd(0, EFD_CLOEXEC);
	if (queue->kick < 0)
		fail("eventfd: %s", strerror(errno));
	attach(queue, queue->kick);
	error = pthread_create(&queue->thread, NULL, thread, queue);
	if (error)
		fail("a thread for %s: %s", queue->device->name, strerror(error));
}

void queue_stop(struct queue *queue)
{
	uint64_t one = 1;

	queue->stop = true;
	if (write(queue->kick, &one, sizeof(one)) < 0)
		fail("eventfd: %s", strerror(errno));
	pthread_join(queue->thread, NULL);
	attach(queue, -1);
	close(queue->kick);
	memset(guest.memory + queue->address, 0, QUEUE_PAGES * PAGE);
}

size_t gather(const struct iovec *from, unsigned int count, size_t skip, void *to, size_t bytes)
{
	size_t done = 0;

	for (unsigned int i = 0; i < count && done < bytes; i++) {
		size_t part;

		if (skip >= from[i].iov_len) {
			skip -= from[i].iov_len;
			continue;
		}
		part = from[i].iov_len - skip;
		if (part > bytes - done)
			part = bytes - done;
		memcpy((char *)to + done, (char *)from[i].iov_base + skip, part);
		done += part;
		skip = 0;
	}
	return done;
}

size_t scatter(const struct iovec *to, unsigned int count, size_t skip, const void *from,
	       size_t bytes)
{
	size_t done = 0;

	for (unsigned int i = 0; i < count && done < bytes; i++) {
		size_t part;

		if (skip >= to[i].iov_len) {
			skip -= to[i].iov_len;
			continue;
		}
		part = to[i].iov_len - skip;
		if (part > bytes - done)
			part = bytes - done;
		memcpy((char *)to[i].iov_base + skip, (const char *)from + done, part);
		done += part;
		skip = 0;
	}
	return done;
}
