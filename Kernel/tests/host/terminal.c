// SPDX-License-Identifier: GPL-2.0-only
/*
 * A user at a terminal: runs a program on one of its own, waits for what it prints, does something, and
 * looks whether the terminal is afterwards as it was before.
 *
 *	terminal-test TEXT ACTION CODE restored|raw COMMAND...
 *
 * TEXT is waited for. ACTION is `type=LINE`, `ctrl-c`, `signal=N`, or `nothing`: the program ends by itself. CODE is
 * the exit code that it is to have, or the signal that kills it with 128 added. `restored` wants the terminal as before,
 * `raw` wants it left as the program had it. The exit code is 0 when all of it was so.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* Only there to end what hangs. */
#define LIMIT 240000
#define CTRL_C 3

static int master, slave;
static pid_t child;
static bool ended;
static int status;
static char output[65536];
static size_t output_bytes;

static void fail(const char *form, ...)
{
	va_list arguments;

	va_start(arguments, form);
	vprintf(form, arguments);
	va_end(arguments);
	printf("\nthe terminal had:\n%.*s\n", (int)output_bytes, output);
	if (child > 0 && !ended)
		kill(child, SIGKILL);
	exit(1);
}

static long milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Takes what the program prints, and looks whether it has ended. */
static void look(void)
{
	struct pollfd entry = { .fd = master, .events = POLLIN };

	if (poll(&entry, 1, 10) == 1 && (entry.revents & POLLIN)) {
		ssize_t came;

		if (output_bytes + 1 >= sizeof(output))
			output_bytes = 0;
		came = read(master, output + output_bytes, sizeof(output) - 1 - output_bytes);
		output_bytes += came > 0 ? came : 0;
		output[output_bytes] = '\0';
	}
	if (!ended && waitpid(child, &status, WNOHANG) == child)
		ended = true;
}

/* False when it does not happen. */
static bool wait_for(bool (*happens)(const char *), const char *what, long limit)
{
	long end = milliseconds() + limit;

	while (!happens(what)) {
		if (milliseconds() > end)
			return false;
		look();
	}
	return true;
}

static bool has_printed(const char *text)
{
	return strstr(output, text) || ended;
}

static bool has_ended(const char *unused)
{
	(void)unused;
	return ended;
}

static bool has_taken_all(const char *unused)
{
	int waiting = 0;

	(void)unused;
	return ended || (ioctl(slave, FIONREAD, &waiting) == 0 && waiting == 0);
}

static void type(const char *text, size_t bytes)
{
	if (write(master, text, bytes) != (ssize_t)bytes)
		fail("cannot type");
}

/* One key, and the program has read it before the next one. */
static void press(char key)
{
	type(&key, 1);
	/* It comes to the program's side a moment later. */
	look();
	if (!wait_for(has_taken_all, NULL, LIMIT))
		fail("the program does not read its terminal");
}

static bool is_raw(void)
{
	struct termios now;

	return tcgetattr(slave, &now) == 0 && !(now.c_lflag & (ICANON | ISIG | ECHO));
}

static bool is_leaving(const char *unused)
{
	(void)unused;
	return ended || !is_raw();
}

/* Three within a second are wanted. On a machine that is too busy for that they are more. */
static void press_ctrl_c(void)
{
	for (int tries = 0; tries < 20 && !is_leaving(NULL); tries++) {
		for (int i = 0; i < 3 && !is_leaving(NULL); i++)
			press(CTRL_C);
		wait_for(is_leaving, NULL, 5000);
	}
}

static bool same(const struct termios *a, const struct termios *b)
{
	return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_cflag == b->c_cflag &&
	       a->c_lflag == b->c_lflag && memcmp(a->c_cc, b->c_cc, sizeof(a->c_cc)) == 0;
}

/* Starts the program on a new terminal, whose settings are in `before`. */
static void start(char **command, struct termios *before)
{
	char *name;
	struct winsize size = { .ws_row = 24, .ws_col = 80 };

	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || grantpt(master) || unlockpt(master) || !(name = ptsname(master)))
		fail("there is no terminal to be had");
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	ioctl(slave, TIOCSWINSZ, &size);
	tcgetattr(slave, before);
	/* Nobody has this by default, so it cannot come back by chance. */
	before->c_cc[VERASE] = 'Q' - '@';
	tcsetattr(slave, TCSANOW, before);
	tcgetattr(slave, before);
	child = fork();
	if (child == 0) {
		setsid();
		ioctl(slave, TIOCSCTTY, 0);
		for (int fd = 0; fd < 3; fd++)
			dup2(slave, fd);
		execvp(command[0], command);
		_exit(127);
	}
}

static void act(const char *action)
{
	if (strncmp(action, "type=", 5) == 0) {
		type(action + 5, strlen(action + 5));
		type("\r", 1);
	} else if (strncmp(action, "signal=", 7) == 0) {
		kill(child, atoi(action + 7));
	} else if (strcmp(action, "ctrl-c") == 0) {
		press_ctrl_c();
	} else if (strcmp(action, "nothing") != 0) {
		fail("there is no action %s", action);
	}
}

int main(int argc, char **argv)
{
	struct termios before, during, after;
	int code;

	if (argc < 6)
		fail("usage: terminal-test TEXT ACTION CODE restored|raw COMMAND...");
	start(argv + 5, &before);
	if (!wait_for(has_printed, argv[1], LIMIT) || !strstr(output, argv[1]))
		fail("'%s' was not printed", argv[1]);
	tcgetattr(slave, &during);
	if (strcmp(argv[2], "nothing") != 0 && !is_raw())
		fail("the terminal is not raw while the program runs");
	act(argv[2]);
	if (!wait_for(has_ended, NULL, LIMIT))
		fail("the program does not end");
	code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (code != atoi(argv[3]))
		fail("the exit code is %d, not %s", code, argv[3]);
	tcgetattr(slave, &after);
	if (strcmp(argv[4], "restored") == 0 ? !same(&after, &before) : !same(&after, &during))
		fail("the terminal is not as it should be: local flags %x, before %x, meanwhile %x",
		     after.c_lflag, before.c_lflag, during.c_lflag);
	return 0;
}
