/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LG_RING_H
#define LG_RING_H

#include "pure.h"

#define LG_RING_SLOTS	64

/* Where it is in lguest_data. */
#define LG_RING_OFFSET	24

struct lg_call {
	u32 number;
	u32 args[4];
};

/* As it stands in the guest's memory: any word may change at any time. */
struct lg_ring_slots {
	u8 status[LG_RING_SLOTS];
	struct lg_call calls[LG_RING_SLOTS];
};

struct lg_ring {
	struct lg_ring_slots *slots;
	u32 next;		/* the slot that comes next */
};

void lg_ring_run(struct lguest *lg, struct lg_ring *ring,
		 bool (*call)(struct lguest *lg, const struct lg_call *call));

#endif
