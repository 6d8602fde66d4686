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
(read -r _ </dev/console; : >/tmp/over) &
echo "@@switcher $(cat /sys/module/lguest/sections/.text.switcher)"
while [ ! -e /tmp/over ]; do
  timeout 20 launcher 16 /guest speed </dev/null >/tmp/speed.out 2>&1
done
echo "@@figure came $(($(came) - before))"
selfcheck "a guest afterwards" 16 /guest
unload
