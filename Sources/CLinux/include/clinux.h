/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CLinux: Linux calls and constants that Swift's Glibc module does not import.
 *
 * Every function is a plain wrapper around the call of the same name: it returns what the call
 * returns and leaves errno as the call left it. Constants have the C name behind `clinux_`.
 * _GNU_SOURCE is defined for the .c files only, never here: in a public header it would change the
 * Glibc module under everybody who imports this one. For the same reason this header includes nothing
 * of the system's but two headers without structures: a structure that it brought in, such as struct
 * iovec, could become this module's instead of Glibc's. Pointers to structures are void pointers.
 */
#ifndef LGDEV_CLINUX_H
#define LGDEV_CLINUX_H

#include <stddef.h>
#include <stdint.h>

/* eventfd(2), poll(2) */
extern const int clinux_EFD_CLOEXEC;
extern const int clinux_EFD_NONBLOCK;
int clinux_eventfd(unsigned int initial, int flags);
int clinux_ppoll(void *entries, unsigned long count, const void *timeout);

/* Threads: pthread_setname_np(3), pthread_attr_setaffinity_np(3), sched_setaffinity(2). */
int clinux_gettid(void);
int clinux_rseq_unregister(void);
int clinux_pthread_setname(unsigned long thread, const char *name);
int clinux_pthread_getname(unsigned long thread, char *name, size_t size);
int clinux_pthread_attr_setaffinity(void *attr, size_t size, const void *mask);
/* The processors of the process's first thread, and no real-time policy of the caller's alone. */
void clinux_pthread_attr_of_process(void *attr);
int clinux_sched_getaffinity(int pid, size_t size, void *mask);
int clinux_sched_setaffinity(int pid, size_t size, const void *mask);

/* Files: open(2), fcntl(2), fallocate(2), lseek(2), fstatfs(2), memfd_create(2). */
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
int clinux_fallocate(int fd, int mode, long offset, long length);
extern const unsigned int clinux_MFD_CLOEXEC;
extern const unsigned int clinux_MFD_ALLOW_SEALING;
extern const unsigned int clinux_MFD_HUGETLB;
int clinux_fstatfs(int fd, long *type, long *block_size);
int clinux_memfd_create(const char *name, unsigned int flags);
extern const int clinux_F_ADD_SEALS;
extern const int clinux_F_GET_SEALS;
extern const int clinux_F_SEAL_SEAL;
extern const int clinux_F_SEAL_SHRINK;
extern const int clinux_F_SEAL_GROW;
extern const int clinux_F_SEAL_WRITE;
extern const int clinux_F_SEAL_FUTURE_WRITE;

/* preadv2(2) with RWF_NOWAIT. Not a cancellation point, as preadv2 of the C library is. */
long clinux_preadv2_nowait(int fd, const void *vectors, int count, long offset);

/* statx(2) with STATX_DIOALIGN: -1, or whether the kernel told; 0 for a file that has no direct I/O. */
int clinux_statx_dioalign(int fd, uint32_t *memory, uint32_t *offset);

/* memmem(3): whether the bytes have the others among them. */
int clinux_holds(const void *bytes, size_t count, const void *word, size_t word_count);

/* Block devices: the ioctls BLKGETSIZE64, BLKSSZGET, BLKPBSZGET, BLKROGET, BLKDISCARD, BLKZEROOUT. */
int clinux_blkgetsize64(int fd, uint64_t *bytes);
int clinux_blksszget(int fd, int *bytes);
int clinux_blkpbszget(int fd, unsigned int *bytes);
int clinux_blkroget(int fd, int *is_read_only);
int clinux_blkdiscard(int fd, uint64_t offset, uint64_t length);
int clinux_blkzeroout(int fd, uint64_t offset, uint64_t length);

/*
 * /dev/fuse: FUSE_DEV_IOC_BACKING_OPEN, which gives the number of a file that the kernel may serve by
 * itself, or -1. copy_file_range(2). splice(2) without flags, to the other's position. F_SETPIPE_SZ, which gives
 * the size that it has become. umount2(2), plain and with MNT_DETACH.
 */
int clinux_unmount(const char *path);
int clinux_detach_mount(const char *path);
/* posix_spawn(3), environ(7). */
extern const int clinux_POSIX_SPAWN_SETSID;
char **clinux_environ(void);
int clinux_fuse_backing_open(int fd, int file);
long clinux_splice(int from, long *from_offset, int to, size_t length);
int clinux_set_pipe_size(int pipe, int size);
long clinux_copy_file_range(int from, long *from_offset, int to, long *to_offset, size_t length);

/* Sockets: accept4(2), socketpair(2), cmsg(3). The last four are macros in C. */
extern const int clinux_SOCK_CLOEXEC;
extern const int clinux_SOCK_NONBLOCK;
extern const int clinux_MSG_CMSG_CLOEXEC;
int clinux_accept4(int fd, int flags);
int clinux_bind(int fd, const void *address, unsigned int size);
int clinux_connect(int fd, const void *address, unsigned int size);
int clinux_socketpair(int domain, int type, void *two_ints);
size_t clinux_cmsg_space(size_t length);
size_t clinux_cmsg_len(size_t length);
void *clinux_cmsg_firsthdr(void *message);
void *clinux_cmsg_nxthdr(void *message, void *header);
void *clinux_cmsg_data(void *header);

