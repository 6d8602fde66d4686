#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Swift packages are built in the releases that Scripts/package-versions.txt names, though newer ones are there;
# one that cannot be had, or that is not on the list, ends the build with a line that names it.
set -eu
cd "$(dirname "$0")/../.."
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

fail() {
  echo "package-versions: $1"
  exit 1
}

# What this project is built with now.
Scripts/pin-packages.sh || fail "this project's own packages are not as listed"
python3 - <<'PYTHON' || fail "Package.resolved differs from the list"
import json
listed = dict(line.split() for line in open("Scripts/package-versions.txt") if line[0] not in "#\n")
pins = {pin["identity"]: pin["state"]["version"] for pin in json.load(open("Package.resolved"))["pins"]}
assert pins and all(listed.get(name) == version for name, version in pins.items()), pins
PYTHON

# A package of two releases, and one that takes any from the first on.
mkdir -p "$tree/needed/Sources/needed" "$tree/user/Sources/user"
cat >"$tree/needed/Package.swift" <<'SWIFT'
// swift-tools-version: 6.0
import PackageDescription
let package = Package(
  name: "needed", products: [.library(name: "needed", targets: ["needed"])], targets: [.target(name: "needed")])
SWIFT
echo >"$tree/needed/Sources/needed/empty.swift"
git -C "$tree/needed" init -q
git -C "$tree/needed" add .
for release in 1.0.0 1.1.0; do
  git -C "$tree/needed" -c user.name=test -c user.email=test@example.com commit -q --allow-empty -m "$release"
  git -C "$tree/needed" tag "$release"
done
cat >"$tree/user/Package.swift" <<SWIFT
// swift-tools-version: 6.0
import PackageDescription
let package = Package(
  name: "user", dependencies: [.package(url: "file://$tree/needed", from: "1.0.0")],
  targets: [.target(name: "user", dependencies: ["needed"])])
SWIFT
echo >"$tree/user/Sources/user/empty.swift"

pin() { Scripts/pin-packages.sh "$tree/user" "$tree/list" 2>&1; }
is_built_with() { grep -q "\"version\" : \"$1\"" "$tree/user/Package.resolved"; }

swift package --package-path "$tree/user" resolve >/dev/null 2>&1
is_built_with 1.1.0 || fail "without the list the newest release should be taken; this test shows nothing"
echo "needed 1.0.0" >"$tree/list"
pin || fail "a listed release was refused"
is_built_with 1.0.0 || fail "the newer release was taken in spite of the list"
rm -rf "$tree/user/Package.resolved" "$tree/user/.build"
pin || fail "a listed release was refused in a fresh folder"
is_built_with 1.0.0 || fail "the newer release was taken in a fresh folder"

echo "needed 1.2.0" >"$tree/list"
said=$(pin) && fail "a release that is not there was accepted"
echo "$said" | grep -q "^packages: needed 1.2.0 cannot be had" || fail "no line names the release: $said"
echo "other 1.0.0" >"$tree/list"
said=$(pin) && fail "a package that is not listed was accepted"
echo "$said" | grep -q "^packages: not as .*: needed 1" || fail "no line names the package: $said"
