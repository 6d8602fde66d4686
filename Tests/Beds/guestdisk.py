# SPDX-License-Identifier: Apache-2.0
"""What a guest does to a disk in order to show that it is one: ext4, random writes read back."""

import re

from failure import Failure
from guestdevices import check_disk

# Keeps a mounted file system busy, with flushes, until the guest's end.
WRITE_FOR_EVER = "(while dd if=/dev/urandom of=/tmp/mnt/torn bs=64k count=400 conv=fsync; do :; done) 2>/dev/null &"


def make_ext4(shell, device):
  """Makes a file system, fills it with random files, and gives the digest of the list of their
  digests.
  """
  check_disk(shell, device)
  # Neither mkfs nor the kernel may ask for zeros to be written: Linux then sends its one page of zeros, which in
  # User-mode Linux 7.2 is a part of the program, not of the memory that it shares with back-ends.
  shell.run(
    f"UNIX_IO_NOZEROOUT=1 mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 /dev/{device}", 60
  )
  shell.run(f"mount -t ext4 /dev/{device} /tmp/mnt")
  shell.run(
    "cd /tmp/mnt; mkdir -p a/b; for i in $(seq 1 24); do "
    "head -c $((i * 123457)) /dev/urandom > a/b/$i || exit 1; done",
    60,
  )
  shell.run("cd /tmp/mnt; sha256sum a/b/* > sums; sync")
  digest = shell.run("sha256sum /tmp/mnt/sums")
  shell.run("umount /tmp/mnt")
  return digest


def check_ext4(shell, device, digest, repair=False):
  """Checks what make_ext4 wrote: structure, and every byte of every file."""
  if repair:
    # After a guest's sudden death the journal is to be replayed; 1 = repaired, 4 and up = not.
    shell.run(f"e2fsck -p /dev/{device}; [ $? -le 1 ]", 60)
  shell.run(f"e2fsck -fn /dev/{device}", 60)
  check_files(shell, device, digest)


def check_files(shell, device, digest):
  """Every byte of every file that make_ext4 wrote, without a look at the structure."""
  check_disk(shell, device)
  shell.run(f"mount -t ext4 -o ro /dev/{device} /tmp/mnt")
  seen = shell.run("sha256sum /tmp/mnt/sums")
  if seen != digest:
    raise Failure(f"the list of digests has changed: was {digest}, is {seen}")
  shell.run("cd /tmp/mnt; sha256sum -c sums | grep -v ': OK$'; sha256sum -c -s sums", 60)
  shell.run("umount /tmp/mnt")


def _fio(device, size, options, depth=32):
  return (
    f"cd /tmp; fio --name=random --filename=/dev/{device} --size={size} --rw=randwrite "
    f"--bsrange=4k-64k --ioengine=libaio --iodepth={depth} --direct=1 --randseed=11 "
    f"--allow_file_create=0 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --group_reporting {options}"
  )


def fio_write(shell, device, size, seconds=120):
  """Random writes, 32 in flight, then every block read back and compared."""
  check_disk(shell, device)
  output = shell.run(_fio(device, size, "--do_verify=1"), seconds)
  if not re.search(r"err= 0", output) or not re.search(r"READ: .*\bio=", output):
    raise Failure(f"fio did not verify: {output}")
  return output


def fio_check(shell, device, size, seconds=120):
  """Reads back what fio_write wrote in an earlier boot."""
  check_disk(shell, device)
  output = shell.run(_fio(device, size, "--verify_only"), seconds)
  if not re.search(r"err= 0", output) or not re.search(r"READ: .*\bio=", output):
    raise Failure(f"fio did not verify: {output}")


def check_kernel_log(shell):
  """No driver complained: no I/O error, no hung task, no warning with a stack."""
  # A bed mounts disks whose guest was killed: "recovery" lines are expected, errors are not.
  output = shell.run(
    "dmesg | grep -iE 'I/O error|BUG:|WARNING:|Oops:|hung_task|blocked for more|"
    "Remounting filesystem read-only|EXT4-fs error|call trace|is not a head|NETDEV WATCHDOG'",
    check=False,
  )
  if output:
    raise Failure(f"the guest's kernel complained: {output}")
