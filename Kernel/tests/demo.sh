# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# What `make demo` shows: lgdev runs a guest on the lguest module, with all four devices, and each is
# looked at from both sides. It runs in busybox's shell, in a network namespace of its own, natively or on a
# host in QEMU; the module is loaded. Environment:
#
#   SHARED  lib.sh: lines for demo.py begin with @@, @@demo TEXT is one to show
#   LGDEV, GUEST  the program, the guest's kernel
#   ROOM    a folder to work in
. "$SHARED"
cd "$ROOM" || exit 1
# A lgdev that is gone is told by what does not happen.
trap '' PIPE
ulimit -l unlimited
ip link set lo up

show() {
  while IFS= read -r line; do echo "@@demo $line"; done
}

step() {
  printf '\n%s\n' "$1" | show
}

# holds TITLE COMMAND...: passes when the command does.
holds() {
  title=$1
  shift
  if "$@"; then ok "$title"; else no "$title" "$* failed"; fi
}

gone() {
  ! [ -e "/proc/$lgdev/exe" ]
}

prompts() {
  grep -o 'lguest> ' console | wc -l
}

# The guest has a new prompt, or never will.
prompted() {
  [ "$(prompts)" -gt "$before" ] || gone
}

# enter LINE: types it at the guest's console.
enter() {
  before=$(prompts)
  printf '%s\r' "$1" >&3
}

# answered [LINES]: waits until the guest has done what it was told; what it printed is in $answer, of
# which so many lines are shown.
answered() {
  await prompted
  answer=$(tr -d '\r' <console | awk -v RS='lguest> ' -v record="$((before + 1))" 'NR == record')
  printf 'lguest> %s\n' "$answer" | head -n "${1:-9}" | sed 's/^/  | /' | show
}

# answer_has TITLE TEXT: passes when the last answer holds the text.
answer_has() {
  case $answer in
    *"$2"*) ok "$1" ;;
    *) no "$1" "the guest did not say '$2'" ;;
  esac
}

# sectors FIRST COUNT: of the disk's file, as the host sees it.
sectors() {
  dd if=disk.img bs=512 skip="$1" count="$2" 2>/dev/null
}

digest() {
  sectors "$1" "$2" | sha256sum | cut -c 1-64
}

begin() {
  step 'One guest, four devices:'
  set -- serve --transport lguest --kernel guest --memory 32M --console stdio --block path=disk.img \
    --net tap=tap0,address=10.0.0.1/24 --rng
  printf '  $ truncate -s 8M disk.img\n  $ lgdev %s\n' "$*" | sed 's/ --console/ \\\n     &/' | show
  cp "$GUEST" guest
  truncate -s 8M disk.img
  mkfifo keys
  : >console
  before=0
  "$LGDEV" "$@" <keys >console 2>log &
  lgdev=$!
  exec 3>keys
  await prompted
  if [ "$(prompts)" = 0 ]; then
    no 'the guest starts' 'it has no prompt'
    cat log console | show
    end
    exit
  fi
  sed 's/^/  /' log | show
  tr -d '\r' <console | sed '/^lguest> /d; s/^/  | /' | show
}

console() {
  step 'console: what is typed here reaches the guest, and its answer comes back'
  enter mem
  answered
  answer_has 'the guest has the memory that lgdev gave it' '32768 KiB'
  enter time
  answered
  answer_has 'and the time of the host' 'seconds since 1970'
}

block() {
  step 'block: /dev/vda of the guest is disk.img of the host'
  printf 'hello from the host' | dd of=disk.img bs=512 seek=9 conv=notrunc 2>/dev/null
  enter 'blk read 9'
  answered 3
  answer_has 'the guest reads what the host wrote into the file' 'hello from the h'
  dd if=/dev/urandom of=disk.img bs=512 seek=2048 count=2048 conv=notrunc 2>/dev/null
  enter 'blk copy 2048 8192 2048'
  answered
  answer_has 'the guest copies a mebibyte of random bytes, with a BARRIER and a FLUSH' ' 0 requests failed'
  answer_has 'and reads back what it wrote' ' 0 KiB differ'
  written=$(digest 8192 2048)
  printf '  | SHA-256 of disk.img: %s… at sector 2048, %s… at 8192\n' \
    "$(digest 2048 2048 | cut -c 1-16)" "$(echo "$written" | cut -c 1-16)" | show
  holds 'the host finds the same bytes in the file' [ "$written" = "$(digest 2048 2048)" ]
}

net() {
  step 'net: 10.0.0.2 is the guest, 10.0.0.1 the host, on tap0'
  enter 'net ping'
  answered
  answer_has 'the guest pings the host, and compares the bytes that come back' '4 of 4 answers'
  enter 'net answer 3'
  ping -c 3 -s 1400 10.0.0.2 2>&1 | sed '/^$/d; s/^/  # /' | tee pinged | show
  answered
  answer_has 'the host pings the guest with 1400 bytes' '3 pings answered'
  holds 'and hears from it each time' grep -q '3 packets received' pinged
}

# Two draws of 16 bytes.
rng() {
  step 'rng: random bytes out of the host'
  enter rng
  answered
  first=$(echo "$answer" | sed -n 2p)
  enter rng
  answered
  second=$(echo "$answer" | sed -n 2p)
  holds 'the guest has sixteen of them, twice, and they differ' \
    [ ${#first}${#second} = 3232 -a "$first" != "$second" ]
}

finish() {
  step 'The guest switches itself off:'
  enter halt
  # Until lgdev is gone, or hangs.
  await gone
  gone || kill -9 $lgdev
  wait $lgdev
  code=$?
  echo "  lgdev's exit code is $code" | show
  holds 'lgdev ends with 0' [ $code = 0 ]
  holds 'and tap0 is gone' [ ! -e /sys/class/net/tap0 ]
  holds 'what the guest wrote is in disk.img' [ "$(digest 8192 2048)" = "$written" ]
}

begin
console
block
net
rng
finish
end
