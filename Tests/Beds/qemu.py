# SPDX-License-Identifier: Apache-2.0
"""QEMU as a front-end: a q35 machine, emulated (TCG), with Debian's cloud kernel.

The vhost-user devices of QEMU sit between our back-end and a Linux driver on PCI. A guest's
`reboot` resets the devices over the same connections, which User-mode Linux never does. The machine
is slow: few boots.
"""

import subprocess

import guestdevices
import initramfs
import versions
from process import Process
from qmp import Qmp
from shell import GuestShell
from versions import OLDEST


class Qemu:
  """A booted guest. `blocks`: (socket path, device options) pairs; `nets`, `rngs`: socket paths.

  `queues`: of each disk. `consoles` need the newest version. `reconnects`: its disks and network cards
  look for a back-end that has gone; of the source of random numbers QEMU expects one that is there.
  `pluggable`: its devices can be taken out, `block0` and so on. `tools`: fio and the like come on a disk
  of QEMU's own, behind the others. `qmp` is what one says to QEMU itself.
  """

  def __init__(
    self, room, name, blocks=(), nets=(), rngs=(), memory="512M", version=OLDEST, reconnects=False,
    pluggable=False, consoles=(), tools=False, queues=2,
  ):
    devices = []

    def add(name, device):
      devices.extend(_plugged(name, len(devices) + 1, device) if pluggable else ["-device", device])

    again = "" if not reconnects else ",reconnect=1" if version == OLDEST else ",reconnect-ms=200"
    for index, (path, options) in enumerate(blocks):
      devices += _socket(f"block{index}", path + again)
      add(f"block{index}", f"vhost-user-blk-pci,chardev=block{index},num-queues={queues}{options}")
    for index, path in enumerate(rngs):
      devices += _socket(f"rng{index}", path)
      add(f"rng{index}", f"vhost-user-rng-pci,chardev=rng{index}")
    for index, path in enumerate(nets):
      devices += [*_socket(f"net{index}", path + again), "-netdev", f"vhost-user,id=link{index},chardev=net{index}"]
      # No boot from the net (romfile=). vectors=0: with MSI-X this combination (vhost-user under TCG) crashes QEMU 7.2.
      vectors = ",vectors=0" if version == OLDEST else ""
      add(f"net{index}", f"virtio-net-pci,netdev=link{index},romfile={vectors}")
    for index, path in enumerate(consoles):
      # There is no vhost-user console of its own; this one is any device, by its number (virtio 1.3, 5.3).
      devices += _socket(f"console{index}", path)
      add(
        f"console{index}",
        f"vhost-user-test-device-pci,chardev=console{index},virtio-id=3,num_vqs=2,config_size=12",
      )
    self._tools = None
    if tools:
      self._tools = guestdevices.disk(len(blocks))
      devices += [
        "-drive",
        f"if=none,id=tools,format=raw,read-only=on,file={initramfs.tools_disk(room)}",
        "-device",
        "virtio-blk-pci,drive=tools",
      ]
    machine = [
      "-machine", "q35,accel=tcg,memory-backend=memory", "-smp", "2", "-m", memory,
      "-object", f"memory-backend-memfd,id=memory,size={memory},share=on",
    ]
    self._devices = {
      "blocks": len(blocks), "nets": len(nets), "consoles": len(consoles), "rngs": len(rngs),
    }
    self._start(room, name, version, [*machine, *devices])

  @classmethod
  def of_words(cls, room, name, words, version, **devices):
    """A guest on a machine that words of QEMU's command line describe; `devices` says how many of each kind it has."""
    guest = cls.__new__(cls)
    guest._tools, guest._devices = None, devices
    guest._start(room, name, version, words)
    return guest

  def _start(self, room, name, version, machine):
    archive = room.file("initramfs")
    modules = initramfs.build(room.cache, archive)
    monitor = room.socket(f"{name}.qmp")
    self.process = Process(
      name,
      [
        versions.program(room.cache, "qemu-system-x86_64", version),
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-serial",
        "stdio",
        "-qmp",
        f"unix:{monitor},server=on,wait=off",
        "-cpu",
        "max",
        "-kernel",
        initramfs.kernel(room.cache),
        "-initrd",
        archive,
        "-append",
        "console=ttyS0 quiet panic=-1 tsc=reliable mitigations=off MODULE_FOLDER=/modules "
        f"MODULES={','.join(modules)}",
        *machine,
      ],
      room.file(f"{name}.log"),
      stdin=subprocess.PIPE,
    )
    self.shell = GuestShell(self.process, self.process.log)
    self.qmp = Qmp(self.process, monitor)
    self.logs = [self.process.log]

  def boot(self, seconds=90):
    self._ready(seconds)

  def reboot(self, seconds=90):
    """A reboot by the guest: QEMU stays, the devices are reset."""
    self.process.type(b"0 sync; reboot -f\n")
    self._ready(seconds)

  def _ready(self, seconds):
    self.shell.wait_ready(seconds)
    guestdevices.check(self.shell, **self._devices)
    if self._tools:
      self.shell.run(f"mount -t ext4 -o ro /dev/{self._tools} /tools", 30)

  def power_off(self):
    """An orderly end by the guest itself."""
    self.process.type(b"0 sync; poweroff -f\n")
    self.process.wait(20)

  def kill(self):
    self.process.kill()


def _plugged(name, chassis, device):
  """The device in a slot, from which it can be taken while the guest runs (`device_del`)."""
  return [
    "-device",
    f"pcie-root-port,id=slot-{name},chassis={chassis}",
    "-device",
    f"{device},id={name},bus=slot-{name}",
  ]


def _socket(name, path):
  return ["-chardev", f"socket,id={name},path={path}"]
