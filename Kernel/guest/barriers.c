// SPDX-License-Identifier: GPL-2.0-only
/*
 * Barriers between writes, for whoever records what becomes of them on the host. The writes of a round are in
 * the ring together before the device hears of any:
 *
 *	writes of 1, 2, 3, 4 sectors; a barrier of 5; writes of 6, 7, 8
 *
 * So the number of its bytes tells what a write is. Once all have ended there is a flush, and then one more, which
 * has nothing to do. In the recording of hypercalls stands what the guest has seen: a call that does nothing, with
 * MARK and a number.
 */
#include "block.h"
#include "guest.h"

#define MARK 0xba44
#define WRITES 8
#define BARRIER 4 /* the one of 5 sectors */
#define REACH 16 /* sectors from one write to the next */

enum mark { BEGINS = 1, BARRIER_DONE, WRITES_DONE, FLUSH_DONE, ENDS };

static void mark(enum mark what)
{
	hypercall(HCALL_FLUSH_ASYNC, MARK, what, 0, 0);
}

static bool went_well(struct block_request *request)
{
	return block_wait(request) && request->status == 0;
}

static bool flush(void)
{
	static struct block_request request;
	bool added = block_add(&request, BLOCK_FLUSH, 0, NULL, 0);

	block_kick();
	return added && went_well(&request);
}

static bool round_of_writes(uint32_t round)
{
	static uint8_t data[(WRITES + 1) * SECTOR];
	static struct block_request writes[WRITES];
	bool good = true;

	memset(data, round, sizeof(data));
	mark(BEGINS);
	for (uint32_t i = 0; i < WRITES; i++)
		good &= block_add(&writes[i], BLOCK_WRITE | (i == BARRIER ? BLOCK_BARRIER : 0),
				  i * REACH, data, (i + 1) * SECTOR);
	block_kick();
	good &= went_well(&writes[BARRIER]);
	mark(BARRIER_DONE);
	for (uint32_t i = 0; i < WRITES; i++)
		good &= went_well(&writes[i]);
	mark(WRITES_DONE);
	good &= flush();
	mark(FLUSH_DONE);
	good &= flush();
	mark(ENDS);
	return good;
}

void barriers(uint32_t rounds)
{
	uint32_t good = 0;

	if (!block_init())
		panic("there is no disk");
	while (good < rounds && round_of_writes(good))
		good++;
	print("%u of %u rounds went well\n", good, rounds);
	power_off();
}
