# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# What recording.py makes recordings of: every row of what /dev/lguest answers, then lgdev with guests that
# begin and end in every way. It runs behind transport/lib.inc.

# recorded NAME COMMAND...: its exit code is in $code, what was written down goes to the runner.
recorded() {
  name=$1
  shift
  timeout -s KILL $PATIENCE /record /tmp/$name.raw "$@" >/tmp/check.out 2>&1
  code=$?
  sed "s/^/@@raw $name /" /tmp/$name.raw
}

serve() {
  name=$1
  shift
  recorded "$name" lgdev serve --transport lguest --console stdio --memory 16M "$@"
}

# many N COMMAND: a line to type, again and again.
many() {
  for _ in $(seq "$1"); do printf '%s\r' "$2"; done
}

# Each stop of a traced thread is a change of the processor for it, and with an area to keep up to date about that
# (rseq) one more reason to leave the guest at once. lgdev has none either.
recorded rows env GLIBC_TUNABLES=glibc.pthread.rseq=0 /rows
ends "every row is recorded" 0

serve early --kernel /guest --append early </dev/null
ends "a guest that only speaks early" 0

# Every queue is used so often that no interrupt can be missing for lack of time.
truncate -s 2M /tmp/disk
{
  many 10 rng
  many 4 'net ping'
  printf 'blk copy 0 2048 256\rhalt\r'
} >/tmp/keys
serve devices --kernel /guest --rng --block path=/tmp/disk --net tap=tap0,address=10.0.0.1/24,mac=02:00:00:00:00:02 \
  </tmp/keys
ends "a guest with all four devices" 0
has "which it has used" "256 sectors read back, 0 KiB differ"
has "all of them" "4 of 4 answers"

mkfifo /tmp/fifo
: >/tmp/check.out
{
  printf 'blk copy 0 2048 256\rreboot\r'
  await says "lguest guest: 16 MiB" /tmp/check.out 2
  printf 'blk copy 0 2048 256\rhalt\r'
} >/tmp/fifo &
serve restart --kernel /guest --block path=/tmp/disk </tmp/fifo
ends "a guest that is started again" 0

serve mute --kernel /guest --append adversary=fault-before-init </dev/null
ends "a guest that dies before it has called its host" 1

serve death --kernel /guest --append adversary=unknown --rng </dev/null
ends "a guest that dies" 1

# Only when the interrupt for what it says is written down, so that it always is.
: >/tmp/stop.raw
{
  await says "console0-tx write" /tmp/stop.raw
  kill -TERM "$(pidof lgdev)"
} &
serve stop --kernel /guest --append adversary=spin-for-ever --rng </dev/null
ends "a guest that is stopped" 0
