// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first and only program of a real i386 Linux guest, whatever its release: it shows that the
 * guest has reached user space and that its kernel still gets from the host what it would get from
 * a CPU. Words of the kernel's command line that the kernel does not know come here:
 *
 *	checks	checks traps, memory, processes, disk and random numbers
 *	figures	measures what the README's table compares
 *
 * Then it powers off.
 */
#include "check.h"

void figures(void);

static uint32_t passed, failed;

void check(bool holds, const char *title)
{
	if (holds) {
		passed++;
		return;
	}
	failed++;
	say("FAILED: ");
	say(title);
	say("\n");
}

static bool same(const char *one, const char *other)
{
	while (*one && *one == *other) {
		one++;
		other++;
	}
	return *one == *other;
}

static void checks(void)
{
	check_traps();
	check_memory();
	check_processes();
	check_devices();
	say_number(passed);
	say(" passed, ");
	say_number(failed);
	say(" failed\n");
}

static void power_off(void)
{
	CALL3(SYS_REBOOT, 0xfee1dead, 672274793, 0x4321fedc);
}

int main(int argc, char **argv)
{
	say("linux: user space\n");
	for (int i = 1; i < argc; i++) {
		if (same(argv[i], "checks"))
			checks();
		else if (same(argv[i], "figures"))
			figures();
	}
	power_off();
	leave(1);
}
