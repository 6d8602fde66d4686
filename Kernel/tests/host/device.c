// SPDX-License-Identifier: GPL-2.0-only
/*
 * What /dev/lguest answers to whom: return values and errno of every request, good and bad, and what
 * a launcher sees that dies, forks or takes its memory away. With an argument, every check is told.
 */
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
#include <sys/time.h>
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

static void check(bool holds, const char *title)
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

static bool gives(ssize_t result, int error)
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

static volatile sig_atomic_t profiles;

static void wake(int number)
{
	profiles += number == SIGPROF;
}

/* A signal each so many milliseconds; 0 ends them. */
static void alarm_each(unsigned int milliseconds)
{
	struct sigaction action = { .sa_handler = wake };
	struct itimerval when = { { 0, milliseconds * 1000 }, { 0, milliseconds * 1000 } };


	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &when, NULL);
}

static void signals(void)
{
	struct raw *raw = raw_new();
	unsigned long address;

	raw_prologue(raw);
	raw_spin(raw);
	raw_initialize(raw);
	/* One after another, in case the first is gone before the read begins. */
	alarm_each(30);
	check(gives(raw_run(raw, &address), EINTR), "a signal ends the read of a guest that spins");
	check(gives(raw_run(raw, &address), EINTR), "and of one that goes on spinning");
	alarm_each(0);
	raw_free(raw);

	raw = raw_new();
	raw_prologue(raw);
	raw_hypercall(raw, 10, 0, 0, 0, 0);
	raw_initialize(raw);
	alarm_each(30);
	check(gives(raw_run(raw, &address), EINTR), "a signal ends the read of a guest that sleeps");
	alarm_each(0);
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

/* The time that a process has used up, of which the host tells in another way. */
static void used_time(void)
{
	struct sigaction action = { .sa_handler = wake };
	struct itimerval when = { { 0, 50000 }, { 0, 50000 } }, never = { 0 };
	struct raw *raw = raw_new();
	unsigned long address;

	raw_prologue(raw);
	raw_spin(raw);
	raw_initialize(raw);
	sigaction(SIGPROF, &action, NULL);
	setitimer(ITIMER_PROF, &when, NULL);
	alarm_each(900);
	check(gives(raw_run(raw, &address), EINTR) && profiles, "a guest that spins uses up time");
	alarm_each(0);
	setitimer(ITIMER_PROF, &never, NULL);
	raw_free(raw);
}

/* Writes a word into each page of its memory, in a loop. */
static struct raw *toucher(void)
{
	static const uint8_t loop[] = {
		0xbf, 0, 0, 2, 0,	     /* mov $0x20000, %edi */
		0x89, 0x3f,		     /* 1: mov %edi, (%edi) */
		0x81, 0xc7, 0, 0x10, 0, 0,   /* add $0x1000, %edi */
		0x81, 0xff, 0, 0, 0x0e, 0,   /* cmp $0xe0000, %edi */
		0x72, 0xf0,		     /* jb 1b */
	};
	struct raw *raw = raw_new();

	raw_prologue(raw);
	raw_hypercall(raw, NOTIFY, 0x5000, 0, 0, 0);
	raw_bytes(raw, loop, sizeof(loop));
	raw_hypercall(raw, NOTIFY, 0x6000, 0, 0, 0);
	raw_spin(raw);
	raw_initialize(raw);
	return raw;
}

static void memory_taken_away(void)
{
	unsigned long address;
	struct raw *raw = toucher();

	check(raw_run(raw, &address) == 8 && raw_run(raw, &address) == 8 && address == 0x6000,
	      "a guest writes all over its memory");
	check(*(uint32_t *)(raw->memory + 0xd0000) == 0xd0000, "and it is written");
	raw_free(raw);

	raw = toucher();
	raw_run(raw, &address);
	munmap(raw->memory + 0x80000, 0x40000);
	check(gives(raw_run(raw, &address), ENOENT), "a guest whose memory is taken away dies");
	raw_free(raw);

	raw = toucher();
	raw_run(raw, &address);
	mprotect(raw->memory + 0x80000, 0x40000, PROT_READ);
	check(gives(raw_run(raw, &address), ENOENT), "and one whose memory is read-only");
	raw_free(raw);
}

/* What a launcher may do to memory of a running guest: nobody but the guest may suffer. */
static void memory_changed(void)
{
	unsigned long address;
	struct raw *raw = toucher();
	void *moved;
	pid_t child;

	raw_run(raw, &address);
	madvise(raw->memory, RAW_BYTES, MADV_DONTNEED);
	check(raw_run(raw, &address) == 8 && address == 0x6000,
	      "memory that is given back stays with the guest");
	raw_free(raw);

	raw = toucher();
	raw_run(raw, &address);
	moved = mremap(raw->memory + 0x80000, 0x40000, 0x40000, MREMAP_MAYMOVE | MREMAP_FIXED,
		       mmap(NULL, 0x40000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	check(gives(raw_run(raw, &address), ENOENT), "memory that moves away is gone");
	munmap(moved, 0x40000);
	raw_free(raw);

	/* The child writes what the guest has not touched yet, and then what it has. */
	raw = toucher();
	raw_run(raw, &address);
	child = fork();
	if (!child) {
		memset(raw->memory, 0x55, RAW_BYTES);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	check(raw_run(raw, &address) == 8 && address == 0x6000 &&
		      *(uint32_t *)(raw->memory + 0xd0000) == 0xd0000 &&
		      raw->memory[RAW_START] != 0x55,
	      "a forked child writes to memory of its own");
	raw_free(raw);
}

/* The file under a shared memory is cut off. */
static void memory_cut(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct raw *raw = toucher();
	struct raw *cut = raw_new();
	unsigned long address;

	if (ftruncate(fd, RAW_BYTES) < 0)
		exit(2);
	munmap(cut->memory, RAW_BYTES);
	cut->memory = mmap(NULL, RAW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memcpy(cut->memory, raw->memory, RAW_BYTES);
	raw_initialize(cut);
	raw_run(cut, &address);
	check(ftruncate(fd, 0x80000) == 0 && gives(raw_run(cut, &address), ENOENT),
	      "a guest whose file is cut off dies");
	raw_free(raw);
	raw_free(cut);
	close(fd);
}

static void *spin(void *argument)
{
	unsigned long address;

	raw_initialize(argument);
	while (raw_run(argument, &address) == -1 && errno == EINTR)
		;
	return NULL;
}

static struct raw *spinner(void)
{
	struct raw *raw = raw_new();

	raw_prologue(raw);
	raw_spin(raw);
	return raw;
}

/* One thread runs a guest that spins; another closes the file, or becomes another program. */
static void other_threads(void)
{
	pid_t child;
	int status;

	child = fork();
	if (!child) {
		struct raw *raw = spinner();
		pthread_t thread;

		pthread_create(&thread, NULL, spin, raw);
		usleep(50000);
		close(raw->fd);
		usleep(50000);
		_exit(0);
	}
	waitpid(child, &status, 0);
	check(status == 0, "the file is closed while another thread runs the guest");

	child = fork();
	if (!child) {
		struct raw *raw = spinner();
		char number[16];
		pthread_t thread;

		snprintf(number, sizeof(number), "%d", dup(raw->fd));
		pthread_create(&thread, NULL, spin, raw);
		usleep(50000);
		execl("/proc/self/exe", "device-test", "after-exec", number, NULL);
		_exit(2);
	}
	waitpid(child, &status, 0);
	check(status == 0, "another program takes the place of one whose thread runs a guest");
}

/* A child that still has the file when its parent, which ran the guest, was killed. */
static void heir(void)
{
	int report[2];
	char answer = 'x';
	pid_t child;

	if (pipe(report) < 0)
		exit(2);
	child = fork();
	if (!child) {
		struct raw *raw = spinner();
		unsigned long address;

		raw_initialize(raw);
		if (!fork()) {
			pid_t parent = getppid();

			usleep(50000);
			kill(parent, SIGKILL);
			usleep(100000);
			answer = raw_request(raw, LHREQ_IRQ, 3, 0) == 0 &&
				 gives(raw_run(raw, &address), EPERM) ? 'y' : 'n';
			if (write(report[1], &answer, 1) != 1)
				_exit(1);
			_exit(0);
		}
		raw_run(raw, &address);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	close(report[1]);
	check(read(report[0], &answer, 1) == 1 && answer == 'y',
	      "a child that has the file when its parent was killed finds it harmless");
	close(report[0]);
}

static void *give_birth(void *argument)
{
	struct raw *raw = argument;
	unsigned long address;

	raw_initialize(raw);
	return raw_run(raw, &address) == 8 ? raw : NULL;
}

/* The thread that ran the guest has ended: interrupts find nobody, and nobody else may run it. */
static void orphan(void)
{
	struct raw *raw = raw_new();
	unsigned long address;
	pthread_t thread;
	void *born;

	raw_prologue(raw);
	raw_hypercall(raw, NOTIFY, 0x5000, 0, 0, 0);
	raw_spin(raw);
	pthread_create(&thread, NULL, give_birth, raw);
	pthread_join(thread, &born);
	check(born != NULL, "a thread runs a guest and ends");
	for (unsigned int i = 0; i < 32; i++)
		raw_request(raw, LHREQ_IRQ, i, 0);
	check(raw_request(raw, LHREQ_IRQ, 3, 0) == 0, "interrupts for its guest harm nobody");
	check(gives(raw_run(raw, &address), EPERM), "and nobody else may run it");
	raw_free(raw);
}

/* The same task, but another program in another address space: its file came through exec. */
static void after_exec(int fd)
{
	unsigned long address;

	_exit(read(fd, &address, sizeof(address)) == -1 && errno == EPERM ? 0 : 1);
}

static void other_program(void)
{
	char number[16];
	pid_t child = fork();
	int status;

	if (!child) {
		struct raw *raw = toucher();
		unsigned long address;

		raw_run(raw, &address);
		snprintf(number, sizeof(number), "%d", dup(raw->fd));
		execl("/proc/self/exe", "device-test", "after-exec", number, NULL);
		_exit(2);
	}
	waitpid(child, &status, 0);
	check(status == 0, "a guest is not run in another address space than its own");
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

static void memory_kinds(void)
{
	unsigned long address;
	struct raw *raw = toucher();
	int fd = memfd_create("guest", MFD_CLOEXEC);
	uint8_t *shared;

	raw_free(raw);
	raw = raw_new();
	raw_prologue(raw);
	raw_hypercall(raw, NOTIFY, 0x5000, 0, 0, 0);
	if (ftruncate(fd, RAW_BYTES) < 0)
		exit(2);
	shared = mmap(NULL, RAW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memcpy(shared, raw->memory, RAW_BYTES);
	munmap(raw->memory, RAW_BYTES);
	raw->memory = shared;
	raw_initialize(raw);
	check(raw_run(raw, &address) == 8 && address == 0x5000, "memory may be shared");
	raw_free(raw);
	close(fd);
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
	while (interrupters)
		runs += raw_run(raw, &address) == 8 || errno == EINTR;
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
	at_once();
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}
