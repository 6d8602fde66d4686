# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# The disk of a running guest as a file on the host: what the guest has written and flushed is there, nobody can write
# to it, and it is gone with the guest; by the command line, and for one guest of a file.
mkdir -p /tmp/mnt /tmp/keys
[ -e /dev/fuse ] || mknod /dev/fuse c 10 229

# guest ARGUMENT...: a guest in the background that is typed to through descriptor 3.
guest() {
  : >/tmp/check.out
  rm -f /tmp/keys/fifo
  mkfifo /tmp/keys/fifo
  timeout -s KILL $PATIENCE lgdev serve "$@" </tmp/keys/fifo >/tmp/check.out 2>&1 &
  lgdev=$!
  exec 3>/tmp/keys/fifo
  await says "type help for a list of commands" /tmp/check.out
}

# The guest has ended; its exit code is in $code.
ended() {
  exec 3>&-
  wait $lgdev
  code=$?
}

# look TITLE TEXT: the export has the text that the guest has written and flushed.
look() {
  cp /tmp/mnt/disk /tmp/copy
  check "$1" grep -q "$2" /tmp/copy
}

truncate -s 2M /tmp/disk
guest --transport lguest --kernel /guest --memory 16M --console stdio --block path=/tmp/disk --export /tmp/mnt
printf 'blk write 5 seen from outside\rblk copy 0 1024 256\r' >&3
await says "256 sectors read back, 0 KiB differ" /tmp/check.out
look "what a running guest has flushed is in the export" "seen from outside"
check "every byte of it" cmp /tmp/mnt/disk /tmp/disk
printf 'blk write 70 and later too\rblk copy 0 2048 512\r' >&3
await says "512 sectors read back, 0 KiB differ" /tmp/check.out
look "and what it writes later" "and later too"
check "nobody can write to it" sh -c '! dd if=/dev/zero of=/tmp/mnt/disk bs=512 count=1 conv=notrunc 2>/dev/null'
printf 'halt\r' >&3
ended
ends "the guest ends well" 0
check "and nothing is mounted any more" [ ! -e /tmp/mnt/disk ]

cat >/tmp/fleet.yaml <<'END'
guests:
  one: {kernel: /guest, memory: 16M, block: path=/tmp/disk, console: stdio, export: /tmp/mnt}
END
guest --config /tmp/fleet.yaml
printf 'blk write 6 from a file\rblk copy 0 1024 256\r' >&3
await says "256 sectors read back, 0 KiB differ" /tmp/check.out
look "a guest of a file has its export" "from a file"
printf 'halt\r' >&3
ended
ends "and ends well" 0
