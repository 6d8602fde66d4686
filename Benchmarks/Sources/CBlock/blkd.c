// SPDX-License-Identifier: Apache-2.0
/*
 * blkd: the yardstick for disks. A vhost-user block back-end in plain C with one queue and a split ring:
 * what a careful programmer writes when nothing but reads, writes and flushes has to work. It checks what it
 * reads of the ring, and trusts the front-end in all else.
 *
 *	blkd SOCKET IMAGE pread|uring|defer [direct]
 *
 * pread serves requests one after the other with preadv, pwritev and fdatasync. uring and defer hand them to
 * io_uring: with COOP_TASKRUN, which suits what the kernel gives to its workers, and with
 * DEFER_TASKRUN, which suits what ends in an interrupt.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define QUEUE_SIZE 1024
#define SEGMENTS 128
#define DEPTH 256
/* The most requests that are given back with one call. */
#define CALL_BATCH 8

#define F_NEXT 1
#define F_WRITE 2
#define F_INDIRECT 4

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};

struct request {
	uint32_t type;
	uint64_t sector;
	uint8_t *status;
	struct iovec data[SEGMENTS];
	int count;
	size_t bytes;
	uint16_t head;
	int next_free;
};

struct region {
	uint64_t guest, size, user;
	uint8_t *host;
};

static struct region regions[8];
static int region_count;
static int image, stop_event, kick = -1, call = -1;
static bool event_index, is_running;
static const char *engine;
static pthread_t worker;

static uint16_t size, next_available, next_used, asked;
static struct descriptor *descriptors;
static uint16_t *available;
static uint8_t *used;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- the ring ---- */

static void *at_guest(uint64_t address, uint64_t length)
{
	for (int i = 0; i < region_count; i++) {
		uint64_t offset = address - regions[i].guest;

		if (offset < regions[i].size && length <= regions[i].size - offset)
			return regions[i].host + offset;
	}
	return NULL;
}

static void *at_user(uint64_t address)
{
	for (int i = 0; i < region_count; i++)
		if (address - regions[i].user < regions[i].size)
			return regions[i].host + (address - regions[i].user);
	return NULL;
}

