# SPDX-License-Identifier: Apache-2.0
"""Block on User-mode Linux: each engine and cache mode, and a disk that must not be written."""

import os

import guestdisk
import guests
from bed import Bed, test
from failure import Failure
from lgdev import Lgdev
from process import run

_SIZE = 96  # MB of each disk


class BlockBed(Bed):
  """Four disks of one daemon in one guest: io_uring, threads, O_DIRECT, read-only."""

  name = "block"
  kinds = {
    "vda": "engine=uring",
    "vdb": "engine=threads",
    "vdc": "engine=uring,cache=none",
    "vdd": "engine=threads,cache=none,queues=2",
  }

  @test("User-mode Linux boots with five disks of one daemon", 40, essential=True)
  def boot(self):
    options, self.paths = [], {}
    for index, (device, kind) in enumerate(self.kinds.items()):
      self.paths[device] = self.disk(f"block-{device}", _SIZE)
      options += ["--block", f"path={self.paths[device]},serial=LGDEV-{index},{kind}"]
    self.read_only = self.disk("block-ro", 8)
    self.pattern = os.urandom(8 << 20)
    with open(self.read_only, "r+b") as image:
      image.write(self.pattern)
    options += ["--block", f"path={self.read_only},serial=FIXED,ro"]
    self.sockets = [f"block{index}" for index in range(len(self.kinds) + 1)]
    self.daemon = self.own(Lgdev(self.room, "block-lgdev", options, self.sockets))
    self._boot("block-uml-1")

  def _boot(self, name):
    self.guest = self.own(
      guests.make(self.room, name, blocks=[self.daemon.sockets[s] for s in self.sockets])
    )
    self.guest.boot()

  @test("the guest sees each disk's size and serial", 10)
  def identity(self):
    for index, device in enumerate(self.kinds):
      seen = self.guest.shell.run(
        f"cat /sys/block/{device}/size /sys/block/{device}/serial"
      ).split()
      if seen != [str(_SIZE << 11), f"LGDEV-{index}"]:
        raise Failure(f"{device} is {seen}, should be {[_SIZE << 11, f'LGDEV-{index}']}")

  @test("random writes, 32 in flight, read back equal: io_uring", 60)
  def fio_uring(self):
    guestdisk.fio_write(self.guest.shell, "vda", f"{_SIZE}M")

  @test("random writes, 32 in flight, read back equal: threads", 60)
  def fio_threads(self):
    guestdisk.fio_write(self.guest.shell, "vdb", f"{_SIZE}M")

  @test("random writes, 32 in flight, read back equal: io_uring past the page cache", 60)
  def fio_uring_direct(self):
    guestdisk.fio_write(self.guest.shell, "vdc", f"{_SIZE}M")

  @test("random writes, 32 in flight, read back equal: threads past the page cache, two queues", 60)
  def fio_threads_direct(self):
    guestdisk.fio_write(self.guest.shell, "vdd", f"{_SIZE}M")

  @test("a read-only disk reads right and takes no write", 20)
  def read_only_disk(self):
    shell = self.guest.shell
    if shell.run("cat /sys/block/vde/ro") != "1":
      raise Failure("the guest does not know that the disk is read-only")
    shell.run("dd if=/dev/vde of=/tmp/vde bs=64k iflag=direct", 30)
    seen = shell.run("sha256sum /tmp/vde").split()[0]
    want = run(["sha256sum", self.read_only]).split()[0]
    if seen != want:
      raise Failure(f"the guest read {seen}, the image is {want}")
    if "0+0 records out" not in shell.run(
      "dd if=/dev/zero of=/dev/vde bs=4k count=1 oflag=direct", check=False
    ):
      # The driver refuses before the device is asked; that the image is untouched is checked after
      # the end.
      raise Failure("a write to the read-only disk was accepted")

  @test("the guest's kernel has no complaint, and the daemon is idle after it", 30)
  def first_end(self):
    guestdisk.check_kernel_log(self.guest.shell)
    self.guest.power_off()
    self.release(self.guest)
    self.daemon.check_idle()

  @test("a second boot reads back what the first wrote", 60, essential=True)
  def second_boot(self):
    self._boot("block-uml-2")
    for device in self.kinds:
      guestdisk.fio_check(self.guest.shell, device, f"{_SIZE}M")
    guestdisk.check_kernel_log(self.guest.shell)
    self.guest.power_off()
    self.release(self.guest)
    self.daemon.check_idle()

  @test("the read-only image is untouched, and SIGTERM ends the daemon within a second", 10)
  def end(self):
    with open(self.read_only, "rb") as image:
      if image.read() != self.pattern:
        raise Failure("the read-only image has changed")
    self.daemon.check_stop()
