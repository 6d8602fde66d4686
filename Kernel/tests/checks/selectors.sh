# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Guests while the runner makes the Switcher load bad selectors; over when it says so on the console.
# Each is a general protection fault of the Switcher's own, 256 + 13.
load
deaths=0
{
  read -r _ </dev/console
  : >/tmp/over
  until [ -e /tmp/ended ]; do
    killall -q -9 launcher
    usleep 50000
  done
} &
echo "@@switcher $(cat /sys/module/lguest/sections/.text.switcher)"
while [ ! -e /tmp/over ]; do
  timeout $PATIENCE launcher 16 /guest mix </dev/null >/tmp/mix.out 2>&1
  grep -q "unhandled trap 269" /tmp/mix.out && deaths=$((deaths + 1))
done
: >/tmp/ended
wait
echo "@@figure came $deaths"
selfcheck "a guest afterwards" 16 /guest
unload
