// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints how many thousands of cycles this machine's time-stamp counter makes in a second: QEMU gives
 * it to its machines as it is. A kernel that counts them itself while it boots gets it wrong, by any
 * factor, when this machine leaves it alone for a moment; here the count goes on until that does not
 * matter.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define SHORTEST 50000000ull /* nanoseconds */

struct sample {
	uint64_t before, after; /* cycles, and between them: */
	uint64_t nanoseconds;
};

static struct sample take_sample(void)
{
	struct timespec now;
	struct sample sample;

	sample.before = __rdtsc();
	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	sample.after = __rdtsc();
	sample.nanoseconds = now.tv_sec * 1000000000ull + now.tv_nsec;
	return sample;
}

int main(void)
{
	struct sample first = take_sample(), last;
	uint64_t unknown;

	do {
		last = take_sample();
		unknown = last.after - last.before + first.after - first.before;
		if (last.after - last.before < (first.after - first.before) / 4)
			first = last;
	} while (last.nanoseconds - first.nanoseconds < SHORTEST ||
		 last.before - first.before < 10000 * unknown);
	printf("%llu\n", (unsigned long long)((last.before - first.before) * 1000000 /
					      (last.nanoseconds - first.nanoseconds)));
	return 0;
}
