// SPDX-License-Identifier: Apache-2.0
/*
 * Containment of SIGBUS in memory that somebody else can cut off.
 *
 * A front-end shares its memory as a file and can truncate that file while it is mapped here. The next
 * access behind the new end raises SIGBUS. The handler in this file replaces the whole registered range
 * by anonymous memory of zeros and marks it poisoned; the interrupted access is then made again and
 * succeeds, and the thread learns of it at its next look at the mark.
 *
 * This is C with logic, the only one here, because of where it runs: a handler may interrupt any
 * instruction, so it must not allocate, lock, or run anything of the Swift runtime, which gives no
 * promise of that kind. It uses lock-free atomics, and mmap, sigaction and raise as plain system calls. A
 * SIGBUS that is not ours goes to the handler that was there before (passon.c).
 *
 * The whole range is replaced, not one page, because each replaced page would be a mapping of its own:
 * a guest could run the process into the kernel's limit of mappings (65530), and a thread would stop
 * in the handler at each page.
 *
 * The table. A slot's version is even while the slot is free or changing and odd while it is live.
 * The slot of the range that is being touched cannot change, since who touches a range keeps it
 * mapped and registered. Any other slot can, so the handler reads start and length between two looks
 * at the version and believes them only when both are equal and odd.
 */
#include "clinux.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "passon.h"

static struct slot {
	atomic_int taken;
	atomic_uint version;
	_Atomic uintptr_t start;
	_Atomic size_t length;
	_Atomic size_t page_size;
	atomic_int poisoned;
} slots[CLINUX_SIGBUS_SLOTS];

/* One more than the highest slot ever used: the handler need not look further. */
static atomic_int used;
static atomic_ulong contained;
static struct sigaction previous;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool replace(uintptr_t start, size_t length)
{
	return mmap((void *)start, length, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

/* Whether the address lay in a registered range, and is memory again. */
static bool contain(uintptr_t address)
{
	int count = atomic_load(&used);

	for (int i = 0; i < count; i++) {
		struct slot *slot = &slots[i];
		unsigned int version = atomic_load(&slot->version);
		uintptr_t start = atomic_load(&slot->start);
		size_t length = atomic_load(&slot->length);
		size_t page_size = atomic_load(&slot->page_size);

		if (version % 2 == 0 || atomic_load(&slot->version) != version)
			continue;
		if (address < start || address - start >= length)
			continue;
		/* Marked first: no thread can see the zeros and not the mark. */
		atomic_store(&slot->poisoned, 1);
		/* Where memory is not overcommitted a large range can be refused; a page is enough. */
		if (!replace(start, length) && !replace(address / page_size * page_size, page_size))
			return false;
		atomic_fetch_add(&contained, 1);
		return true;
	}
	return false;
}

static void handle(int number, siginfo_t *info, void *context)
{
	int saved = errno;

	/* BUS_ADRERR: the page is not there. Others, as a memory module's failure, are real. */
	if ((info->si_code != BUS_ADRERR || !contain((uintptr_t)info->si_addr)) &&
	    !clinux_pass_on(&previous, number, info, context)) {
		clinux_terminal_restore();
		/* An access is made again and faults again. */
		signal(number, SIG_DFL);
		/* A signal that somebody sent would not come back by itself. */
		if (info->si_code <= 0)
			raise(number);
	}
	errno = saved;
}

static void install(void)
{
	struct sigaction action;

	/* Known before ours can run. */
	sigaction(SIGBUS, NULL, &previous);
	memset(&action, 0, sizeof(action));
	action.sa_sigaction = handle;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | (previous.sa_flags & SA_RESTART);
	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
}

int clinux_sigbus_register(uintptr_t start, size_t length, size_t page_size)
{
	pthread_once(&once, install);
	for (int i = 0; i < CLINUX_SIGBUS_SLOTS; i++) {
		struct slot *slot = &slots[i];
		int expected = 0;

		if (!atomic_compare_exchange_strong(&slot->taken, &expected, 1))
			continue;
		atomic_store(&slot->start, start);
		atomic_store(&slot->length, length);
		atomic_store(&slot->page_size, page_size);
		atomic_store(&slot->poisoned, 0);
		atomic_fetch_add(&slot->version, 1);
		for (int seen = atomic_load(&used); seen <= i;)
			if (atomic_compare_exchange_weak(&used, &seen, i + 1))
				break;
		return i;
	}
	errno = ENOSPC;
	return -1;
}

void clinux_sigbus_unregister(int index)
{
	atomic_fetch_add(&slots[index].version, 1);
	atomic_store(&slots[index].taken, 0);
}

int clinux_sigbus_poisoned(int index) { return atomic_load(&slots[index].poisoned); }

unsigned long clinux_sigbus_contained(void) { return atomic_load(&contained); }
