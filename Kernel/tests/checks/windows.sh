# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Guests while the runner stops the machine at each instruction of the Switcher and sends an NMI or a
# machine check there; over when nothing has come for a while.
load
came() {
  awk '/NMI:|MCE:/ { for (i = 2; i <= NF; i++) sum += $i } END { print sum + 0 }' /proc/interrupts
}
before=$(came)
last=$before
quiet=0
echo "@@switcher $(cat /sys/module/lguest/sections/.text.switcher)"
while [ $quiet -lt 4 ]; do
  timeout 20 launcher 16 /guest speed </dev/null >/tmp/speed.out 2>&1
  now=$(came)
  quiet=$((quiet + 1))
  [ "$now" = "$last" ] && [ "$now" != "$before" ] || quiet=0
  last=$now
done
echo "@@figure came $((now - before))"
selfcheck "a guest afterwards" 16 /guest
unload
