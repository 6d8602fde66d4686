// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <sys/signalfd.h>
#include <sys/timerfd.h>

int clinux_signalfd(const void *set) { return signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK); }

int clinux_timerfd_create(void)
{
	return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
}

int clinux_timerfd_settime(int fd, const void *setting)
{
	return timerfd_settime(fd, 0, setting, NULL);
}
