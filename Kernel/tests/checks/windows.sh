# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Guests while the runner stops the machine at each instruction of the Switcher and sends an NMI or a
# machine check there; over when it says so on the console.
load
came() {
  awk '/NMI:|MCE:/ { for (i = 2; i <= NF; i++) sum += $i } END { print sum + 0 }' /proc/interrupts
}
before=$(came)
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
done
: >/tmp/ended
wait
echo "@@figure came $(($(came) - before))"
selfcheck "a guest afterwards" 16 /guest
unload
