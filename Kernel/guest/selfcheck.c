// SPDX-License-Identifier: GPL-2.0-only
/* Runs all checks and closes with their count. Only failures and the count are printed. */
#include "check.h"

static uint32_t passed, failed;

void check(bool holds, const char *title)
{
	if (holds) {
		passed++;
	} else {
		failed++;
		print("FAILED: %s\n", title);
	}
}

void check_equal(uint32_t seen, uint32_t wanted, const char *title)
{
	if (seen != wanted)
		print("seen %x, wanted %x:\n", seen, wanted);
	check(seen == wanted, title);
}

void check_trap(void (*body)(void *), void *argument, uint32_t vector, uint32_t error,
		const char *title)
{
	int trapped = probe(body, argument);

	if (trapped && (probe_result.vector != vector || probe_result.error != error))
		print("trap %u, error %x, wanted %u, %x:\n", probe_result.vector,
		      probe_result.error, vector, error);
	check(trapped && probe_result.vector == vector && probe_result.error == error, title);
}

void selfcheck(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} subjects[] = {
		{ "boot", check_boot },		{ "hypercalls", check_hypercalls },
		{ "paging", check_paging },	{ "traps", check_traps },
		{ "interrupts", check_interrupts }, { "user mode", check_user },
		{ "devices", check_devices },
	};
	uint32_t before = pages_free();

	for (uint32_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		uint32_t so_far = passed + failed;

		subjects[i].run();
		print("%s: %u checks\n", subjects[i].name, passed + failed - so_far);
	}
	/* The network keeps its 64 buffers, and the kernel a table or two. */
	check(before - pages_free() <= 70, "no pages are lost");
	print("%u passed, %u failed\n", passed, failed);
	power_off();
}
