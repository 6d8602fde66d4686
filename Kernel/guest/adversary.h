/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest as an adversary. A case either kills the guest, and the test that started it knows with
 * which reason, or the guest lives on and says so: "survived" is printed behind the last step.
 */
#ifndef GUEST_ADVERSARY_H
#define GUEST_ADVERSARY_H

#include "guest.h"

struct adversary_case {
	const char *name;
	void (*run)(void);
};

/* Each file's cases end with one without a name. */
extern const struct adversary_case hypercall_cases[], table_cases[], cpu_cases[], chaos_cases[];

/* The same numbers at each run. */
uint32_t random(void);
/* Says what should not have been possible; the case has failed then. */
_Noreturn void broke_out(const char *what);

#endif
