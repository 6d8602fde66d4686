# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Three guests at once, while the second CPU goes and comes.
load
# One guest after another, until it is over, and three times at least.
guests() {
  for round in 1 2 3; do
    while
      truncate -s 2M "/tmp/disk$1"
      echo begins
      timeout $PATIENCE launcher "--block=/tmp/disk$1" --net --rng 16 "$2" selfcheck </dev/null
      [ $round = 3 ] && [ ! -e /tmp/over ]
    do :; done
  done >"/tmp/out$1" 2>&1
}

online=/sys/devices/system/cpu/cpu1/online
guests 1 /guest &
guests 2 /guest-pae &
guests 3 /guest &
for number in 1 2 3; do
  await says " tables" "/tmp/out$number"
done
times=0
while [ $times -lt 20 ]; do
  # One that cannot go now may go the next time.
  echo 0 >$online && usleep 100000 && echo 1 >$online && times=$((times + 1))
  usleep 100000
done
: >/tmp/over
wait
ok "the CPU went and came $times times while they ran"
for number in 1 2 3; do
  begun=$(grep -c '^begins' "/tmp/out$number")
  check "guests $number pass their checks" says " passed, 0 failed" "/tmp/out$number" "$begun"
  grep -aB 1 -A 1 "FAILED\|launcher:" "/tmp/out$number" | grep -av "Power down" | sed 's/^/  | /'
done
unload
