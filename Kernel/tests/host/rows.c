// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every row of what /dev/lguest answers, one after the other, for host/record.c to write down. Each row has a
 * guest of its own and begins with a line that names it; a line before its calls says what that guest
 * does whenever it is run. Nothing here depends on time, and nothing is checked: the recording is.
 */
#include "raw.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <linux/capability.h>
#include <unistd.h>

#include "lguest_abi.h"

#define GETDMA 1
#define BREAK 3
#define SHUTDOWN 2
#define HALT 10
#define NOTIFY 17
#define MESSAGE 0x9000
#define RAMDISK_SIZE 0x21c
#define PAGE 4096

/* A line for the recorder. */
static void say(const char *form, ...)
{
	char line[256];
	va_list arguments;
	int length;

	va_start(arguments, form);
	length = vsnprintf(line, sizeof(line) - 1, form, arguments);
	va_end(arguments);
	line[length++] = '\n';
	if (write(STDOUT_FILENO, line, length) != length)
		exit(2);
}

static struct raw *row(const char *title)
{
	say("row %s", title);
	return raw_new();
}

/* What the guest does, for which it has code from here on. */
static void notifies(struct raw *raw, uint32_t address)
{
	say("guest notifies %x", address);
	raw_hypercall(raw, NOTIFY, address, 0, 0, 0);
}

static void dies(struct raw *raw, const char *text, uint32_t how)
{
	if (how == 2)
		say("guest restarts");
	else
		say("guest dies CRASH: %s", text);
	strcpy((char *)raw->memory + MESSAGE, text);
	raw_hypercall(raw, SHUTDOWN, MESSAGE, how, 0, 0);
}

/* Whatever a call returns, the recorder writes it down. */
static void as_recorded(ssize_t result)
{
	(void)result;
}

static void run(struct raw *raw)
{
	unsigned long address;

	raw_run(raw, &address);
}

/* Words right before memory that is not there: no byte behind them can be read. */
static void request_words(struct raw *raw, const unsigned long *words, unsigned int count)
{
	char *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = page + PAGE - count * sizeof(*words);

	mprotect(page + PAGE, PAGE, PROT_NONE);
	memcpy(at, words, count * sizeof(*words));
	/* Where there is none, it is a word that cannot be read. */
	as_recorded(write(raw->fd, at, (count ? count : 1) * sizeof(*words)));
	munmap(page, 2 * PAGE);
}

static void too_few_words(void)
{
	unsigned long words[4] = { 0 };
	struct raw *raw = row("words that cannot be read");

	words[0] = LHREQ_INITIALIZE;
	words[1] = (unsigned long)raw->memory;
	words[2] = RAW_PAGES;
	request_words(raw, words, 0);
	request_words(raw, words, 1);
	request_words(raw, words, 3);
	raw_initialize(raw);
	request_words(raw, words, 0);
	words[0] = LHREQ_IRQ;
	request_words(raw, words, 1);
	words[0] = LHREQ_EVENTFD;
	words[1] = 0x5000;
	request_words(raw, words, 1);
	request_words(raw, words, 2);
	words[0] = LHREQ_COUNTERS;
	request_words(raw, words, 1);
	raw_free(raw);
}

static void too_early(void)
{
	struct raw *raw = row("before there is a guest");
	unsigned long buffer;

	run(raw);
	raw_request(raw, GETDMA, 0, 0);
	raw_request(raw, LHREQ_IRQ, 1, 0);
	raw_request(raw, BREAK, 0, 0);
	raw_request(raw, LHREQ_EVENTFD, 0x5000, ~0ul);
	raw_request(raw, LHREQ_COUNTERS, (unsigned long)&buffer, sizeof(buffer));
	raw_request(raw, 99, 0, 0);
	raw_initialize(raw);
	raw_free(raw);
}

static void one_cpu(void)
{
	unsigned long words[] = { LHREQ_IRQ, 1 }, address;
	struct raw *raw = row("there is one CPU, which is number 0");

	raw_prologue(raw);
	notifies(raw, 0x5000);
	as_recorded(pread(raw->fd, &address, 8, 1));
	as_recorded(pwrite(raw->fd, words, sizeof(words), 1));
	raw_initialize(raw);
	as_recorded(pread(raw->fd, &address, 8, 1));
	as_recorded(pwrite(raw->fd, words, sizeof(words), 1));
	as_recorded(pwrite(raw->fd, words, sizeof(words), 0));
	as_recorded(pread(raw->fd, &address, 8, 0));
	raw_free(raw);
}

