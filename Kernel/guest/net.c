// SPDX-License-Identifier: GPL-2.0-only
/* The network driver and its pings; see net.h. */
#include "net.h"
#include "bus.h"

#define FEATURE_MAC (1 << 5)
/* Seconds for a frame to come. */
#define QUIET 3
/* So often is somebody asked for who may not be there yet. */
#define TRIES 40
#define VNET_HEADER 10
#define ETHERNET 14
#define FRAME_MAX 1514
#define ARP_BYTES 28
#define IP_BYTES 20
#define ICMP_BYTES 8
#define RECEIVE_BUFFERS 64
#define BURST 32
#define IDENTIFIER 0x4c67

#define ARP 0x0806
#define ARP_QUESTION 1
#define ARP_ANSWER 2
#define IP 0x0800
#define ICMP 1
#define PING_QUESTION 8
#define PING_ANSWER 0

static const uint8_t host_ip[4] = { 10, 0, 0, 1 };
static uint8_t our_ip[4] = { 10, 0, 0, 2 }, our_mac[6] = { 0x02, 0, 0, 0, 0, 2 };
static struct virtqueue receive, transmit;

/* Whom we talk to, and what has come: */
static struct {
	uint8_t ip[4], mac[6];
	bool known;
	uint32_t answers; /* to our pings, as they should be */
	uint32_t questions; /* pings that were as they should be, and were answered */
} peer;

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

/* Four numbers with dots. */
static void parse_ip(const char *text, uint8_t *ip)
{
	for (uint32_t i = 0; i < 4; i++) {
		ip[i] = number(text);
		while (*text >= '0' && *text <= '9')
			text++;
		if (*text == '.')
			text++;
	}
}

