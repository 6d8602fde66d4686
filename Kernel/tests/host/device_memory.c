// SPDX-License-Identifier: GPL-2.0-only
/* What a launcher may do to its guest's memory: nobody but the guest may suffer. */
#include "device.h"
#include "raw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOTIFY 17

/* Writes a word into each page of its memory, in a loop. */
struct raw *toucher(void)
{
	static const uint8_t loop[] = {
		0xbf, 0, 0, 2, 0,	     /* mov $0x20000, %edi */
		0x89, 0x3f,		     /* 1: mov %edi, (%edi) */
		0x81, 0xc7, 0, 0x10, 0, 0,   /* add $0x1000, %edi */
		0x81, 0xff, 0, 0, 0x0e, 0,   /* cmp $0xe0000, %edi */
		0x72, 0xf0,		     /* jb 1b */
	};
	struct raw *raw = raw_new();

	raw_prologue(raw);
	raw_hypercall(raw, NOTIFY, 0x5000, 0, 0, 0);
	raw_bytes(raw, loop, sizeof(loop));
	raw_hypercall(raw, NOTIFY, 0x6000, 0, 0, 0);
	raw_spin(raw);
	raw_initialize(raw);
	return raw;
}

void memory_taken_away(void)
{
	unsigned long address;
	struct raw *raw = toucher();

	check(raw_run(raw, &address) == 8 && raw_run(raw, &address) == 8 && address == 0x6000,
	      "a guest writes all over its memory");
	check(*(uint32_t *)(raw->memory + 0xd0000) == 0xd0000, "and it is written");
	raw_free(raw);

	raw = toucher();
	raw_run(raw, &address);
	munmap(raw->memory + 0x80000, 0x40000);
	check(gives(raw_run(raw, &address), ENOENT), "a guest whose memory is taken away dies");
	raw_free(raw);

	raw = toucher();
	raw_run(raw, &address);
	mprotect(raw->memory + 0x80000, 0x40000, PROT_READ);
	check(gives(raw_run(raw, &address), ENOENT), "and one whose memory is read-only");
	raw_free(raw);
}

/* What a launcher may do to memory of a running guest: nobody but the guest may suffer. */
void memory_changed(void)
{
	unsigned long address;
	struct raw *raw = toucher();
	void *moved;
	pid_t child;

	raw_run(raw, &address);
	madvise(raw->memory, RAW_BYTES, MADV_DONTNEED);
	check(raw_run(raw, &address) == 8 && address == 0x6000,
	      "memory that is given back stays with the guest");
	raw_free(raw);

	raw = toucher();
	raw_run(raw, &address);
	moved = mremap(raw->memory + 0x80000, 0x40000, 0x40000, MREMAP_MAYMOVE | MREMAP_FIXED,
		       mmap(NULL, 0x40000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	check(gives(raw_run(raw, &address), ENOENT), "memory that moves away is gone");
	munmap(moved, 0x40000);
	raw_free(raw);

	/* The child writes what the guest has not touched yet, and then what it has. */
	raw = toucher();
	raw_run(raw, &address);
	child = fork();
	if (!child) {
		memset(raw->memory, 0x55, RAW_BYTES);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	check(raw_run(raw, &address) == 8 && address == 0x6000 &&
		      *(uint32_t *)(raw->memory + 0xd0000) == 0xd0000 &&
		      raw->memory[RAW_START] != 0x55,
	      "a forked child writes to memory of its own");
	raw_free(raw);
}

/* The file under a shared memory is cut off. */
void memory_cut(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct raw *raw = toucher();
	struct raw *cut = raw_new();
	unsigned long address;

	if (ftruncate(fd, RAW_BYTES) < 0)
		exit(2);
	munmap(cut->memory, RAW_BYTES);
	cut->memory = mmap(NULL, RAW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memcpy(cut->memory, raw->memory, RAW_BYTES);
	raw_initialize(cut);
	raw_run(cut, &address);
	check(ftruncate(fd, 0x80000) == 0 && gives(raw_run(cut, &address), ENOENT),
	      "a guest whose file is cut off dies");
	raw_free(raw);
	raw_free(cut);
	close(fd);
}

void memory_kinds(void)
{
	unsigned long address;
	struct raw *raw = toucher();
	int fd = memfd_create("guest", MFD_CLOEXEC);
	uint8_t *shared;

	raw_free(raw);
	raw = raw_new();
	raw_prologue(raw);
	raw_hypercall(raw, NOTIFY, 0x5000, 0, 0, 0);
	if (ftruncate(fd, RAW_BYTES) < 0)
		exit(2);
	shared = mmap(NULL, RAW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memcpy(shared, raw->memory, RAW_BYTES);
	munmap(raw->memory, RAW_BYTES);
	raw->memory = shared;
	raw_initialize(raw);
	check(raw_run(raw, &address) == 8 && address == 0x5000, "memory may be shared");
	raw_free(raw);
	close(fd);
}
