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

#endif
