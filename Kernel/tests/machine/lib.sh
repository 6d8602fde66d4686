# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# What the scripts on a test host share. Lines for the runner begin with @@:
#   @@ok TITLE, @@no TITLE: WHY    one for each check
#   @@figure NAME VALUE            a measurement
#   @@end N                        the end, after N checks

checks=0

# Seconds until a wait, or a guest, is given up: more than the slowest host needs.
PATIENCE=240

ok() {
  checks=$((checks + 1))
  echo "@@ok $1"
}

no() {
  checks=$((checks + 1))
  echo "@@no $1: $2"
}

# check TITLE COMMAND...: passes when the command does; else its output is shown.
check() {
  title=$1
  shift
  if "$@" >/tmp/check.out 2>&1; then
    ok "$title"
  else
    no "$title" "exit code $?"
    sed 's/^/  | /' /tmp/check.out | tail -n 60
  fi
}

# has TITLE TEXT: passes when the output of the last `check` or `guest` holds the text.
has() {
  if grep -qF -- "$2" /tmp/check.out; then
    ok "$1"
  else
    no "$1" "'$2' was not printed"
    sed 's/^/  | /' /tmp/check.out | tail -n 60
  fi
}

end() {
  echo "@@end $checks"
}

load() {
  check "lguest.ko is loaded" insmod /lguest.ko
}

unload() {
  check "lguest.ko is unloaded" rmmod lguest
}

# await COMMAND...: until the command succeeds; fails when it never does.
await() {
  begin=$(cut -d . -f 1 /proc/uptime)
  until "$@" >/dev/null 2>&1; do
    [ $(($(cut -d . -f 1 /proc/uptime) - begin)) -lt $PATIENCE ] || return 1
    usleep 20000
  done
}

# says TEXT FILE [TIMES]: the file holds as many lines with the text.
says() {
  [ "$(grep -caF -- "$1" "$2")" -ge "${3:-1}" ]
}

# runs TITLE LAUNCHER_ARGUMENT...: a guest that powers off.
runs() {
  title=$1
  shift
  check "$title" timeout $PATIENCE launcher "$@" </dev/null
}

# start LAUNCHER_ARGUMENT...: a guest in the background, the launcher's process id in $pid; what it says
# goes to /tmp/start.out.
start() {
  : >/tmp/start.out
  launcher "$@" </dev/null >/tmp/start.out 2>&1 &
  pid=$!
}

# selfcheck TITLE LAUNCHER_ARGUMENT...: a guest whose every check passes, with all its devices.
selfcheck() {
  name=$1
  shift
  truncate -s 2M /tmp/disk
  runs "$name runs its checks" --block=/tmp/disk --net --rng "$@" selfcheck
  has "$name passes them all" " passed, 0 failed"
  check "$name's last word is on the disk" grep -q "written by the guest" /tmp/disk
  rm -f /tmp/disk
}

# adversaries KERNEL FILE: the cases of a file, each a line `NAME REASON`: the guest dies of that
# reason, or it prints that it survived.
adversaries() {
  while read -r name reason; do
    case $name in '' | '#'*) continue ;; esac
    truncate -s 2M /tmp/disk
    timeout $PATIENCE launcher --block=/tmp/disk --net --rng 16 "/$1" "adversary=$name" \
      </dev/null >/tmp/check.out 2>&1
    if grep -qF -- "$reason" /tmp/check.out; then
      ok "$1, adversary $name: $reason"
    else
      no "$1, adversary $name" "'$reason' was not printed"
      tail -n 8 /tmp/check.out | cut -c 1-200 | sed 's/^/  | /'
    fi
  done <"$2"
}

# Pages that are pinned for good, which nobody may leave behind.
pinned() {
  # Without this each CPU may still have some of the counts to itself.
  cat /proc/sys/vm/stat_refresh >/dev/null
  awk '/^nr_foll_pin_acquired/ { a = $2 } /^nr_foll_pin_released/ { r = $2 } END { print a - r }' \
    /proc/vmstat
}

free_kilobytes() {
  echo 3 >/proc/sys/vm/drop_caches
  sleep 0.3
  awk '/^MemFree/ { print $2 }' /proc/meminfo
}

# leaks TITLE KILOBYTES COMMAND...: the command, run again, takes no more memory than that for good.
# The host's own caches come and go by a mebibyte or two, so a round that looks bad has two more tries;
# what leaks does so in each of them.
leaks() {
  title=$1
  allowed=$2
  shift 2
  "$@" >/dev/null 2>&1
  for try in 1 2 3; do
    before=$(free_kilobytes)
    "$@" >/dev/null 2>&1
    lost=$((before - $(free_kilobytes)))
    [ "$lost" -le "$allowed" ] && break
  done
  if [ "$lost" -le "$allowed" ]; then
    ok "$title: $lost of at most $allowed KiB are lost"
  else
    no "$title" "$lost KiB are lost, $try times over"
  fi
  if [ "$(pinned)" = 0 ]; then
    ok "$title: no page stays pinned"
  else
    no "$title" "$(pinned) pages stay pinned"
  fi
}
