#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# `make install` puts a whole, working program where it is told to, and the program's descriptions fit it.
set -eu
cd "$(dirname "$0")/../.."
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

fail() {
  echo "installed-files: $1"
  exit 1
}

make -s install DESTDIR="$tree" PREFIX=/opt/lgdev >/dev/null
root=$tree/opt/lgdev

"$root/bin/lgdev" --version | grep -q '^lgdev [0-9]' || fail "the program does not run"
# Nothing of the toolchain is needed at run time.
! ldd "$root/bin/lgdev" | grep -i swift || fail "the program needs Swift's libraries"

for type in block net console rng; do
  descriptor=$root/share/qemu/vhost-user/50-lgdev-$type.json
  python3 - "$descriptor" "$tree" "$type" <<'PYTHON' || fail "descriptor of $type"
import json, subprocess, sys
descriptor, tree, device = sys.argv[1:]
described = json.load(open(descriptor))
assert described["type"] == device and described["description"]
shown = subprocess.run([tree + described["binary"], "--print-capabilities"], capture_output=True, check=True)
assert json.loads(shown.stdout)["type"] == device
PYTHON
done

for option in $("$root/bin/lgdev" help serve | sed -n 's/^  --\([a-z-]*\) .*/\1/p'); do
  grep -q -- "-$option" "$root/share/man/man1/lgdev-serve.1" || fail "no --$option in the manual"
  grep -q -- "--$option" "$root/share/bash-completion/completions/lgdev" ||
    fail "no --$option in bash's completions"
done
test -s "$root/share/man/man1/lgdev.1" || fail "no lgdev.1"
for page in export top stats doctor; do
  test -s "$root/share/man/man1/lgdev-$page.1" || fail "no lgdev-$page.1"
  grep -q "$page" "$root/share/bash-completion/completions/lgdev" || fail "no $page in bash's completions"
done
[ "$(readlink -f "$root/sbin/mount.fuse.lgdev")" = "$(readlink -f "$root/bin/lgdev")" ] || fail "no mount.fuse.lgdev"
test -s "$root/share/man/man1/lgdev-config-check.1" || fail "no lgdev-config-check.1"
test -s "$root/share/zsh/site-functions/_lgdev" || fail "no completions for zsh"
test -s "$root/share/fish/vendor_completions.d/lgdev.fish" || fail "no completions for fish"
"$root/bin/lgdev" config check "$root/share/doc/lgdev/Examples/fleet.yaml" >/dev/null || fail "the example of a fleet"
