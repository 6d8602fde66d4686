// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes that are cut off: the guest's death, or its launcher's. The first mebibyte of the disk is written again and
 * again, a page a request, each page full of one byte that says in which pass; so a page that was written in
 * part can be told.
 */
#include "block.h"
#include "guest.h"

#define PAGE_BYTES 4096
#define DEPTH 32
#define PAGES 256

/* A pass goes from 1 to 255, and around. */
static uint8_t mark(uint32_t written)
{
	return written / PAGES % 255 + 1;
}

/* Dies as soon as so many writes were given to the device; 0: never. */
void writes(uint32_t count)
{
	static uint8_t data[DEPTH][PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
	static struct block_request requests[DEPTH];

	if (!block_init())
		panic("there is no disk");
	for (uint32_t i = 0;; i++) {
		struct block_request *request = &requests[i % DEPTH];

		if (i >= DEPTH && (!block_wait(request) || request->status != 0))
			panic("a write failed");
		/* What was there before is with the device no more. */
		memset(data[i % DEPTH], mark(i), PAGE_BYTES);
		if (!block_submit(request, BLOCK_WRITE, i % PAGES * (PAGE_BYTES / SECTOR),
				  data[i % DEPTH], PAGE_BYTES))
			panic("the ring is full");
		if (i + 1 == count)
			panic("dead in the middle of %u writes", DEPTH);
	}
}
