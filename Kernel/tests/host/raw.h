/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guests made by hand for tests of /dev/lguest itself: a few pages of memory, and machine code that
 * is put together here, a fragment at a time.
 */
#ifndef RAW_H
#define RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RAW_PAGES 256u
#define RAW_BYTES (RAW_PAGES * 4096u)
#define RAW_START 0x10000u /* where the code begins */
#define RAW_DATA 0x8000u   /* lguest_data */
#define RAW_STACK 0xf000u

struct raw {
	int fd;
	uint8_t *memory;
	uint32_t at; /* where the next fragment goes */
	int other;   /* a file that a test works with */
};

/* Memory with boot parameters and a sound lguest_data; /dev/lguest open, not initialised. */
struct raw *raw_new(void);
void raw_free(struct raw *raw);
ssize_t raw_initialize(struct raw *raw);
/* Runs the guest; as read() says. */
ssize_t raw_run(struct raw *raw, unsigned long *address);
ssize_t raw_request(struct raw *raw, unsigned long number, unsigned long a, unsigned long b);

void raw_bytes(struct raw *raw, const void *bytes, size_t count);
void raw_hypercall(struct raw *raw, uint32_t number, uint32_t a, uint32_t b, uint32_t c,
		   uint32_t d);
/* esp, and LGUEST_INIT: what most programs begin with. */
void raw_prologue(struct raw *raw);
/* jmp to itself */
void raw_spin(struct raw *raw);
void raw_put32(struct raw *raw, uint32_t address, uint32_t value);

#endif
