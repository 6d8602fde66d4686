#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes a fresh Debian 12 with the Swift toolchain ready to build and to test: packages, and a look
# at the toolchain. The front-ends of the beds are brought by Tests/Beds/setup.sh.
set -eu
cd "$(dirname "$0")/.."

# The one list of what building, checking and the unit tests need:
#   gcc, libc6-dev, pkg-config, liburing-dev  the C wrappers, io_uring
#   python3                                   the scripts, the beds
#   valgrind                                  the count of runtime calls per chain
#   qemu-utils, qemu-system-x86               the other side of image locks
packages="gcc libc6-dev liburing-dev pkg-config python3 qemu-system-x86 qemu-utils valgrind"

wanted=6.3
# Found first: it is the one thing that no package brings.
if ! version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9.]*\).*/\1/p') ||
  [ -z "$version" ]; then
  echo "setup: there is no Swift toolchain in PATH; lgdev needs Swift $wanted or newer:" \
    "see https://www.swift.org/install/linux" >&2
  exit 1
fi
if [ "$(printf '%s\n' "$wanted" "$version" | sort -V | head -n 1)" != "$wanted" ]; then
  echo "setup: lgdev needs Swift $wanted or newer, and $(command -v swift) is $version:" \
    "see https://www.swift.org/install/linux" >&2
  exit 1
fi

# shellcheck disable=SC2086 # one word per package is meant
exec Scripts/install-packages.sh $packages
