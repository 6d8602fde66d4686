// SPDX-License-Identifier: GPL-2.0-only
/* Threads, processes and programs that have a guest's file and are not the one that runs it. */
#include "device.h"
#include "raw.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lguest_abi.h"

#define NOTIFY 17

static void *give_birth(void *argument)
{
	struct raw *raw = argument;
	unsigned long address;

	raw_initialize(raw);
	return raw_run(raw, &address) == 8 ? raw : NULL;
}

/* The thread that ran the guest has ended: interrupts find nobody, and nobody else may run it. */
void orphan(void)
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
void after_exec(int fd)
{
	unsigned long address;

	_exit(read(fd, &address, sizeof(address)) == -1 && errno == EPERM ? 0 : 1);
}

void other_program(void)
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
void other_threads(void)
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
void heir(void)
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
