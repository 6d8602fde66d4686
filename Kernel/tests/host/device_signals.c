// SPDX-License-Identifier: GPL-2.0-only
/* Signals, and the CPU time that a launcher has used up, while its guest spins or sleeps. */
#include "device.h"
#include "raw.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/time.h>

static volatile sig_atomic_t profiles;

static void wake(int number)
{
	profiles += number == SIGPROF;
}

/* A signal each so many milliseconds; 0 ends them. */
void alarm_each(unsigned int milliseconds)
{
	struct sigaction action = { .sa_handler = wake };
	struct itimerval when = { { 0, milliseconds * 1000 }, { 0, milliseconds * 1000 } };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &when, NULL);
}

void signals(void)
{
	struct raw *raw = raw_new();
	unsigned long address;

	raw_prologue(raw);
	raw_spin(raw);
	raw_initialize(raw);
	/* One after another, in case the first is gone before the read begins. */
	alarm_each(30);
	check(gives(raw_run(raw, &address), EINTR), "a signal ends the read of a guest that spins");
	check(gives(raw_run(raw, &address), EINTR), "and of one that goes on spinning");
	alarm_each(0);
	raw_free(raw);

	raw = raw_new();
	raw_prologue(raw);
	raw_hypercall(raw, 10, 0, 0, 0, 0);
	raw_initialize(raw);
	alarm_each(30);
	check(gives(raw_run(raw, &address), EINTR), "a signal ends the read of a guest that sleeps");
	alarm_each(0);
	raw_free(raw);
}

/* The time that a process has used up, of which the host tells in another way. */
void used_time(void)
{
	struct sigaction action = { .sa_handler = wake };
	struct itimerval when = { { 0, 50000 }, { 0, 50000 } }, never = { 0 };
	struct raw *raw = raw_new();
	unsigned long address;
	bool used = false;

	raw_prologue(raw);
	raw_spin(raw);
	raw_initialize(raw);
	sigaction(SIGPROF, &action, NULL);
	setitimer(ITIMER_PROF, &when, NULL);
	/* So that it ends if no such time is ever told of. */
	alarm_each(900);
	/* One that comes before the read, on a host that stood still, tells nothing of the guest. */
	for (unsigned int i = 0; i < 100 && !used; i++) {
		sig_atomic_t before = profiles;

		used = gives(raw_run(raw, &address), EINTR) && profiles != before;
	}
	check(used, "a guest that spins uses up time");
	alarm_each(0);
	setitimer(ITIMER_PROF, &never, NULL);
	raw_free(raw);
}
