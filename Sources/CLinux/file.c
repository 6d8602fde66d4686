// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

const int clinux_O_DIRECT = O_DIRECT;
const int clinux_O_TMPFILE = O_TMPFILE;
const int clinux_F_OFD_SETLK = F_OFD_SETLK;
const int clinux_F_OFD_SETLKW = F_OFD_SETLKW;
const int clinux_F_OFD_GETLK = F_OFD_GETLK;
const int clinux_SEEK_DATA = SEEK_DATA;
const int clinux_SEEK_HOLE = SEEK_HOLE;
const int clinux_FALLOC_FL_KEEP_SIZE = FALLOC_FL_KEEP_SIZE;
const int clinux_FALLOC_FL_PUNCH_HOLE = FALLOC_FL_PUNCH_HOLE;
const int clinux_FALLOC_FL_ZERO_RANGE = FALLOC_FL_ZERO_RANGE;
const unsigned int clinux_MFD_CLOEXEC = MFD_CLOEXEC;
const unsigned int clinux_MFD_ALLOW_SEALING = MFD_ALLOW_SEALING;
const unsigned int clinux_MFD_HUGETLB = MFD_HUGETLB;
const int clinux_F_ADD_SEALS = F_ADD_SEALS;
const int clinux_F_GET_SEALS = F_GET_SEALS;
const int clinux_F_SEAL_SEAL = F_SEAL_SEAL;
const int clinux_F_SEAL_SHRINK = F_SEAL_SHRINK;
const int clinux_F_SEAL_GROW = F_SEAL_GROW;
const int clinux_F_SEAL_WRITE = F_SEAL_WRITE;
const int clinux_F_SEAL_FUTURE_WRITE = F_SEAL_FUTURE_WRITE;

int clinux_fallocate(int fd, int mode, long offset, long length)
{
	return fallocate(fd, mode, offset, length);
}

int clinux_fstatfs(int fd, long *type, long *block_size)
{
	struct statfs status = {0};
	int result = fstatfs(fd, &status);

	*type = status.f_type;
	*block_size = status.f_bsize;
	return result;
}

int clinux_memfd_create(const char *name, unsigned int flags) { return memfd_create(name, flags); }

int clinux_blkgetsize64(int fd, uint64_t *bytes) { return ioctl(fd, BLKGETSIZE64, bytes); }

int clinux_blksszget(int fd, int *bytes) { return ioctl(fd, BLKSSZGET, bytes); }

int clinux_blkpbszget(int fd, unsigned int *bytes) { return ioctl(fd, BLKPBSZGET, bytes); }

int clinux_blkroget(int fd, int *is_read_only) { return ioctl(fd, BLKROGET, is_read_only); }

int clinux_blkdiscard(int fd, uint64_t offset, uint64_t length)
{
	return ioctl(fd, BLKDISCARD, (uint64_t[]){offset, length});
}

int clinux_blkzeroout(int fd, uint64_t offset, uint64_t length)
{
	return ioctl(fd, BLKZEROOUT, (uint64_t[]){offset, length});
}

int clinux_pipe2(int *ends, int flags) { return pipe2(ends, flags); }
