#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Installs the Debian packages that building the module and its tests need. Kernels and their headers
# are not among them: kernels.py unpacks those into a cache. Quick when everything is there.
set -eu
exec "$(dirname "$0")/../../Scripts/install-packages.sh" binutils busybox-static dpkg gcc gcc-12 \
  libc6-dev libelf1 libssl3 make perl python3 qemu-system-x86
