#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Resolves the Swift packages of a package's folder to the releases in a list, whatever newer ones there are,
# and fails where that cannot be had. Quick and silent when they are resolved so already.
#
# Why a list, and not a committed Package.resolved: that names commits. A mirror of the packages may have the
# same release under another commit, and Swift's package manager then resolves nothing at all. Why not
# exact versions in Package.swift: they would bind whoever links the libraries.
#
# usage: pin-packages.sh [FOLDER [LIST]]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/..}
list=${2:-$here/package-versions.txt}

fail() {
  echo "packages: $1" >&2
  exit 1
}

# `name version` of each package that is resolved, sorted.
resolved() {
  [ ! -f "$folder/Package.resolved" ] ||
    awk -F '"' '/"identity"/ { name = $4 } /"version" : "/ { print name, $4 }' "$folder/Package.resolved" | sort
}

# Those of them that the list has otherwise, or not at all.
strays() { resolved | grep -vxF -f "$list" || true; }

if [ "$folder/Package.resolved" -nt "$folder/Package.swift" ] && [ -n "$(resolved)" ] && [ -z "$(strays)" ]; then
  exit 0
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
swift package --package-path "$folder" resolve >"$log" 2>&1 || {
  cat "$log" >&2
  fail "they cannot be resolved"
}
while read -r name version; do
  case $name in '' | \#*) continue ;; esac
  resolved | grep -q "^$name " || continue
  swift package --package-path "$folder" resolve "$name" --version "$version" >"$log" 2>&1 || {
    cat "$log" >&2
    fail "$name $version cannot be had; $list names it"
  }
done <"$list"
[ -z "$(strays)" ] || fail "not as $list has them: $(strays | paste -s -d ,)"
