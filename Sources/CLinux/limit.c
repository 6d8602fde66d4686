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
