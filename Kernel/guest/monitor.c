// SPDX-License-Identifier: GPL-2.0-only
/* The monitor: a person types commands on the console. */
#include "block.h"
#include "console.h"
#include "net.h"
#include "rng.h"
#include "user.h"

#define LINE_MAX 128
#define BENCH_BYTES 65536
#define BENCH_ROUNDS 64
/* Sectors that are copied at a time. */
#define CHUNK 8
/* Pings that two guests send each other. */
#define TALK 1000

static bool have_block, have_net, have_rng;
static uint8_t buffer[BENCH_BYTES] __attribute__((aligned(PAGE_SIZE)));

static void help(const char *rest);

static void show_memory(const char *rest)
{
	(void)rest;
	print("%u KiB, %u free; %s page tables; root at %x\n", memory_bytes >> 10,
	      pages_free() * 4, sizeof(pte_t) == 8 ? "PAE" : "2-level",
	      physical(root_current()));
}

static void block_read_sector(const char *rest)
{
	uint8_t *page = page_alloc();
	int status = block_do(BLOCK_READ, number(rest), page, SECTOR);

	if (status)
		print("status %d\n", status);
	for (uint32_t row = 0; !status && row < 128; row += 16) {
		print("%04x ", row);
		for (uint32_t i = 0; i < 16; i++)
			print(" %02x", page[row + i]);
		print("  ");
		for (uint32_t i = 0; i < 16; i++)
			print("%c", page[row + i] >= 32 && page[row + i] < 127 ? page[row + i] : '.');
		print("\n");
	}
	page_free(page);
}

static void block_write_sector(const char *rest)
{
	uint8_t *page = page_alloc();
	uint32_t sector = number(rest);

	while (*rest && *rest != ' ')
		rest++;
	while (*rest == ' ')
		rest++;
	memcpy(page, rest, strlen(rest));
	print("status %d\n", block_do(BLOCK_WRITE, sector, page, SECTOR));
	page_free(page);
}

/* The next number of a command. */
static uint32_t next_number(const char **rest)
{
	uint32_t value = number(*rest);

	while (**rest && **rest != ' ')
		++*rest;
	while (**rest == ' ')
		++*rest;
	return value;
}

/*
 * Copies sectors of the disk, in two halves with a barrier at the end of the first, then flushes, and
 * compares what is there with what was.
 */
static void block_copy(const char *rest)
{
	uint32_t from = next_number(&rest), to = next_number(&rest), count = number(rest);
	uint32_t barrier = count / 2 / CHUNK * CHUNK, at, bad = 0;
	uint8_t *one = buffer, *other = buffer + CHUNK * SECTOR;

	for (at = 0; at + CHUNK <= count; at += CHUNK) {
		bad += block_do(BLOCK_READ, from + at, one, CHUNK * SECTOR) != 0;
		bad += block_do(BLOCK_WRITE | (at == barrier ? BLOCK_BARRIER : 0), to + at, one,
				CHUNK * SECTOR) != 0;
	}
	bad += block_do(BLOCK_FLUSH, 0, NULL, 0) != 0;
	print("%u sectors copied, with a barrier and a flush; %u requests failed\n", at, bad);
	for (at = bad = 0; at + CHUNK <= count; at += CHUNK) {
		memset(other, 0, CHUNK * SECTOR);
		bad += block_do(BLOCK_READ, from + at, one, CHUNK * SECTOR) != 0 ||
		       block_do(BLOCK_READ, to + at, other, CHUNK * SECTOR) != 0 ||
		       memcmp(one, other, CHUNK * SECTOR) != 0;
	}
	print("%u sectors read back, %u KiB differ\n", at, bad * (CHUNK * SECTOR >> 10));
}

static void block_bench(void)
{
	uint32_t rounds = BENCH_ROUNDS, milliseconds;
	uint64_t start = cycles();

	for (uint32_t i = 0; i < rounds; i++) {
		uint64_t sector = (uint64_t)i * (BENCH_BYTES / SECTOR);

		if (sector + BENCH_BYTES / SECTOR > block_sectors())
			rounds = i;
		else if (block_do(BLOCK_READ, sector, buffer, BENCH_BYTES) != 0)
			print("sector %U cannot be read\n", sector);
	}
	milliseconds = divide(cycles() - start, cycles_per_millisecond) + 1;
	print("read %u KiB in %u ms: %u KiB/s\n", rounds * (BENCH_BYTES >> 10), milliseconds,
	      rounds * (BENCH_BYTES >> 10) * 1000 / milliseconds);
}

static void block(const char *rest)
{
	const char *argument;

	if (!have_block)
		print("there is no disk; start lgdev with --block path=FILE\n");
	else if ((argument = after_prefix(rest, "read ")))
		block_read_sector(argument);
	else if ((argument = after_prefix(rest, "write ")))
		block_write_sector(argument);
	else if ((argument = after_prefix(rest, "copy ")))
		block_copy(argument);
	else if (after_prefix(rest, "bench"))
		block_bench();
	else
		print("%U sectors; blk read N | blk write N TEXT | blk copy FROM TO N | blk bench\n", block_sectors());
}

