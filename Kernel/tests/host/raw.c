// SPDX-License-Identifier: GPL-2.0-only
/* Guests made by hand; see raw.h. */
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lguest_abi.h"

enum {
	E820_ENTRIES = 0x1e8,
	E820_MAP = 0x2d0,
	BLOCKED_INTERRUPTS = 4,
	HCALL_STATUS = 24,
	KERNEL_ADDRESS = 1388,
	SYSCALL_VEC = 1392,
};

struct raw *raw_new(void)
{
	struct raw *raw = calloc(1, sizeof(*raw));

	raw->fd = open("/dev/lguest", O_RDWR | O_CLOEXEC);
	raw->memory = mmap(NULL, RAW_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	if (raw->fd < 0 || raw->memory == MAP_FAILED) {
		perror("/dev/lguest and memory for a guest");
		exit(2);
	}
	raw->at = RAW_START;
	raw->memory[E820_ENTRIES] = 1;
	raw_put32(raw, E820_MAP + 8, RAW_BYTES);
	raw_put32(raw, E820_MAP + 16, 1);
	raw_put32(raw, RAW_DATA + BLOCKED_INTERRUPTS, 1);
	memset(raw->memory + RAW_DATA + HCALL_STATUS, 0xff, 64);
	raw_put32(raw, RAW_DATA + KERNEL_ADDRESS, 0xc0000000);
	raw_put32(raw, RAW_DATA + SYSCALL_VEC, 0x80);
	return raw;
}

void raw_free(struct raw *raw)
{
	close(raw->fd);
	munmap(raw->memory, RAW_BYTES);
	free(raw);
}

ssize_t raw_initialize(struct raw *raw)
{
	unsigned long words[] = { LHREQ_INITIALIZE, (unsigned long)raw->memory, RAW_PAGES,
				  RAW_START };

	return write(raw->fd, words, sizeof(words));
}

ssize_t raw_run(struct raw *raw, unsigned long *address)
{
	return read(raw->fd, address, sizeof(*address));
}

ssize_t raw_request(struct raw *raw, unsigned long number, unsigned long a, unsigned long b)
{
	unsigned long words[] = { number, a, b };

	return write(raw->fd, words, sizeof(words));
}

void raw_put32(struct raw *raw, uint32_t address, uint32_t value)
{
	memcpy(raw->memory + address, &value, sizeof(value));
}

void raw_bytes(struct raw *raw, const void *bytes, size_t count)
{
	if (raw->at + count > RAW_BYTES)
		return;
	memcpy(raw->memory + raw->at, bytes, count);
	raw->at += count;
}

/* mov $value, %register */
static void set(struct raw *raw, uint8_t reg, uint32_t value)
{
	uint8_t code[5] = { 0xb8 + reg };

	memcpy(code + 1, &value, sizeof(value));
	raw_bytes(raw, code, sizeof(code));
}

void raw_hypercall(struct raw *raw, uint32_t number, uint32_t a, uint32_t b, uint32_t c,
		   uint32_t d)
{
	enum { EAX, ECX, EDX, EBX, ESP, EBP, ESI };

	set(raw, EAX, number);
	set(raw, EBX, a);
	set(raw, ECX, b);
	set(raw, EDX, c);
	set(raw, ESI, d);
	raw_bytes(raw, "\xcd\x1f", 2);
}

void raw_prologue(struct raw *raw)
{
	set(raw, 4, RAW_STACK);
	raw_hypercall(raw, 1, RAW_DATA, 0, 0, 0);
}

void raw_spin(struct raw *raw)
{
	raw_bytes(raw, "\xeb\xfe", 2);
}
