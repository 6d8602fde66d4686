// SPDX-License-Identifier: GPL-2.0-only
/* The drivers against the launcher's devices, with the data verified. */
#include "block.h"
#include "check.h"
#include "net.h"
#include "rng.h"

#define IN_FLIGHT 32
#define BIG 32768

static uint8_t data[IN_FLIGHT * 4096], back[sizeof(data)];

static void fill(uint8_t *to, uint32_t bytes, uint32_t seed)
{
	for (uint32_t i = 0; i < bytes; i++) {
		seed = seed * 1103515245 + 12345;
		to[i] = seed >> 16;
	}
}

static bool round_trip(uint64_t sector, uint32_t bytes, uint32_t seed)
{
	fill(data, bytes, seed);
	memset(back, 0, bytes);
	return block_do(BLOCK_WRITE, sector, data, bytes) == 0 &&
	       block_do(BLOCK_READ, sector, back, bytes) == 0 && memcmp(data, back, bytes) == 0;
}

static void check_in_flight(uint64_t first)
{
	static struct block_request requests[IN_FLIGHT];
	uint32_t good = 0;

	fill(data, sizeof(data), 99);
	memset(back, 0, sizeof(back));
	for (uint32_t pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < IN_FLIGHT; i++)
			block_submit(&requests[i], pass ? BLOCK_READ : BLOCK_WRITE, first + i * 8,
				     (pass ? back : data) + i * 4096, 4096);
		for (uint32_t i = 0; i < IN_FLIGHT; i++)
			good += block_wait(&requests[i]) && requests[i].status == 0 &&
				requests[i].bytes_written == (pass ? 4097 : 1);
	}
	check_equal(good, 2 * IN_FLIGHT, "many disk requests in flight are all answered");
	check(memcmp(data, back, sizeof(data)) == 0, "with the right bytes");
}

static void check_block(void)
{
	uint64_t last;

	check(block_init(), "there is a disk");
	last = block_sectors() - 1;
	check(last >= 2047, "of at least a mebibyte");
	check(round_trip(0, SECTOR, 1) && round_trip(7, 4096, 2) && round_trip(64, BIG, 3),
	      "what was written is read");
	check(round_trip(last, SECTOR, 4), "in the last sector too");
	check_equal(block_do(BLOCK_READ, last + 1, back, SECTOR), 1, "behind it is an error");
	check_equal(block_do(BLOCK_READ, last, back, 2 * SECTOR), 1, "and so is reaching over it");
	check_equal(block_do(BLOCK_SCSI, 0, back, SECTOR), 2, "SCSI commands are not known");
	fill(data, SECTOR, 5);
	check_equal(block_do(BLOCK_WRITE | BLOCK_BARRIER, 1, data, SECTOR), 0, "a barrier");
	check_in_flight(128);
	check(block_init() && round_trip(3, 1024, 6), "the disk works again after a reset");
	/* Left there for the host to look at. */
	memset(data, 0, SECTOR);
	memcpy(data, "written by the guest", 20);
	check_equal(block_do(BLOCK_WRITE, 2, data, SECTOR), 0, "a last word to the host");
}

static void check_net(void)
{
	check(net_init(), "there is a network");
	check(net_resolve(), "the host answers ARP");
	check_equal(net_ping(100, 56), 100, "small pings come back");
	check_equal(net_ping(300, PING_MAX), 300, "large pings come back");
	net_settle();
}

static void check_rng(void)
{
	uint32_t zeros = 0;

	check(rng_init(), "there is a source of random numbers");
	memset(data, 0, 8192);
	check_equal(rng_read(data, 4096), 4096, "it fills a buffer");
	check_equal(rng_read(data + 4096, 4096), 4096, "and another");
	check(memcmp(data, data + 4096, 4096) != 0, "with other bytes");
	for (uint32_t i = 0; i < 8192; i++)
		zeros += data[i] == 0;
	check(zeros < 100, "that look random");
}

void check_devices(void)
{
	check_block();
	check_net();
	check_rng();
}
