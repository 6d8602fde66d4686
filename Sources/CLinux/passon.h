/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LGDEV_PASSON_H
#define LGDEV_PASSON_H

#include <signal.h>

/*
 * Calls the handler that a signal had before ours, as the kernel would have called it. Gives 0 where there
 * is none, so that the signal is to end the process. Our own handler stays.
 */
int clinux_pass_on(struct sigaction *previous, int number, siginfo_t *info, void *context);

#endif
