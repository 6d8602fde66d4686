// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <fcntl.h>
#include <linux/ioctl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

/* Since Linux 6.9; older headers do not have it. */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};

int clinux_fuse_backing_open(int fd, int file)
{
	return ioctl(fd, _IOW(229, 1, struct backing_map), &(struct backing_map){.fd = file});
}

long clinux_copy_file_range(int from, long *from_offset, int to, long *to_offset, size_t length)
{
	return copy_file_range(from, from_offset, to, to_offset, length, 0);
}

int clinux_unmount(const char *path) { return umount2(path, UMOUNT_NOFOLLOW); }

int clinux_detach_mount(const char *path) { return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW); }

long clinux_splice(int from, long *from_offset, int to, size_t length)
{
	return splice(from, from_offset, to, NULL, length, 0);
}

int clinux_set_pipe_size(int pipe, int size) { return fcntl(pipe, F_SETPIPE_SZ, size); }
