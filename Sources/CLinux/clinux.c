// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <sys/eventfd.h>

int clinux_eventfd(unsigned int initial, int flags) { return eventfd(initial, flags); }
