// SPDX-License-Identifier: GPL-2.0-only
/* What a launcher may do to its guest's memory: nobody but the guest may suffer. */
#include "device.h"
#include "raw.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>

#include "lguest_abi.h"

#define NOTIFY 17
#define MANY_PAGES 1024
#define BLOCK_BYTES 0x10000

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

/* Writes a word each 64 KiB, from 0x25000 on, and notifies after each. */
static struct raw *stepper(void)
{
	static const uint8_t loop[] = {
		0xbf, 0, 0x50, 2, 0,	   /* mov $0x25000, %edi */
		0x89, 0x3f,		   /* 1: mov %edi, (%edi) */
		0xb8, NOTIFY, 0, 0, 0,	   /* mov $NOTIFY, %eax */
		0xbb, 0, 0x50, 0, 0,	   /* mov $0x5000, %ebx */
		0xcd, 0x1f,		   /* int $0x1f */
		0x81, 0xc7, 0, 0, 1, 0,	   /* add $0x10000, %edi */
		0xeb, 0xea,		   /* jmp 1b */
	};
	struct raw *raw = raw_new();

	raw_prologue(raw);
	raw_bytes(raw, loop, sizeof(loop));
	return raw;
}

/* Pages are pinned with those around them, where there are any. */
void memory_holes(void)
{
	/* One bit for each page of sixteen; the guest touches the sixth. */
	static const uint16_t holes[] = { 0x0001, 0x0008, 0x0080, 0x0050, 0xffdf, 0x8001 };
	struct raw *raw = stepper();
	unsigned long address;
	uint32_t done = 0, wrong = 0;

	for (uint32_t i = 0; i < 6; i++)
		for (uint32_t page = 0; page < 16; page++)
			if (holes[i] & 1 << page)
				mprotect(raw->memory + 0x20000 + i * BLOCK_BYTES + page * 4096, 4096,
					 PROT_NONE);
	raw_initialize(raw);
	while (done < 6 && raw_run(raw, &address) == 8)
		done++;
	check(done == 6, "memory may have holes");
	for (uint32_t i = 0; i < done; i++)
		wrong += *(uint32_t *)(raw->memory + 0x25000 + i * BLOCK_BYTES) !=
			0x25000 + i * BLOCK_BYTES;
	check(!wrong, "around which it is the guest's");
	raw_free(raw);
}

static unsigned long pinned_kilobytes(struct raw *raw)
{
	struct lguest_counters counters = {};

	raw_request(raw, LHREQ_COUNTERS, (unsigned long)&counters, sizeof(counters));
	return counters.pages_pinned * 4;
}

/* mov $address, %edi; mov %edi, (%edi) */
static void touch(struct raw *raw, uint32_t address)
{
	raw_bytes(raw, "\xbf", 1);
	raw_bytes(raw, &address, sizeof(address));
	raw_bytes(raw, "\x89\x3f", 2);
}

/* A hole keeps a block from being pinned at once; filled, it lets the rest come. */
void memory_in_parts(void)
{
	struct raw *raw = raw_new();
	unsigned long address, first, all;

	raw_prologue(raw);
	touch(raw, 0x25000);
	raw_hypercall(raw, NOTIFY, 0x5000, 0, 0, 0);
	touch(raw, 0x23000);
	touch(raw, 0x28000);
	raw_hypercall(raw, NOTIFY, 0x6000, 0, 0, 0);
	mprotect(raw->memory + 0x20000, 4096, PROT_NONE);
	raw_initialize(raw);
	raw_run(raw, &address);
	first = pinned_kilobytes(raw);
	mprotect(raw->memory + 0x20000, 4096, PROT_READ | PROT_WRITE);
	check(raw_run(raw, &address) == 8 && address == 0x6000, "a hole in memory may be filled");
	all = pinned_kilobytes(raw);
	check(all == first + 15 * 4, "and no page is pinned twice");
	raw_free(raw);
}

static unsigned long locked_kilobytes(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	unsigned long locked = 0;
	char line[200];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmLck: %lu", &locked) == 1)
			break;
	if (file)
		fclose(file);
	return locked;
}

/* As a stepper, of more memory, some pages of which are not there. */
static struct raw *large_stepper(void **memory)
{
	struct raw *raw = stepper();

	*memory = mmap(NULL, MANY_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	memcpy(*memory, raw->memory, RAW_BYTES);
	mprotect(*memory + 0x27000, 4096, PROT_NONE);
	return raw;
}

static ssize_t initialize_large(struct raw *raw, void *memory)
{
	unsigned long words[] = { LHREQ_INITIALIZE, (unsigned long)memory, MANY_PAGES, RAW_START };

	return write(raw->fd, words, sizeof(words));
}

void memory_accounted(void)
{
	unsigned long address, before = locked_kilobytes();
	uint32_t steps = 0, missing = 0;
	void *memory;
	struct raw *raw = large_stepper(&memory);

	initialize_large(raw, memory);
	while (steps < 60 && raw_run(raw, &address) == 8) {
		steps++;
		missing += locked_kilobytes() - before < pinned_kilobytes(raw);
	}
	check(steps == 60 && !missing, "what is pinned is accounted for, at each moment");
	check(pinned_kilobytes(raw) >= 60 * 4, "and something is");
	raw_free(raw);
	munmap(memory, MANY_PAGES * 4096);
	check(locked_kilobytes() == before, "and no more when the guest is gone");
}

static void without_lock_capability(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	syscall(SYS_capget, &header, data);
	data[CAP_IPC_LOCK / 32].effective &= ~(1u << CAP_IPC_LOCK % 32);
	syscall(SYS_capset, &header, data);
}

/* Ends with 0 when the guest has had all that it may, and no more. */
static int limited(void)
{
	struct rlimit none = { 0, 2 * RAW_BYTES }, some = { RAW_BYTES, 2 * RAW_BYTES };
	unsigned long address;
	void *memory;
	struct raw *raw = large_stepper(&memory);

	without_lock_capability();
	setrlimit(RLIMIT_MEMLOCK, &none);
	if (!gives(initialize_large(raw, memory), EFAULT))
		return 1;
	setrlimit(RLIMIT_MEMLOCK, &some);
	if (initialize_large(raw, memory) < 0)
		return 2;
	while (raw_run(raw, &address) == 8)
		if (pinned_kilobytes(raw) > RAW_BYTES / 1024)
			return 3;
	if (errno != ENOENT)
		return 4;
	return pinned_kilobytes(raw) == RAW_BYTES / 1024 ? 0 : 5;
}

void memory_limited(void)
{
	pid_t child = fork();
	int status = 0;

	if (!child)
		_exit(limited());
	waitpid(child, &status, 0);
	check(status == 0, "a limit of locked memory is kept, and used up");
}
