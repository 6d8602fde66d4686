/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml as it is installed. */
#ifndef LGDEV_CLIBYAML_SHIM_H
#define LGDEV_CLIBYAML_SHIM_H
#include <yaml.h>
#endif
