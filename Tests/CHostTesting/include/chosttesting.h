// SPDX-License-Identifier: Apache-2.0
//
// What tests need of the system that Swift cannot import.

#ifndef CHOSTTESTING_H
#define CHOSTTESTING_H

#include <stddef.h>
#include <sys/syscall.h>

// Numbers of system calls.
enum {
	CHOSTTESTING_PREAD = SYS_pread64,
	CHOSTTESTING_PWRITE = SYS_pwrite64,
	CHOSTTESTING_PREADV = SYS_preadv,
	CHOSTTESTING_PWRITEV = SYS_pwritev,
	CHOSTTESTING_PREADV2 = SYS_preadv2,
	CHOSTTESTING_PWRITEV2 = SYS_pwritev2,
	CHOSTTESTING_FSYNC = SYS_fsync,
	CHOSTTESTING_FDATASYNC = SYS_fdatasync,
	CHOSTTESTING_IO_URING_SETUP = SYS_io_uring_setup,
	CHOSTTESTING_IO_URING_ENTER = SYS_io_uring_enter,
	CHOSTTESTING_IO_URING_REGISTER = SYS_io_uring_register,
	CHOSTTESTING_CLONE = SYS_clone,
	CHOSTTESTING_CLONE3 = SYS_clone3,
};

// From here on the calling thread, and each thread that it starts, is refused the system calls of these numbers with
// EPERM (seccomp(2)). There is no way back.
// Returns: 0, or an error number.
int chosttesting_refuse(const int *calls, size_t count);

// Lets this process have as many files open as its hard limit says (getrlimit(2)).
void chosttesting_raise_open_files(void);

// Makes a file a FUSE file system of one file, which /dev/fuse's descriptor serves, for the calling thread and the
// threads that it starts (mount_namespaces(7)). It goes with the last of them.
// Returns: 0, or an error number.
int chosttesting_mount_fuse_file(int device, const char *path);

// Takes it away again. Returns: 0, or an error number.
int chosttesting_unmount(const char *path);

#endif
