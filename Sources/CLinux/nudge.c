// SPDX-License-Identifier: Apache-2.0
/*
 * Gets a thread out of a system call that waits, by SIGURG and a handler that does nothing.
 *
 * What the signal does belongs to the whole process, so to whoever has set it: an ignored one interrupts nothing
 * (and may have been inherited), one that is handled with SA_RESTART has the call made again. So each nudge sees
 * that the handler is ours, and what was there before is put back when the last thread that nudges has got what it
 * wanted. Meanwhile a handler that was there before is still called, in all threads but those that are nudged.
 */
#include "clinux.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* How many threads nudge. */
static int nudging;
static int is_taken;
static struct sigaction before;
/* The handler of `before`, for ours to call: one of the two, or none. */
static _Atomic(void (*)(int)) plain;
static _Atomic(void (*)(int, siginfo_t *, void *)) informed;

static _Thread_local int is_nudgeable;

static void handle(int number, siginfo_t *info, void *context)
{
	void (*with_info)(int, siginfo_t *, void *) = atomic_load(&informed);
	void (*without)(int) = atomic_load(&plain);

	if (is_nudgeable)
		return;
	if (with_info)
		with_info(number, info, context);
	else if (without)
		without(number);
}

static int is_ours(const struct sigaction *action)
{
	return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == handle &&
	       !(action->sa_flags & SA_RESTART);
}

static void take(void)
{
	struct sigaction now, action;

	if (sigaction(SIGURG, NULL, &now) != 0 || is_ours(&now))
		return;
	before = now;
	is_taken = 1;
	atomic_store(&informed, NULL);
	atomic_store(&plain, NULL);
	if (now.sa_flags & SA_SIGINFO)
		atomic_store(&informed, now.sa_sigaction);
	else if (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN)
		atomic_store(&plain, now.sa_handler);
	action = now;
	action.sa_sigaction = handle;
	action.sa_flags = (now.sa_flags & SA_ONSTACK) | SA_SIGINFO;
	sigaction(SIGURG, &action, NULL);
}

static void give_back(void)
{
	struct sigaction now;

	if (!is_taken)
		return;
	is_taken = 0;
	/* Somebody has set it meanwhile: that stays. */
	if (sigaction(SIGURG, NULL, &now) == 0 && is_ours(&now))
		sigaction(SIGURG, &before, NULL);
}

void clinux_set_nudgeable(void) { is_nudgeable = 1; }

void clinux_nudges_begin(void)
{
	pthread_mutex_lock(&lock);
	nudging++;
	pthread_mutex_unlock(&lock);
}

int clinux_nudge(unsigned long thread)
{
	int result;

	pthread_mutex_lock(&lock);
	take();
	result = pthread_kill(thread, SIGURG);
	pthread_mutex_unlock(&lock);
	return result;
}

void clinux_nudges_end(void)
{
	pthread_mutex_lock(&lock);
	if (--nudging == 0)
		give_back();
	pthread_mutex_unlock(&lock);
}
