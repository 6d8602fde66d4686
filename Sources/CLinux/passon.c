// SPDX-License-Identifier: Apache-2.0
/*
 * Signals that are not ours, for those who had a handler before us: a runtime that prints a backtrace, or another
 * library that contains faults of its own. It is called from our handler, which stays: the next signal may be
 * ours again. It runs in a handler, so what it calls must be safe there.
 */
#include "passon.h"

#include <pthread.h>

#include "clinux.h"

int clinux_pass_on(struct sigaction *previous, int number, siginfo_t *info, void *context)
{
	struct sigaction action = *previous;
	sigset_t mask = action.sa_mask, before;
	int terminal;

	if (!(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_DFL)
		return 0;
	/* A signal that somebody sent is ignored then. A fault cannot be: the kernel ends the process. */
	if (!(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_IGN)
		return info->si_code <= 0;
	/* It may return and expect the next one to end the process, or raise that itself. */
	if (action.sa_flags & SA_RESETHAND) {
		previous->sa_flags = 0;
		previous->sa_handler = SIG_DFL;
	}
	/* It may end the process, and it may not. */
	terminal = clinux_terminal_pause();
	pthread_sigmask(SIG_BLOCK, &mask, &before);
	if (action.sa_flags & SA_NODEFER) {
		sigemptyset(&mask);
		sigaddset(&mask, number);
		pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
	}
	if (action.sa_flags & SA_SIGINFO)
		action.sa_sigaction(number, info, context);
	else
		action.sa_handler(number);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	clinux_terminal_resume(terminal);
	return 1;
}
