# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# One guest with all four devices: its own checks, the monitor, data verified on both sides, and every way
# in which a guest ends.
lguest --kernel /guest --memory 16M --append early </dev/null
ends "a guest that switches itself off ends lgdev with 0" 0
has "the early console prints" "early console, traps and timer are up"

for kernel in guest guest-pae; do
  truncate -s 2M /tmp/disk
  lguest --kernel /$kernel --memory 32M --append selfcheck --rng \
    --block path=/tmp/disk --net tap=tap0,address=10.0.0.1/24 </dev/null
  ends "$kernel runs its checks" 0
  has "$kernel passes them all" " passed, 0 failed"
  grep -q 'FAILED' /tmp/check.out && grep FAILED /tmp/check.out | sed 's/^/  | /'
  check "$kernel's last word is on the disk" grep -q "written by the guest" /tmp/disk
done

truncate -s 2M /tmp/disk
printf 'hello guest' | dd of=/tmp/disk bs=512 seek=9 conv=notrunc 2>/dev/null
printf 'blk write 5 hello disk\rblk read 5\rblk read 9\rblk bench\rnet ping\rrng\rhalt\r' >/tmp/keys
lguest --kernel /guest --memory 16M --rng --block path=/tmp/disk \
  --net tap=tap0,address=10.0.0.1/24 </tmp/keys
ends "a monitor that is typed to ends well" 0
has "the guest reads what it wrote" "hello disk"
has "the guest reads what the host wrote" "hello guest"
has "the guest pings the host" "4 of 4 answers"
check "the host reads what the guest wrote" grep -q "hello disk" /tmp/disk

mkfifo /tmp/fifo
: >/tmp/check.out
{
  printf 'blk write 5 first life\rreboot\r'
  await says "lguest guest: 16 MiB" /tmp/check.out 2
  printf 'blk read 5\r'
  await says "first life...." /tmp/check.out
  lgdev stats --json >/tmp/stats
  printf 'halt\r'
} >/tmp/fifo &
lguest --kernel /guest --memory 16M --block path=/tmp/disk </tmp/fifo
ends "a guest that restarts ends well later" 0
has "its disk works in the second life" "first life...."
check "it was started twice" [ "$(grep -c 'lguest guest: 16 MiB' /tmp/check.out)" = 2 ]
# One write of a sector, and a disk that was started in both lives.
tr -d ' \n' </tmp/stats >/tmp/stats.line
check "lgdev stats has counted both lives" grep -q \
  '"bytes_from_guest":512,[^}]*"device":"block0"[^}]*}[^}]*"starts":2,' /tmp/stats.line

lguest --kernel /guest --memory 16M --append adversary=unknown </dev/null
ends "a guest that dies ends lgdev with 1" 1
has "with its reason" "lguest: Bad hypercall 42"