static void initialize_with(const char *title, unsigned long base, unsigned long pages)
{
	struct raw *raw = row(title);
	unsigned long words[] = { LHREQ_INITIALIZE, base ? base : (unsigned long)raw->memory, pages,
				  RAW_START };

	request_words(raw, words, 4);
	raw_initialize(raw);
	raw_free(raw);
}

static void bad_guests(void)
{
	char *nowhere = mmap(NULL, RAW_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct raw *raw;

	initialize_with("memory in the middle of a page", 0x1001, RAW_PAGES);
	initialize_with("memory that is not mapped", 0x1000, RAW_PAGES);
	initialize_with("memory that cannot be read", (unsigned long)nowhere, RAW_PAGES);
	initialize_with("memory of the host", 0xffffffff81000000, RAW_PAGES);
	initialize_with("memory at an address that is none", 0x8000000000000000, RAW_PAGES);
	initialize_with("memory that reaches into the host's", 0x7ffffffff000, RAW_PAGES);
	initialize_with("no page of memory", 0, 0);
	initialize_with("more pages than 32 bits address", 0, (1ul << 20) + 1);
	initialize_with("pages without an end", 0, ~0ul);
	initialize_with("too few pages for the first tables", 0, 5);
	munmap(nowhere, RAW_BYTES);

	raw = row("an initrd as large as the memory");
	say("guest initrd %x", RAW_BYTES);
	raw_put32(raw, RAMDISK_SIZE, RAW_BYTES);
	raw_initialize(raw);
	raw_free(raw);
	raw = row("an initrd that leaves no room for the first tables");
	say("guest initrd %x", RAW_BYTES - 5 * PAGE);
	raw_put32(raw, RAMDISK_SIZE, RAW_BYTES - 5 * PAGE);
	raw_initialize(raw);
	raw_free(raw);
}

static void requests(void)
{
	struct raw *raw = row("requests to a guest that is there");

	raw_initialize(raw);
	raw_initialize(raw);
	raw_request(raw, GETDMA, 0, 0);
	raw_request(raw, BREAK, 1, 0);
	raw_request(raw, 5, 0, 0);
	raw_request(raw, 99, 0, 0);
	raw_request(raw, ~0ul, 0, 0);
	raw_request(raw, LHREQ_IRQ, 0, 0);
	raw_request(raw, LHREQ_IRQ, 31, 0);
	raw_request(raw, LHREQ_IRQ, 32, 0);
	raw_request(raw, LHREQ_IRQ, ~0ul, 0);
	raw_free(raw);
}

static void eventfds(void)
{
	int event = eventfd(0, EFD_CLOEXEC);
	struct raw *raw = row("eventfds");

	raw_prologue(raw);
	notifies(raw, 0x5000);
	notifies(raw, 0x6000);
	notifies(raw, 0x5000);
	notifies(raw, 0x5000);
	raw_initialize(raw);
	raw_request(raw, LHREQ_EVENTFD, 0, event);
	raw_request(raw, LHREQ_EVENTFD, 1ul << 32, event);
	raw_request(raw, LHREQ_EVENTFD, 0x5000, 999);
	raw_request(raw, LHREQ_EVENTFD, 0x5000, raw->fd);
	raw_request(raw, LHREQ_EVENTFD, 0x5000, ~0ul);
	raw_request(raw, LHREQ_EVENTFD, 0x5000, event);
	run(raw);
	raw_request(raw, LHREQ_EVENTFD, 0x5000, event);
	raw_request(raw, LHREQ_EVENTFD, 0x5000, ~0ul);
	run(raw);
	raw_request(raw, LHREQ_EVENTFD, 0x5000, ~0ul);
	run(raw);
	raw_free(raw);

	raw = row("more eventfds than there can be");
	raw_initialize(raw);
	for (unsigned long i = 1; i <= 129; i++)
		raw_request(raw, LHREQ_EVENTFD, i * PAGE, event);
	raw_request(raw, LHREQ_EVENTFD, PAGE, event);
	raw_request(raw, LHREQ_EVENTFD, PAGE, ~0ul);
	raw_request(raw, LHREQ_EVENTFD, 129 * PAGE, event);
	raw_free(raw);
	close(event);
}

static void *run_elsewhere(void *raw)
{
	prctl(PR_SET_NAME, "other");
	run(raw);
	raw_request(raw, LHREQ_IRQ, 1, 0);
	return NULL;
}

static void others(void)
{
	struct raw *raw = row("another thread, another process");
	pthread_t thread;
	pid_t child;

	raw_prologue(raw);
	notifies(raw, 0x5000);
	raw_initialize(raw);
	pthread_create(&thread, NULL, run_elsewhere, raw);
	pthread_join(thread, NULL);
	child = fork();
	if (!child) {
		prctl(PR_SET_NAME, "child");
		run(raw);
		raw_request(raw, LHREQ_IRQ, 1, 0);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	run(raw);
	raw_free(raw);
}

static void wake(int number)
{
	(void)number;
}

static void run_with_signals(struct raw *raw)
{
	struct itimerval often = { { 0, 200000 }, { 0, 100000 } }, never = { 0 };

	raw_spin(raw);
	raw_initialize(raw);
	/* One after another, in case the first comes before the read. */
	setitimer(ITIMER_REAL, &often, NULL);
	run(raw);
	setitimer(ITIMER_REAL, &never, NULL);
	raw_free(raw);
}

static void signals(void)
{
	struct sigaction action = { .sa_handler = wake };
	struct raw *raw = row("a signal ends the read of a guest that spins");

	sigaction(SIGALRM, &action, NULL);
	say("guest spins");
	raw_prologue(raw);
	run_with_signals(raw);

	raw = row("and of one that sleeps");
	say("guest spins");
	raw_prologue(raw);
	raw_hypercall(raw, HALT, 0, 0, 0, 0);
	run_with_signals(raw);
}

static void read_reason(struct raw *raw, size_t size)
{
	char text[256];

	as_recorded(read(raw->fd, text, size));
}

static void deaths(void)
{
	char *nowhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int event = eventfd(0, EFD_CLOEXEC);
	uint64_t counters[128];
	struct raw *raw = row("death");

	raw_prologue(raw);
	dies(raw, "BYE", 1);
	raw_initialize(raw);
	raw_request(raw, LHREQ_EVENTFD, 0x5000, event);
	run(raw);
	read_reason(raw, 256);
	read_reason(raw, 256);
	read_reason(raw, 4);
	read_reason(raw, 0);
	as_recorded(read(raw->fd, nowhere, 64));
	raw_request(raw, LHREQ_IRQ, 1, 0);
	raw_request(raw, LHREQ_IRQ, 32, 0);
	raw_request(raw, LHREQ_EVENTFD, 0x5000, ~0ul);
	raw_request(raw, LHREQ_EVENTFD, 0x6000, event);
	raw_request(raw, 99, 0, 0);
	raw_initialize(raw);
	raw_request(raw, LHREQ_COUNTERS, (unsigned long)counters, 40);
	raw_free(raw);

	raw = row("a guest that wants to be started again");
	raw_prologue(raw);
	dies(raw, "again", 2);
	raw_initialize(raw);
	run(raw);
	run(raw);
	raw_request(raw, LHREQ_IRQ, 1, 0);
	raw_request(raw, LHREQ_EVENTFD, 0x5000, event);
	raw_initialize(raw);
	run(raw);
	raw_free(raw);

	raw = row("a hypercall that there is not");
	raw_prologue(raw);
	say("guest dies Bad hypercall 42");
	raw_hypercall(raw, 42, 0, 0, 0, 0);
	raw_initialize(raw);
	run(raw);
	read_reason(raw, 256);
	raw_free(raw);

	raw = row("a notify that cannot be told is over");
	raw_prologue(raw);
	notifies(raw, 0x5000);
	notifies(raw, 0x6000);
	raw_initialize(raw);
	as_recorded(read(raw->fd, nowhere, 8));
	run(raw);
	raw_free(raw);
	munmap(nowhere, PAGE);
	close(event);
}

static void counters(void)
{
	uint64_t room[128];
	struct raw *raw = row("counters");

	raw_initialize(raw);
	raw_request(raw, LHREQ_COUNTERS, (unsigned long)room, 40);
	raw_request(raw, LHREQ_COUNTERS, (unsigned long)room, 0);
	raw_request(raw, LHREQ_COUNTERS, (unsigned long)room, sizeof(struct lguest_counters));
	raw_request(raw, LHREQ_COUNTERS, (unsigned long)room, sizeof(room));
	raw_request(raw, LHREQ_COUNTERS, (unsigned long)room, ~0ul);
	raw_request(raw, LHREQ_COUNTERS, 1, 40);
	raw_free(raw);
}

static void no_right(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { { 0 } };
	pid_t child;

	say("row no right to open it");
	for (int i = 0; i < 2; i++) {
		child = fork();
		if (!child) {
			prctl(PR_SET_NAME, "child");
			/* Root that may do nothing, and somebody else. */
			as_recorded(i ? syscall(SYS_setresuid, 65534, 65534, 65534) :
					syscall(SYS_capset, &header, none));
			as_recorded(open("/dev/lguest", O_RDWR | O_CLOEXEC));
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
}

int main(void)
{
	too_few_words();
	too_early();
	one_cpu();
	bad_guests();
	requests();
	eventfds();
	others();
	signals();
	deaths();
	counters();
	no_right();
	return 0;
}
