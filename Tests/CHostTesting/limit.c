// SPDX-License-Identifier: Apache-2.0

#include "include/chosttesting.h"

#include <sys/resource.h>

void chosttesting_raise_open_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}
