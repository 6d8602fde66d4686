// SPDX-License-Identifier: GPL-2.0-only
/*
 * launcher [--counters] [--initrd=FILE] [--block=FILE] [--net] [--rng] MEGABYTES KERNEL [WORD...]
 *
 * Runs a guest kernel with the console on standard input and output. The exit code is 0 when the
 * guest powered off, and 1, with the reason on standard error, when it died; a guest that asks for
 * a restart gets one. With --counters, what the guest has cost is printed at its end.
 */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "lguest_abi.h"

#ifndef ERESTART
#define ERESTART 85
#endif

static struct termios terminal;
static bool raw;

static void restore_terminal(void)
{
	if (raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
}

static void make_terminal_raw(void)
{
	struct termios changed;

	if (tcgetattr(STDIN_FILENO, &terminal) < 0)
		return; /* A file or a pipe. */
	changed = terminal;
	changed.c_lflag &= ~(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &changed);
	raw = true;
	atexit(restore_terminal);
}

void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "launcher: ");
	vfprintf(stderr, format, arguments);
	fprintf(stderr, "\n");
	va_end(arguments);
	exit(2);
}

static void initialize(uint32_t start)
{
	unsigned long request[] = { LHREQ_INITIALIZE, (unsigned long)guest.memory,
				    guest.limit / PAGE, start };

	guest.fd = open("/dev/lguest", O_RDWR | O_CLOEXEC);
	if (guest.fd < 0)
		fail("/dev/lguest: %s", strerror(errno));
	if (write(guest.fd, request, sizeof(request)) < 0)
		fail("the host refuses the guest: %s", strerror(errno));
}

static void print_counters(void)
{
	struct lguest_counters counters = { 0 };
	unsigned long request[] = { LHREQ_COUNTERS, (unsigned long)&counters, sizeof(counters) };

	if (write(guest.fd, request, sizeof(request)) != sizeof(counters))
		fail("the guest's counters: %s", strerror(errno));
#define SHOW(name) fprintf(stderr, "launcher: %-16s %llu\n", #name, counters.name)
	SHOW(entries);
	SHOW(host_interrupts);
	SHOW(nmis);
	SHOW(hypercalls);
	SHOW(ring_hypercalls);
	SHOW(page_faults);
	SHOW(pages_mapped);
	SHOW(faults_reflected);
	SHOW(traps_reflected);
	SHOW(syscalls_slow);
	SHOW(injections);
	SHOW(notifies);
	SHOW(notify_reads);
	SHOW(emulated);
	SHOW(halts);
	SHOW(root_switches);
	SHOW(root_misses);
	SHOW(flushes);
	SHOW(evictions);
	SHOW(pages_pinned);
	SHOW(tables);
#undef SHOW
	for (unsigned int i = 0; i < 32; i++)
		if (counters.hypercalls_by_number[i])
			fprintf(stderr, "launcher: hypercall %-6u %llu\n", i,
				counters.hypercalls_by_number[i]);
}

/* Runs the guest to its end, and returns only when it wants to be started again. */
static void run(bool counters)
{
	char reason[256];
	ssize_t length;

	for (;;) {
		unsigned long address;
		ssize_t got = read(guest.fd, &address, sizeof(address));

		if (got == sizeof(address))
			device_notified(address);
		else if (got < 0 && errno == ERESTART)
			return;
		else if (got < 0 && errno == ENOENT)
			break;
		else if (got < 0 && errno != EINTR)
			fail("running the guest: %s", strerror(errno));
	}
	device_stop_all();
	if (counters)
		print_counters();
	length = read(guest.fd, reason, sizeof(reason) - 1);
	if (length < 0)
		fail("the guest has died, the reason is lost: %s", strerror(errno));
	reason[length] = '\0';
	fprintf(stderr, "launcher: %s\n", reason);
	exit(strcmp(reason, "CRASH: Power down") == 0 ? 0 : 1);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "counters", no_argument, NULL, 'c' },
		{ "initrd", required_argument, NULL, 'i' },
		{ "block", required_argument, NULL, 'b' },
		{ "net", no_argument, NULL, 'n' },
		{ "rng", no_argument, NULL, 'r' },
		{ "late", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	char command_line[2048] = "";
	const char *initrd = NULL, *block = NULL;
	bool net = false, rng = false, counters = false;
	int option, megabytes;
	uint32_t start;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
		if (option == 'c')
			counters = true;
		else if (option == 'i')
			initrd = optarg;
		else if (option == 'b')
			block = optarg;
		else if (option == 'n')
			net = true;
		else if (option == 'r')
			rng = true;
		else if (option == 'l')
			guest.late = atoi(optarg);
		else
			return 2;
	}
	megabytes = optind + 1 < argc ? atoi(argv[optind]) : 0;
	if (megabytes < 4 || megabytes > 2048)
		fail("usage: launcher [--counters] [--initrd=FILE] [--block=FILE] [--net] [--rng] "
		     "[--late=MICROSECONDS] MEGABYTES KERNEL [WORD...]");
	guest_make(megabytes);
	if (block)
		block_new(block);
	if (net)
		net_new();
	if (rng)
		rng_new();
	console_new();
	for (int i = optind + 2; i < argc; i++) {
		size_t length = strlen(command_line);

		snprintf(command_line + length, sizeof(command_line) - length, "%s%s",
			 i > optind + 2 ? " " : "", argv[i]);
	}
	start = guest_load(argv[optind + 1], initrd, command_line);
	initialize(start);
	make_terminal_raw();
	run(counters);
	restore_terminal();
	close(guest.fd);
	execv("/proc/self/exe", argv);
	fail("restart: %s", strerror(errno));
}
