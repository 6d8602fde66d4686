# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Everything that one host can show: the device's answers, the guest's own checks with 2-level and PAE
# tables, both ways to make the first call, both layouts of lguest_data, interrupts that come long
# after what they tell of, the monitor, all adversaries.
load
check "/dev/lguest is for root alone" [ "$(stat -c %a /dev/lguest)" = 600 ]
check "/dev/lguest answers as it should" device-test
selfcheck "2-level guest" 32 /guest
selfcheck "PAE guest" 32 /guest-pae
selfcheck "2-level guest with much memory" 1000 /guest
selfcheck "PAE guest with much memory" 1000 /guest-pae
selfcheck "2-level guest that begins with vmcall" 16 /guest vmcall
selfcheck "PAE guest that begins with vmcall" 16 /guest-pae vmcall
selfcheck "2-level guest with Linux 3.2's layout" 16 /guest layout32
selfcheck "PAE guest with Linux 3.2's layout" 16 /guest-pae layout32
selfcheck "2-level guest that is interrupted late" --late=1000 32 /guest
selfcheck "PAE guest that is interrupted late" --late=300 32 /guest-pae

truncate -s 2M /tmp/disk
printf 'help\rmem\rblk write 5 hello disk\rblk read 5\rblk bench\rnet ping\rrng\rtime\ruser\rnonsense\rhalt\r' |
  timeout $PATIENCE launcher --block=/tmp/disk --net --rng 16 /guest >/tmp/check.out 2>&1
has "monitor: help" "starts the guest again"
has "monitor: mem" "16384 KiB"
has "monitor: blk read" "hello disk"
has "monitor: blk bench" "KiB/s"
has "monitor: net ping" "4 of 4 answers"
has "monitor: time" "UTC"
has "monitor: user" "the program ended with 7"
has "monitor: an unknown command" "there is no command 'nonsense'"
has "monitor: halt" "CRASH: Power down"
mkfifo /tmp/keys
timeout $PATIENCE launcher 16 /guest </tmp/keys >/tmp/reboot.out 2>&1 &
{
  printf 'reboot\r'
  await says "lguest guest: 16 MiB" /tmp/reboot.out 2
  printf 'halt\r'
} >/tmp/keys
wait
check "monitor: reboot starts the guest again" says "lguest guest: 16 MiB" /tmp/reboot.out 2

adversaries guest /adversaries
adversaries guest-pae /adversaries
unload
