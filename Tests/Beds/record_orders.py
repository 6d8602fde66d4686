#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make record-vhost-user`: writes down the orders in which real front-ends send their requests.

usage: record_orders.py [NAME...]

Each front-end, in its oldest and newest version, is started, used, paused, reset and ended, with a
Recorder between it and lgdev; `recorder.py` says what the lines mean. One file for each device, in
Tests/VhostUserTransportTests/Recordings, for unit tests that play the front-end's part. NAME is the
beginning of some recordings' names: only those are made.
"""

import os
import re
import subprocess
import sys

import frames
import lgdev
import network
import sandbox
import versions
from bed import Bed
from dpdk import MAC, Testpmd
from failure import Failure
from lgdev import Lgdev
from process import run
from qemu import Qemu
from recorder import Recorder
from run import CACHE, HERE
from uml import Uml

FOLDER = os.path.join(os.path.dirname(HERE), "VhostUserTransportTests", "Recordings")
_TOUCH_DISK = (
  "for cpu in $(seq 0 $(($(nproc) - 1))); do "
  "taskset -c $cpu dd if=/dev/{0} of=/dev/null bs=4k count=4 iflag=direct && "
  "taskset -c $cpu dd if=/dev/zero of=/dev/{0} bs=4k count=4 oflag=direct; done"
)


class Scene(Bed):
  """One front-end with its devices, and a Recorder for each."""

  def __init__(self, room, name, version):
    super().__init__(room)
    self.name = f"{name}-{version}"
    self.version = version
    self.recorders = {}
    self._lives = 0

  def record(self):
    """{name of a recording: (what it is of, lines)}"""
    raise NotImplementedError

  def serve(self, options, connect=None):
    """A back-end, the first or the next; the devices' sockets are then recorders'."""
    self._lives += 1
    name = f"{self.name}-lgdev{self._lives}"
    self.daemon = self.own(Lgdev(self.room, name, options, self.devices))
    for device in self.devices:
      if device in self.recorders:
        self.recorders[device].listen(self.daemon.sockets[device])
      else:
        path = self.room.socket(f"{self.name}-{device}")
        self.recorders[device] = Recorder(path, self.daemon.sockets[device])

  def mark(self, title):
    print(f"{self.name}: {title}", flush=True)
    for recorder in self.recorders.values():
      recorder.mark(title)

  def wait_for(self, text, without=()):
    for device, recorder in self.recorders.items():
      if device not in without:
        recorder.wait_for(text)

  def lose(self):
    """The back-end dies, and for a while there is none."""
    self.mark("the back-end is killed")
    for recorder in self.recorders.values():
      recorder.close()
    self.daemon.kill()
    self.release(self.daemon)
    self.wait_for("lost")


class UmlScene(Scene):
  """A User-mode Linux with a disk and a network card."""

  devices = ["block0", "net0"]
  files = {"block0": "block", "net0": "net"}

  def record(self):
    options = ["--block", f"path={self.disk(self.name, 8)},queues=2"]
    options += ["--net", f"tap={network.TAP},address={network.HOST}/24"]
    self.serve(options)
    self.mark("boot")
    paths = {device: recorder.path for device, recorder in self.recorders.items()}
    self.guest = self.own(
      Uml(self.room, self.name, blocks=[paths["block0"]], nets=[paths["net0"]], version=self.version)
    )
    self.guest.boot()
    release = self.guest.shell.run("uname -r")
    self._use()
    self.mark("the driver is unbound")
    self._drivers("unbind")
    self.mark("the driver is bound")
    self._drivers("bind")
    self._use()
    self.mark("power off")
    self.guest.power_off()
    self.release(self.guest)
    self.wait_for("hangup")
    return {
      f"{self.name}-{self.files[device]}": (f"User-mode Linux {release}, {self.files[device]}", recorder.lines)
      for device, recorder in self.recorders.items()
    }

  def _drivers(self, what):
    for number, driver in ((0, "blk"), (1, "net")):
      self.guest.shell.run(f"echo virtio{number} >/sys/bus/virtio/drivers/virtio_{driver}/{what}")

  def _use(self):
    self.mark("use")
    self.guest.shell.run(_TOUCH_DISK.format("vda"), 60)
    network.guest_up(self.guest.shell)
    network.ping(self.guest.shell)


class DpdkScene(Scene):
  """testpmd, to which the back-end connects; or, with a split ring, which connects to the back-end."""

  devices = ["net0"]

  def __init__(self, room, name, version):
    super().__init__(room, name, version)
    self.packed = "packed" in name

  def record(self):
    options = ["--net", f"tap={network.TAP},address={network.HOST}/24"]
    self.serve(options)
    recorder = self.recorders["net0"]
    self.mark("start")
    self.guest = self.own(
      Testpmd(
        self.room, self.name, recorder.path, packed=self.packed, mergeable=True, version=self.version,
        interactive=True,
      )
    )
    self.guest.start()
    frames.long_frames(network.TAP)
    self._use()
    self.mark("stop (testpmd: port stop)")
    self.guest.command("stop")
    self.guest.command("port stop 0")
    self.mark("start again (testpmd: port start)")
    self.guest.command("port start 0")
    self.guest.command("start")
    self._use()
    self.mark("quit")
    self.guest.quit()
    self.release(self.guest)
    self.wait_for("hangup")
    title = re.search(r"DPDK [0-9.]+", self.guest.process.output())[0]
    kind = "packed ring" if self.packed else "split ring"
    return {self.name: (f"{title}, virtio-user, {kind}", recorder.lines)}

  def _use(self):
    self.mark("use")
    frames.exchange(network.TAP, MAC, 100, 1514)


class QemuScene(Scene):
  """A guest with a split and a packed disk, a network card and a source of random numbers."""

  devices = ["block0", "block1", "net0", "rng0"]
  files = {"block0": "block", "block1": "block-packed", "net0": "net", "rng0": "rng"}

  def record(self):
    self.options = []
    for disk in ("0", "1"):
      self.options += ["--block", f"path={self.disk(f'{self.name}-{disk}', 8)},queues=2"]
    self.options += ["--net", f"tap={network.TAP},address={network.HOST}/24", "--rng"]
    self.serve(self.options)
    self._boot("boot")
    self._use()
    self.mark("pause (QMP stop)")
    self.guest.qmp("stop")
    self.mark("resume (QMP cont)")
    self.guest.qmp("cont")
    self._use(fresh=False)
    self.mark("reset (QMP system_reset)")
    self.guest.qmp("system_reset")
    self.guest.boot()
    self._use()
    self.mark("reboot by the guest")
    self.guest.reboot()
    self._use()
    self.mark("unplug (QMP device_del)")
    for device in self.devices:
      self.guest.qmp("device_del", id=device)
      self.guest.qmp.wait_for("DEVICE_DELETED")
    self.mark("power off")
    self.guest.power_off()
    self.release(self.guest)
    self.wait_for("hangup")
    self._boot("a second boot")
    self._use()
    self.lose()
    self.mark("another back-end is there")
    self.serve(self.options)
    self.wait_for("> SET_VRING_KICK", without=["rng0"])
    # The new tap has another address.
    self.guest.shell.run("ip neigh flush dev eth0")
    # QEMU does not know where a packed ring stands if its back-end has not told it.
    self._use(fresh=False, rng=False, disks=["vda"])
    self.mark("killed")
    self.guest.kill()
    self.release(self.guest)
    title = run([versions.program(self.room.cache, "qemu-system-x86_64", self.version), "--version"])
    title = title.splitlines()[0].replace(" emulator version", "")
    self.wait_for("hangup", without=["rng0"])
    return {
      f"{self.name}-{self.files[device]}": (f"{title}, {self.files[device]}", recorder.lines)
      for device, recorder in self.recorders.items()
    }

  def _boot(self, title):
    self.mark(title)
    paths = {device: recorder.path for device, recorder in self.recorders.items()}
    self.guest = self.own(
      Qemu(
        self.room,
        self.name,
        blocks=[(paths["block0"], ""), (paths["block1"], ",packed=on")],
        nets=[paths["net0"]],
        rngs=[paths["rng0"]],
        version=self.version,
        reconnects=True,
        pluggable=True,
      )
    )
    self.guest.boot()

  def _use(self, fresh=True, rng=True, disks=("vda", "vdb")):
    self.mark("use")
    shell = self.guest.shell
    for disk in disks:
      shell.run(_TOUCH_DISK.format(disk), 60)
    if fresh:
      network.guest_up(shell)
    network.ping(shell)
    if rng:
      shell.run("head -c 1000 /dev/hwrng >/dev/null")


def main(arguments):
  lgdev.program()
  if os.environ.get(sandbox.MARK) is None:
    if subprocess.run([f"{HERE}/setup.sh", CACHE]).returncode != 0:
      return 1
  sandbox.enter()
  scenes = [
    (kind, name, version)
    for kind, name in (
      (QemuScene, "qemu"), (UmlScene, "uml"), (DpdkScene, "dpdk"), (DpdkScene, "dpdk-packed"),
    )
    for version in (versions.OLDEST, versions.NEWEST)
    if not arguments or any(f"{name}-{version}".startswith(word) for word in arguments)
  ]
  failed = 0
  with sandbox.Room(CACHE, "record") as room:
    for kind, name, version in scenes:
      scene = kind(room, name, version)
      try:
        made = scene.record()
      except Failure as failure:
        print(f"{scene.name}: {failure}", file=sys.stderr)
        scene.print_logs()
        for device, recorder in scene.recorders.items():
          print(f"--- {device}", *recorder.lines, sep="\n")
        failed += 1
        continue
      finally:
        scene.close()
      for file, (title, lines) in made.items():
        with open(f"{FOLDER}/{file}.txt", "w", encoding="utf-8") as output:
          output.write(f"# The requests of {title}. Made by `make record-vhost-user`; "
            "Tests/Beds/recorder.py says what the lines mean.\n")
          output.write("\n".join(lines) + "\n")
        print(f"{file}.txt: {len(lines)} lines")
  return 1 if failed else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
