/* SPDX-License-Identifier: GPL-2.0-only */
/* The network device, and just enough of ARP and ICMP to ping the host, which is 10.0.0.1. */
#ifndef GUEST_NET_H
#define GUEST_NET_H

#include "guest.h"

#define PING_MAX 1472

bool net_init(void);
const uint8_t *net_mac(void);
/* Asks by ARP who the host is; false when nobody answers. */
bool net_resolve(void);
/*
 * Sends `count` pings with so many bytes of data, up to 32 of them before the first answer; gives
 * how many came back with the same bytes.
 */
uint32_t net_ping(uint32_t count, uint32_t bytes);

#endif
