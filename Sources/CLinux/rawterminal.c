// SPDX-License-Identifier: Apache-2.0
/*
 * Raw mode that never outlives the process.
 *
 * A terminal left in raw mode is useless to whoever gets it back, so one terminal, the one that serves
 * as a console, is remembered here together with its settings, and gets them back however the process
 * ends: when the console is closed, by atexit(3), or in a handler for the signals that end a process and
 * that nobody else handles. The handler then lets the signal take its course: a fault goes to the handler that
 * was there before (passon.c). SIGTSTP is ignored meanwhile. It is C for the reason that sigbus.c is: it runs in
 * the middle of anything. SIGBUS belongs to sigbus.c, which calls clinux_terminal_restore for a fault
 * that nobody handles. Only SIGKILL and power cuts are not covered.
 */
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "passon.h"

/* What ends a process unless it does something about it. First those that a fault raises. */
static const int deadly[] = {
	SIGSEGV, SIGILL, SIGTRAP, SIGABRT, SIGFPE, SIGSYS,
	SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF,
	SIGXCPU, SIGXFSZ, SIGPOLL, SIGPWR, SIGSTKFLT,
};
enum { DEADLY = sizeof(deadly) / sizeof(deadly[0]), FAULTS = 6 };

/* By number. */
static struct sigaction previous[_NSIG];
/* What a stop from the keyboard did before: a stopped process would leave the terminal raw. */
static struct sigaction previous_stop;
static struct termios settings, raw;
/* The terminal to restore, a descriptor of our own; -1 when there is none. */
static atomic_int raw_terminal = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Sets a terminal. A process in the background would be stopped for it. */
static void set(int fd, const struct termios *how)
{
	sigset_t output, before;

	sigemptyset(&output);
	sigaddset(&output, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &output, &before);
	tcsetattr(fd, TCSANOW, how);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int clinux_terminal_pause(void)
{
	int fd = atomic_exchange(&raw_terminal, -1);

	if (fd >= 0)
		set(fd, &settings);
	return fd;
}

void clinux_terminal_resume(int fd)
{
	int none = -1;

	if (fd < 0)
		return;
	set(fd, &raw);
	if (!atomic_compare_exchange_strong(&raw_terminal, &none, fd))
		close(fd);
}

void clinux_terminal_restore(void)
{
	int error = errno;
	int fd = clinux_terminal_pause();

	if (fd >= 0) {
		close(fd);
		sigaction(SIGTSTP, &previous_stop, NULL);
	}
	errno = error;
}

static void handle(int number, siginfo_t *info, void *context)
{
	int saved = errno;
	int is_fault = 0;

	if (clinux_pass_on(&previous[number], number, info, context)) {
		errno = saved;
		return;
	}
	clinux_terminal_restore();
	signal(number, SIG_DFL);
	for (int i = 0; i < FAULTS; i++)
		if (deadly[i] == number)
			is_fault = info->si_code > 0;
	/* A fault comes again when the instruction is tried again; a signal that was sent does not. */
	if (!is_fault)
		raise(number);
}

static void take(int number, int is_fault)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = handle;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigemptyset(&action.sa_mask);
	sigaction(number, NULL, &previous[number]);
	/* What somebody else ignores or handles is theirs, but for faults. */
	if (is_fault || previous[number].sa_handler == SIG_DFL)
		sigaction(number, &action, NULL);
}

static void install(void)
{
	for (int i = 0; i < DEADLY; i++)
		take(deadly[i], i < FAULTS);
	/* Those for real-time use end a process as well. */
	for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
		take(number, 0);
	atexit(clinux_terminal_restore);
}

int clinux_terminal_make_raw(int fd)
{
	struct sigaction stop;
	int copy;

	if (atomic_load(&raw_terminal) >= 0) {
		errno = EBUSY;
		return -1;
	}
	if (tcgetattr(fd, &settings))
		return -1;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -1;
	pthread_once(&once, install);
	memset(&stop, 0, sizeof(stop));
	stop.sa_handler = SIG_IGN;
	sigaction(SIGTSTP, &stop, &previous_stop);
	raw = settings;
	raw.c_iflag &= ~(unsigned)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	raw.c_lflag &= ~(unsigned)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	raw.c_cflag = (raw.c_cflag & ~(unsigned)(CSIZE | PARENB)) | CS8;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	atomic_store(&raw_terminal, copy);
	if (tcsetattr(copy, TCSANOW, &raw)) {
		int error = errno;

		clinux_terminal_restore();
		errno = error;
		return -1;
	}
	return 0;
}

int clinux_terminal_is_background(int fd)
{
	pid_t group = tcgetpgrp(fd);

	return group >= 0 && group != getpgrp();
}
