# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Sudden ends: signals, kill -9 in mid-transfer and a new start on the same disk, several guests, leaks.

# A guest in the background, its process id in $pid.
start() {
  lgdev serve --transport lguest --kernel /guest --memory 16M "$@" </dev/null >/tmp/start.out 2>&1 &
  pid=$!
}

for signal in TERM INT HUP; do
  : >/tmp/start.out
  start --console stdio --rng --append adversary=spin-for-ever
  await says "spins" /tmp/start.out
  kill -$signal $pid
  wait $pid
  check "SIG$signal ends a guest that spins with 0" [ $? = 0 ]
done

for round in 1 2 3 4; do
  truncate -s 2M /tmp/disk
  start --console stdio --rng --block path=/tmp/disk --net tap=tap0,address=10.0.0.1/24 \
    --append selfcheck
  usleep $((round * 400000))
  kill -9 $pid
  wait $pid 2>/dev/null
done
lguest --kernel /guest --memory 32M --append selfcheck --rng --block path=/tmp/disk \
  --net tap=tap0,address=10.0.0.1/24 </dev/null
ends "after kill -9 in mid-transfer a guest runs on the same disk" 0
has "and passes its checks" " passed, 0 failed"

# A bzImage whose kernel begins with hlt, as no kernel for lguest would: all that a header can say is right.
poke() {
  printf "$2" | dd of=/tmp/bzImage bs=1 seek="$1" conv=notrunc 2>/dev/null
}
truncate -s 8192 /tmp/bzImage
poke 497 '\001'
poke 514 'HdrS\007\002'
poke 529 '\001'
poke 532 '\000\000\020\000'
poke 1024 '\364'
lguest --kernel /tmp/bzImage --memory 32M </dev/null
ends "a bzImage whose kernel was not built for lguest ends lgdev with 1" 1
has "and lgdev says what it may be" "it never called lguest, as kernels do that were built without"

check "nothing holds the module when no guest runs" rmmod lguest
lguest --kernel /guest --memory 16M </dev/null
ends "without the module lgdev ends with 1" 1
has "and says how to load it" "the lguest module is not loaded; build and load it with"
