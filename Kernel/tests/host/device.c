// SPDX-License-Identifier: GPL-2.0-only
/*
 * What /dev/lguest answers to whom: return values and errno of every request, good and bad. The other
 * parts of this program are in device_*.c. With an argument, every check is told.
 */
#include "device.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lguest_abi.h"

#ifndef ERESTART
#define ERESTART 85
#endif

#define GETDMA 1
#define BREAK 3
#define SHUTDOWN 2
#define NOTIFY 17
#define MESSAGE 0x9000

static unsigned int passed, failed;
static bool telling;

void check(bool holds, const char *title)
{
	if (holds) {
		passed++;
		if (telling)
			printf("%s\n", title);
	} else {
		failed++;
		printf("FAILED: %s (errno %d)\n", title, errno);
	}
	errno = 0;
}

bool gives(ssize_t result, int error)
{
	return result == -1 && errno == error;
}

static void before_initialize(void)
{
	struct raw *raw = raw_new();
	unsigned long word = LHREQ_IRQ, address;
	unsigned long bad[] = { LHREQ_INITIALIZE, (unsigned long)raw->memory };
	void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(gives(raw_run(raw, &address), EINVAL), "read before INITIALIZE");
	check(gives(raw_request(raw, LHREQ_IRQ, 1, 0), EINVAL), "IRQ before INITIALIZE");
	check(gives(raw_request(raw, LHREQ_EVENTFD, 4096, 0), EINVAL), "EVENTFD before INITIALIZE");
	check(gives(raw_request(raw, 99, 0, 0), EINVAL), "an unknown request before INITIALIZE");
	check(write(raw->fd, nowhere, 8) == -1 && errno == EFAULT, "a request that cannot be read");
	check(write(raw->fd, &word, 3) == -1, "a request of three bytes");
	check(write(raw->fd, bad, sizeof(bad)) == -1, "INITIALIZE without all its words");
	check(gives(pread(raw->fd, &address, 8, 1), EINVAL), "there is no second CPU");
	munmap(nowhere, 4096);
	raw_free(raw);
}

static void bad_memory(void)
{
	struct {
		unsigned long base, pages, start;
		const char *title;
	} cases[] = {
		{ 0, RAW_PAGES, RAW_START, "no memory" },
		{ 0xffffffff81000000, RAW_PAGES, RAW_START, "the host's memory" },
		{ 0x8000000000000000, RAW_PAGES, RAW_START, "an address that is none" },
		{ ~0ul << 12, 1ul << 52, 0, "memory that wraps around" },
		{ 4096, ~0ul, 0, "memory without an end" },
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct raw *raw = raw_new();
		unsigned long words[] = { LHREQ_INITIALIZE, cases[i].base, cases[i].pages,
					  cases[i].start };
		unsigned long address;

		/* Refused at once, or the guest dies of it as soon as it runs. */
		check(write(raw->fd, words, sizeof(words)) == -1 ||
			      gives(raw_run(raw, &address), ENOENT),
		      cases[i].title);
		raw_free(raw);
	}
}

static void *run_elsewhere(void *argument)
{
	unsigned long address;
	ssize_t result = raw_run(argument, &address);

	return (void *)(long)(result == -1 ? errno : 0);
}

static void requests(void)
{
	struct raw *raw = raw_new();
	unsigned long address = 0;
	pthread_t thread;
	void *error;
	pid_t child;
	int status;

	raw_prologue(raw);
	raw_hypercall(raw, NOTIFY, 0x5000, 0, 0, 0);
	raw_hypercall(raw, NOTIFY, 0x6000, 0, 0, 0);
	raw_spin(raw);
	check(raw_initialize(raw) == 24, "INITIALIZE");
	check(gives(raw_initialize(raw), EBUSY), "INITIALIZE twice");
	check(gives(raw_request(raw, GETDMA, 0, 0), EINVAL), "GETDMA is over");
	check(gives(raw_request(raw, BREAK, 1, 0), EINVAL), "BREAK is over");
	check(gives(raw_request(raw, 99, 0, 0), EINVAL), "an unknown request");
	check(raw_request(raw, LHREQ_IRQ, 31, 0) == 0, "IRQ 31");
	check(gives(raw_request(raw, LHREQ_IRQ, 32, 0), EINVAL), "IRQ 32");
	check(gives(raw_request(raw, LHREQ_IRQ, ~0ul, 0), EINVAL), "IRQ -1");
	check(gives(raw_request(raw, LHREQ_EVENTFD, 0, 0), EINVAL), "EVENTFD of address 0");
	check(gives(raw_request(raw, LHREQ_EVENTFD, 4096, 999), EBADF), "EVENTFD of no file");
	check(gives(raw_request(raw, LHREQ_EVENTFD, 4096, raw->fd), EINVAL),
	      "EVENTFD of another kind of file");
	check(gives(raw_request(raw, LHREQ_EVENTFD, 4096, -1), ENOENT), "removing no eventfd");
	pthread_create(&thread, NULL, run_elsewhere, raw);
	pthread_join(thread, &error);
	check((long)error == EPERM, "another thread may not run the guest");
	child = fork();
	if (!child)
		_exit(gives(raw_run(raw, &address), EPERM) ? 0 : 1);
	waitpid(child, &status, 0);
	check(status == 0, "a forked child may not run the guest");
	check(raw_run(raw, &address) == 8 && address == 0x5000, "a notify ends read");
	check(raw_run(raw, &address) == 8 && address == 0x6000, "and the next one the next");
	raw_free(raw);
}

