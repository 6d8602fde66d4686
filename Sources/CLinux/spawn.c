// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <spawn.h>
#include <unistd.h>

const int clinux_POSIX_SPAWN_SETSID = POSIX_SPAWN_SETSID;

char **clinux_environ(void) { return environ; }
