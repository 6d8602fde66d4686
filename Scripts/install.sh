#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the program, links to it by device type, QEMU's descriptor files for them, manual pages and
# completions. Everything that describes the program is made by the program.
#
# usage: install.sh DESTDIR PREFIX (DESTDIR may be empty)
set -eu
cd "$(dirname "$0")/.."
destination=$1$2
prefix=$2
program=.build/release/lgdev
pages=.build/man

install -D -m 755 -s "$program" "$destination/bin/lgdev"

for type in block net console rng; do
  mkdir -p "$destination/libexec/lgdev" "$destination/share/qemu/vhost-user"
  ln -sf ../../bin/lgdev "$destination/libexec/lgdev/lgdev-$type"
  cat >"$destination/share/qemu/vhost-user/50-lgdev-$type.json" <<JSON
{
  "description": "lgdev $type device",
  "type": "$type",
  "binary": "$prefix/libexec/lgdev/lgdev-$type"
}
JSON
done

# What mount(8) runs for a file system of type fuse.lgdev.
mkdir -p "$destination/sbin"
ln -sf ../bin/lgdev "$destination/sbin/mount.fuse.lgdev"

# ArgumentParser's plugin for this does not come back; the tool behind it works.
swift build -q --product generate-manual >&2
rm -rf "$pages"
mkdir -p "$pages" "$destination/share/man/man1"
.build/debug/generate-manual "$program" --multi-page --output-directory "$pages"
for page in lgdev lgdev.serve lgdev.export lgdev.config lgdev.config.check lgdev.top lgdev.stats lgdev.doctor; do
  # Headlines in the running text become sections, shown as they are written.
  awk '
    /^[A-Z]+$/ { if (open) print ".Ed"; print ".Sh " $0; print ".Bd -literal"; open = 1; next }
    /^\.(Bl|Sh)/ && open { print ".Ed"; open = 0; if (/^\.Bl/) print ".Sh OPTIONS" }
    { sub(/^  /, ""); sub(/^\.Dt LGDEV\./, ".Dt LGDEV-"); sub(/^\.Dt LGDEV-CONFIG\./, ".Dt LGDEV-CONFIG-"); print }
  ' "$pages/$page.1" >"$destination/share/man/man1/$(echo "$page" | tr . -).1"
done

completions() {
  mkdir -p "$destination/$(dirname "$2")"
  "$program" --generate-completion-script "$1" >"$destination/$2"
}
completions bash share/bash-completion/completions/lgdev
completions zsh share/zsh/site-functions/_lgdev
completions fish share/fish/vendor_completions.d/lgdev.fish

install -D -m 644 README.md "$destination/share/doc/lgdev/README.md"
install -D -m 644 docs/fleet.md "$destination/share/doc/lgdev/fleet.md"
install -D -m 644 Examples/fleet.yaml "$destination/share/doc/lgdev/Examples/fleet.yaml"
install -D -m 644 LICENSE "$destination/share/doc/lgdev/LICENSE"