static bool signalled(int fd)
{
	struct pollfd waiting = { fd, POLLIN, 0 };
	uint64_t count;

	return poll(&waiting, 1, 0) == 1 && read(fd, &count, sizeof(count)) == sizeof(count);
}

static void eventfds(void)
{
	struct raw *raw = raw_new();
	int first = eventfd(0, EFD_CLOEXEC), second = eventfd(0, EFD_CLOEXEC);
	unsigned long address = 0;
	unsigned int refused = 0;

	raw_prologue(raw);
	for (unsigned int i = 0; i < 3; i++) {
		raw_hypercall(raw, NOTIFY, 0x5000, 0, 0, 0);
		raw_hypercall(raw, NOTIFY, 0x6000 + i, 0, 0, 0);
	}
	raw_initialize(raw);
	check(raw_request(raw, LHREQ_EVENTFD, 0x5000, first) == 0, "an eventfd is attached");
	check(raw_run(raw, &address) == 8 && address == 0x6000 && signalled(first),
	      "a notify signals it, and the guest goes on");
	check(raw_request(raw, LHREQ_EVENTFD, 0x5000, second) == 0, "another takes its place");
	check(raw_run(raw, &address) == 8 && address == 0x6001 && signalled(second) &&
		      !signalled(first),
	      "and only that is signalled");
	check(raw_request(raw, LHREQ_EVENTFD, 0x5000, -1) == 0, "it is removed");
	check(raw_run(raw, &address) == 8 && address == 0x5000 && !signalled(second),
	      "and the notify ends read again");
	for (unsigned int i = 1; i <= 100000 && !refused; i++)
		refused = raw_request(raw, LHREQ_EVENTFD, i * 4096ul, first) == 0 ? 0 : i;
	check(refused > 64, "there is a bound to the number of eventfds");
	close(first);
	close(second);
	raw_free(raw);
}

/* A guest that says BYE, and with which word. */
static struct raw *dying(uint32_t how)
{
	struct raw *raw = raw_new();

	strcpy((char *)raw->memory + MESSAGE, "BYE");
	raw_prologue(raw);
	raw_hypercall(raw, SHUTDOWN, MESSAGE, how, 0, 0);
	raw_initialize(raw);
	return raw;
}

static void deaths(void)
{
	struct lguest_counters counters = { 0 };
	void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct raw *raw = dying(1);
	unsigned long address;
	char text[64] = "";

	check(gives(raw_run(raw, &address), ENOENT), "the read in which the guest dies");
	check(read(raw->fd, text, sizeof(text)) == 11 && strcmp(text, "CRASH: BYE") == 0,
	      "the next one tells why, with a NUL");
	memset(text, 'x', sizeof(text));
	check(read(raw->fd, text, 4) == 4 && memcmp(text, "CRASx", 5) == 0, "or as much as fits");
	check(read(raw->fd, nowhere, 64) == -1 && errno == EFAULT, "to a buffer that is one");
	check(gives(raw_request(raw, LHREQ_IRQ, 1, 0), ENOENT), "no interrupt for the dead");
	check(gives(raw_request(raw, LHREQ_EVENTFD, 4096, 0), ENOENT), "no eventfd for the dead");
	check(raw_request(raw, LHREQ_COUNTERS, (unsigned long)&counters, sizeof(counters)) ==
			      sizeof(counters) &&
		      counters.hypercalls == 2,
	      "its counters");
	check(raw_request(raw, LHREQ_COUNTERS, (unsigned long)&counters, 8) == 8,
	      "or as many as are wanted");
	check(gives(raw_request(raw, LHREQ_COUNTERS, 1, sizeof(counters)), EFAULT),
	      "to a buffer that is one");
	raw_free(raw);

	raw = dying(2);
	check(gives(raw_run(raw, &address), ERESTART), "a guest that wants to be started again");
	check(gives(raw_run(raw, &address), ERESTART), "says so for ever");
	raw_free(raw);
}

