# SPDX-License-Identifier: Apache-2.0
"""QEMU as a front-end: a q35 machine, emulated (TCG), with Debian's cloud kernel.

The vhost-user devices of QEMU sit between our back-end and a Linux driver on PCI. A guest's
`reboot` resets the devices over the same connections, which User-mode Linux never does. The machine
is slow: few boots.
"""

import subprocess

import initramfs
from process import Process
from shell import GuestShell


class Qemu:
  """A booted guest. `blocks`: (socket path, device options) pairs; `nets`, `rngs`: socket paths."""

  def __init__(self, room, name, blocks=(), nets=(), rngs=(), memory="512M"):
    archive = room.file("initramfs")
    modules = initramfs.build(room.cache, archive)
    devices = []
    for index, (path, options) in enumerate(blocks):
      devices += [
        *_socket(f"block{index}", path),
        "-device",
        f"vhost-user-blk-pci,chardev=block{index},num-queues=2{options}",
      ]
    for index, path in enumerate(rngs):
      devices += [
        *_socket(f"rng{index}", path),
        "-device",
        f"vhost-user-rng-pci,chardev=rng{index}",
      ]
    for index, path in enumerate(nets):
      # vectors=0: with MSI-X this combination (vhost-user under TCG) crashes QEMU 7.2.
      devices += [
        *_socket(f"net{index}", path),
        "-netdev",
        f"vhost-user,id=link{index},chardev=net{index}",
        "-device",
        f"virtio-net-pci,netdev=link{index},vectors=0",
      ]
    self.process = Process(
      name,
      [
        "qemu-system-x86_64",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-serial",
        "stdio",
        "-machine",
        "q35,accel=tcg,memory-backend=memory",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        memory,
        "-object",
        f"memory-backend-memfd,id=memory,size={memory},share=on",
        "-kernel",
        initramfs.kernel(room.cache),
        "-initrd",
        archive,
        "-append",
        "console=ttyS0 quiet panic=-1 tsc=reliable mitigations=off MODULE_FOLDER=/modules "
        f"MODULES={','.join(modules)}",
        *devices,
      ],
      room.file(f"{name}.log"),
      stdin=subprocess.PIPE,
    )
    self.shell = GuestShell(self.process, self.process.log)
    self.logs = [self.process.log]

  def boot(self, seconds=90):
    self.shell.wait_ready(seconds)

  def reboot(self, seconds=90):
    """A reboot by the guest: QEMU stays, the devices are reset."""
    self.process.type(b"0 sync; reboot -f\n")
    self.shell.wait_ready(seconds)

  def power_off(self):
    """An orderly end by the guest itself."""
    self.process.type(b"0 sync; poweroff -f\n")
    self.process.wait(20)

  def kill(self):
    self.process.kill()


def _socket(name, path):
  return ["-chardev", f"socket,id={name},path={path}"]
