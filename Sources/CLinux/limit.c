/* SPDX-License-Identifier: Apache-2.0 */
/* Resource limits. */
#include "clinux.h"

#include <sys/resource.h>

uint64_t clinux_memlock_limit(void)
{
	struct rlimit limit = { 0, 0 };

	getrlimit(RLIMIT_MEMLOCK, &limit);
	return limit.rlim_cur;
}

uint64_t clinux_descriptor_limit(void)
{
	struct rlimit limit = { 0, 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}

uint64_t clinux_file_size_limit(void)
{
	struct rlimit limit = { 0, 0 };

	getrlimit(RLIMIT_FSIZE, &limit);
	return limit.rlim_cur;
}

int clinux_set_descriptor_limit(uint64_t count)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -1;
	limit.rlim_cur = count < limit.rlim_max ? count : limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit);
}
