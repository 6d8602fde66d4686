# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# The module's trace events. Events are turned on and off by writing into the kernel's code, and on a host of two
# CPUs QEMU 7.2 (TCG, a thread for each) may go on executing what stood there: the other CPU then takes a breakpoint
# that is gone, again and again, for ever. So this host has one.

load
check "events are traced" sh -c 'echo 1 >/sys/kernel/tracing/events/lguest/enable'
printf 'time\rhalt\r' | timeout $PATIENCE launcher 16 /guest >/dev/null 2>&1
cp /sys/kernel/tracing/trace /tmp/check.out
for event in lguest_exit lguest_hypercall lguest_page_fault lguest_inject lguest_death; do
  has "the trace has $event" "$event:"
done
unload
