// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

const int clinux_EFD_CLOEXEC = EFD_CLOEXEC;
const int clinux_EFD_NONBLOCK = EFD_NONBLOCK;

int clinux_eventfd(unsigned int initial, int flags) { return eventfd(initial, flags); }

int clinux_ppoll(void *entries, unsigned long count, const void *timeout)
{
	return ppoll(entries, count, timeout, NULL);
}

int clinux_gettid(void) { return gettid(); }

/* rseq(2): what the C library has registered for the thread, and with these arguments (glibc 2.35). */
int clinux_rseq_unregister(void)
{
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;

	return syscall(SYS_rseq, area, sizeof(struct rseq), RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

int clinux_pthread_setname(unsigned long thread, const char *name)
{
	return pthread_setname_np(thread, name);
}

int clinux_pthread_getname(unsigned long thread, char *name, size_t size)
{
	return pthread_getname_np(thread, name, size);
}

int clinux_pthread_attr_setaffinity(void *attr, size_t size, const void *mask)
{
	return pthread_attr_setaffinity_np(attr, size, mask);
}

static int is_realtime(int policy)
{
	policy &= ~SCHED_RESET_ON_FORK;
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

void clinux_pthread_attr_of_process(void *attr)
{
	struct sched_param none = {0};
	cpu_set_t first;

	if (sched_getaffinity(getpid(), sizeof(first), &first) == 0)
		pthread_attr_setaffinity_np(attr, sizeof(first), &first);
	if (!is_realtime(sched_getscheduler(0)) || is_realtime(sched_getscheduler(getpid())))
		return;
	pthread_attr_setinheritsched(attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(attr, SCHED_OTHER);
	pthread_attr_setschedparam(attr, &none);
}

int clinux_sched_getaffinity(int pid, size_t size, void *mask)
{
	return sched_getaffinity(pid, size, mask);
}

int clinux_sched_setaffinity(int pid, size_t size, const void *mask)
{
	return sched_setaffinity(pid, size, mask);
}
