# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Sudden ends, and what they leave behind: kill -9, rmmod and insmod between guests, leaks.

load
start 16 /guest adversary=spin-for-ever
await says "spins" /tmp/start.out
check "the module is in use while a guest runs" sh -c '! rmmod lguest'
kill -9 $pid
wait $pid 2>/dev/null
unload

load
start 16 /guest adversary=halt-for-ever
await says "sleeps" /tmp/start.out
kill -9 $pid
wait $pid 2>/dev/null
unload

# What the host's own caches hold comes and goes by a mebibyte. A page lost by each of a thousand
# programs would be four of them, and the memory of one guest sixteen.
load
kill_in_mid_run() {
  for round in 1 2 3 4 5 6 7 8 9 10 11 12; do
    truncate -s 2M /tmp/disk
    start --block=/tmp/disk --net --rng 16 /guest selfcheck
    usleep $((round * 90000))
    kill -9 $pid
    wait $pid 2>/dev/null
  done
}
leaks "kill -9 in mid-run" 1500 kill_in_mid_run
ten_guests() {
  for round in 1 2 3 4 5 6 7 8 9 10; do
    launcher 16 /guest-pae early
    launcher 16 /guest adversary=table-flood
  done
}
leaks "twenty guests" 1500 ten_guests
leaks "the tests of the device" 1500 device-test
leaks "a thousand random programs" 1500 fuzz 7 0 1000
insmod_and_rmmod() {
  for round in 1 2 3 4 5; do
    rmmod lguest
    insmod /lguest.ko
    launcher 16 /guest early
  done
}
leaks "rmmod and insmod" 1500 insmod_and_rmmod
unload

check "lguest.ko is loaded with room for few tables" insmod /lguest.ko max_tables=256
for kernel in guest guest-pae; do
  launcher --counters 16 "/$kernel" adversary=table-flood >/tmp/check.out 2>&1
  has "$kernel: a flood of tables is survived with few shadow tables" survived
  tables=$(awk '$2 == "tables" { print $3 }' /tmp/check.out)
  check "$kernel: shadow tables are bounded" [ "${tables:-999}" -le 256 ]
done
unload

check "too few tables are refused" sh -c '! insmod /lguest.ko max_tables=255'
check "lguest.ko is loaded with barriers at each exit" insmod /lguest.ko ibpb=1
selfcheck "2-level guest with barriers" 16 /guest
unload
