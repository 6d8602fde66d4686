// SPDX-License-Identifier: Apache-2.0
/* syslog(3), which Swift cannot import: it takes a variable number of arguments. */

#include <syslog.h>

#include "clinux.h"

void clinux_openlog(void)
{
	openlog("lgdev", LOG_PID, LOG_DAEMON);
}

void clinux_syslog(int priority, const char *line)
{
	syslog(priority, "%s", line);
}
