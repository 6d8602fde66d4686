/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The network device, and just enough of ARP and ICMP to ping and to be pinged. The guest is 10.0.0.2, or
 * what `ip=` says on the command line; its peer is the host, 10.0.0.1, or another guest of this kind.
 * While it waits for anything it answers who asks.
 */
#ifndef GUEST_NET_H
#define GUEST_NET_H

#include "guest.h"

#define PING_MAX 1472

bool net_init(void);
const uint8_t *net_mac(void);
const uint8_t *net_ip(void);
/* Who the peer is from now on: four numbers with dots. */
void net_peer(const char *ip);
/* Asks by ARP where the peer is, again and again; false when nobody answers for two minutes. */
bool net_resolve(void);
/*
 * Sends `count` pings with so many bytes of data, up to 32 of them before the first answer; gives
 * how many came back with the same bytes.
 */
uint32_t net_ping(uint32_t count, uint32_t bytes);
/*
 * Waits until so many pings have come since the start, and were answered; gives how many. Pings with a
 * wrong checksum do not count, nor do a guest's with other bytes than it sends.
 */
uint32_t net_answer(uint32_t count);
/* Waits until all that was sent is out, and its pages are free again. */
void net_settle(void);

#endif
