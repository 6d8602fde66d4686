# SPDX-License-Identifier: Apache-2.0
"""The disks of a running User-mode Linux guest as files, while it writes."""

import errno
import json
import os

import guestdisk
import guests
from bed import Bed, test
from failure import Failure
from lgdev import Lgdev
from process import run, until

_SIZE = 64  # MB of each disk
_SECTOR = 512
_TORN = 256 << 10  # How much is written over and over, to be caught half written.


class FuseLiveBed(Bed):
  """One daemon, three disks (io_uring, threads, past the page cache), one mount point."""

  name = "fuse-live"
  kinds = {"vda": "engine=uring", "vdb": "engine=threads", "vdc": "engine=uring,cache=none"}

  @test("User-mode Linux boots with disks that are shown as files", 240, essential=True)
  def boot(self):
    self.folder = self.room.socket("live")
    os.makedirs(self.folder)
    self.images, options = {}, ["--export", self.folder]
    for device, kind in self.kinds.items():
      self.images[device] = self.disk(f"live-{device}", _SIZE)
      options += ["--block", f"path={self.images[device]},{kind}"]
    sockets = [f"block{index}" for index in range(len(self.kinds))]
    self.daemon = self.own(Lgdev(self.room, "live-lgdev", options, sockets))
    self.guest = self.own(
      guests.make(self.room, "live-uml", blocks=[self.daemon.sockets[name] for name in sockets])
    )
    self.guest.boot()
    self.shell = self.guest.shell
    listed = sorted(os.listdir(self.folder))
    if listed != sockets:
      raise Failure(f"the export lists {listed}, should be {sockets}")

  def _place(self, device, name="disk"):
    return f"{self.folder}/block{list(self.kinds).index(device)}/{name}"

  def _bytes(self, path, count=-1):
    with open(path, "rb") as file:
      return file.read(count)

  @test("what a guest has written is there at once, on each engine and past the page cache", 240)
  def coherent(self):
    for round_ in range(5):
      for device in self.kinds:
        offset = round_ * 5
        self.shell.run("head -c 1000000 /dev/urandom > /tmp/data")
        self.shell.run(
          f"dd if=/tmp/data of=/dev/{device} bs=64k seek={offset} conv=notrunc,fsync 2>/dev/null"
        )
        want = self.shell.run("sha256sum /tmp/data").split()[0]
        with open(self._place(device), "rb") as file:
          file.seek(offset << 16)
          data = file.read(1000000)
        path = self.room.file("seen")
        with open(path, "wb") as file:
          file.write(data)
        seen = run(["sha256sum", path]).split()[0]
        if seen != want:
          raise Failure(f"{device}, round {round_}: the host reads {seen}, the guest wrote {want}")

  @test("nothing that a guest's flush covers is missing from its file system", 240)
  def flushed(self):
    digest = guestdisk.make_ext4(self.shell, "vda")
    copy = self.disk("live-copy", _SIZE)
    run(["cp", "--sparse=always", self._place("vda"), copy])
    run(["e2fsck", "-fn", copy])
    sums = run(["debugfs", "-R", "dump /sums /dev/stdout", copy])
    path = self.room.file("sums")
    with open(path, "w", encoding="utf-8") as file:
      file.write("".join(line + "\n" for line in sums.splitlines() if "a/b/" in line))
    seen = run(["sha256sum", path]).split()[0]
    if seen != digest.split()[0]:
      raise Failure(f"the list of digests is {seen}, should be {digest}")

  @test("no sector is seen half written", 300)
  def torn(self):
    for device in ("vda", "vdb"):
      # Each round writes one byte's value over the same place; the first one before anybody looks.
      self.shell.run(f"dd if=/dev/zero of=/dev/{device} bs={_TORN} count=1 oflag=direct conv=notrunc 2>/dev/null")
      self.shell.run(
        f"(i=0; while [ ! -e /tmp/stop ]; do i=$(( (i + 1) % 8 )); head -c {_TORN} /dev/zero | tr '\\0' $i | "
        f"dd of=/dev/{device} bs={_TORN} iflag=fullblock oflag=direct conv=notrunc; done) 2>/dev/null &"
      )
      path = self._place(device)
      values, changes = set(), 0
      fd = os.open(path, os.O_RDONLY)
      try:
        last = None

        def look():
          nonlocal last, changes
          data = os.pread(fd, _TORN, 0)
          for place in range(0, len(data), _SECTOR):
            sector = data[place : place + _SECTOR]
            if sector.count(sector[0]) != len(sector):
              raise Failure(f"{device}: sector {place // _SECTOR} holds {sorted(set(sector))}")
          values.add(data[0])
          if data != last:
            changes += 1
          last = data
          return changes >= 40

        until(look, 110, "the guest does not write", step=0)
      finally:
        os.close(fd)
        self.shell.run("touch /tmp/stop; wait; rm -f /tmp/stop")

  @test("a partition that the guest makes becomes a file", 120)
  def partitions(self):
    # A table, as fdisk would write it: one Linux partition from sector 2048 on.
    entry = "\\000\\000\\000\\000\\203\\000\\000\\000\\000\\010\\000\\000\\000\\100\\000\\000"
    self.shell.run(
      "dd if=/dev/zero of=/dev/vdc bs=512 count=1 conv=notrunc 2>/dev/null; "
      f"printf '{entry}' | dd of=/dev/vdc bs=1 seek=446 conv=notrunc 2>/dev/null; "
      "printf '\\125\\252' | dd of=/dev/vdc bs=1 seek=510 conv=notrunc,fsync 2>/dev/null"
    )
    until(
      lambda: os.path.exists(self._place("vdc", "part1")), 60, "there is no part1"
    )
    size = os.stat(self._place("vdc", "part1")).st_size
    if size != 16384 * 512:
      raise Failure(f"part1 has {size} bytes")
    with open(self._place("vdc", "info.json"), encoding="utf-8") as file:
      if json.load(file)["table"] != "mbr":
        raise Failure("info.json does not know the table")

  @test("size and times follow, and a resized disk is read to its new end", 120)
  def follow(self):
    path = self._place("vdb")
    before = os.stat(path)
    self.shell.run("dd if=/dev/urandom of=/dev/vdb bs=4k count=1 seek=77 conv=notrunc,fsync 2>/dev/null")
    after = os.stat(path)
    if after.st_mtime_ns <= before.st_mtime_ns:
      raise Failure("the time of the last change did not follow the guest's write")
    with open(path, "rb") as file:
      os.truncate(self.images["vdb"], (_SIZE + 8) << 20)
      with open(self.images["vdb"], "r+b") as image:
        image.seek((_SIZE + 7) << 20)
        image.write(b"the new end")
      if os.stat(path).st_size != (_SIZE + 8) << 20:
        raise Failure("the size did not follow")
      file.seek((_SIZE + 7) << 20)
      if file.read(11) != b"the new end":
        raise Failure("the new end is not read")

  @test("nobody writes to a running guest's disk there", 60)
  def read_only(self):
    for body in (
      lambda: open(self._place("vda"), "r+b"),
      lambda: os.truncate(self._place("vda"), 0),
    ):
      try:
        body()
      except OSError as error:
        if error.errno == errno.EROFS:
          continue
        raise Failure(f"{error.strerror}, should be a read-only file system") from None
      raise Failure("a write to a running guest's disk was accepted")

  @test("the guest notices nothing, and the daemon unmounts when it ends", 120)
  def end(self):
    guestdisk.check_kernel_log(self.shell)
    self.guest.power_off()
    self.release(self.guest)
    self.daemon.check_stop()
    if os.path.ismount(self.folder):
      raise Failure("the export is still mounted after the daemon's end")
    self.release(self.daemon)
