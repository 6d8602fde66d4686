// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

long clinux_preadv2_nowait(int fd, const void *vectors, int count, long offset)
{
	/* The position is told in two halves of a long's width each; on 64-bit the second one is ignored. */
	return syscall(SYS_preadv2, fd, vectors, (long)count, offset, 0L, (long)RWF_NOWAIT);
}
