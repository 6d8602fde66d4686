/* SPDX-License-Identifier: GPL-2.0-only */
/* Random bytes from the host. */
#ifndef GUEST_RNG_H
#define GUEST_RNG_H

#include "guest.h"

bool rng_init(void);
/* Fills the buffer; gives how many bytes came. */
uint32_t rng_read(void *to, uint32_t bytes);

#endif
