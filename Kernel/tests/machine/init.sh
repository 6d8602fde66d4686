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
# Lockups and stalls are to be seen within a short test.
echo 4 >/proc/sys/kernel/watchdog_thresh
echo 8 >/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout
echo 20 >/proc/sys/kernel/hung_task_timeout_secs 2>/dev/null
cd /
. /lib.sh
. /check.sh
end
reboot -f
