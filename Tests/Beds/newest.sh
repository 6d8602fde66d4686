#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Brings the newest front-ends that Debian has, those of its suite "testing", into a folder of their own, with
# that suite's C library and whatever else they need. Nothing is installed, and the machine's own settings
# of apt stay as they are: a private list of sources, private folders, and nobody has to be root.
#
# The programs look for libraries in the folder alone: that is written into them, so the folder cannot be
# moved. It is complete when it has its name: it is renamed into place last.
#
# usage: newest.sh FOLDER
set -eu
folder=$(realpath -m "${1:?usage: newest.sh FOLDER}")
programs="linux.uml qemu-system-x86_64 dpdk-testpmd"

# What moved with the whole checkout, or came from an older list, is brought anew.
made="$folder $(sha256sum <"$0")"
[ "$(cat "$folder/made" 2>/dev/null)" != "$made" ] || exit 0

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$(dirname "$folder")/newest.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p lists/partial archives/partial root

# The mirror that this machine uses for its own Debian.
mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
  sed -n 's|^\([^ ]*/debian/\{0,1\}\) main$|\1|p' | head -n 1)
echo "deb ${mirror:-http://deb.debian.org/debian/} testing main" >sources.list

# Stand-ins for what these programs name and do not use, so that it need not come.
for name in debconf libdpdk-dev python3 systemd udev; do
  printf 'Package: %s\nStatus: install ok installed\nVersion: 999\nArchitecture: amd64\nMulti-Arch: allowed\n\n' "$name"
done >status

cat >apt.conf <<END
Dir::Etc::SourceList "$work/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Debug::NoLocking "true";
END
export APT_CONFIG="$work/apt.conf"

fail() {
  echo "newest.sh: $1; apt said:" >&2
  cat apt.log >&2
  exit 1
}
echo "setup: unpacking the newest front-ends (Debian testing) into $folder" >&2
apt-get -q update >apt.log 2>&1 || fail "the lists of Debian testing cannot be had from ${mirror:-deb.debian.org}"
# The number at the end is that of DPDK's interface.
drivers=$(apt-cache search --names-only '^librte-(bus-vdev|mempool-ring|net-virtio)[0-9]+$' | sed 's/ .*//')
# shellcheck disable=SC2086 # one word per package is meant
apt-get -q --simulate install dpdk-dev qemu-system-x86 user-mode-linux $drivers >apt.log 2>&1 ||
  fail "packages of Debian testing do not go together"
packages=$(sed -n 's/^Inst \([^ ]*\) .*/\1/p' apt.log)
# shellcheck disable=SC2086
apt-get -q download $packages >apt.log 2>&1 || fail "packages of Debian testing cannot be downloaded"
for package in ./*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x -C root --exclude='./usr/share/doc' --exclude='./usr/share/man'
done
for program in $programs; do
  patchelf --set-interpreter "$folder/usr/lib64/ld-linux-x86-64.so.2" --force-rpath \
    --set-rpath "$folder/usr/lib/x86_64-linux-gnu" "root/usr/bin/$program"
done
echo "$made" >root/made
rm -rf "$folder"
mv root "$folder"
