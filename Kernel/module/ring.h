/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LG_RING_H
#define LG_RING_H

#include "pure.h"

#define LG_RING_SLOTS	64

/* Offsets in lguest_data. */
#define LG_RING_STATUS	24
#define LG_RING_CALLS	88

struct lg_call {
	u32 number;
	u32 args[4];
};

struct lg_ring {
	u32 data;		/* guest-physical address of lguest_data */
	u32 next;		/* the slot that comes next */
};

bool lg_ring_run(struct lguest *lg, struct lg_ring *ring,
		 bool (*call)(struct lguest *lg, const struct lg_call *call));

#endif
