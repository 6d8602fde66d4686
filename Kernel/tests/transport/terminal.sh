# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# A terminal with a guest's console on it is as before, however lgdev ends.
mkdir -p /dev/pts
mount -t devpts none /dev/pts

# user TITLE TEXT ACTION CODE restored|raw ARGUMENT...: see host/terminal.c.
user() {
  title=$1 text=$2 action=$3 exit=$4 wanted=$5
  shift 5
  check "$title" /terminal-test "$text" "$action" "$exit" "$wanted" \
    lgdev serve --transport lguest --kernel /guest --memory 16M --console stdio "$@"
}

user "Ctrl-C three times ends a guest that waits, and the terminal is as before" "lguest> " ctrl-c 0 restored
user "and one that spins" "spins" ctrl-c 0 restored --append adversary=spin-for-ever
user "the terminal is as before when the guest switches itself off" "lguest> " type=halt 0 restored
user "when it dies" "bus: console" nothing 1 restored --append adversary=unknown
for signal in HUP INT QUIT TERM; do
  user "after SIG$signal" "lguest> " "signal=$(kill -l $signal)" 0 restored
done
# Nobody can do anything then; it also shows that a terminal that is not as before is noticed.
user "SIGKILL leaves it raw" "lguest> " signal=9 137 raw
