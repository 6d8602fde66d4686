// SPDX-License-Identifier: GPL-2.0-only
/*
 * record FILE PROGRAM ARGUMENT...: runs a program and writes down all that it and its threads and
 * children do with /dev/lguest, as ptrace(2) shows it: a line for each call that has ended, with the
 * thread, the bytes, the result or errno. recording.py makes a recording of it.
 *
 *	ID NAME open = 5			the descriptor
 *	ID NAME write 32: 0 BASE 100 10000 = 24	words in hexadecimal
 *	ID NAME read 8 = 8: 00500000...		bytes in hexadecimal
 *	ID NAME memory 1004: 07...		what the guest has there that the read before told of
 *	ID NAME page 12345			the devices, when the guest was made
 *	ID NAME hypercalls 7			what the counters that the write before has got say
 *	ID NAME close 5 = 0			of an original or a duplicate
 *
 * Where a word is an address or a file of that process it is written as what it is: BASE, BUFFER,
 * UNMAPPED, EVENTFD, LGUEST, CLOSED. What a program writes to standard output in lines that begin with
 * "row " or "guest " is written down between the calls. Exits with the program's code.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lguest_abi.h"

#define TASKS 256
#define SHOWN 1024  /* bytes of one call */
#define GLIMPSE 64  /* bytes of the guest's memory where it notifies */
#define PAGE 4096
#define E820_SIZE 0x2d8
/* Where a process's addresses end. */
#define TASK_SIZE 0x7ffffffff000
/* What a tracer sees, and no program: the call ends with EINTR or begins again, as the signal's handler has it. */
#define ERESTARTSYS 512

/* A thread, and the call that it is in. */
struct task {
	pid_t id;
	bool in_call, on_guest;
	struct __ptrace_syscall_info entry, left;
	bool has_left;	    /* a read, for a signal, and may go back to it */
	unsigned long base; /* of the guest that it has made */
};

static struct task tasks[TASKS];
static FILE *out;

static struct task *find(pid_t id)
{
	struct task *empty = NULL;

	for (unsigned int i = 0; i < TASKS; i++) {
		if (tasks[i].id == id)
			return &tasks[i];
		if (!tasks[i].id && !empty)
			empty = &tasks[i];
	}
	if (!empty) {
		fprintf(stderr, "record: more than %d threads\n", TASKS);
		exit(2);
	}
	*empty = (struct task){ .id = id };
	return empty;
}

/* As many bytes as can be read there; the call stops at what is not mapped. */
static size_t peek(pid_t id, unsigned long address, void *to, size_t count)
{
	size_t done = 0;

	/* A page at a time, since a piece is read as a whole or not at all. */
	while (done < count) {
		size_t piece = PAGE - (address + done) % PAGE;
		struct iovec here, there;

		if (piece > count - done)
			piece = count - done;
		here = (struct iovec){ (char *)to + done, piece };
		there = (struct iovec){ (void *)(address + done), piece };
		if (process_vm_readv(id, &here, 1, &there, 1, 0) != (ssize_t)piece)
			break;
		done += piece;
	}
	return done;
}

static bool mapped(pid_t id, unsigned long address)
{
	char byte;

	return peek(id, address, &byte, 1) == 1;
}

/* What kind of file a descriptor is. */
static const char *kind(pid_t id, long fd)
{
	char path[64], target[PATH_MAX];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", id, (int)fd);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return "CLOSED";
	target[length] = '\0';
	if (strcmp(target, "/dev/lguest") == 0)
		return "LGUEST";
	return strcmp(target, "anon_inode:[eventfd]") == 0 ? "EVENTFD" : "OTHER";
}