static void initialize_again(void)
{
	struct raw *raw = raw_new();
	unsigned long words[] = { LHREQ_INITIALIZE, 4096, RAW_PAGES, RAW_START };
	unsigned long address;

	raw_prologue(raw);
	raw_hypercall(raw, NOTIFY, 0x5000, 0, 0, 0);
	check(write(raw->fd, words, sizeof(words)) == -1, "memory that is not there is refused");
	check(raw_initialize(raw) == 24 && raw_run(raw, &address) == 8 && address == 0x5000,
	      "and INITIALIZE may be tried again");
	raw_free(raw);
}

/* Registers have 32 bits, wherever the launcher wants the guest to start. */
static void wide_start(void)
{
	struct raw *raw = raw_new();
	unsigned long words[] = { LHREQ_INITIALIZE, (unsigned long)raw->memory, RAW_PAGES,
				  0xffffffff00000000 | RAW_START };
	unsigned long address = 0;

	raw_prologue(raw);
	raw_hypercall(raw, NOTIFY, 0x5000, 0, 0, 0);
	check(gives(write(raw->fd, words, sizeof(words)), EINVAL) ||
		      (raw_run(raw, &address) == 8 && address == 0x5000),
	      "a start address of 64 bits is refused or cut");
	raw_free(raw);
}

/* Eight guests in one process, turn and turn about. */
static void many(void)
{
	struct raw *guests[8];
	unsigned long address;
	unsigned int good = 0;

	for (unsigned int i = 0; i < 8; i++)
		guests[i] = toucher();
	for (unsigned int round = 0; round < 2; round++)
		for (unsigned int i = 0; i < 8; i++)
			good += raw_run(guests[i], &address) == 8 &&
				address == 0x5000 + round * 0x1000;
	for (unsigned int i = 0; i < 8; i++)
		raw_free(guests[i]);
	check(good == 16, "eight guests in turn");
}

static atomic_int interrupters;

static void *interrupter(void *argument)
{
	struct raw *raw = argument;

	for (unsigned int i = 0; i < 20; i++) {
		raw_request(raw, LHREQ_IRQ, i % 32, 0);
		raw_request(raw, LHREQ_EVENTFD, 0x7000, i % 2 ? -1 : raw->other);
	}
	interrupters--;
	return NULL;
}

/* Everything at once from two threads, while the guest runs. */
static void at_once(void)
{
	struct raw *raw = raw_new();
	unsigned long address;
	unsigned int runs = 0;
	pthread_t threads[2];
	sigset_t alarm;

	raw->other = eventfd(0, EFD_CLOEXEC);
	raw_prologue(raw);
	for (unsigned int i = 0; i < 1000; i++)
		raw_hypercall(raw, i % 3 ? NOTIFY : 19, 0x7000, 0, 0, 0);
	raw_spin(raw);
	raw_initialize(raw);
	/* The threads take no signals: they are for the read, as long as there are threads. */
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	interrupters = 2;
	for (unsigned int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, interrupter, raw);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	alarm_each(20);
	/* On a busy machine they may have ended before this begins. */
	do
		runs += raw_run(raw, &address) == 8 || errno == EINTR;
	while (interrupters);
	alarm_each(0);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	close(raw->other);
	check(runs > 0, "requests from other threads while the guest runs");
	raw_free(raw);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "after-exec") == 0)
		after_exec(atoi(argv[2]));
	telling = argc > 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	before_initialize();
	bad_memory();
	requests();
	eventfds();
	deaths();
	signals();
	used_time();
	memory_taken_away();
	initialize_again();
	memory_changed();
	memory_cut();
	other_threads();
	heir();
	orphan();
	other_program();
	wide_start();
	many();
	memory_kinds();
	memory_holes();
	memory_in_parts();
	memory_accounted();
	memory_limited();
	at_once();
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}
