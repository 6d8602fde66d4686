// SPDX-License-Identifier: Apache-2.0
/* A handler that does nothing, so that a signal interrupts a system call and no more than that. */
#include "clinux.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

static void nothing(int number) { (void)number; }

static void install(void)
{
	struct sigaction action;

	/* A program that has a use for the signal has a handler already, which serves as well. */
	if (sigaction(SIGURG, NULL, &action) != 0 || action.sa_handler != SIG_DFL)
		return;
	memset(&action, 0, sizeof(action));
	action.sa_handler = nothing;
	/* No SA_RESTART: that is what it is for. */
	sigemptyset(&action.sa_mask);
	sigaction(SIGURG, &action, NULL);
}

int clinux_nudge(unsigned long thread)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
	return pthread_kill(thread, SIGURG);
}
