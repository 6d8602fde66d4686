// SPDX-License-Identifier: GPL-2.0-only
/* Very many requests, one at a time: each needs a kick that is heard and an interrupt that comes. */
#include "guest.h"
#include "rng.h"

#define BYTES 16

void kicks(uint32_t count)
{
	uint8_t *page = page_alloc();
	uint32_t answered = 0;
	uint64_t start;

	if (!rng_init())
		panic("there are no random numbers");
	start = cycles();
	while (answered < count && rng_read(page, BYTES) == BYTES)
		answered++;
	print("%u of %u kicks were answered\n", answered, count);
	print("figure kick-and-interrupt %u ns\n",
	      (uint32_t)divide(divide((cycles() - start) * 1000, cycles_per_millisecond) * 1000,
			       answered + 1));
	power_off();
}