/* signalfd(2), timerfd_create(2): closed on exec, never waiting. */
int clinux_signalfd(const void *set);
int clinux_timerfd_create(void);
int clinux_timerfd_settime(int fd, const void *setting);

/*
 * sigbus.c. Registers mapped memory, made of pages of page_size bytes, whose SIGBUS faults are to be
 * contained; gives its place in the table, or -1 with ENOSPC in errno when the table is full. The
 * range stays mapped until it is unregistered. poisoned says whether a fault was contained there
 * since, and contained how many were in all ranges together.
 */
enum { CLINUX_SIGBUS_SLOTS = 4096 };
int clinux_sigbus_register(uintptr_t start, size_t length, size_t page_size);
void clinux_sigbus_unregister(int index);
int clinux_sigbus_poisoned(int index);
unsigned long clinux_sigbus_contained(void);

/*
 * Taps, interfaces and bridges: netdevice(7), <linux/if_tun.h>, <linux/sockios.h>. A name that is read is
 * terminated and has at most 15 bytes; one that is written has 16. Addresses are in network order.
 */
int clinux_tunsetiff(int fd, void *name, short flags);
int clinux_tungetiff(int fd, void *name, short *flags);
int clinux_tunsetoffload(int fd, unsigned int offloads);
int clinux_tunsetvnethdrsz(int fd, int size);
int clinux_tungetvnethdrsz(int fd, int *size);
int clinux_tungetsndbuf(int fd, int *bytes);
int clinux_tunsetpersist(int fd, int on);
int clinux_if_index(int fd, const void *name, int *index);
int clinux_if_flags(int fd, const void *name, short *flags);
int clinux_if_set_flags(int fd, const void *name, short flags);
int clinux_if_mtu(int fd, const void *name, int *mtu);
int clinux_if_set_mtu(int fd, const void *name, int mtu);
int clinux_if_hwaddr(int fd, const void *name, void *six_bytes);
int clinux_if_set_hwaddr(int fd, const void *name, const void *six_bytes);
int clinux_if_addr(int fd, const void *name, uint32_t *address);
int clinux_if_set_addr(int fd, const void *name, uint32_t address);
int clinux_if_netmask(int fd, const void *name, uint32_t *mask);
int clinux_if_set_netmask(int fd, const void *name, uint32_t mask);
int clinux_ethtool_glink(int fd, const void *name, uint32_t *link);
int clinux_br_addif(int fd, const void *bridge, int index);
int clinux_br_delif(int fd, const void *bridge, int index);
int clinux_br_addbr(int fd, const void *name);
int clinux_br_delbr(int fd, const void *name);
int clinux_unshare_network(void);

/* Terminals: pty(7), TIOCGWINSZ, TIOCSWINSZ. ptsname_r(3) returns an error's number. */
int clinux_posix_openpt(int flags);
int clinux_grantpt(int fd);
int clinux_unlockpt(int fd);
int clinux_ptsname_r(int fd, char *path, size_t size);
int clinux_tiocgwinsz(int fd, unsigned short *columns, unsigned short *rows);
int clinux_tiocswinsz(int fd, unsigned short columns, unsigned short rows);

/* getrlimit(2) with RLIMIT_MEMLOCK: its soft limit in bytes, all ones for none. */
uint64_t clinux_memlock_limit(void);

/* getrlimit(2) with RLIMIT_NOFILE: its soft limit; setrlimit(2): no higher than the hard one. */
uint64_t clinux_descriptor_limit(void);
int clinux_set_descriptor_limit(uint64_t count);
/* getrlimit(2) with RLIMIT_FSIZE. */
uint64_t clinux_file_size_limit(void);

/* getrandom(2) */
extern const unsigned int clinux_GRND_NONBLOCK;
long clinux_getrandom(void *buffer, size_t size, unsigned int flags);

/*
 * rawterminal.c. make_raw puts one terminal at a time into raw mode, its output processing excepted,
 * and restore gives it its settings back: at the latest when the process exits or crashes. restore
 * may be called at any time and in signal handlers. pause does the same for a while, and resume, which gets what
 * pause gave, ends that.
 */
int clinux_terminal_make_raw(int fd);
void clinux_terminal_restore(void);
int clinux_terminal_pause(void);
void clinux_terminal_resume(int fd);
int clinux_terminal_is_background(int fd);

/* inotify(7): closed on exec, never waiting. */
extern const unsigned int clinux_IN_OPEN;
extern const unsigned int clinux_IN_ATTRIB;
extern const unsigned int clinux_IN_MOVE_SELF;
int clinux_inotify_init(void);
int clinux_inotify_add_watch(int fd, const char *path, unsigned int events);

/* pipe(2) */
int clinux_pipe2(int *ends, int flags);

/*
 * nudge.c. Makes a system call that waits in the thread fail with EINTR, by SIGURG, whatever this process does on
 * that signal. Between begin and end; returns 0 or an error number. The thread has said that it is nudgeable.
 */
void clinux_set_nudgeable(void);
void clinux_nudges_begin(void);
int clinux_nudge(unsigned long thread);
void clinux_nudges_end(void);

/* syslog.c. openlog(3) for a daemon of the name lgdev; syslog(3) with a line as it is. */
void clinux_openlog(void);
void clinux_syslog(int priority, const char *line);

/* arguments.c. The process's command line; index is less than the count. */
int clinux_argument_count(void);
const char *clinux_argument(int index);

#endif
