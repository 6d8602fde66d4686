# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# What may depend on the CPU or on the host's kernel: the guest's checks, the device's answers, and
# the adversaries that try the CPU.
load
check "/dev/lguest answers as it should" device-test
selfcheck "2-level guest" 32 /guest vmcall
selfcheck "PAE guest" 32 /guest-pae
sed -n '/^# CPU/,/^# CHAOS/p' /adversaries >/tmp/adversaries
adversaries guest /tmp/adversaries
unload
