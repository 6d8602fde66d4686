// SPDX-License-Identifier: GPL-2.0-only
/* The ring of hypercalls in lguest_data. */
#include "ring.h"
#include "unit.h"

#define SLOTS (0x1000 + LG_RING_OFFSET)

static struct lg_call done[LG_RING_SLOTS + 1];
static u32 done_count, stop_after;

static bool call(struct lguest *lg, const struct lg_call *one)
{
	(void)lg;
	if (done_count < ARRAY_SIZE(done))
		done[done_count] = *one;
	done_count++;
	return done_count != stop_after;
}

static void slot(struct lguest *lg, u32 index, u8 status, u32 number)
{
	lg->memory[SLOTS + index] = status;
	for (u32 i = 0; i < 5; i++)
		put32(lg, SLOTS + LG_RING_SLOTS + index * 20 + i * 4, number + i);
}

static u32 run(struct lguest *lg, struct lg_ring *ring)
{
	lg_ring_run(lg, ring, call);
	return done_count;
}

static struct lguest *empty(struct lg_ring *ring)
{
	struct lguest *lg = fresh_guest();

	memset(lg->memory + SLOTS, 0xff, LG_RING_SLOTS);
	*ring = (struct lg_ring){ .slots = (struct lg_ring_slots *)(lg->memory + SLOTS) };
	done_count = 0;
	stop_after = 0;
	return lg;
}

void test_ring(void)
{
	struct lg_ring ring;
	struct lguest *lg = empty(&ring);
	u32 wrong = 0;

	check(run(lg, &ring) == 0, "an empty ring does nothing");
	slot(lg, 0, 0, 100);
	slot(lg, 1, 0, 200);
	slot(lg, 3, 0, 300);
	check(run(lg, &ring) == 2, "calls are done up to a gap");
	check(done[0].number == 100 && done[0].args[0] == 101 && done[0].args[3] == 104 &&
		      done[1].number == 200,
	      "in order, with their arguments");
	check(lg->memory[SLOTS] == 0xff &&
		      lg->memory[SLOTS + 1] == 0xff &&
		      lg->memory[SLOTS + 3] == 0,
	      "and their slots given back, no others");
	slot(lg, 2, 0, 250);
	check(run(lg, &ring) == 4 && done[2].number == 250 &&
		      done[3].number == 300,
	      "the gap closed, it goes on where it was");

	lg = empty(&ring);
	ring.next = 62;
	for (u32 i = 0; i < 4; i++)
		slot(lg, (62 + i) % LG_RING_SLOTS, 0, i * 10);
	check(run(lg, &ring) == 4 && ring.next == 2, "it wraps around");

	lg = empty(&ring);
	for (u32 i = 0; i < LG_RING_SLOTS; i++)
		slot(lg, i, 0, i * 10);
	check(run(lg, &ring) == LG_RING_SLOTS && ring.next == 0,
	      "a full ring is done once");
	for (u32 i = 0; i < LG_RING_SLOTS; i++)
		wrong += done[i].number != i * 10;
	check_all(wrong, "each call of it");

	lg = empty(&ring);
	for (u32 i = 0; i < 10; i++)
		slot(lg, i, 0, i * 10);
	stop_after = 3;
	check(run(lg, &ring) == 3 && ring.next == 3,
	      "it stops where a call says so");
	stop_after = 0;
	check(run(lg, &ring) == 10, "and goes on the next time");

	lg = empty(&ring);
	memset(lg->memory + SLOTS, 0x55, LG_RING_SLOTS);
	check(run(lg, &ring) == LG_RING_SLOTS,
	      "any state but done is to be done, and never more than one round");
}
