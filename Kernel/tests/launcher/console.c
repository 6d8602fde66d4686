// SPDX-License-Identifier: GPL-2.0-only
/* The console on standard input and output. */
#include "launcher.h"

#include <poll.h>
#include <unistd.h>

static void input(struct queue *queue)
{
	static struct chain chain;

	while (queue_wait(queue, &chain)) {
		struct pollfd waiting[] = { { STDIN_FILENO, POLLIN, 0 },
					    { queue->kick, POLLIN, 0 } };
		ssize_t got = 0;

		while (!queue->stop && !(waiting[0].revents & (POLLIN | POLLHUP))) {
			uint64_t count;

			if (poll(waiting, 2, -1) > 0 && waiting[1].revents & POLLIN &&
			    read(queue->kick, &count, sizeof(count)) < 0)
				return;
		}
		if (queue->stop)
			return;
		got = readv(STDIN_FILENO, chain.in, chain.in_count);
		if (got <= 0)
			return; /* Nobody types any more. */
		queue_push(queue, &chain, got);
		queue_interrupt(queue);
	}
}

static void output(struct queue *queue)
{
	static struct chain chain;

	while (queue_wait(queue, &chain)) {
		for (unsigned int i = 0; i < chain.out_count; i++) {
			const char *from = chain.out[i].iov_base;
			size_t left = chain.out[i].iov_len;

			while (left) {
				ssize_t put = write(STDOUT_FILENO, from, left);

				if (put < 0)
					fail("the console is gone");
				from += put;
				left -= put;
			}
		}
		queue_push(queue, &chain, 0);
	}
}

void console_new(void)
{
	struct device *device = device_new(3, "console", 2, NULL, 0, NULL, 0);

	device->queues[0].serve = input;
	device->queues[1].serve = output;
}
