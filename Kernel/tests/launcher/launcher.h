/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small launcher for the tests: guest memory, the device page, four devices, the run loop.
 *
 * One thread runs the guest by read() on /dev/lguest; each virtqueue has a thread of its own that
 * sleeps on the eventfd which the host signals when the guest notifies the queue. What a guest
 * writes is never trusted: a bad ring breaks its queue with one line on stderr, and no more.
 */
#ifndef LAUNCHER_H
#define LAUNCHER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define PAGE 4096u
#define DEVICE_PAGES 256u
#define QUEUE_SIZE 256u
#define QUEUE_PAGES 3u
#define CHAIN_MAX QUEUE_SIZE

/* The guest: its memory here, and the file that runs it. */
struct guest {
	int fd;
	uint8_t *memory;
	uint32_t ram;	/* bytes; the device page follows */
	uint32_t limit; /* bytes, with the device page and the rings */
	unsigned int late; /* microseconds that pass before a device interrupts */
};

extern struct guest guest;

/* A virtqueue from the device's side. */
struct queue {
	struct device *device;
	void (*serve)(struct queue *queue); /* the body of its thread */
	uint32_t address;		    /* guest-physical, of the descriptors */
	unsigned int irq;
	uint16_t last_avail;
	bool used_since_irq;
	int kick; /* eventfd */
	atomic_bool stop;
	pthread_t thread;
};

struct device {
	uint8_t type;
	const char *name;
	struct queue queues[2];
	unsigned int queue_count;
	uint32_t descriptor; /* guest-physical */
	uint8_t *accepted;   /* features, in the device page */
	unsigned int feature_bytes;
	bool running;
	int fd; /* what the device works on */
	struct device *next;
};

/* A request: the guest's buffers, all inside its memory. */
struct chain {
	uint16_t head;
	struct iovec out[CHAIN_MAX], in[CHAIN_MAX];
	unsigned int out_count, in_count;
	size_t out_bytes, in_bytes;
};

/* guest.c */
void guest_make(uint32_t megabytes);
/* Loads a kernel, an ELF file or a bzImage, and an initrd if there is one; gives the entry. */
uint32_t guest_load(const char *path, const char *initrd, const char *command_line);
/* Bytes of guest memory at an address that the guest gave; NULL when any lie outside. */
void *guest_bytes(uint64_t address, uint64_t length);
void guest_interrupt(unsigned int irq);

/* queue.c */
/* The next request; waits for one, and gives false when the queue is to stop or is broken. */
bool queue_wait(struct queue *queue, struct chain *chain);
void queue_push(struct queue *queue, const struct chain *chain, uint32_t written);
/* Interrupts the guest if it was given anything since the last time and wants to know. */
void queue_interrupt(struct queue *queue);
void queue_start(struct queue *queue);
void queue_stop(struct queue *queue);

/* device.c */
struct device *device_new(uint8_t type, const char *name, unsigned int queues,
			  const void *features, unsigned int feature_bytes, const void *config,
			  unsigned int config_bytes);
/* What the guest's NOTIFY of an address without an eventfd means. */
void device_notified(uint32_t address);
void device_stop_all(void);

/* One file each. */
void console_new(void);
void block_new(const char *path);
void net_new(void);
void rng_new(void);

size_t gather(const struct iovec *from, unsigned int count, size_t skip, void *to, size_t bytes);
size_t scatter(const struct iovec *to, unsigned int count, size_t skip, const void *from,
	       size_t bytes);
_Noreturn void fail(const char *format, ...);

#endif
