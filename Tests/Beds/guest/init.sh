#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
#
# The first process of a guest, in User-mode Linux (whose root is the host's, read-only) and in QEMU
# (whose root is an initramfs). Loads the virtio drivers, then runs the commands that the bed types
# on the console; Tests/Beds/shell.py describes the exchange. Nothing is written outside of the
# guest's own memory.
#
# From the kernel's command line: MODULES (comma-separated, in load order, below MODULE_FOLDER).

# With its path: this shell starts its own applets through /proc/self/exe, and until /proc is the
# guest's own that is, in User-mode Linux, the host's idea of this process: the kernel.
/bin/busybox mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null  # Already there when the kernel mounted the root itself.
# Before /tmp is the guest's own: in User-mode Linux the modules may lie below the host's.
IFS=,
for module in $MODULES; do
  /bin/busybox insmod "$MODULE_FOLDER/$module" || echo "insmod $module failed"
done
unset IFS
mount -t tmpfs -o mode=0755 tmpfs /tmp
mkdir -p /tmp/bin /tmp/mnt
/bin/busybox --install -s /tmp/bin
export PATH=/tmp/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
cd /tmp || exit

stty -echo -onlcr
ip link set lo up
echo "@@ready"
while read -r number command; do
  (eval "$command") </dev/null 2>&1
  printf '\n@@%s %s\n' "$number" "$?"
done
poweroff -f
