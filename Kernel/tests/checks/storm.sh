# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Guests while NMIs or machine checks rain on the host: the runner sends them between the two marks.
load
# How many came since the beginning.
before=0
came() {
  awk -v before="$before" '/NMI:|MCE:/ { for (i = 2; i <= NF; i++) sum += $i }
    END { print sum - before }' /proc/interrupts
}
before=$(came)
echo "@@storm begins"
selfcheck "2-level guest" 16 /guest
selfcheck "PAE guest" 16 /guest-pae
enough() {
  timeout 3 launcher 16 /guest adversary=spin-for-ever </dev/null >/dev/null 2>&1
  [ "$(came)" -ge "$STORM_LEAST" ]
}
await enough
echo "@@storm ends"
check "$(came) of them came" [ "$(came)" -ge "$STORM_LEAST" ]
selfcheck "a guest afterwards" 16 /guest
unload
