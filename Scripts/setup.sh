#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes a fresh Debian 12 with the Swift toolchain ready: packages of Debian, a look at the toolchain, and the
# releases of Swift packages that are built with. The front-ends of the beds are brought by Tests/Beds/setup.sh.
#
# usage: setup.sh build|test (test includes build)
set -eu
cd "$(dirname "$0")/.."

wanted=6.3
no_swift() {
  echo "setup: $1; lgdev needs Swift $wanted or newer in PATH:" \
    "see https://www.swift.org/install/linux" >&2
  exit 1
}

# The one thing that no package brings, so it is missed first.
command -v swift >/dev/null || no_swift "there is no Swift toolchain"

# The one list of packages. First what the toolchain itself leans on: its programs are linked with these
# libraries, it finds its C libraries beside gcc's, and it fetches sources with git.
packages="binutils ca-certificates g++ git libc6-dev libcurl4 libedit2 libncurses6 libsqlite3-0
libxml2 tzdata"
# io_uring; files of settings; disks as files.
packages="$packages liburing-dev libyaml-dev libfuse3-dev pkg-config"
if [ "$1" = test ]; then
  # Scripts; a call count per chain; image locks beside QEMU's, and its storage daemon to compare with;
  # namespaces for tests that need a network or a file system of their own.
  packages="$packages python3 valgrind qemu-system-x86 qemu-utils util-linux"
  # Partition tables and file systems of every kind.
  packages="$packages fdisk gdisk e2fsprogs dosfstools xfsprogs btrfs-progs squashfs-tools ntfs-3g
exfatprogs f2fs-tools cryptsetup-bin xorriso erofs-utils udftools nilfs-tools jfsutils reiserfsprogs ocfs2-tools
bcache-tools"
fi
# shellcheck disable=SC2086 # one word per package is meant
Scripts/install-packages.sh $packages

version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9.]*\).*/\1/p')
[ -n "$version" ] || no_swift "$(command -v swift) does not run"
[ "$(printf '%s\n' "$wanted" "$version" | sort -V | head -n 1)" = "$wanted" ] ||
  no_swift "$(command -v swift) is $version"

Scripts/pin-packages.sh
