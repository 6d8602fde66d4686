// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <sys/random.h>

const unsigned int clinux_GRND_NONBLOCK = GRND_NONBLOCK;

long clinux_getrandom(void *buffer, size_t size, unsigned int flags)
{
	return getrandom(buffer, size, flags);
}
