# SPDX-License-Identifier: Apache-2.0
"""User-mode Linux as a front-end: a Linux kernel that is a process, with the host's files as its
root.

It connects to vhost-user sockets itself (driver virtio_uml). Boots in about three seconds, so most
of what is to be shown with a real Linux driver is shown here.
"""

import os
import subprocess

import guestdevices
import versions
from failure import Failure
from process import Process, run
from shell import GuestShell
from versions import OLDEST

_HERE = os.path.dirname(os.path.abspath(__file__))
_NET, _BLOCK, _CONSOLE = 1, 2, 3  # virtio 1.3, section 5: device ids


class Uml:
  """A booted guest. `blocks`, `nets` and `consoles` are socket paths, in the order of the guest's
  names.
  """

  def __init__(self, room, name, blocks=(), nets=(), consoles=(), memory="256M", version=OLDEST):
    devices = [
      *((path, _BLOCK) for path in blocks),
      *((path, _NET) for path in nets),
      *((path, _CONSOLE) for path in consoles),
    ]
    folder, modules = _modules(
      versions.file(room.cache, "/usr/lib/uml/modules/*/kernel", version),
      [
        "net/core/failover",
        "drivers/net/net_failover",
        "drivers/block/virtio_blk",
        "drivers/net/virtio_net",
        "drivers/char/virtio_console",
      ],
    )
    self.console = room.file(f"{name}-console.log")
    # The guest's console gets a descriptor of its own: standard output is shared with the kernel's
    # helper processes, whose buffered copies would land between a command and its answer.
    with open(self.console, "wb") as console:
      self.process = Process(
        name,
        [
          versions.program(room.cache, "linux.uml", version),
          f"mem={memory}",
          "root=/dev/root",
          "rootfstype=hostfs",
          "rootflags=/",
          "ro",
          f"init={_HERE}/guest/init.sh",
          f"MODULE_FOLDER={folder}",
          f"MODULES={','.join(modules)}",
          "con=null",
          f"con0=fd:0,fd:{console.fileno()}",
          "ssl=null",
          "quiet",
          "panic=-1",
          f"uml_dir={room.short}",
          f"umid={name}",
          *(f"virtio_uml.device={path}:{kind}" for path, kind in devices),
        ],
        room.file(f"{name}.log"),
        stdin=subprocess.PIPE,
        pass_fds=[console.fileno()],
        environment={"TMPDIR": room.short},
      )
    self._devices = {"blocks": len(blocks), "nets": len(nets), "consoles": len(consoles)}
    self.shell = GuestShell(self.process, self.console)
    self.logs = [self.console, self.process.log]

  def boot(self, seconds=30):
    self.shell.wait_ready(seconds)
    guestdevices.check(self.shell, **self._devices)

  def power_off(self):
    """An orderly end by the guest itself."""
    self.process.type(b"0 sync; poweroff -f\n")
    self.process.wait(15)

  def kill(self):
    self.process.kill()


def _modules(folder, names):
  """The folder of the kernel's modules, and which of the named ones are modules rather than built
  in.
  """
  return folder, [f"{name}.ko" for name in names if os.path.exists(f"{folder}/{name}.ko")]


def runs(room, version):
  """Whether that version boots on this machine."""
  guest = Uml(room, f"uml-try-{version}", version=version)
  try:
    guest.boot()
    return True
  except Failure:
    return False
  finally:
    guest.kill()


def release(room, version):
  """Its kernel's release."""
  return run([versions.program(room.cache, "linux.uml", version), "--version"]).strip()
