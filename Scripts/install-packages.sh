#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that are not there yet, as root or with sudo. Quick and silent when
# nothing is missing.
#
# usage: install-packages.sh [--update] [PACKAGE…]
# --update renews apt's lists of packages in any case.
set -eu

missing=
update=
if [ "${1:-}" = --update ]; then
  update=1
  shift
fi
for package in "$@"; do
  dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
    missing="$missing $package"
done
[ -n "$missing$update" ] || exit 0

if ! command -v apt-get >/dev/null; then
  # Perhaps they are there under other names: going on finds out.
  echo "setup: no apt-get here; if something is missing later, these are the Debian packages:$missing" >&2
  exit 0
elif [ "$(id -u)" = 0 ]; then
  sudo=
elif command -v sudo >/dev/null; then
  sudo=sudo
else
  echo "setup: missing packages, and neither root nor sudo; as root, run:" \
    "apt-get install$missing" >&2
  exit 1
fi

$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq update >&2
[ -n "$missing" ] || exit 0
echo "setup: installing$missing" >&2
# shellcheck disable=SC2086 # one word per package is meant
$sudo env DEBIAN_FRONTEND=noninteractive \
  apt-get -qq -y --no-install-recommends install $missing >&2
