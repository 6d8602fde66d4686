#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The first program of a test host: mounts what is needed, runs /check.sh, prints the end marker and
# ends the machine.
/bin/busybox --install -s /bin
export PATH=/bin:/
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tracefs none /sys/kernel/tracing 2>/dev/null
mkdir -p /dev/shm
mount -t tmpfs none /tmp
mount -t tmpfs none /dev/shm
# What looks like a lockup or a stall may be this machine's host, which had no time for it; in
# checks/spin.sh, where it cannot be, these are shorter.
echo 20 >/proc/sys/kernel/watchdog_thresh
echo 60 >/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout
cd /
. /lib.sh
. /check.sh
end
reboot -f
