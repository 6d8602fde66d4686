// SPDX-License-Identifier: GPL-2.0-only
/* Random bytes from the host, as good as a host that has just booted has them. */
#include "launcher.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static void serve(struct queue *queue)
{
	static struct chain chain;

	while (queue_wait(queue, &chain)) {
		for (unsigned int i = 0; i < chain.in_count; i++) {
			uint8_t *to = chain.in[i].iov_base;
			size_t left = chain.in[i].iov_len;

			while (left) {
				ssize_t got = getrandom(to, left, GRND_INSECURE);

				if (got < 0)
					fail("random bytes: %s", strerror(errno));
				to += got;
				left -= got;
			}
		}
		queue_push(queue, &chain, chain.in_bytes);
	}
}

void rng_new(void)
{
	struct device *device = device_new(4, "rng", 1, NULL, 0, NULL, 0);

	device->queues[0].serve = serve;
}