static uint16_t load(const uint16_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* 1: a request was taken; 0: none there; -1: the driver broke the ring. */
static int take(struct request *request)
{
	struct descriptor *table = descriptors;
	uint32_t limit = size, steps = 0;
	uint8_t header[16], *last = NULL;
	size_t have = 0;
	uint16_t index;
	bool writable = false;

	if (load(available + 1) == next_available)
		return 0;
	index = request->head = load(available + 2 + next_available % size);
	request->count = 0;
	request->bytes = 0;
	for (;;) {
		struct descriptor d;
		uint8_t *host;

		if (index >= limit || steps++ >= limit)
			return -1;
		d = *(volatile struct descriptor *)&table[index];
		host = at_guest(d.address, d.length);
		if (!host)
			return -1;
		if (d.flags & F_INDIRECT) {
			if (table != descriptors)
				return -1;
			table = (struct descriptor *)host;
			limit = d.length / sizeof(d);
			index = 0;
			steps = 0;
			continue;
		}
		if (!(d.flags & F_WRITE) && writable)
			return -1;
		writable = d.flags & F_WRITE;
		if (have < sizeof(header)) {
			size_t part = sizeof(header) - have;

			if (part > d.length)
				part = d.length;
			memcpy(header + have, host, part);
			have += part;
			host += part;
			d.length -= part;
		}
		if (d.length) {
			if (request->count == SEGMENTS)
				return -1;
			request->data[request->count++] = (struct iovec){ host, d.length };
			request->bytes += d.length;
			last = host + d.length - 1;
		}
		if (!(d.flags & F_NEXT))
			break;
		index = d.next;
	}
	if (have < sizeof(header) || !last || !writable)
		return -1;
	/* The status is the last writable byte. */
	request->status = last;
	request->bytes--;
	if (!--request->data[request->count - 1].iov_len)
		request->count--;
	memcpy(&request->type, header, 4);
	memcpy(&request->sector, header + 8, 8);
	next_available++;
	return 1;
}

static void give_back(struct request *request, bool good)
{
	uint32_t *entry = (uint32_t *)(used + 4 + 8 * (size_t)(next_used % size));

	*request->status = good ? 0 : 1;
	__atomic_store_n(entry, request->head, __ATOMIC_RELAXED);
	__atomic_store_n(entry + 1, request->type ? 1 : (uint32_t)request->bytes + 1,
			 __ATOMIC_RELAXED);
	next_used++;
}

/* Shows what was given back, and calls the driver where it wants that. */
static void publish(void)
{
	uint16_t count = next_used - asked;
	uint64_t one = 1;

	if (!count)
		return;
	__atomic_store_n((uint16_t *)(used + 2), next_used, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	asked = next_used;
	if (event_index) {
		if ((uint16_t)(next_used - load(available + 2 + size) - 1) >= count)
			return;
	} else if (load(available) & 1) {
		return;
	}
	if (write(call, &one, 8) != 8 && errno != EAGAIN)
		die("call");
}

/* Asks for kicks. Returns whether something came before they were on. */
static bool allow_kicks(void)
{
	if (event_index)
		__atomic_store_n((uint16_t *)(used + 4 + 8 * (size_t)size), next_available,
				 __ATOMIC_RELAXED);
	else
		__atomic_store_n((uint16_t *)used, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return load(available + 1) != next_available;
}

static void forbid_kicks(void)
{
	if (!event_index)
		__atomic_store_n((uint16_t *)used, 1, __ATOMIC_RELAXED);
}

static void drain(int event)
{
	uint64_t count;

	if (read(event, &count, 8) < 0 && errno != EAGAIN)
		die("read of an event");
}

/* ---- one request after the other ---- */

static bool serve(struct request *request)
{
	off_t offset = request->sector * 512;

	switch (request->type) {
	case 0:
		return preadv(image, request->data, request->count, offset) ==
		       (ssize_t)request->bytes;
	case 1:
		return pwritev(image, request->data, request->count, offset) ==
		       (ssize_t)request->bytes;
	case 4:
		return !fdatasync(image);
	default:
		return false;
	}
}

static void *serve_in_turn(void *unused)
{
	static struct request request;

	for (;;) {
		struct pollfd events[] = { { kick, POLLIN, 0 }, { stop_event, POLLIN, 0 } };
		int count = 0, taken;

		while ((taken = take(&request)) > 0) {
			give_back(&request, serve(&request));
			if (++count % CALL_BATCH == 0)
				publish();
		}
		publish();
		if (taken < 0)
			return unused;
		if (!allow_kicks() && poll(events, 2, -1) < 0)
			die("poll");
		forbid_kicks();
		if (events[1].revents)
			return unused;
		if (events[0].revents)
			drain(kick);
	}
}

/* ---- many at once ---- */

#define KICK DEPTH
#define STOP (DEPTH + 1)

static void prepare(struct io_uring *ring, struct request *request, int tag)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(ring);
	uint64_t offset = request->sector * 512;

	if (request->type == 4)
		io_uring_prep_fsync(entry, 0, IORING_FSYNC_DATASYNC);
	else if (request->type == 1 && request->count == 1)
		io_uring_prep_write(entry, 0, request->data[0].iov_base, request->bytes, offset);
	else if (request->type == 1)
		io_uring_prep_writev(entry, 0, request->data, request->count, offset);
	else if (request->count == 1)
		io_uring_prep_read(entry, 0, request->data[0].iov_base, request->bytes, offset);
	else
		io_uring_prep_readv(entry, 0, request->data, request->count, offset);
	entry->flags = IOSQE_FIXED_FILE;
	entry->user_data = tag;
}

static void watch(struct io_uring *ring, int event, int tag)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(ring);

	io_uring_prep_poll_add(entry, event, POLLIN);
	entry->user_data = tag;
}

static void *serve_through_ring(void *unused)
{
	static struct request requests[DEPTH];
	struct io_uring ring;
	unsigned int flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER;
	int free_list = -1, in_flight = 0;
	bool watches = false, stopping = false;

	flags |= strcmp(engine, "defer") ? IORING_SETUP_COOP_TASKRUN : IORING_SETUP_DEFER_TASKRUN;
	if (io_uring_queue_init(DEPTH + 8, &ring, flags) ||
	    io_uring_register_files(&ring, &image, 1))
		die("io_uring");
	io_uring_register_ring_fd(&ring);
	for (int i = DEPTH - 1; i >= 0; i--) {
		requests[i].next_free = free_list;
		free_list = i;
	}
	watch(&ring, stop_event, STOP);
	while (!stopping || in_flight) {
		struct io_uring_cqe *completion;
		unsigned int cursor, seen = 0;
		int taken = 0;

		io_uring_for_each_cqe(&ring, cursor, completion) {
			int tag = completion->user_data;

			seen++;
			if (tag == STOP) {
				stopping = true;
			} else if (tag == KICK) {
				watches = false;
				drain(kick);
			} else {
				struct request *request = &requests[tag];
				int good = request->type == 4 ? 0 : (int)request->bytes;

				give_back(request, completion->res == good);
				request->next_free = free_list;
				free_list = tag;
				in_flight--;
				if ((uint16_t)(next_used - asked) >= CALL_BATCH)
					publish();
			}
		}
		io_uring_cq_advance(&ring, seen);
		while (!stopping && free_list >= 0) {
			taken = take(&requests[free_list]);
			if (taken <= 0)
				break;
			prepare(&ring, &requests[free_list], free_list);
			free_list = requests[free_list].next_free;
			in_flight++;
		}
		publish();
		if (taken < 0)
			break;
		if (!watches && !stopping) {
			watch(&ring, kick, KICK);
			watches = true;
		}
		if (!stopping && allow_kicks())
			io_uring_submit_and_get_events(&ring);
		else
			io_uring_submit_and_wait(&ring, 1);
		forbid_kicks();
	}
	io_uring_queue_exit(&ring);
	return unused;
}

/* ---- vhost-user ---- */

struct message {
	uint32_t request, flags, length;
	uint8_t payload[512];
} __attribute__((packed));

static void start(void)
{
	if (is_running || kick < 0)
		return;
	is_running = true;
	if (pthread_create(&worker, NULL,
			   strcmp(engine, "pread") ? serve_through_ring : serve_in_turn, NULL))
		die("thread");
}

static void stop(void)
{
	uint64_t one = 1;

	if (!is_running)
		return;
	if (write(stop_event, &one, 8) != 8)
		die("stop");
	pthread_join(worker, NULL);
	drain(stop_event);
	is_running = false;
}

static bool receive(int peer, struct message *message, int *passed, int *passed_count)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct iovec piece = { message, 12 };
	struct msghdr envelope = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control,
				   .msg_controllen = sizeof(control) };
	struct cmsghdr *extra;

	*passed_count = 0;
	if (recvmsg(peer, &envelope, MSG_WAITALL) != 12)
		return false;
	extra = CMSG_FIRSTHDR(&envelope);
	if (extra && extra->cmsg_type == SCM_RIGHTS) {
		*passed_count = (extra->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(passed, CMSG_DATA(extra), *passed_count * sizeof(int));
	}
	return message->length <= sizeof(message->payload) &&
	       (!message->length ||
		recv(peer, message->payload, message->length, MSG_WAITALL) == message->length);
}

