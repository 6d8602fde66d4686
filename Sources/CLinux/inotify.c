// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <sys/inotify.h>

const unsigned int clinux_IN_OPEN = IN_OPEN;
const unsigned int clinux_IN_ATTRIB = IN_ATTRIB;
const unsigned int clinux_IN_MOVE_SELF = IN_MOVE_SELF;

int clinux_inotify_init(void) { return inotify_init1(IN_NONBLOCK | IN_CLOEXEC); }

int clinux_inotify_add_watch(int fd, const char *path, unsigned int events)
{
	return inotify_add_watch(fd, path, events);
}
