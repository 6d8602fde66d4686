# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# The figures for Kernel/README.md: each a median of five rounds in the guest.
load
runs "the stop-watch" --rng 32 /guest speed
tr -d '\r' </tmp/check.out >/tmp/figures
sed -n 's/^figure /@@figure /p' /tmp/figures
value() {
  sed -n "s/^figure $1 \([0-9]*\) ns.*/\1/p" /tmp/figures
}
check "int 0x80 is at least 20 times cheaper reflected than through the host" \
  [ $(($(value int80-reflected) * 20)) -le "$(value int80-through-host)" ]
check "the kernel's pages, touched in order, cost a third of a fault each, at most" \
  [ $(($(value kernel-page-in-order) * 3)) -le "$(value page-fault-filled)" ]
unload
