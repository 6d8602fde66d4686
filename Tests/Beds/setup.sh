#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Brings the front-ends that the beds need: Debian packages through apt, their newest versions (newest.sh),
# and Debian's cloud kernel, unpacked into a cache folder rather than installed (installing a kernel would
# touch the boot loader). Does nothing, quickly, when everything is there. Works as root or with sudo.
#
# usage: setup.sh CACHE_FOLDER
set -eu
cache=$(realpath -m "${1:?usage: setup.sh CACHE_FOLDER}")

here=$(cd "$(dirname "$0")" && pwd)
install=$here/../../Scripts/install-packages.sh
"$install" btrfs-progs busybox-static dosfstools dpdk-dev e2fsprogs fdisk fio fuse2fs fuse3 gdisk iproute2 librte-bus-vdev23 librte-mempool-ring23 \
  librte-net-virtio23 patchelf qemu-system-x86 qemu-utils user-mode-linux util-linux xfsprogs

"$here/newest.sh" "$cache/newest"

# The cached kernel is complete when its folder has this name: it is renamed into place last.
if [ ! -d "$cache/kernel" ]; then
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/unpack.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  newest() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null |
      sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1
  }
  cd "$work"
  kernel=$(newest)
  if [ -z "$kernel" ] || ! apt-get -qq download "$kernel" >&2; then
    # Package lists that are missing or stale: a superseded version is gone from the mirror.
    "$install" --update
    kernel=$(newest)
    if [ -z "$kernel" ]; then
      echo "setup: apt knows no linux-image-cloud-amd64; is this Debian on amd64?" >&2
      exit 1
    fi
    apt-get -qq download "$kernel" >&2
  fi
  dpkg-deb -x ./*.deb kernel
  mv kernel "$cache/kernel"
fi
