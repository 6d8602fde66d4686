# SPDX-License-Identifier: Apache-2.0
"""The beds' own guests: one is found on any machine, and none passes without its devices."""

import os

import guestdevices
import guestdisk
import guests
import versions
from bed import Bed, test
from failure import Failure
from lgdev import Lgdev
from versions import NEWEST, OLDEST


class GuestsBed(Bed):
  """Each path of the choice is gone, with the programs before it broken."""

  name = "guests"

  def _choose(self, *broken):
    before = os.environ.get(versions.BROKEN)
    os.environ[versions.BROKEN] = ",".join(f"linux.uml/{version}" for version in broken)
    try:
      return guests.try_all(self.room)
    finally:
      os.environ.pop(versions.BROKEN)
      if before is not None:
        os.environ[versions.BROKEN] = before

  @test("a User-mode Linux that boots on this machine is found, or QEMU", 60)
  def found(self):
    return guests.name(self.room)

  @test("where the oldest User-mode Linux does not boot, the newest is taken", 60)
  def newest(self):
    found = self._choose(OLDEST)
    # Where it does not boot either, the first test has said so.
    wanted = NEWEST if guests.choose(self.room) else None
    if found != wanted:
      raise Failure(f"{found} was taken, should be {wanted}")

  @test("where none boots, none is taken", 60)
  def none(self):
    found = self._choose(OLDEST, NEWEST)
    if found:
      raise Failure(f"{found} was taken, though it does not boot")

  @test("QEMU plays the part of User-mode Linux: disk, network card, console", 180)
  def qemu(self):
    image = self.disk("guests-vda", 32)
    options = ["--block", f"path={image}", "--net", "tap=bed0", "--console", "pty"]
    daemon = self.own(Lgdev(self.room, "guests-lgdev", options, ["block0", "net0", "console0"]))
    sockets = daemon.sockets
    guest = self.own(
      guests.make_with(
        None,
        self.room,
        "guests-qemu",
        [sockets["block0"]],
        [sockets["net0"]],
        [sockets["console0"]],
      )
    )
    guest.boot()
    guestdisk.fio_write(guest.shell, "vda", "8M")
    guest.power_off()
    self.release(guest)
    daemon.check_stop()
    self.release(daemon)

  @test("nothing passes in a guest without devices", 120)
  def without(self):
    guest = self.own(guests.make(self.room, "guests-none"))
    guest.boot()
    shell = guest.shell
    for what, show in (
      ("a disk", lambda: guestdevices.check(shell, blocks=1, seconds=0)),
      ("a network card", lambda: guestdevices.check(shell, nets=1, seconds=0)),
      ("a console", lambda: guestdevices.check(shell, consoles=1, seconds=0)),
      ("a source of random numbers", lambda: guestdevices.check(shell, rngs=1, seconds=0)),
      ("fio's disk", lambda: guestdisk.fio_write(shell, "vdy", "1M")),
      ("a file system's disk", lambda: guestdisk.make_ext4(shell, "vdy")),
    ):
      try:
        show()
      except Failure:
        continue
      raise Failure(f"{what} that is not there was taken for one")
    # A plain file of a disk's name is none, either.
    shell.run("head -c 1048576 /dev/zero >/dev/vdy")
    try:
      guestdisk.fio_write(shell, "vdy", "1M")
    except Failure:
      guest.power_off()
      self.release(guest)
      return
    raise Failure("a plain file was taken for a disk")