static void net_say(const char *peer)
{
	uint64_t start;
	uint32_t answered;

	if (*peer)
		net_peer(peer);
	if (!net_resolve()) {
		print("nobody answers for %s\n", *peer ? peer : "10.0.0.1");
		return;
	}
	start = cycles();
	answered = net_ping(4, 56);
	print("%u of 4 answers from %s in %u ms\n", answered, *peer ? peer : "10.0.0.1",
	      (uint32_t)divide(cycles() - start, cycles_per_millisecond));
}

/* Both sides do this at once. */
static void net_talk(const char *peer)
{
	uint32_t answered = 0;

	net_peer(peer);
	if (net_resolve())
		answered = net_ping(TALK, PING_MAX);
	print("%u of %u answers from %s, ", answered, TALK, peer);
	print("%u of %u questions answered\n", net_answer(TALK), TALK);
}

static void net(const char *rest)
{
	const uint8_t *mac = net_mac(), *ip = net_ip();
	const char *argument;

	if (!have_net)
		print("there is no network; start lgdev with --net\n");
	else if ((argument = after_prefix(rest, "ping")))
		net_say(*argument ? argument + 1 : argument);
	else if ((argument = after_prefix(rest, "answer ")))
		print("%u pings answered\n", net_answer(number(argument)));
	else if ((argument = after_prefix(rest, "talk ")))
		net_talk(argument);
	else
		print("%02x:%02x:%02x:%02x:%02x:%02x is %u.%u.%u.%u; net ping | net answer N\n",
		      mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], ip[0], ip[1], ip[2],
		      ip[3]);
}

static void rng(const char *rest)
{
	uint8_t *page = page_alloc();

	(void)rest;
	if (!have_rng) {
		print("there are no random numbers; start lgdev with --rng\n");
	} else {
		uint32_t came = rng_read(page, 16);

		for (uint32_t i = 0; i < came; i++)
			print("%02x", page[i]);
		print("\n");
	}
	page_free(page);
}

static void show_time(const char *rest)
{
	uint32_t of_day;

	(void)rest;
	sleep_milliseconds(1); /* The host writes the time when it delivers an interrupt. */
	of_day = lguest_data.seconds % 86400;
	print("%u.%09u seconds since 1970, %02u:%02u:%02u UTC; %u kHz\n", lguest_data.seconds,
	      lguest_data.nanoseconds, of_day / 3600, of_day / 60 % 60, of_day % 60,
	      cycles_per_millisecond);
}

static void user(const char *rest)
{
	(void)rest;
	print("the program ended with %u\n", user_run(user_hello, 0));
}

static void halt_guest(const char *rest)
{
	(void)rest;
	power_off();
}

static void reboot(const char *rest)
{
	(void)rest;
	restart();
}

static const struct {
	const char *name, *what;
	void (*run)(const char *rest);
} commands[] = {
	{ "help", "this list", help },
	{ "mem", "memory and page tables", show_memory },
	{ "blk", "read N | write N TEXT | copy FROM TO N | bench: the disk", block },
	{ "net", "ping [IP] | answer N | talk IP: the network", net },
	{ "rng", "sixteen random bytes from the host", rng },
	{ "time", "the host's clock", show_time },
	{ "user", "runs a program in user mode", user },
	{ "halt", "ends the guest", halt_guest },
	{ "reboot", "starts the guest again", reboot },
};

static void help(const char *rest)
{
	(void)rest;
	for (uint32_t i = 0; i < ARRAY_SIZE(commands); i++)
		print("%8s %s\n", commands[i].name, commands[i].what);
}

static void run(const char *line)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const char *rest = after_prefix(line, commands[i].name);

		if (rest && (*rest == '\0' || *rest == ' ')) {
			commands[i].run(*rest ? rest + 1 : rest);
			return;
		}
	}
	if (*line)
		print("there is no command '%s'; try help\n", line);
}

static void read_line(char *line)
{
	uint32_t length = 0;

	for (;;) {
		char byte = console_read();

		if (byte == '\r' || byte == '\n') {
			print("\n");
			line[length] = '\0';
			return;
		} else if (byte == 8 || byte == 127) {
			if (length) {
				length--;
				print("\b \b");
			}
		} else if (byte >= 32 && length + 1 < LINE_MAX) {
			line[length++] = byte;
			print("%c", byte);
		}
	}
}

void monitor(void)
{
	static char line[LINE_MAX];

	have_block = block_init();
	have_net = net_init();
	have_rng = rng_init();
	print("type help for a list of commands\n");
	for (;;) {
		print("lguest> ");
		read_line(line);
		run(line);
	}
}
