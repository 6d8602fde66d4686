# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Two guests in one process, from one file: one dies and the other goes on, they talk to each other, a signal
# ends both; and a guest's memory as a file that others can read.
mkdir -p /dev/pts /tmp/fleet
mount -t devpts none /dev/pts
ip link add br0 type bridge
ip link set br0 up
cp /guest /guest-pae /tmp/fleet

# fleet INPUT: the guests of /tmp/fleet/fleet.yaml, in the background.
fleet() {
  : >/tmp/fleet.out
  # From elsewhere: the file's paths begin at its folder.
  timeout -s KILL $PATIENCE lgdev serve --config /tmp/fleet/fleet.yaml <"$1" >/tmp/fleet.out 2>&1 &
  fleet=$!
}

# said TEXT: waits until the fleet has said it.
said() {
  await says "$1" /tmp/fleet.out
}

# The fleet has ended: what it said is in /tmp/check.out, its exit code in $code.
ended() {
  wait $fleet
  code=$?
  cp /tmp/fleet.out /tmp/check.out
}

cat >/tmp/fleet/fleet.yaml <<'END'
guests:
  web:
    kernel: guest
    memory: 16M,memfd=web
    block: path=disk
    console: stdio
  db:
    kernel: guest-pae
    memory: 16M
    append: adversary=unknown
END
truncate -s 2M /tmp/fleet/disk
mkfifo /tmp/keys
fleet /tmp/keys
exec 3>/tmp/keys
said "db: lguest: "
said "type help for a list of commands"
pid=$(pidof lgdev)
memory=$(ls -l /proc/$pid/fd | awk '/memfd:web/ { print $9 }')
dd "if=/proc/$pid/fd/$memory" of=/tmp/memory bs=64k 2>/dev/null
check "a guest's memory is an open file with a name" [ -n "$memory" ]
check "as large as the memory and what lies behind it" [ "$(stat -c %s /tmp/memory)" -gt 16777216 ]
check "with the guest's kernel in it" grep -q "type help for a list of commands" /tmp/memory
printf 'blk write 5 after a death\rblk read 5\rhalt\r' >&3
exec 3>&-
ended
ends "a fleet of which one has died ends with 1" 1
has "the death is told with the guest's name" "db: lguest: Bad hypercall 42"
has "the other goes on" "web: the guest has switched itself off"
check "and its disk has what it wrote later" grep -q "after a death" /tmp/fleet/disk

cat >/tmp/fleet/fleet.yaml <<'END'
guests:
  one:
    kernel: guest
    memory: 16M
    net: {tap: tap0, bridge: br0, mac: "02:00:00:00:00:02"}
    console: pty:one
  two:
    kernel: guest-pae
    memory: 16M
    append: ip=10.0.0.3
    net: tap=tap1,bridge=br0,mac=02:00:00:00:00:03
    console: [pty:two, "file:two.log"]
END
fleet /dev/null
said "two: guest: "
lgdev stats "$(pidof lgdev)" >/tmp/stats
check "lgdev stats tells the guests of a process apart" \
  [ "$(grep -cE '^(one|two)/net0 +[rt]x +(running|stopped) ' /tmp/stats)" = 4 ]
# What is said is read while somebody is there to say it: a terminal that is gone has nothing to read.
exec 3<>/tmp/fleet/one 4<>/tmp/fleet/two
cat <&3 >/tmp/one.out 2>/dev/null &
cat <&4 >/tmp/two.out 2>/dev/null &
printf 'net talk 10.0.0.3\r' >&3
printf 'net talk 10.0.0.2\r' >&4
await says "questions answered" /tmp/one.out
await says "questions answered" /tmp/two.out
printf 'halt\r' >&3
printf 'halt\r' >&4
exec 3>&- 4>&-
ended
ends "two guests that switch themselves off end the process with 0" 0
cp /tmp/one.out /tmp/check.out
has "two guests of one process talk over a bridge" \
  "1000 of 1000 answers from 10.0.0.3, 1000 of 1000 questions answered"
cp /tmp/two.out /tmp/check.out
has "both ways" "1000 of 1000 answers from 10.0.0.2, 1000 of 1000 questions answered"
check "the bridge has lost both taps" [ -z "$(ls /sys/class/net/br0/brif)" ]
check "the consoles' links are gone" [ ! -L /tmp/fleet/one ]

cat >/tmp/fleet/fleet.yaml <<'END'
pidfile: pid
guests:
  one: {kernel: guest, memory: 16M, append: adversary=spin-for-ever, console: none}
  two: {kernel: guest, memory: 16M, append: adversary=spin-for-ever, console: none}
END
fleet /dev/null
said "two: guest: "
kill -TERM "$(cat /tmp/fleet/pid)"
ended
ends "SIGTERM ends guests that spin with 0" 0
has "each is told" "one: the guest was stopped"
has "and so is the other" "two: the guest was stopped"
check "the pid file is gone" [ ! -e /tmp/fleet/pid ]
