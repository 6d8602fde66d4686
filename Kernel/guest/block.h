/* SPDX-License-Identifier: GPL-2.0-only */
/* The block device: reads and writes of whole sectors. */
#ifndef GUEST_BLOCK_H
#define GUEST_BLOCK_H

#include "guest.h"

#define SECTOR 512

/* One request. The caller keeps it until `done`; `status` is 0 when it went well. */
struct block_request {
	struct {
		uint32_t type;
		uint32_t priority;
		uint64_t sector;
	} header;
	volatile uint8_t status;
	bool done;
	uint32_t bytes_written; /* by the device */
};

#define BLOCK_READ 0
#define BLOCK_WRITE 1
#define BLOCK_SCSI 2
/* Without data. Where the device has no FLUSH its status is 2. */
#define BLOCK_FLUSH 4
#define BLOCK_BARRIER 0x80000000

bool block_init(void);
uint64_t block_sectors(void);
/* Puts a request into the ring; false when that is full. `data` may cross pages. */
bool block_add(struct block_request *request, uint32_t type, uint64_t sector, void *data,
	       uint32_t bytes);
/* Tells the device of what was added. */
void block_kick(void);
/* Both, without waiting. */
bool block_submit(struct block_request *request, uint32_t type, uint64_t sector, void *data,
		  uint32_t bytes);
/* Waits until the request is done; false after too long. */
bool block_wait(struct block_request *request);
/* One request from start to end; gives its status, or -1 when no answer came. */
int block_do(uint32_t type, uint64_t sector, void *data, uint32_t bytes);

#endif
