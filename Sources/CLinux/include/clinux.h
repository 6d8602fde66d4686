/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CLinux: Linux calls and constants that Swift's Glibc module does not import.
 *
 * Every function is a plain wrapper around the call of the same name: it returns what the call
 * returns and leaves errno as the call left it. _GNU_SOURCE is defined for the .c files only, never
 * here: in a public header it would change the Glibc module under everybody who imports this one.
 */
#ifndef LGDEV_CLINUX_H
#define LGDEV_CLINUX_H

int clinux_eventfd(unsigned int initial, int flags);

#endif
