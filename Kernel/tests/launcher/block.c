// SPDX-License-Identifier: GPL-2.0-only
/* A disk on a file. */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SECTOR = 512,
	TYPE_OUT = 1,
	TYPE_SCSI = 2,
	TYPE_BARRIER = 0x80000000,
	OK = 0,
	ERROR = 1,
	UNSUPPORTED = 2,
	BARRIER = 1 << 0, /* feature bits */
	SEG_MAX = 1 << 2,
};

struct header {
	uint32_t type;
	uint32_t priority;
	uint64_t sector;
};

static uint64_t capacity;

/* Moves the data between file and buffers; gives the status. */
static uint8_t move(int fd, const struct iovec *parts, unsigned int count, uint64_t sector,
		    bool writing)
{
	uint64_t at = sector * SECTOR, bytes = 0;

	for (unsigned int i = 0; i < count; i++)
		bytes += parts[i].iov_len;
	if (sector > capacity || bytes > (capacity - sector) * SECTOR)
		return ERROR;
	for (unsigned int i = 0; i < count; i++) {
		ssize_t moved = writing ? pwrite(fd, parts[i].iov_base, parts[i].iov_len, at) :
					  pread(fd, parts[i].iov_base, parts[i].iov_len, at);

		if (moved != (ssize_t)parts[i].iov_len)
			return ERROR;
		at += moved;
	}
	return OK;
}

/* Serves one request: a header, data in buffers of their own, one byte of status at the end. */
static bool request(struct queue *queue, struct chain *chain)
{
	struct header header;
	uint8_t *status_byte, status;
	uint32_t written = 1;
	int fd = queue->device->fd;

	if (!chain->out_count || chain->out[0].iov_len != sizeof(header) || !chain->in_count ||
	    chain->in[chain->in_count - 1].iov_len != 1)
		return false;
	memcpy(&header, chain->out[0].iov_base, sizeof(header));
	status_byte = chain->in[chain->in_count - 1].iov_base;
	if (header.type & TYPE_BARRIER && fdatasync(fd) < 0)
		status = ERROR;
	else if (header.type & TYPE_SCSI)
		status = UNSUPPORTED;
	else if (header.type & TYPE_OUT)
		status = move(fd, chain->out + 1, chain->out_count - 1, header.sector, true);
	else
		status = move(fd, chain->in, chain->in_count - 1, header.sector, false);
	if (header.type & TYPE_BARRIER && fdatasync(fd) < 0)
		status = ERROR;
	if (status == OK && !(header.type & TYPE_OUT))
		written = chain->in_bytes;
	*status_byte = status;
	queue_push(queue, chain, written);
	return true;
}

static void serve(struct queue *queue)
{
	static struct chain chain;

	while (queue_wait(queue, &chain) && request(queue, &chain))
		;
}

void block_new(const char *path)
{
	struct {
		uint64_t capacity;
		uint32_t size_max;
		uint32_t seg_max;
	} config = { .seg_max = QUEUE_SIZE - 2 };
	uint8_t features = BARRIER | SEG_MAX;
	struct device *device;
	struct stat status;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) < 0)
		fail("%s: %s", path, strerror(errno));
	config.capacity = capacity = status.st_size / SECTOR;
	device = device_new(2, "block", 1, &features, 1, &config, sizeof(config));
	device->fd = fd;
	device->queues[0].serve = serve;
}
