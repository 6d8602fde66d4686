/* SPDX-License-Identifier: Apache-2.0 */
/* liburing as it is installed: its inline functions import into Swift unchanged. */
#ifndef LGDEV_CLIBURING_SHIM_H
#define LGDEV_CLIBURING_SHIM_H
#include <liburing.h>
#endif
