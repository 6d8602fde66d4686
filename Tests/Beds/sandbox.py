# SPDX-License-Identifier: Apache-2.0
"""The closed room in which beds run: own network, processes and mounts, so that nothing is left
behind.

The program starts itself again under unshare(1). Inside it may make taps and addresses that nobody
else sees (as root, or as an ordinary user mapped to root in a user namespace), and when its first
process ends, however it ends, the kernel ends every process that it started and removes the taps
and mounts with them.
"""

import fcntl
import os
import shutil
import signal
import sys
import tempfile

from process import run

MARK = "LGDEV_BED_SANDBOX"


def enter():
  """Returns only inside the sandbox; outside it replaces this process by one inside."""
  if os.environ.get(MARK) == str(os.getpid()) == "1":
    return
  if not os.path.exists("/dev/net/tun"):
    sys.exit("beds: /dev/net/tun is missing: load the kernel's tun module (modprobe tun)")
  user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
  flags = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
  probe = ["unshare", *user, *flags, "true"]
  if os.spawnvp(os.P_WAIT, probe[0], probe) != 0:
    sys.exit(
      f"beds: this machine does not allow '{' '.join(probe)}' "
      "(a container without CAP_SYS_ADMIN, or "
      "user namespaces turned off): run as root, in a container with --privileged"
    )
  os.environ[MARK] = "1"
  os.environ["PATH"] += ":/usr/sbin:/sbin"  # An ordinary user's lacks mke2fs and ip.
  command = ["unshare", *user, *flags, sys.executable, *sys.argv]
  os.execvp(command[0], command)


class Room:
  """The folders of one run: `path` for disks and logs, `short` (memory) for sockets and guests'
  memory.

  Socket names have 107 bytes at most, so sockets cannot live below a checkout of any depth.
  """

  def __init__(self, cache, name):
    self.path = os.path.join(cache, name)
    os.makedirs(os.path.dirname(self.path), exist_ok=True)
    self.cache = cache
    self._lock = open(f"{self.path}.lock", "w")
    try:
      fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      sys.exit(f"beds: another run holds {self._lock.name}: wait for its end")
    shutil.rmtree(self.path, ignore_errors=True)
    os.makedirs(self.path)
    self.short = tempfile.mkdtemp(prefix="lgdev-bed-", dir="/tmp")
    run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", self.short])
    run(["ip", "link", "set", "lo", "up"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

  def __enter__(self):
    return self

  def __exit__(self, *_):
    run(["umount", "-l", self.short], check=False)
    os.rmdir(self.short)
    # Logs stay for the reader until the next run; disks, which are large, do not.
    for name in os.listdir(self.path):
      if name.endswith(".img"):
        os.unlink(os.path.join(self.path, name))

  def file(self, name):
    return os.path.join(self.path, name)

  def socket(self, name):
    return os.path.join(self.short, name)
