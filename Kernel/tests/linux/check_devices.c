// SPDX-License-Identifier: GPL-2.0-only
/* The first disk, and the random numbers, by Linux's own drivers. */
#include "check.h"

enum {
	READ_ONLY = 0,
	READ_WRITE = 2,
	CHARACTER = 0020600,
	BLOCK = 0060600,
	RANDOM_DEVICE = 10 << 8 | 183,
};

/* /proc/partitions has lines of `major minor blocks name`. The device number of vda; 0 without it. */
static int disk_number(void)
{
	static char text[1024];
	int file, length, line = 0;

	CALL2(SYS_MKDIR, "/proc", 0755);
	call5(SYS_MOUNT, (long)"none", (long)"/proc", (long)"proc", 0, 0);
	file = CALL3(SYS_OPEN, "/proc/partitions", READ_ONLY, 0);
	length = CALL3(SYS_READ, file, text, sizeof(text) - 1);
	CALL1(SYS_CLOSE, file);
	for (int i = 0; i + 3 < length; i++) {
		if (text[i] == '\n')
			line = i + 1;
		if (text[i] == 'v' && text[i + 1] == 'd' && text[i + 2] == 'a') {
			int major = 0;

			while (text[line] == ' ')
				line++;
			while (text[line] >= '0' && text[line] <= '9')
				major = major * 10 + text[line++] - '0';
			return major << 8;
		}
	}
	return 0;
}

static void disk(void)
{
	static const char mark[] = "written by Linux";
	static uint8_t written[64 * 1024], seen[sizeof(written)];
	uint32_t wrong = 0;
	int file;

	CALL3(SYS_MKNOD, "/vda", BLOCK, disk_number());
	file = CALL3(SYS_OPEN, "/vda", READ_WRITE, 0);
	check(file >= 0, "there is a disk");
	for (uint32_t i = 0; i < sizeof(written); i++)
		written[i] = i ^ i >> 8;
	memcpy(written, mark, sizeof(mark));
	check(CALL3(SYS_WRITE, file, written, sizeof(written)) == sizeof(written), "it is written");
	check(CALL1(SYS_FSYNC, file) == 0, "and flushed");
	CALL1(SYS_CLOSE, file);
	/* With the last close Linux forgets what it had read or written: this is read anew. */
	file = CALL3(SYS_OPEN, "/vda", READ_ONLY, 0);
	check(CALL3(SYS_READ, file, seen, sizeof(seen)) == sizeof(seen), "it is read");
	for (uint32_t i = 0; i < sizeof(seen); i++)
		wrong += seen[i] != written[i];
	check(!wrong, "what was written");
	CALL1(SYS_CLOSE, file);
}

static void random_numbers(void)
{
	uint32_t words[4] = { 0 };
	int file;

	CALL3(SYS_MKNOD, "/random", CHARACTER, RANDOM_DEVICE);
	file = CALL3(SYS_OPEN, "/random", READ_ONLY, 0);
	check(CALL3(SYS_READ, file, words, sizeof(words)) == sizeof(words), "random numbers come");
	check(words[0] | words[1] | words[2] | words[3], "and are not all zero");
	CALL1(SYS_CLOSE, file);
}

void check_devices(void)
{
	disk();
	random_numbers();
}
