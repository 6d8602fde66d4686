/* SPDX-License-Identifier: Apache-2.0 */
/*
 * liburing as it is installed: its inline functions import into Swift unchanged.
 *
 * liburing.h defines _GNU_SOURCE and _XOPEN_SOURCE, which would give this module another fd_set than
 * every other one. The C library looks at them once, in features.h: so that comes first.
 */
#ifndef LGDEV_CLIBURING_SHIM_H
#define LGDEV_CLIBURING_SHIM_H
#include <features.h>
#include <liburing.h>
#endif
