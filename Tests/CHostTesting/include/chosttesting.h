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

#endif
