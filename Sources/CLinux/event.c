// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

const int clinux_EPOLL_CTL_ADD = EPOLL_CTL_ADD;
const int clinux_EPOLL_CTL_MOD = EPOLL_CTL_MOD;
const int clinux_EPOLL_CTL_DEL = EPOLL_CTL_DEL;

int clinux_epoll_create1(void) { return epoll_create1(EPOLL_CLOEXEC); }

int clinux_epoll_ctl(int epfd, int operation, int fd, uint32_t events, uint64_t token)
{
	return epoll_ctl(epfd, operation, fd,
			 &(struct epoll_event){.events = events, .data.u64 = token});
}

int clinux_epoll_wait(int epfd, void *events, int count, int milliseconds)
{
	return epoll_wait(epfd, events, count, milliseconds);
}

size_t clinux_epoll_event_size(void) { return sizeof(struct epoll_event); }

uint64_t clinux_epoll_token(const void *events, int index)
{
	return ((const struct epoll_event *)events)[index].data.u64;
}

uint32_t clinux_epoll_events(const void *events, int index)
{
	return ((const struct epoll_event *)events)[index].events;
}

int clinux_signalfd(const void *set) { return signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK); }

int clinux_timerfd_create(void)
{
	return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
}

int clinux_timerfd_settime(int fd, const void *setting)
{
	return timerfd_settime(fd, 0, setting, NULL);
}
