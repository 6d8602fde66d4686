# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Deaths in the middle of writes, the guest's and lgdev's: each page of the disk is an old one or a new one, and
# the next guest uses the disk. Then what cannot be started, on a host that has the module.

# Each page of the mebibyte that a guest writes is full of one byte (Kernel/guest/writes.c).
all_are_whole() {
  od -An -v -tx8 -w4096 -N 1048576 /tmp/disk | awk '
    {
      for (i = 2; i <= NF; i++) if ($i != $1) { print "page " NR - 1 ": " $1 " and " $i; bad = 1 }
      if (substr($1, 1, 14) != substr($1, 3)) bad = 1
    }
    END { exit bad || NR != 256 }'
}

# Of a thousand writes, the fourth time over the disk, the guest has waited for all but the last 32.
seen_by_guest() {
  od -An -v -tx1 -w4096 -N 1048576 /tmp/disk | cut -c 1-3 | awk '
    { wanted = NR <= 200 ? "04" : "03" }
    $1 != wanted && !(NR > 200 && NR <= 232 && $1 == "04") { print "page " NR - 1 ": " $1; bad = 1 }
    END { exit bad || NR != 256 }'
}

# The guest has written every page once.
has_begun() {
  [ "$(dd if=/tmp/disk bs=4096 skip=255 count=1 2>/dev/null | od -An -N1 -tu1)" -gt 0 ]
}

for engine in uring threads; do
  truncate -s 0 /tmp/disk
  truncate -s 2M /tmp/disk
  lguest --kernel /guest --memory 16M --append writes=1000 --block "path=/tmp/disk,engine=$engine" </dev/null
  ends "engine=$engine: a guest that dies in the middle of its writes ends lgdev with 1" 1
  has "engine=$engine: and its reason is told" "lguest: CRASH: dead in the middle of 32 writes"
  check "engine=$engine: no page of the disk is half a write" all_are_whole
  check "engine=$engine: and what the guest has seen written is there" seen_by_guest

  truncate -s 0 /tmp/disk
  truncate -s 2M /tmp/disk
  lgdev serve --transport lguest --console stdio --kernel /guest --memory 16M --append writes=0 \
    --block "path=/tmp/disk,engine=$engine" </dev/null >/tmp/start.out 2>&1 &
  pid=$!
  await has_begun
  kill -9 $pid
  wait $pid 2>/dev/null
  check "engine=$engine: kill -9 comes in the middle of writes" [ $? = 137 ]
  check "engine=$engine: no page of the disk is half a write then" all_are_whole
  lguest --kernel /guest --memory 32M --append selfcheck --rng --block "path=/tmp/disk,engine=$engine" \
    --net tap=tap0,address=10.0.0.1/24 </dev/null
  ends "engine=$engine: the next guest runs on the same disk" 0
  has "engine=$engine: and passes its checks" " passed, 0 failed"
done

lguest --kernel /lguest.ko --memory 16M </dev/null
ends "a file that is no kernel for a guest ends lgdev with 1" 1
mkdir -p /etc
echo 'somebody:x:1000:1000::/:/bin/sh' >/etc/passwd
start-stop-daemon -S -c 1000:1000 -x /bin/lgdev -- serve --transport lguest --kernel /guest \
  --memory 16M --rng </dev/null >/tmp/check.out 2>&1
code=$?
ends "a user who may not open the device ends lgdev with 1" 1
has "and is told" "no right to open"
mv /dev/lguest /dev/lguest.module
# It takes every word that is written to it, and that is not what the module says.
mknod /dev/lguest c 1 3
lguest --kernel /guest --memory 16M </dev/null
ends "a module of another interface ends lgdev with 1" 1
has "and lgdev says so" "speaks another interface"
