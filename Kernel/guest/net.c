// SPDX-License-Identifier: GPL-2.0-only
/* The network driver and its ping; see net.h. */
#include "net.h"
#include "bus.h"

#define FEATURE_MAC (1 << 5)
#define PATIENCE 3000
#define VNET_HEADER 10
#define ETHERNET 14
#define FRAME_MAX 1514
#define ARP_BYTES 28
#define IP_BYTES 20
#define ICMP_BYTES 8
#define RECEIVE_BUFFERS 64
#define BURST 32
#define IDENTIFIER 0x4c67

static const uint8_t our_ip[4] = { 10, 0, 0, 2 }, host_ip[4] = { 10, 0, 0, 1 };
static uint8_t our_mac[6] = { 0x02, 0, 0, 0, 0, 2 }, host_mac[6];
static struct virtqueue receive, transmit;

static void put16(uint8_t *to, uint16_t value)
{
	to[0] = value >> 8;
	to[1] = value;
}

static uint16_t get16(const uint8_t *from)
{
	return from[0] << 8 | from[1];
}

static uint16_t checksum(const uint8_t *bytes, uint32_t count)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		sum += i & 1 ? bytes[i] : bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The header and the frame are separate buffers, as legacy devices want them. */
static void give(uint8_t *page)
{
	struct buffer buffers[] = { { page, VNET_HEADER, true },
				    { page + VNET_HEADER, FRAME_MAX, true } };

	virtqueue_add(&receive, buffers, 2, page);
}

bool net_init(void)
{
	struct bus_device device;
	uint32_t features;

	if (!bus_find(DEVICE_NET, &device))
		return false;
	bus_start(&device);
	features = bus_features(&device) & FEATURE_MAC;
	bus_accept(&device, features);
	if (features)
		bus_config(&device, 0, our_mac, sizeof(our_mac));
	bus_queue(&device, 0, &receive);
	bus_queue(&device, 1, &transmit);
	bus_ready(&device);
	for (uint32_t i = 0; i < RECEIVE_BUFFERS; i++)
		give(page_alloc());
	virtqueue_kick(&receive);
	return true;
}

const uint8_t *net_mac(void)
{
	return our_mac;
}

static void reclaim(void)
{
	uint32_t bytes;
	void *page;

	while (virtqueue_take(&transmit, &page, &bytes))
		page_free(page);
}

/* Sends a frame that stands in a page behind room for the header; the page is freed later. */
static void send(uint8_t *page, uint32_t bytes)
{
	struct buffer buffers[] = { { page, VNET_HEADER, false },
				    { page + VNET_HEADER, bytes, false } };

	while (!virtqueue_add(&transmit, buffers, 2, page)) {
		virtqueue_wait(&transmit, PATIENCE);
		reclaim();
	}
	virtqueue_kick(&transmit);
	reclaim();
}

static uint8_t *frame_new(uint8_t **page, const uint8_t *to, uint16_t type)
{
	uint8_t *frame;

	*page = page_alloc();
	frame = *page + VNET_HEADER;
	memcpy(frame, to, 6);
	memcpy(frame + 6, our_mac, 6);
	put16(frame + 12, type);
	return frame + ETHERNET;
}

/* The next frame, and its page, which the caller gives back; NULL when none comes. */
static uint8_t *next_frame(uint32_t *bytes)
{
	void *page;

	if (!virtqueue_wait(&receive, PATIENCE) || !virtqueue_take(&receive, &page, bytes))
		return NULL;
	if (*bytes < VNET_HEADER + ETHERNET)
		*bytes = 0;
	else
		*bytes -= VNET_HEADER;
	return page;
}

static void give_back(uint8_t *page)
{
	give(page);
	virtqueue_kick(&receive);
}

bool net_resolve(void)
{
	static const uint8_t everyone[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint8_t *page, *arp = frame_new(&page, everyone, 0x0806);
	uint32_t bytes;

	put16(arp, 1);
	put16(arp + 2, 0x0800);
	arp[4] = 6;
	arp[5] = 4;
	put16(arp + 6, 1);
	memcpy(arp + 8, our_mac, 6);
	memcpy(arp + 14, our_ip, 4);
	memcpy(arp + 24, host_ip, 4);
	send(page, ETHERNET + ARP_BYTES);
	while ((page = next_frame(&bytes))) {
		uint8_t *frame = page + VNET_HEADER;
		bool found = bytes >= ETHERNET + ARP_BYTES && get16(frame + 12) == 0x0806 &&
			     get16(frame + ETHERNET + 6) == 2 &&
			     memcmp(frame + ETHERNET + 14, host_ip, 4) == 0;

		if (found)
			memcpy(host_mac, frame + ETHERNET + 8, 6);
		give_back(page);
		if (found)
			return true;
	}
	return false;
}

static uint8_t pattern(uint32_t sequence, uint32_t at)
{
	return sequence * 31 + at * 7 + (at >> 8);
}

static void send_ping(uint32_t sequence, uint32_t bytes)
{
	uint8_t *page, *ip = frame_new(&page, host_mac, 0x0800), *icmp = ip + IP_BYTES;

	ip[0] = 0x45;
	put16(ip + 2, IP_BYTES + ICMP_BYTES + bytes);
	put16(ip + 4, sequence);
	ip[8] = 64;
	ip[9] = 1;
	memcpy(ip + 12, our_ip, 4);
	memcpy(ip + 16, host_ip, 4);
	put16(ip + 10, checksum(ip, IP_BYTES));
	icmp[0] = 8;
	put16(icmp + 4, IDENTIFIER);
	put16(icmp + 6, sequence);
	for (uint32_t i = 0; i < bytes; i++)
		icmp[ICMP_BYTES + i] = pattern(sequence, i);
	put16(icmp + 2, checksum(icmp, ICMP_BYTES + bytes));
	send(page, ETHERNET + IP_BYTES + ICMP_BYTES + bytes);
}

static bool is_answer(const uint8_t *frame, uint32_t length, uint32_t bytes)
{
	const uint8_t *ip = frame + ETHERNET, *icmp = ip + IP_BYTES;

	if (length < ETHERNET + IP_BYTES + ICMP_BYTES + bytes || get16(frame + 12) != 0x0800 ||
	    ip[9] != 1 || icmp[0] != 0 || get16(icmp + 4) != IDENTIFIER ||
	    checksum(icmp, ICMP_BYTES + bytes) != 0)
		return false;
	for (uint32_t i = 0; i < bytes; i++)
		if (icmp[ICMP_BYTES + i] != pattern(get16(icmp + 6), i))
			return false;
	return true;
}

uint32_t net_ping(uint32_t count, uint32_t bytes)
{
	uint32_t sent = 0, answered = 0;

	while (answered < count) {
		uint32_t length;
		uint8_t *page;

		while (sent < count && sent - answered < BURST)
			send_ping(sent++, bytes);
		page = next_frame(&length);
		if (!page)
			return answered;
		if (is_answer(page + VNET_HEADER, length, bytes))
			answered++;
		give_back(page);
	}
	return answered;
}