static void begin_line(pid_t id)
{
	char path[64], name[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", id);
	file = fopen(path, "r");
	if (file) {
		if (fgets(name, sizeof(name), file))
			name[strcspn(name, "\n")] = '\0';
		fclose(file);
	}
	for (char *at = name; *at; at++)
		if (*at == ' ')
			*at = '-';
	fprintf(out, "%d %s ", id, name);
}

static void end_line(long result)
{
	if (result >= 0)
		fprintf(out, " = %ld\n", result);
	else
		fprintf(out, " = %s\n", result == -85 ? "ERESTART" : strerrorname_np(-result));
}

static void hex(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fprintf(out, "%02x", bytes[i]);
}

static void word(struct task *task, const uint64_t *words, unsigned int i)
{
	bool is_address = (words[0] == LHREQ_INITIALIZE || words[0] == LHREQ_COUNTERS) && i == 1;

	if (is_address && mapped(task->id, words[1]))
		fprintf(out, " %s", words[0] == LHREQ_INITIALIZE ? "BASE" : "BUFFER");
	else if (is_address && words[1] >> 40 && words[1] < TASK_SIZE)
		fprintf(out, " UNMAPPED");
	else if (words[0] == LHREQ_EVENTFD && i == 2 && words[2] != ~0ul)
		fprintf(out, " %s", kind(task->id, words[2]));
	else
		fprintf(out, " %lx", words[i]);
}

/* The devices' descriptors, behind the guest's memory, up to the type 0 that ends them. */
static void show_devices(struct task *task)
{
	uint8_t page[PAGE];
	uint64_t memory;
	size_t at = 0;

	if (peek(task->id, task->base + E820_SIZE, &memory, sizeof(memory)) != sizeof(memory) ||
	    peek(task->id, task->base + memory, page, PAGE) != PAGE)
		return;
	while (at + 5 < PAGE && page[at])
		at += 5 + 8 * page[at + 1] + 2 * page[at + 2] + page[at + 3];
	begin_line(task->id);
	fprintf(out, "page %lx: ", memory);
	hex(page, at < PAGE ? at : 0);
	fprintf(out, "\n");
}

static void wrote(struct task *task, long result)
{
	const uint64_t *args = task->entry.entry.args;
	uint64_t words[8] = { ~0ul };
	size_t count = args[2] < sizeof(words) ? args[2] : sizeof(words);
	size_t got = peek(task->id, args[1], words, count);

	begin_line(task->id);
	fprintf(out, "write %lu", args[2]);
	if (task->entry.entry.nr == SYS_pwrite64)
		fprintf(out, " cpu %lu", args[3]);
	fprintf(out, ":");
	for (unsigned int i = 0; i < got / 8; i++)
		word(task, words, i);
	if (got < count)
		fprintf(out, " UNMAPPED");
	end_line(result);
	if (words[0] == LHREQ_COUNTERS && result > 0) {
		struct lguest_counters counters = { 0 };

		peek(task->id, words[1], &counters,
		     result < (long)sizeof(counters) ? result : (long)sizeof(counters));
		begin_line(task->id);
		fprintf(out, "hypercalls %lu\n",
			(unsigned long)(counters.hypercalls + counters.ring_hypercalls));
	}
	if (words[0] == LHREQ_INITIALIZE && result > 0) {
		task->base = words[1];
		show_devices(task);
	}
}

static void was_read(struct task *task, long result)
{
	const uint64_t *args = task->entry.entry.args;
	uint8_t bytes[SHOWN], glimpse[GLIMPSE];
	uint64_t address;
	size_t got = 0;

	if (result > 0)
		got = peek(task->id, args[1], bytes, result < SHOWN ? result : SHOWN);
	begin_line(task->id);
	fprintf(out, "read %lu", args[2]);
	if (task->entry.entry.nr == SYS_pread64)
		fprintf(out, " cpu %lu", args[3]);
	if (!mapped(task->id, args[1]))
		fprintf(out, " UNMAPPED");
	if (!got) {
		end_line(result);
		return;
	}
	fprintf(out, " = %ld: ", result);
	hex(bytes, got);
	fprintf(out, "\n");
	if (result != sizeof(address) || !task->base)
		return;
	memcpy(&address, bytes, sizeof(address));
	if (peek(task->id, task->base + address, glimpse, GLIMPSE) != GLIMPSE)
		return;
	begin_line(task->id);
	fprintf(out, "memory %lx: ", address);
	hex(glimpse, GLIMPSE);
	fprintf(out, "\n");
}

/* What the program itself wants to be written down. */
static void said(struct task *task)
{
	const uint64_t *args = task->entry.entry.args;
	char text[SHOWN + 1];
	size_t got = peek(task->id, args[1], text, args[2] < SHOWN ? args[2] : SHOWN);

	text[got] = '\0';
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strncmp(line, "row ", 4) == 0 || strncmp(line, "guest ", 6) == 0)
			fprintf(out, "%s\n", line);
}