bool net_init(void)
{
	const char *ours = word("ip");
	struct bus_device device;
	uint32_t features;

	if (!bus_find(DEVICE_NET, &device))
		return false;
	if (ours)
		parse_ip(ours, our_ip);
	memcpy(peer.ip, host_ip, sizeof(host_ip));
	peer.known = false;
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

const uint8_t *net_ip(void)
{
	return our_ip;
}

void net_peer(const char *ip)
{
	parse_ip(ip, peer.ip);
	peer.known = false;
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

	if (!virtqueue_wait(&receive, QUIET) || !virtqueue_take(&receive, &page, bytes))
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

/* What is said of an address: who has it, or that we have. */
static void send_arp(uint16_t what, const uint8_t *to_mac, const uint8_t *to_ip)
{
	static const uint8_t everyone[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint8_t *page, *arp = frame_new(&page, to_mac ? to_mac : everyone, ARP);

	put16(arp, 1);
	put16(arp + 2, IP);
	arp[4] = 6;
	arp[5] = 4;
	put16(arp + 6, what);
	memcpy(arp + 8, our_mac, 6);
	memcpy(arp + 14, our_ip, 4);
	if (to_mac)
		memcpy(arp + 18, to_mac, 6);
	memcpy(arp + 24, to_ip, 4);
	send(page, ETHERNET + ARP_BYTES);
}

static void take_arp(const uint8_t *arp)
{
	if (get16(arp + 6) == ARP_QUESTION && memcmp(arp + 24, our_ip, 4) == 0)
		send_arp(ARP_ANSWER, arp + 8, arp + 14);
	if (memcmp(arp + 14, peer.ip, 4) == 0) {
		memcpy(peer.mac, arp + 8, 6);
		peer.known = true;
	}
}

static uint8_t pattern(uint32_t sequence, uint32_t at)
{
	return sequence * 31 + at * 7 + (at >> 8);
}

static void send_ping(uint32_t sequence, uint32_t bytes)
{
	uint8_t *page, *ip = frame_new(&page, peer.mac, IP), *icmp = ip + IP_BYTES;

	ip[0] = 0x45;
	put16(ip + 2, IP_BYTES + ICMP_BYTES + bytes);
	put16(ip + 4, sequence);
	ip[8] = 64;
	ip[9] = ICMP;
	memcpy(ip + 12, our_ip, 4);
	memcpy(ip + 16, peer.ip, 4);
	put16(ip + 10, checksum(ip, IP_BYTES));
	icmp[0] = PING_QUESTION;
	put16(icmp + 4, IDENTIFIER);
	put16(icmp + 6, sequence);
	for (uint32_t i = 0; i < bytes; i++)
		icmp[ICMP_BYTES + i] = pattern(sequence, i);
	put16(icmp + 2, checksum(icmp, ICMP_BYTES + bytes));
	send(page, ETHERNET + IP_BYTES + ICMP_BYTES + bytes);
}

/* Whether the bytes of a ping are those that a guest of this kind puts there. */
static bool has_pattern(const uint8_t *icmp, uint32_t bytes)
{
	for (uint32_t i = ICMP_BYTES; i < bytes; i++)
		if (icmp[i] != pattern(get16(icmp + 6), i - ICMP_BYTES))
			return false;
	return true;
}

/* The same bytes, back to where they came from. */
static void answer_ping(const uint8_t *frame, uint32_t length)
{
	const uint8_t *from = frame + ETHERNET;
	uint8_t *page, *ip = frame_new(&page, frame + 6, IP), *icmp = ip + IP_BYTES;

	memcpy(ip, from, length - ETHERNET);
	memcpy(ip + 12, from + 16, 4);
	memcpy(ip + 16, from + 12, 4);
	ip[8] = 64;
	put16(ip + 10, 0);
	put16(ip + 10, checksum(ip, IP_BYTES));
	icmp[0] = PING_ANSWER;
	put16(icmp + 2, 0);
	put16(icmp + 2, checksum(icmp, length - ETHERNET - IP_BYTES));
	send(page, length);
}

static void take_ip(const uint8_t *frame, uint32_t length)
{
	const uint8_t *ip = frame + ETHERNET, *icmp = ip + IP_BYTES;
	uint32_t total = get16(ip + 2), bytes = total - IP_BYTES;
	bool ours;

	/* Short frames have a tail that belongs to nobody. */
	if (ip[0] != 0x45 || ip[9] != ICMP || total < IP_BYTES + ICMP_BYTES ||
	    total > length - ETHERNET || total > PING_MAX + IP_BYTES + ICMP_BYTES ||
	    memcmp(ip + 16, our_ip, 4) != 0 || checksum(icmp, bytes) != 0)
		return;
	ours = get16(icmp + 4) == IDENTIFIER && has_pattern(icmp, bytes);
	if (icmp[0] == PING_ANSWER && ours) {
		peer.answers++;
	} else if (icmp[0] == PING_QUESTION && (ours || memcmp(ip + 12, host_ip, 4) == 0)) {
		peer.questions++;
		answer_ping(frame, ETHERNET + total);
	}
}

/* Takes a frame, if one comes; false when none does. */
static bool take_frame(void)
{
	uint32_t length;
	uint8_t *page = next_frame(&length), *frame = page + VNET_HEADER;

	if (!page)
		return false;
	if (length >= ETHERNET + ARP_BYTES && get16(frame + 12) == ARP)
		take_arp(frame + ETHERNET);
	else if (length >= ETHERNET + IP_BYTES + ICMP_BYTES && get16(frame + 12) == IP)
		take_ip(frame, length);
	give_back(page);
	return true;
}

bool net_resolve(void)
{
	for (uint32_t try = 0; !peer.known && try < TRIES; try++) {
		send_arp(ARP_QUESTION, NULL, peer.ip);
		while (!peer.known && take_frame())
			;
	}
	return peer.known;
}

uint32_t net_ping(uint32_t count, uint32_t bytes)
{
	uint32_t sent = 0, quiet = 0;

	peer.answers = 0;
	while (peer.answers < count && quiet < TRIES) {
		while (sent < count && sent - peer.answers < BURST)
			send_ping(sent++, bytes);
		quiet = take_frame() ? 0 : quiet + 1;
	}
	return peer.answers;
}

uint32_t net_answer(uint32_t count)
{
	uint32_t quiet = 0;

	while (peer.questions < count && quiet < TRIES)
		quiet = take_frame() ? 0 : quiet + 1;
	/* The last answers are out before anybody switches the guest off. */
	net_settle();
	return peer.questions;
}

void net_settle(void)
{
	while (transmit.free_count < transmit.count && virtqueue_wait(&transmit, PATIENCE))
		reclaim();
}
