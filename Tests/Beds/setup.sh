#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Brings the front-ends that the beds need: Debian packages through apt, and Debian's cloud kernel,
# unpacked into a cache folder rather than installed (installing a kernel would touch the boot
# loader). Does nothing, quickly, when everything is there. Works as root or with sudo.
#
# usage: setup.sh CACHE_FOLDER
set -eu
cache=$(realpath -m "${1:?usage: setup.sh CACHE_FOLDER}")

packages="busybox-static dpdk-dev e2fsprogs fio iproute2 librte-bus-vdev23 librte-mempool-ring23
librte-net-virtio23 qemu-system-x86 user-mode-linux util-linux"

as_root() {
  if [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive "$@"
  elif command -v sudo >/dev/null; then
    sudo DEBIAN_FRONTEND=noninteractive "$@"
  else
    echo "setup.sh: cannot install$missing: not root and there is no sudo;" \
      "run this as root: apt-get install$missing" >&2
    exit 1
  fi
}

missing=
for package in $packages; do
  dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
    missing="$missing $package"
done
if [ -n "$missing" ]; then
  echo "setup.sh: installing$missing" >&2
  as_root apt-get -qq update >&2
  # shellcheck disable=SC2086 # one word per package is meant
  as_root apt-get -qq -y --no-install-recommends install $missing >&2
fi

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
  # Package lists that are missing or stale (a superseded version is gone from the mirror) are
  # renewed once.
  kernel=$(newest)
  if [ -z "$kernel" ] || ! apt-get -qq download "$kernel" >&2; then
    missing=" (package lists)"
    as_root apt-get -qq update >&2
    kernel=$(newest)
    [ -n "$kernel" ] || {
      echo "setup.sh: apt knows no linux-image-cloud-amd64; is this Debian on amd64?" >&2
      exit 1
    }
    apt-get -qq download "$kernel" >&2
  fi
  dpkg-deb -x ./*.deb kernel
  mv kernel "$cache/kernel"
fi
