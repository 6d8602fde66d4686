/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What a launcher and the lguest module say to each other through /dev/lguest.
 *
 * A launcher write()s an array of native words (unsigned long), the first of
 * which is one of the requests below, and read()s to run the guest.  Only the
 * thread that made LHREQ_INITIALIZE may read(); any thread may write().
 *
 * read() returns
 *   8 and the address  the guest notified an address that has no eventfd;
 *   -EINTR             a signal came; read() again to go on;
 *   -ERESTART          the guest asked to be started again, now and for ever;
 *   -ENOENT            the guest has just died; the next read() tells why, as
 *                      text that ends with a NUL.
 *
 * write() fails with EINVAL for anything before LHREQ_INITIALIZE and with
 * ENOENT once the guest is dead, except LHREQ_COUNTERS, and LHREQ_INITIALIZE,
 * which is EBUSY.
 */
#ifndef LGUEST_ABI_H
#define LGUEST_ABI_H

#include <linux/types.h>

enum lguest_request {
	/*
	 * base, pfn_limit, start: returns the 24 bytes of its arguments.  The
	 * memory has to be there: what is mapped in its place later, the guest
	 * may not see, as pages are held from the first use of one near them.
	 */
	LHREQ_INITIALIZE = 0,
	/* irq (0 to 31): raises it in the guest. */
	LHREQ_IRQ = 2,
	/*
	 * address, fd: a notify of this guest-physical address signals the
	 * eventfd instead of ending read().  There is one for each address: a
	 * new one takes the place of the old one, and -1 removes it (ENOENT if
	 * there is none).
	 */
	LHREQ_EVENTFD = 4,
	/*
	 * buffer, size: copies the first size bytes of struct lguest_counters
	 * to the buffer and returns how many it copied.
	 */
	LHREQ_COUNTERS = 16,
};

/* What the guest has cost since LHREQ_INITIALIZE. */
struct lguest_counters {
	__u64 entries;			/* times the CPU went into the guest */
	__u64 host_interrupts;		/* exits for an interrupt of the host */
	__u64 nmis;			/* exits for an NMI or machine check */
	__u64 hypercalls;		/* trapped ones, without the ring's */
	__u64 ring_hypercalls;		/* those that came by the ring */
	__u64 page_faults;		/* all page faults that left the guest */
	__u64 pages_mapped;		/* shadow entries that were filled */
	__u64 faults_reflected;		/* page faults that the guest handles */
	__u64 traps_reflected;		/* other traps that the guest handles */
	__u64 syscalls_slow;		/* int 0x80 through the host */
	__u64 injections;		/* virtual interrupts delivered */
	__u64 notifies;			/* notifies that signalled an eventfd */
	__u64 notify_reads;		/* notifies that ended a read() */
	__u64 emulated;			/* instructions emulated */
	__u64 halts;			/* times the guest slept */
	__u64 root_switches;		/* changes of the guest's top-level table */
	__u64 root_misses;		/* those that no cached root answered */
	__u64 flushes;			/* flushes of shadow tables */
	__u64 evictions;		/* shadow roots dropped for room */
	__u64 pages_pinned;		/* guest pages held at this moment */
	__u64 tables;			/* shadow table pages at this moment */
	__u64 hypercalls_by_number[32];	/* trapped or by the ring */
};

#endif
