/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CLinux: Linux calls and constants that Swift's Glibc module does not import.
 *
 * Every function is a plain wrapper around the call of the same name: it returns what the call
 * returns and leaves errno as the call left it. Constants have the C name behind `clinux_`.
 * _GNU_SOURCE is defined for the .c files only, never here: in a public header it would change the
 * Glibc module under everybody who imports this one.
 */
#ifndef LGDEV_CLINUX_H
#define LGDEV_CLINUX_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <time.h>

/* eventfd(2), poll(2) */
extern const int clinux_EFD_CLOEXEC;
extern const int clinux_EFD_NONBLOCK;
int clinux_eventfd(unsigned int initial, int flags);
int clinux_ppoll(void *entries, unsigned long count, const struct timespec *timeout);

/* Threads: pthread_setname_np(3), pthread_attr_setaffinity_np(3), sched_setaffinity(2). */
pid_t clinux_gettid(void);
int clinux_pthread_setname(pthread_t thread, const char *name);
int clinux_pthread_getname(pthread_t thread, char *name, size_t size);
int clinux_pthread_attr_setaffinity(pthread_attr_t *attr, size_t size, const void *mask);
int clinux_sched_getaffinity(pid_t pid, size_t size, void *mask);
int clinux_sched_setaffinity(pid_t pid, size_t size, const void *mask);

/* Files: open(2), fcntl(2), fallocate(2), lseek(2), memfd_create(2). */
extern const int clinux_O_DIRECT;
extern const int clinux_O_TMPFILE;
extern const int clinux_F_OFD_SETLK;
extern const int clinux_F_OFD_SETLKW;
extern const int clinux_F_OFD_GETLK;
extern const int clinux_SEEK_DATA;
extern const int clinux_SEEK_HOLE;
extern const int clinux_FALLOC_FL_KEEP_SIZE;
extern const int clinux_FALLOC_FL_PUNCH_HOLE;
extern const int clinux_FALLOC_FL_ZERO_RANGE;
int clinux_fallocate(int fd, int mode, off_t offset, off_t length);
extern const unsigned int clinux_MFD_CLOEXEC;
extern const unsigned int clinux_MFD_ALLOW_SEALING;
extern const unsigned int clinux_MFD_HUGETLB;
int clinux_memfd_create(const char *name, unsigned int flags);
extern const int clinux_F_ADD_SEALS;
extern const int clinux_F_GET_SEALS;
extern const int clinux_F_SEAL_SEAL;
extern const int clinux_F_SEAL_SHRINK;
extern const int clinux_F_SEAL_GROW;
extern const int clinux_F_SEAL_WRITE;

/* statx(2) with STATX_DIOALIGN: -1, or whether the kernel told; 0 for a file that has no direct I/O. */
int clinux_statx_dioalign(int fd, uint32_t *memory, uint32_t *offset);

/* Block devices: the ioctls BLKGETSIZE64, BLKSSZGET, BLKPBSZGET, BLKDISCARD, BLKZEROOUT. */
int clinux_blkgetsize64(int fd, uint64_t *bytes);
int clinux_blksszget(int fd, int *bytes);
int clinux_blkpbszget(int fd, unsigned int *bytes);
int clinux_blkdiscard(int fd, uint64_t offset, uint64_t length);
int clinux_blkzeroout(int fd, uint64_t offset, uint64_t length);

/*
 * sigbus.c. Registers mapped memory, made of pages of page_size bytes, whose SIGBUS faults are to be
 * contained; gives its place in the table, or -1 with ENOSPC in errno when the table is full. The
 * range stays mapped until it is unregistered. poisoned says whether a fault was contained there
 * since, and contained how many were in all ranges together.
 */
int clinux_sigbus_register(uintptr_t start, size_t length, size_t page_size);
void clinux_sigbus_unregister(int index);
int clinux_sigbus_poisoned(int index);
unsigned long clinux_sigbus_contained(void);

/* getrandom(2) */
extern const unsigned int clinux_GRND_NONBLOCK;
ssize_t clinux_getrandom(void *buffer, size_t size, unsigned int flags);

#endif
