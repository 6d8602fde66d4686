# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Two guests, a process each, on one bridge: both send each other a thousand pings of the largest size
# at once, answer them, and compare every byte.
ip link add br0 type bridge
ip link set br0 up

printf 'net talk 10.0.0.2\rhalt\r' >/tmp/other.keys
timeout -s KILL $PATIENCE lgdev serve --transport lguest --console stdio --kernel /guest-pae --memory 16M \
  --append ip=10.0.0.3 --net tap=tap1,bridge=br0,mac=02:00:00:00:00:03 \
  </tmp/other.keys >/tmp/other.out 2>&1 &
other=$!
printf 'net talk 10.0.0.3\rhalt\r' >/tmp/keys
lguest --kernel /guest --memory 16M --net tap=tap0,bridge=br0,mac=02:00:00:00:00:02 </tmp/keys
wait $other
other_code=$?
ends "one of two guests on a bridge ends well" 0
has "it hears from the other, and answers it, a thousand times" \
  "1000 of 1000 answers from 10.0.0.3, 1000 of 1000 questions answered"
code=$other_code
cp /tmp/other.out /tmp/check.out
ends "so does the other" 0
has "which hears from the one, and answers it, a thousand times" \
  "1000 of 1000 answers from 10.0.0.2, 1000 of 1000 questions answered"
check "the bridge has lost both taps" [ -z "$(ls /sys/class/net/br0/brif)" ]
