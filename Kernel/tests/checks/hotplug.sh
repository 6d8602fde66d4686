# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Three guests at once, while the second CPU goes and comes.
load
# One guest after another, three times.
guests() {
  for round in 1 2 3; do
    truncate -s 2M "/tmp/disk$1"
    timeout 60 launcher "--block=/tmp/disk$1" --net --rng 16 "$2" selfcheck </dev/null
  done >"/tmp/out$1" 2>&1
}

online=/sys/devices/system/cpu/cpu1/online
guests 1 /guest &
guests 2 /guest-pae &
guests 3 /guest &
times=0
sleep 0.3
while [ -n "$(pidof launcher)" ] && [ $times -lt 60 ]; do
  echo 0 >$online
  sleep 0.1
  echo 1 >$online
  sleep 0.1
  times=$((times + 1))
done
wait
check "the CPU went and came while they ran" [ $times -ge 5 ]
for number in 1 2 3; do
  check "guests $number pass their checks" [ "$(grep -c ' passed, 0 failed' "/tmp/out$number")" = 3 ]
  grep -aB 1 -A 1 "FAILED\|launcher:" "/tmp/out$number" | grep -av "Power down" | sed 's/^/  | /'
done
unload
