# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Guests while NMIs or machine checks rain on the host: the runner sends them between the two marks.
load
before=$(awk '/NMI:|MCE:/ { for (i = 2; i <= NF; i++) sum += $i } END { print sum + 0 }' /proc/interrupts)
echo "@@storm begins"
selfcheck "2-level guest" 16 /guest
selfcheck "PAE guest" 16 /guest-pae
timeout 3 launcher 16 /guest adversary=spin-for-ever </dev/null >/dev/null 2>&1
echo "@@storm ends"
after=$(awk '/NMI:|MCE:/ { for (i = 2; i <= NF; i++) sum += $i } END { print sum + 0 }' /proc/interrupts)
check "$((after - before)) of them came" [ $((after - before)) -ge "$STORM_LEAST" ]
selfcheck "a guest afterwards" 16 /guest
unload
