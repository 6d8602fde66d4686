# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Guests while the runner makes the Switcher load bad selectors; over when it says so on the console.
# Each is a general protection fault of the Switcher's own, 256 + 13.
load
deaths=0
(read -r _ </dev/console; : >/tmp/over) &
echo "@@switcher $(cat /sys/module/lguest/sections/.text.switcher)"
while [ ! -e /tmp/over ]; do
  timeout 20 launcher 16 /guest speed </dev/null >/tmp/speed.out 2>&1
  grep -q "unhandled trap 269" /tmp/speed.out && deaths=$((deaths + 1))
done
echo "@@figure came $deaths"
selfcheck "a guest afterwards" 16 /guest
unload