static void reply(int peer, struct message *message, uint64_t number)
{
	message->flags = 5;
	message->length = 8;
	memcpy(message->payload, &number, 8);
	if (send(peer, message, 20, 0) != 20)
		die("reply");
}

static void map_memory(const struct message *message, const int *passed, int passed_count)
{
	uint32_t count;
	uint64_t words[4];

	memcpy(&count, message->payload, 4);
	for (uint32_t i = 0; i < count && i < 8 && (int)i < passed_count; i++) {
		memcpy(words, message->payload + 8 + 32 * i, 32);
		regions[i] = (struct region){ words[0], words[1], words[2], NULL };
		regions[i].host = mmap(NULL, words[1] + words[3], PROT_READ | PROT_WRITE, MAP_SHARED,
				       passed[i], 0);
		if (regions[i].host == MAP_FAILED)
			die("mmap");
		regions[i].host += words[3];
		region_count = i + 1;
		close(passed[i]);
	}
}

static void converse(int peer)
{
	static struct message message;
	int passed[8], passed_count;

	while (receive(peer, &message, passed, &passed_count)) {
		uint64_t number, words[5];
		uint32_t state[2];
		bool wants_reply = message.flags & 8;

		memcpy(&number, message.payload, 8);
		memcpy(state, message.payload, 8);
		memcpy(words, message.payload, 40);
		switch (message.request) {
		case 1: /* GET_FEATURES: VERSION_1, PROTOCOL_FEATURES, EVENT_IDX, INDIRECT, FLUSH */
			reply(peer, &message, 1ull << 32 | 1 << 30 | 1 << 29 | 1 << 28 | 1 << 9);
			continue;
		case 2:
			event_index = number >> 29 & 1;
			break;
		case 5:
			map_memory(&message, passed, passed_count);
			break;
		case 8:
			size = state[1];
			break;
		case 9:
			descriptors = at_user(words[1]);
			used = at_user(words[2]);
			available = at_user(words[3]);
			break;
		case 10:
			next_available = next_used = asked = state[1];
			break;
		case 11: /* GET_VRING_BASE */
			stop();
			reply(peer, &message, (uint64_t)next_available << 32);
			continue;
		case 12:
			kick = passed_count ? passed[0] : -1;
			fcntl(kick, F_SETFL, O_NONBLOCK);
			break;
		case 13:
			call = passed_count ? passed[0] : -1;
			break;
		case 15: /* GET_PROTOCOL_FEATURES: REPLY_ACK */
			reply(peer, &message, 1 << 3);
			continue;
		case 17:
			reply(peer, &message, 1);
			continue;
		case 18:
			if (state[1])
				start();
			break;
		}
		if (wants_reply)
			reply(peer, &message, 0);
	}
	stop();
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener, peer;

	if (argc < 4) {
		fprintf(stderr, "usage: blkd SOCKET IMAGE pread|uring|defer [direct]\n");
		return 1;
	}
	engine = argv[3];
	image = open(argv[2], O_RDWR | (argc > 4 ? O_DIRECT : 0));
	if (image < 0)
		die(argv[2]);
	stop_event = eventfd(0, 0);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	strncpy(address.sun_path, argv[1], sizeof(address.sun_path) - 1);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 1))
		die(argv[1]);
	peer = accept(listener, NULL, NULL);
	if (peer < 0)
		die("accept");
	converse(peer);
	return 0;
}
