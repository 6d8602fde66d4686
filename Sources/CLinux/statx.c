// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <fcntl.h>
#include <sys/stat.h>

int clinux_statx_dioalign(int fd, uint32_t *memory, uint32_t *offset)
{
	struct statx status;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) < 0)
		return -1;
	*memory = status.stx_dio_mem_align;
	*offset = status.stx_dio_offset_align;
	return (status.stx_mask & STATX_DIOALIGN) != 0;
}
