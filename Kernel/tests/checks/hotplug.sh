# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Three guests at once, while the second CPU goes and comes.
load
three() {
  for number in 1 2 3; do
    truncate -s 2M /tmp/disk$number
    kernel=/guest
    [ $number = 2 ] && kernel=/guest-pae
    timeout 60 launcher --block=/tmp/disk$number --net --rng 16 $kernel selfcheck \
      </dev/null >/tmp/out$number 2>&1 &
  done
}
online=/sys/devices/system/cpu/cpu1/online
three
times=0
while [ -n "$(pidof launcher)" ] && [ $times -lt 40 ]; do
  echo 0 >$online
  sleep 0.2
  echo 1 >$online
  sleep 0.2
  times=$((times + 1))
done
wait
check "the CPU went and came while they ran" [ $times -ge 3 ]
for number in 1 2 3; do
  cp /tmp/out$number /tmp/check.out
  has "guest $number of three passes its checks" " passed, 0 failed"
done
unload