static bool opens_guest(struct task *task)
{
	char path[sizeof("/dev/lguest")];

	return peek(task->id, task->entry.entry.args[1], path, sizeof(path)) == sizeof(path) &&
	       memcmp(path, "/dev/lguest", sizeof(path)) == 0;
}

static void call_begins(struct task *task)
{
	const uint64_t *args = task->entry.entry.args;

	switch (task->entry.entry.nr) {
	case SYS_openat:
		task->on_guest = opens_guest(task);
		break;
	case SYS_write:
		if (args[0] == STDOUT_FILENO)
			said(task);
		/* fallthrough */
	case SYS_read:
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_readv:
	case SYS_writev:
	case SYS_ioctl:
	case SYS_lseek:
	case SYS_mmap:
	case SYS_close: {
		long fd = task->entry.entry.nr == SYS_mmap ? (int)args[4] : (int)args[0];

		task->on_guest = fd >= 0 && strcmp(kind(task->id, fd), "LGUEST") == 0;
		break;
	}
	default:
		task->on_guest = false;
	}
}

static void call_ends(struct task *task, long result)
{
	/* Where it had left the read, it is only now told. */
	if (task->entry.entry.nr == SYS_rt_sigreturn && task->has_left && result == -EINTR) {
		task->entry = task->left;
		task->has_left = false;
		was_read(task, result);
	}
	if (!task->on_guest)
		return;
	task->has_left = result == -ERESTARTSYS;
	if (task->has_left) {
		task->left = task->entry;
		return;
	}
	switch (task->entry.entry.nr) {
	case SYS_write:
	case SYS_pwrite64:
		wrote(task, result);
		break;
	case SYS_read:
	case SYS_pread64:
		was_read(task, result);
		break;
	default:
		begin_line(task->id);
		if (task->entry.entry.nr == SYS_openat)
			fprintf(out, "open");
		else if (task->entry.entry.nr == SYS_close)
			fprintf(out, "close %lu", task->entry.entry.args[0]);
		else
			/* Nobody makes such a call. */
			fprintf(out, "call %lu", task->entry.entry.nr);
		end_line(result);
	}
}

static void at_call(struct task *task)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, task->id, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		task->entry = info;
		task->in_call = true;
		call_begins(task);
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && task->in_call) {
		task->in_call = false;
		call_ends(task, info.exit.rval);
	}
}

static pid_t start(char **argv)
{
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
		       PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	pid_t child = fork();
	int status;

	if (!child) {
		raise(SIGSTOP);
		execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, WUNTRACED) != child ||
	    ptrace(PTRACE_SEIZE, child, 0, options) < 0) {
		perror("record");
		exit(2);
	}
	kill(child, SIGCONT);
	return child;
}

int main(int argc, char **argv)
{
	int status, code = 0;
	pid_t child, id;

	if (argc < 3 || !(out = fopen(argv[1], "w"))) {
		fprintf(stderr, "usage: record FILE PROGRAM ARGUMENT...\n");
		return 2;
	}
	setvbuf(out, NULL, _IOLBF, 0);
	/* Signals are for the program. */
	signal(SIGINT, SIG_IGN);
	child = start(argv + 2);
	while ((id = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		int sent = 0, event = status >> 16;

		if (id < 0)
			continue;
		if (!WIFSTOPPED(status)) {
			find(id)->id = 0;
			if (id == child)
				code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			continue;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			at_call(find(id));
		else if (!event)
			sent = WSTOPSIG(status);
		else
			/* Its first stop, a child's birth, an exec: the call it was in is over. */
			find(id)->in_call = find(id)->in_call && event != PTRACE_EVENT_EXEC;
		ptrace(PTRACE_SYSCALL, id, 0, sent);
	}
	fclose(out);
	return code;
}
