// SPDX-License-Identifier: GPL-2.0-only
/* Finds and runs one case of the adversary; see adversary.h. */
#include "adversary.h"

static uint32_t state = 0x13579bdf;

uint32_t random(void)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

void broke_out(const char *what)
{
	panic("BROKE OUT: %s", what);
}

static bool is(const char *name, const char *which)
{
	const char *rest = after_prefix(which, name);

	return rest && (*rest == '\0' || *rest == ' ');
}

void adversary(const char *which)
{
	static const struct adversary_case *const files[] = { hypercall_cases, table_cases,
							      cpu_cases, chaos_cases };

	for (uint32_t i = 0; i < ARRAY_SIZE(files); i++)
		for (const struct adversary_case *one = files[i]; one->name; one++)
			if (is(one->name, which)) {
				one->run();
				print("survived\n");
				power_off();
			}
	panic("there is no case %s", which);
}

static void call_before_init(void)
{
	hypercall(HCALL_NOTIFY, 0, 0, 0, 0);
}

static void init_outside(void)
{
	hypercall(HCALL_LGUEST_INIT, memory_bytes + (64 << 20), 0, 0, 0);
}

static void init_at_the_end(void)
{
	hypercall(HCALL_LGUEST_INIT, 0xfffffff0, 0, 0, 0);
}

static void init_bad_vector(void)
{
	lguest_data.tail[KERNEL_ADDRESS + 1] = PAGE_OFFSET;
	lguest_data.tail[SYSCALL_VEC + 1] = 0x21;
	hypercall(HCALL_LGUEST_INIT, physical(&lguest_data), 0, 0, 0);
}

static void fault_before_init(void)
{
	*(volatile uint32_t *)0xe0000000 = 1;
}

void adversary_early(const char *which)
{
	static const struct adversary_case cases[] = {
		{ "call-before-init", call_before_init }, { "init-outside", init_outside },
		{ "init-at-the-end", init_at_the_end },	  { "init-bad-vector", init_bad_vector },
		{ "fault-before-init", fault_before_init },
	};

	for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (is(cases[i].name, which)) {
			cases[i].run();
			for (;;)
				;
		}
}
