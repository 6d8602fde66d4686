# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# A guest that spins for long, on a host that soon complains of a processor that does not come back.
# Time is counted by instructions here, so nothing but the guest can take it.
echo 4 >/proc/sys/kernel/watchdog_thresh
echo 8 >/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout
load
start 16 /guest adversary=spin-for-ever
await says "spins" /tmp/start.out
sleep 12
check "a guest that spins is still there after a while" kill -0 $pid
kill -9 $pid
wait $pid 2>/dev/null
unload
