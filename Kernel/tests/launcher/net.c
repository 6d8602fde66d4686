// SPDX-License-Identifier: GPL-2.0-only
/*
 * A network with one other host on it, 10.0.0.1, which answers ARP and ping. The queue of what the
 * guest sends answers into a socket; the other queue takes frames from the socket's other end.
 */
#include "launcher.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	VNET_HEADER = 10,
	FRAME_MAX = 1514,
	ETHERNET = 14,
	ARP_BYTES = 28,
	IP_BYTES = 20,
	TYPE_OFFSET = 12,
	ARP = 0x0806,
	IPV4 = 0x0800,
	ICMP = 1,
	MAC_FEATURE = 1 << 5,
};

static const uint8_t peer_mac[6] = { 0x02, 0, 0, 0, 0, 1 };
static const uint8_t peer_ip[4] = { 10, 0, 0, 1 };
static int ends[2];

static uint16_t get16(const uint8_t *from)
{
	return from[0] << 8 | from[1];
}

static void put16(uint8_t *to, uint16_t value)
{
	to[0] = value >> 8;
	to[1] = value;
}

static uint16_t checksum(const uint8_t *bytes, size_t count)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < count; i += 2)
		sum += bytes[i] << 8 | (i + 1 < count ? bytes[i + 1] : 0);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* ARP: who has 10.0.0.1? Turned into the answer in place. */
static bool answer_arp(uint8_t *frame, size_t bytes)
{
	uint8_t *arp = frame + ETHERNET;

	if (bytes < ETHERNET + ARP_BYTES || get16(arp + 6) != 1 || memcmp(arp + 24, peer_ip, 4))
		return false;
	put16(arp + 6, 2);
	memcpy(arp + 18, arp + 8, 10);
	memcpy(arp + 8, peer_mac, 6);
	memcpy(arp + 14, peer_ip, 4);
	return true;
}

/* An echo request with sound checksums is turned into its reply. */
static bool answer_ping(uint8_t *frame, size_t bytes)
{
	uint8_t *ip = frame + ETHERNET, *icmp = ip + IP_BYTES;
	uint8_t address[4];
	size_t length;

	if (bytes < ETHERNET + IP_BYTES + 8 || ip[0] != 0x45 || ip[9] != ICMP ||
	    memcmp(ip + 16, peer_ip, 4) || checksum(ip, IP_BYTES))
		return false;
	length = get16(ip + 2);
	if (length < IP_BYTES + 8 || length > bytes - ETHERNET || icmp[0] != 8 ||
	    checksum(icmp, length - IP_BYTES))
		return false;
	memcpy(address, ip + 12, 4);
	memcpy(ip + 12, ip + 16, 4);
	memcpy(ip + 16, address, 4);
	icmp[0] = 0;
	put16(icmp + 2, 0);
	put16(icmp + 2, checksum(icmp, length - IP_BYTES));
	return true;
}

static void transmit(struct queue *queue)
{
	static struct chain chain;
	static uint8_t frame[FRAME_MAX];

	while (queue_wait(queue, &chain)) {
		size_t bytes = gather(chain.out, chain.out_count, VNET_HEADER, frame, FRAME_MAX);
		bool answered = false;

		if (bytes >= ETHERNET && get16(frame + TYPE_OFFSET) == ARP)
			answered = answer_arp(frame, bytes);
		else if (bytes >= ETHERNET && get16(frame + TYPE_OFFSET) == IPV4)
			answered = answer_ping(frame, bytes);
		if (answered) {
			memcpy(frame, frame + 6, 6);
			memcpy(frame + 6, peer_mac, 6);
			/* A full socket loses the frame, as a network may. */
			if (send(ends[0], frame, bytes, MSG_DONTWAIT) < 0 && errno != EAGAIN)
				fail("net: %s", strerror(errno));
		}
		queue_push(queue, &chain, 0);
	}
}

static void receive(struct queue *queue)
{
	static struct chain chain;
	static uint8_t frame[VNET_HEADER + FRAME_MAX];

	while (queue_wait(queue, &chain)) {
		struct pollfd waiting[] = { { ends[1], POLLIN, 0 }, { queue->kick, POLLIN, 0 } };
		ssize_t bytes = 0;

		while (!queue->stop &&
		       (bytes = recv(ends[1], frame + VNET_HEADER, FRAME_MAX, MSG_DONTWAIT)) < 0) {
			uint64_t count;

			queue_interrupt(queue);
			if (poll(waiting, 2, -1) > 0 && waiting[1].revents & POLLIN &&
			    read(queue->kick, &count, sizeof(count)) < 0)
				return;
		}
		if (queue->stop)
			return;
		bytes = scatter(chain.in, chain.in_count, 0, frame, VNET_HEADER + bytes);
		queue_push(queue, &chain, bytes);
	}
}

void net_new(void)
{
	uint32_t features = MAC_FEATURE;
	uint8_t config[8] = { 0x02, 0, 0, 0, 0, 2 };
	struct device *device = device_new(1, "net", 2, &features, 4, config, sizeof(config));

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		fail("net: %s", strerror(errno));
	device->queues[0].serve = receive;
	device->queues[1].serve = transmit;
}
