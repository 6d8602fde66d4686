# SPDX-License-Identifier: Apache-2.0
"""Disk images as files: what `lgdev export` shows is compared with the image, byte for byte."""

import ctypes
import errno
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import termios

from bed import Bed, test
from export import Mounted, refusal
from failure import Failure
from lgdev import Lgdev, program
from patience import patience
from process import Process, run, until

_MIB = 1 << 20
_PUNCH, _ZERO, _KEEP = 2, 16, 1
_libc = ctypes.CDLL(None, use_errno=True)


def _fallocate(fd, mode, offset, count):
  if _libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(count)) != 0:
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _expect(error, what, body):
  """The body fails with this error."""
  try:
    body()
  except OSError as found:
    if found.errno != error:
      raise Failure(f"{what}: {found.strerror}, should be {os.strerror(error)}") from None
    return
  raise Failure(f"{what} went well, should be {os.strerror(error)}")


def _same(seen, want, what):
  if seen != want:
    raise Failure(f"{what} is {seen!r}, should be {want!r}")


def _bytes(path, offset=0, count=-1):
  with open(path, "rb") as file:
    file.seek(offset)
    return file.read(count)


class FuseBed(Bed):
  """Images made by the usual tools, exported, mounted, written, damaged."""

  name = "fuse"

  def _image(self, name, megabytes, table):
    path = self.disk(name, megabytes)
    subprocess.run(["sfdisk", "-q", path], input=table, text=True, check=True)
    return path

  def _mount(self, name, *arguments):
    return self.own(Mounted(self.room, name, *arguments), transient=True)

  def _unmount(self, mounted):
    mounted.check_stop()
    self.release(mounted)

  def _compare(self, image, folder):
    """Every byte of every file, and what info.json says of it."""
    run(["cmp", f"{folder}/disk", image], 120)
    with open(f"{folder}/info.json", encoding="utf-8") as file:
      information = json.load(file)
    for partition in information["partitions"]:
      path = f"{folder}/{partition['file']}"
      _same(os.stat(path).st_size, partition["size"], f"the size of {path}")
      run(["cmp", "-i", f"0:{partition['start']}", "-n", str(partition["size"]), path, image], 120)
    listed = sorted(name for name in os.listdir(folder) if name.startswith("part"))
    _same(listed, sorted(p["file"] for p in information["partitions"]), "the list of partitions")
    return information

  @test("a GPT disk: every byte, links by label and UUID, info.json", 240, essential=True)
  def gpt(self):
    self.image = self.disk("fuse-gpt", 480)
    sizes = {1: 32, 2: 40, 3: 304, 4: 16, 5: 32}
    for number, size in sizes.items():
      run(["sgdisk", f"-n{number}:0:+{size}M", f"-c{number}:part {number}", self.image])
    self.files = self.room.file("fuse-files")
    shutil.rmtree(self.files, ignore_errors=True)
    os.makedirs(f"{self.files}/a/b")
    for index in range(12):
      with open(f"{self.files}/a/b/{index}", "wb") as file:
        file.write(os.urandom(index * 54321))
    makers = {
      1: ["mkfs.vfat", "-n", "BOOT", "-i", "12345678"],
      2: ["mkfs.ext4", "-q", "-L", "root", "-d", self.files],
      3: ["mkfs.xfs", "-q", "-L", "data"],
      5: ["mkswap", "-q", "-L", "swap"],
    }
    for number, maker in makers.items():
      self._fill(number, sizes[number], maker)
    mounted = self._mount("gpt", self.image)
    information = self._compare(self.image, mounted.folder)
    _same(information["table"], "gpt", "the table")
    kinds = [(p["fileSystem"] or {}).get("kind") for p in information["partitions"]]
    _same(kinds, ["vfat", "ext4", "xfs", None, "swap"], "the file systems")
    _same(
      {name: os.readlink(f"{mounted.folder}/by-label/{name}") for name in os.listdir(f"{mounted.folder}/by-label")},
      {"BOOT": "../part1", "root": "../part2", "data": "../part3", "swap": "../part5"},
      "by-label",
    )
    for number in (1, 2, 3):
      uuid = run(["blkid", "-p", "-s", "UUID", "-o", "value", f"{mounted.folder}/part{number}"])
      path = f"{mounted.folder}/by-uuid/{uuid.strip()}"
      _same(os.readlink(path), f"../part{number}", path)
    self._unmount(mounted)

  def _fill(self, number, size, maker):
    """Makes a file system in a file of its own, and puts it into the image's partition."""
    part = self.disk(f"fuse-part{number}", size)
    run([*maker, part], 60)
    offset = self._start(number)
    with open(self.image, "r+b") as image:
      image.seek(offset)
      image.write(_bytes(part))

  def _start(self, number):
    table = json.loads(run(["sfdisk", "-J", self.image]))["partitiontable"]
    entry = [p for p in table["partitions"] if p["node"].endswith(str(number))][0]
    return entry["start"] * table["sectorsize"]

  @test("an MBR disk with logical partitions, and a disk without a table", 120)
  def mbr(self):
    image = self._image(
      "fuse-mbr", 64,
      "label: dos\nstart=2048, size=20480\nstart=22528, size=81920, type=5\n"
      "start=24576, size=20480\nstart=47104, size=8192, type=82\n",
    )  # fmt: skip
    with open(image, "r+b") as file:
      for start in (2048, 24576, 47104):
        file.seek(start * 512)
        file.write(os.urandom(3 * _MIB))
    bare = self.disk("fuse-bare", 24)
    run(["mkfs.btrfs", "-q", "-f", "-L", "bare", self.disk("fuse-btrfs", 128)])
    run(["mkfs.ext2", "-q", "-F", "-L", "bare disk", bare])
    mounted = self._mount("mbr", image, bare, self.room.file("fuse-btrfs.img"))
    one, two, three = (f"{mounted.folder}/{name}" for name in ("fuse-mbr.img", "fuse-bare.img", "fuse-btrfs.img"))
    information = self._compare(image, one)
    _same([p["number"] for p in information["partitions"]], [1, 2, 5, 6], "the partitions")
    information = self._compare(bare, two)
    _same(information["fileSystem"]["kind"], "ext2", "the file system of the bare disk")
    _same(os.listdir(f"{two}/by-label"), ["bare\\x20disk"], "its label")
    _same(self._compare(self.room.file("fuse-btrfs.img"), three)["fileSystem"]["kind"], "btrfs", "the third disk")
    self._unmount(mounted)

  @test("file systems of partitions are mounted, and their files are what was put there", 240)
  def file_systems(self):
    mounted = self._mount("loop", self.image)
    place = self.room.socket("loop-mnt")
    os.makedirs(place)
    run(["mount", "-o", "loop,ro", f"{mounted.folder}/part2", place])
    try:
      run(["diff", "-r", self.files, f"{place}", "--exclude=lost+found"])
    finally:
      run(["umount", place])
    # The same without a loop device, as who is not root would do it.
    run(["fuse2fs", "-o", "ro", f"{mounted.folder}/by-label/root", place])
    try:
      run(["diff", "-r", self.files, f"{place}", "--exclude=lost+found"])
    finally:
      run(["umount", place])
    out = run(["debugfs", "-R", "cat /a/b/3", f"{mounted.folder}/by-label/root"])
    _same(len(out) > 0, True, "that debugfs reads a file")
    self._unmount(mounted)

  @test("what is written through a partition's file system is in the image", 240)
  def writing(self):
    mounted = self._mount("write", "--writable", self.image)
    place = self.room.socket("write-mnt")
    os.makedirs(place)
    run(["mount", "-o", "loop", f"{mounted.folder}/part2", place])
    try:
      with open(f"{place}/new", "wb") as file:
        file.write(b"written through the export" * 1000)
        os.fsync(file.fileno())
      os.unlink(f"{place}/a/b/1")
    finally:
      run(["umount", place])
    self._compare(self.image, mounted.folder)
    self._unmount(mounted)
    part = self.disk("fuse-check", 40)
    with open(part, "r+b") as file:
      file.write(_bytes(self.image, self._start(2), 40 * _MIB))
    run(["e2fsck", "-fn", part])
    seen = run(["debugfs", "-R", "cat /new", part])
    _same("written through the export" * 1000 in seen, True, "that the image has the new file")
    _same(run(["debugfs", "-R", "ls /a/b", part]).split().count("1"), 0, "the removed file's entry")

  @test("a plain file as the mount point becomes the disk", 120)
  def file_mount(self):
    point = self.room.file("fuse-point")
    open(point, "wb").close()
    mounted = self.own(Mounted(self.room, "file", self.image, point=point), transient=True)
    _same(_bytes(point) == _bytes(self.image), True, "that the mounted file is the image")
    self._unmount(mounted)
    _same(os.stat(point).st_size, 0, "the file below")

  @test("holes stay holes: SEEK_DATA, SEEK_HOLE, allocated blocks, cp --sparse", 120)
  def holes(self):
    image = self._image("fuse-holes", 64, "label: gpt\nstart=4096, size=65536\n")
    start = 4096 * 512
    with open(image, "r+b") as file:
      for place in (4, 12, 31):
        file.seek(start + place * _MIB)
        file.write(b"\x5a" * 65536)
    mounted = self._mount("holes", image)
    part = f"{mounted.folder}/part1"
    fd = os.open(part, os.O_RDONLY)
    try:
      places, at = [], 0
      while True:
        try:
          data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
          _same(error.errno, errno.ENXIO, "the end of the search")
          break
        at = os.lseek(fd, data, os.SEEK_HOLE)
        places.append((data, at))
      want = [(place * _MIB, place * _MIB + 65536) for place in (4, 12, 31)]
      _same(places, want, "the data in the partition")
      _same(os.lseek(fd, 0, os.SEEK_HOLE), 0, "the first hole")
      _expect(errno.ENXIO, "SEEK_DATA at the end", lambda: os.lseek(fd, 32 * _MIB, os.SEEK_DATA))
      _expect(errno.ENXIO, "SEEK_DATA before the start", lambda: os.lseek(fd, -5, os.SEEK_DATA))
    finally:
      os.close(fd)
    _same(os.stat(part).st_blocks * 512, 3 * 65536, "the partition's allocated size")
    _same(os.stat(f"{mounted.folder}/disk").st_blocks, os.stat(image).st_blocks, "the disk's blocks")
    copy = self.room.file("fuse-copy.img")
    run(["cp", "--sparse=auto", part, copy])
    _same(_bytes(copy) == _bytes(part), True, "that the copy is equal")
    _same(os.stat(copy).st_blocks * 512 < _MIB, True, "that the copy is sparse")
    self._unmount(mounted)

  @test("punched holes, zeroed ranges and copies stay inside their partition", 120)
  def ranges(self):
    image = self._image("fuse-ranges", 32, "label: gpt\nstart=4096, size=16384\nstart=20480, size=16384\n")
    with open(image, "r+b") as file:
      file.seek(2 * _MIB)
      file.write(os.urandom(16 * _MIB))
    model = bytearray(_bytes(image))
    one, two = 2 * _MIB, 10 * _MIB
    mounted = self._mount("ranges", "--writable", image)
    first = os.open(f"{mounted.folder}/part1", os.O_RDWR)
    second = os.open(f"{mounted.folder}/part2", os.O_RDWR)
    try:
      _fallocate(first, _PUNCH | _KEEP, _MIB, _MIB)
      model[one + _MIB : one + 2 * _MIB] = bytes(_MIB)
      _fallocate(first, _ZERO | _KEEP, 3 * _MIB, 4096)
      model[one + 3 * _MIB : one + 3 * _MIB + 4096] = bytes(4096)
      # A range that leaves the partition ends there.
      _fallocate(first, _PUNCH | _KEEP, 7 * _MIB, 8 * _MIB)
      model[one + 7 * _MIB : one + 8 * _MIB] = bytes(_MIB)
      for mode in (0, _ZERO):
        _expect(
          errno.ENOSPC, f"space behind the end ({mode})",
          lambda mode=mode: _fallocate(first, mode, 7 * _MIB, 8 * _MIB),
        )  # fmt: skip
      count = os.copy_file_range(second, first, _MIB, 0, 4096 * 5)
      model[one + 4096 * 5 : one + 4096 * 5 + count] = model[two : two + count]
      _same(count > 0, True, "that something was copied")
      _same(os.pread(first, _MIB, 8 * _MIB), b"", "what is behind the partition's end")
      _expect(errno.ENOSPC, "a write behind the end", lambda: os.pwrite(first, b"x", 8 * _MIB))
      _same(os.pwrite(first, b"y" * 8192, 8 * _MIB - 4096), 4096, "a write over the end")
      model[one + 8 * _MIB - 4096 : one + 8 * _MIB] = b"y" * 4096
      _expect(errno.EPERM, "a truncation", lambda: os.ftruncate(first, 0))
      os.fsync(first)
    finally:
      os.close(first)
      os.close(second)
    _expect(errno.EPERM, "a new file", lambda: open(f"{mounted.folder}/new", "wb"))
    _expect(errno.EPERM, "a removal", lambda: os.unlink(f"{mounted.folder}/part1"))
    _same(_bytes(image) == bytes(model), True, "that the image is what was done to it")
    self._unmount(mounted)

  @test("with --growable the disk becomes longer and shorter, and without it does not", 120)
  def growable(self):
    image = self.disk("fuse-grow", 8)
    for options in (["--growable"], ["--growable", "-o", "nopassthrough"]):
      mounted = self._mount("grow", "--writable", *options, image)
      disk = f"{mounted.folder}/disk"
      os.truncate(disk, 12 * _MIB)
      _same((os.stat(disk).st_size, os.stat(image).st_size), (12 * _MIB,) * 2, "the sizes")
      with open(disk, "r+b") as file:
        file.seek(13 * _MIB)
        file.write(b"behind the end")
        file.flush()
        _fallocate(file.fileno(), _ZERO, 13 * _MIB + 4, 4096)
      _same(os.stat(image).st_size, 13 * _MIB + 4100, "the image's size after zeros")
      _same(os.stat(disk).st_size, 13 * _MIB + 4100, "the disk's size after zeros")
      _same(_bytes(disk, 13 * _MIB).rstrip(b"\0"), b"behi", "what was written")
      os.close(os.open(disk, os.O_WRONLY | os.O_TRUNC))
      _same((os.stat(disk).st_size, os.stat(image).st_size), (0, 0), "the sizes after O_TRUNC")
      os.truncate(disk, 8 * _MIB)
      self._unmount(mounted)
    mounted = self._mount("rigid", "-v", "--writable", image)
    # Writing past the end must be refused here.
    mounted.process.wait_for("mounted, libfuse ", 20)
    _same("no passthrough" in mounted.process.output(), True, "what -v says")
    # As a block device does it.
    os.close(os.open(f"{mounted.folder}/disk", os.O_WRONLY | os.O_TRUNC))
    _same(os.stat(image).st_size, 8 * _MIB, "the image's size after O_TRUNC")
    _expect(errno.EPERM, "truncation", lambda: os.truncate(f"{mounted.folder}/disk", 12 * _MIB))
    with open(f"{mounted.folder}/disk", "r+b", buffering=0) as file:
      file.seek(8 * _MIB)
      _expect(errno.ENOSPC, "a write behind the end", lambda: file.write(b"x"))
    _same(os.stat(image).st_size, 8 * _MIB, "the image's size")
    self._unmount(mounted)

  @test("ten thousand random operations do what they do to a model", 480)
  def model(self):
    image = self._image("fuse-model", 16, "label: gpt\nstart=2048, size=8192\nstart=10240, size=12288\n")
    model = bytearray(_bytes(image))
    spans = {"disk": (0, 16 * _MIB), "part1": (_MIB, 4 * _MIB), "part2": (5 * _MIB, 6 * _MIB)}
    # The table must stay, or the partitions go.
    dice = random.Random(5)
    mounted = self._mount("model", "--writable", image)
    fds = {name: os.open(f"{mounted.folder}/{name}", os.O_RDWR) for name in spans}
    try:
      for step in range(10000):
        self._step(step, dice, fds, spans, model)
    finally:
      for fd in fds.values():
        os.close(fd)
    _same(_bytes(image) == bytes(model), True, "that the image is the model")
    self._unmount(mounted)

  def _step(self, step, dice, fds, spans, model):
    name = dice.choice(list(spans))
    start, size = spans[name]
    low = _MIB if name == "disk" else 0
    high = 11 * _MIB if name == "disk" else size
    offset = dice.randrange(low, high)
    count = min(dice.choice((1, 511, 512, 4096, 70000)), high - offset)
    place = start + offset
    deed = dice.choice(("read", "read", "write", "write", "punch", "zero", "copy", "sync", "past"))
    if deed == "read":
      if os.pread(fds[name], count, offset) != model[place : place + count]:
        raise Failure(f"step {step}: {name} at {offset}, {count} bytes, is not what was written")
    elif deed == "write":
      data = dice.randbytes(count)
      _same(os.pwrite(fds[name], data, offset), count, f"step {step}: the write's count")
      model[place : place + count] = data
    elif deed in ("punch", "zero"):
      _fallocate(fds[name], (_PUNCH | _KEEP) if deed == "punch" else _ZERO, offset, count)
      model[place : place + count] = bytes(count)
    elif deed == "copy":
      other = dice.choice(("part1", "part2"))
      begin, room = spans[other]
      target = dice.randrange(room)
      wanted = min(count, room - target)
      done = 0
      if abs(begin + target - place) >= wanted:
        while done < wanted:
          got = os.copy_file_range(fds[name], fds[other], wanted - done, offset + done, target + done)
          _same(got > 0, True, f"step {step}: that something is copied")
          done += got
        model[begin + target : begin + target + done] = model[place : place + done]
    elif deed == "sync":
      os.fsync(fds[name])
    else:
      _same(os.pread(fds[name], 4096, size), b"", f"step {step}: what is behind {name}")

  @test("several readers and writers at once, and mappings, see one disk", 240)
  def together(self):
    image = self.disk("fuse-together", 32)
    mounted = self._mount("together", "--writable", image)
    run(
      ["fio", "--name=together", f"--filename={mounted.folder}/disk", "--size=32M", "--rw=randwrite",
       "--bsrange=4k-1m", "--bs_unaligned=0", "--ioengine=libaio", "--iodepth=16", "--direct=1",
       "--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--verify_state_save=0"],
      60,
    )  # fmt: skip
    run(
      ["fio", "--name=mapped", f"--filename={mounted.folder}/disk", "--size=4M", "--rw=randwrite",
       "--bs=4k", "--ioengine=mmap", "--verify=crc32c", "--do_verify=1", "--verify_state_save=0"],
      60,
    )  # fmt: skip
    _same(_bytes(f"{mounted.folder}/disk") == _bytes(image), True, "that disk and image are equal")
    self._unmount(mounted)

  @test("a full file system: ENOSPC reaches who writes, and the line says which image", 120)
  def full(self):
    small = self.room.socket("small")
    os.makedirs(small)
    run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small])
    try:
      image = f"{small}/full.raw"
      with open(image, "wb") as file:
        file.truncate(32 * _MIB)
      mounted = self._mount("full", "--writable", image)
      with open(f"{mounted.folder}/disk", "r+b", buffering=0) as file:

        def fill():
          for _ in range(32):
            file.write(b"\x11" * _MIB)

        _expect(errno.ENOSPC, "filling a full file system", fill)
      mounted.process.wait_for("No space left on device", 10)
      self._unmount(mounted)
    finally:
      run(["umount", small])

  @test("a storage device that fails: EIO reaches who reads", 120)
  def failing(self):
    # A file that ends before its partition does, seen through a cache that must fetch it, cannot be had
    # from a plain file; a device that fails by itself is made of one that shrinks under a loop device.
    image = self.disk("fuse-fail", 8)
    device = run(["losetup", "-f", "--show", image]).strip()
    try:
      mounted = self._mount("fail", device)
      os.truncate(image, _MIB)
      with open(f"{mounted.folder}/disk", "rb", buffering=0) as file:
        file.seek(6 * _MIB)
        _expect(errno.EIO, "a read of what the device has lost", lambda: file.read(65536))
      mounted.process.wait_for("Input/output error", 10)
      self._unmount(mounted)
    finally:
      run(["losetup", "-d", device])

  @test("a block device as the image: holes, zeros and copies", 120)
  def block_device(self):
    image = self._image("fuse-block", 32, "label: gpt\nstart=4096, size=16384\nstart=20480, size=16384\n")
    with open(image, "r+b") as file:
      file.seek(2 * _MIB)
      file.write(os.urandom(16 * _MIB))
    device = run(["losetup", "-f", "--show", image]).strip()
    try:
      mounted = self._mount("block", "--writable", device)
      self._compare(image, mounted.folder)
      one, two = (os.open(f"{mounted.folder}/part{number}", os.O_RDWR) for number in (1, 2))
      try:
        _fallocate(one, _PUNCH | _KEEP, 0, _MIB)
        _fallocate(one, _ZERO | _KEEP, _MIB, _MIB)
        _same(os.pread(one, 2 * _MIB, 0), bytes(2 * _MIB), "what was punched and zeroed")
        # Block devices have no such call, so the kernel does it by reading and writing.
        copied = os.copy_file_range(two, one, _MIB, 3 * _MIB, 4 * _MIB)
        _same(copied > 0, True, "that something was copied")
        _same(os.pread(one, copied, 4 * _MIB), os.pread(two, copied, 3 * _MIB), "what was copied")
        os.fsync(one)
      finally:
        os.close(one)
        os.close(two)
      self._compare(image, mounted.folder)
      self._unmount(mounted)
    finally:
      run(["losetup", "-d", device])

  @test("storage that hangs: signals and unmounting end the export all the same, with a line", 240)
  def hanging(self):
    # The image lies on a file system whose process is stopped.
    image = self.disk("fuse-hang", 4)
    below = self._mount("below", "-o", "nopassthrough", image)
    place = self.room.socket("above")
    os.makedirs(place)
    self._halt(below.process)
    try:
      disk = f"{below.folder}/disk"
      serve = ["serve", "--socket-dir", place, "--console", "stdio", "--block", f"path={disk},ro"]
      for number, arguments in enumerate((["export", disk, place], serve)):
        for ending in (signal.SIGTERM, signal.SIGINT):
          self._check_end_at_start([program(), *arguments], ending, f"hang-start{number}-{ending}")
      below.process.signal(signal.SIGCONT)
      for ending in ("SIGTERM", "fusermount3 -u"):
        mounted = self._mount("hang", "-o", "nopassthrough", f"{below.folder}/disk")
        self._halt(below.process)
        # It looks after its image each second.
        self._await_hang(mounted.process)
        if ending == "SIGTERM":
          mounted.process.signal(signal.SIGTERM)
        else:
          run(["fusermount3", "-u", mounted.folder])
        mounted.process.wait_for("do not finish; ending without them", 20)
        until(lambda m=mounted: not os.path.ismount(m.folder), 20, f"{ending}: it is still mounted")
        # What the kernel has still to do with the image waits for the storage.
        below.process.signal(signal.SIGCONT)
        _same(mounted.process.wait(20), 1, f"the exit code after {ending}")
        self.release(mounted)
    finally:
      below.process.signal(signal.SIGCONT)
    self._unmount(below)

  def _check_end_at_start(self, command, ending, name):
    """A signal ends one whose image cannot be opened, and its terminal is as it was."""
    # Programs inherit that it is ignored, as it is behind a shell's '&'.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    user, line = os.openpty()
    try:
      before = termios.tcgetattr(line)
      starting = self.own(
        Process(name, command, self.room.file(f"{name}.log"), stdin=line), transient=True
      )
      starting.logs = [starting.log]
      self._await_hang(starting)
      starting.signal(ending)
      _same(starting.wait(20), -ending, f"{name}: the exit code")
      _same(termios.tcgetattr(line) == before, True, f"{name}: that the terminal is as it was")
      self.release(starting)
    finally:
      os.close(user)
      os.close(line)

  def _halt(self, process):
    """Stops it, and waits until all its threads stand still: nothing is answered any more."""
    process.signal(signal.SIGSTOP)
    until(
      lambda: all(
        _bytes(f"/proc/{process.pid}/task/{task}/stat").rpartition(b")")[2].split()[0] == b"T"
        for task in os.listdir(f"/proc/{process.pid}/task")
      ),
      20,
      f"{process.name} does not stop",
    )

  def _await_hang(self, process):
    """Waits until a thread waits for a file system in user space to answer."""

    def hangs():
      try:
        tasks = os.listdir(f"/proc/{process.pid}/task")
        return any(
          _bytes(f"/proc/{process.pid}/task/{task}/wchan") == b"request_wait_answer" for task in tasks
        )
      except FileNotFoundError:
        return False  # A thread that has ended.

    until(hangs, 20, f"{process.name} does not hang", still=process.alive)

  @test("an image that shrinks or is removed is named; nothing hangs and nothing is written", 120)
  def shrinking(self):
    image = self.disk("fuse-shrink", 16)
    mounted = self._mount("shrink", "-v", image)
    os.truncate(image, 4 * _MIB)
    mounted.process.wait_for("the image has shrunk", 20)
    until(
      lambda: os.stat(f"{mounted.folder}/disk").st_size == 4 * _MIB, 20, "the disk's size did not follow"
    )
    os.unlink(image)
    mounted.process.wait_for("the image was removed", 20)
    _same(len(_bytes(f"{mounted.folder}/disk")), 4 * _MIB, "what is left")
    self._unmount(mounted)
    image = self._image("fuse-cut", 16, "label: gpt\nstart=4096, size=16384\n")
    mounted = self._mount("cut", "--writable", image)
    fd = os.open(f"{mounted.folder}/part1", os.O_RDWR)
    try:
      os.truncate(image, 4 * _MIB)
      _expect(errno.EIO, "a write behind the cut", lambda: os.pwrite(fd, b"x", 4 * _MIB))
      _same(os.pwrite(fd, b"x", _MIB), 1, "a write before the cut")
    finally:
      os.close(fd)
    _same(os.stat(image).st_size, 4 * _MIB, "the image's size")
    self._unmount(mounted)

  @test("disks that are served: an image that is removed is named, and a stopped daemon unmounts", 120)
  def served(self):
    image, other = self.disk("fuse-served", 4), self.disk("fuse-served2", 2)
    place = self.room.socket("served")
    os.makedirs(place)
    options = ["--export", place, "--block", f"path={image}", "--block", f"path={other}"]
    daemon = self.own(Lgdev(self.room, "fuse-lgdev", options, ["block0", "block1"]), transient=True)
    _same(sorted(os.listdir(place)), ["block0", "block1"], "the directories")
    run(["cmp", f"{place}/block1/disk", other])
    os.truncate(image, _MIB)
    daemon.process.wait_for("block0: its size is 1 MiB now", 20)
    _same(os.stat(f"{place}/block0/disk").st_size, _MIB, "the disk's size")
    os.unlink(image)
    daemon.process.wait_for("the image was removed", 20)
    with open(f"{place}/block0/disk", "rb") as file:
      _same(len(file.read()), _MIB, "what is left")
      daemon.check_stop()
      _same(os.path.ismount(place), False, "that it is mounted after the daemon's end")
      _expect(errno.ENOTCONN, "reading a file that is still open", lambda: os.pread(file.fileno(), 1, 0))
    self.release(daemon)

  @test("what nohup has started goes on when the terminal goes", 120)
  def nohup(self):
    image = self.disk("fuse-nohup", 4)
    place = self.room.socket("nohup")
    os.makedirs(place)
    process = self.own(
      Process("nohup", ["nohup", program(), "export", image, place], self.room.file("nohup.log")), transient=True
    )
    process.logs = [process.log]
    until(lambda: os.path.ismount(place), 20, "the export is not mounted", still=process.alive)
    process.signal(signal.SIGHUP)
    os.truncate(image, _MIB)
    process.wait_for("the image has shrunk", 20)
    _same(len(_bytes(f"{place}/disk")), _MIB, "the disk's size")
    process.signal(signal.SIGTERM)
    _same(process.wait(20), 0, "the exit code")
    self.release(process)

  @test("permissions: others see what --mode lets them, and nothing without allow_other", 120)
  def permissions(self):
    image = self.disk("fuse-mode", 1)
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    mounted = self._mount("mode", "-o", "allow_other,mode=0444,uid=12,gid=34", image)
    run([*nobody, "cat", f"{mounted.folder}/disk"])
    status = os.stat(f"{mounted.folder}/disk")
    _same((status.st_uid, status.st_gid, status.st_mode & 0o777), (12, 34, 0o444), "owner and mode")
    self._unmount(mounted)
    for options in ([], ["-o", "allow_other"]):
      mounted = self._mount("closed", *options, image)
      out = run([*nobody, "cat", f"{mounted.folder}/disk"], check=False)
      _same("Permission denied" in out, True, f"that nobody reads with {options}")
      self._unmount(mounted)

  @test("an ordinary user exports through fusermount3", 120)
  def unprivileged(self):
    home = self.room.socket("nobody")
    os.makedirs(f"{home}/mnt")
    image = f"{home}/disk.raw"
    with open(image, "wb") as file:
      file.write(os.urandom(_MIB))
    for path in (home, f"{home}/mnt", image):
      os.chown(path, 65534, 65534)
    shutil.copy(program(), f"{home}/lgdev")
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    process = self.own(
      Process("nobody", [*nobody, f"{home}/lgdev", "export", image, f"{home}/mnt"], self.room.file("nobody.log")),
      transient=True,
    )
    process.logs = [process.log]
    read = [*nobody, "cat", f"{home}/mnt/disk"]
    until(
      lambda: "disk" in run([*nobody, "ls", f"{home}/mnt"], check=False),
      20,
      "nobody's export is not there",
      still=process.alive,
    )
    done = subprocess.run(read, capture_output=True, check=True)
    _same(done.stdout == _bytes(image), True, "that nobody reads the image")
    run([*nobody, "fusermount3", "-u", f"{home}/mnt"])
    _same(process.wait(10), 0, "the exit code after fusermount3 -u")
    os.chown(f"{home}/mnt", 0, 0)
    out = run([*nobody, f"{home}/lgdev", "export", image, f"{home}/mnt"], check=False).strip()
    _same("may not write" in out and "\n" not in out, True, f"a mount point that is root's: {out}")
    os.chown(f"{home}/mnt", 65534, 65534)
    settings = self.room.file("fuse.conf")
    with open(settings, "w", encoding="utf-8") as file:
      file.write("#user_allow_other\n")
    run(["mount", "--bind", settings, "/etc/fuse.conf"])
    try:
      others = ["-o", "allow_other", image, f"{home}/mnt"]
      out = run([*nobody, f"{home}/lgdev", "export", *others], check=False).strip()
      _same("no line 'user_allow_other'" in out and "\n" not in out, True, f"allow_other for others than root: {out}")
    finally:
      run(["umount", "/etc/fuse.conf"])
    self.release(process)

  @test("mount -t fuse.lgdev works, so a line in /etc/fstab does", 120)
  def fstab(self):
    image = self.disk("fuse-fstab", 2)
    place = self.room.socket("fstab-mnt")
    os.makedirs(place)
    # In this mount namespace alone.
    run(["mount", "-t", "tmpfs", "tmpfs", "/usr/local/sbin"])
    try:
      os.symlink(program(), "/usr/local/sbin/lgdev")
      run(["mount", "-t", "fuse.lgdev", image, place, "-o", "noexec,allow_other,x-systemd.automount"])
      _same(_bytes(f"{place}/disk") == _bytes(image), True, "that the mount shows the image")
      _same("fuse.lgdev" in run(["findmnt", "-n", place]), True, "the mount's type")
      _expect(errno.EROFS, "writing", lambda: open(f"{place}/disk", "r+b"))
      self._check_system_log(lambda: os.truncate(image, _MIB), f"{image}: the image has shrunk")
      run(["umount", place])
      helper = "/usr/local/sbin/mount.fuse.lgdev"
      os.symlink(program(), helper)
      run([helper, image, place, "-f", "-o", "rw,writable"])
      _same(os.path.ismount(place), False, "that mount -f mounts nothing")
      run(["mount", "-r", "-t", "fuse.lgdev", image, place, "-o", "writable,growable"])
      _expect(errno.EROFS, "writing after mount -r", lambda: open(f"{place}/disk", "r+b"))
      run(["umount", place])
      table = self.room.file("fstab")
      with open(table, "w", encoding="utf-8") as file:
        file.write(f"{image} {place} fuse.lgdev writable,growable,nofail,x-systemd.automount 0 0\n")
      # The second time it is mounted already.
      for _ in range(2):
        run(["mount", "-T", table, "-a"])
      os.truncate(f"{place}/disk", 3 * _MIB)
      run(["umount", place])
      _same(os.stat(image).st_size, 3 * _MIB, "the image's size")
      out = run(["mount", "-t", "fuse.lgdev", f"{image}.not", place], check=False)
      _same("there is no such file" in out, True, "what a missing image gives")
      _same(os.path.ismount(place), False, "that nothing is mounted then")
    finally:
      run(["umount", "/usr/local/sbin"])

  def _check_system_log(self, body, words):
    """What a mount without a terminal has to say comes to the system's log."""
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(self.room.socket("log"))
    made = not os.path.exists("/dev/log")
    if made:
      open("/dev/log", "wb").close()
    try:
      # In this mount namespace alone.
      run(["mount", "--bind", self.room.socket("log"), "/dev/log"])
      body()
      log.settimeout(patience(20))
      line = ""
      while words not in line:
        line = log.recv(4096).decode()
      _same(re.match(r"<28>.* lgdev\[\d+\]: warning: ", line) is not None, True, f"how it begins: {line}")
    except TimeoutError:
      raise Failure(f"nothing in the system's log has '{words}'") from None
    finally:
      run(["umount", "/dev/log"], check=False)
      if made:
        os.unlink("/dev/log")
      log.close()

  @test("a writable export and QEMU keep each other out, and read-only users share", 240)
  def locks(self):
    image = self.disk("fuse-lock", 4)
    read = ["qemu-io", "-r", "-f", "raw", "-c", "read 0 512", image]
    write = ["qemu-io", "-f", "raw", "-c", "write 0 512", image]
    mounted = self._mount("lock-ro", image)
    run(read)
    _same("Failed to get" in run(write, check=False), True, "that QEMU cannot write")
    other = self._mount("lock-ro2", image)
    _same("which wants nobody else to write" in refusal(self.room, "--writable", image), True, "a writable one beside")
    self._unmount(other)
    self._unmount(mounted)
    mounted = self._mount("lock-rw", "--writable", image)
    _same("Failed to get" in run(write, check=False), True, "that QEMU cannot write")
    _same("which may write to it" in refusal(self.room, image), True, "a read-only one beside")
    serve = run([program(), "serve", "--socket-path", self.room.socket("lock.sock"), "--blk-file", image], check=False)
    _same("it is in use by another process" in serve, True, "what lgdev serve says")
    self._unmount(mounted)
    daemon = self.own(
      Process(
        "qsd",
        ["qemu-storage-daemon", "--blockdev", f"driver=file,node-name=f,filename={image}",
         "--nbd-server", f"addr.type=unix,addr.path={self.room.socket('nbd')}",
         "--export", "type=nbd,id=e,node-name=f,writable=on"],
        self.room.file("fuse-qsd.log"),
      ),
      transient=True,
    )  # fmt: skip
    daemon.logs = [daemon.log]
    until(lambda: os.path.exists(self.room.socket("nbd")), 20, "qemu-storage-daemon is not there", still=daemon.alive)
    for options in ([], ["--writable"]):
      _same("it is in use by another process" in refusal(self.room, *options, image), True, f"an export with {options}")
    daemon.kill()
    self.release(daemon)

  @test("bad images and mount points: one clear line each, exit code 1, nothing mounted", 240)
  def refusals(self):
    image = self.disk("fuse-good", 1)
    small = self.room.file("fuse-small.img")
    with open(small, "wb") as file:
      file.write(b"short")
    folder = self.room.socket("refused")
    os.makedirs(f"{folder}/full/entry")
    os.makedirs(f"{folder}/empty")
    open(f"{folder}/file", "wb").close()
    os.mkfifo(f"{folder}/fifo")
    socket.socket(socket.AF_UNIX).bind(f"{folder}/socket")
    empty = f"{folder}/empty"
    cases = [
      (["/nothing/here.img", empty], "there is no such file"),
      ([folder, empty], "neither a regular file nor a block device"),
      ([f"{folder}/socket", empty], "it is a socket"),
      (["/dev/null", empty], "neither a regular file nor a block device"),
      ([small, empty], "less than a block"),
      ([image, f"{folder}/missing"], "there is no such directory"),
      ([image, f"{folder}/full"], "is not empty"),
      ([image, f"{folder}/fifo"], "neither a directory nor a plain file"),
      ([image, image, f"{folder}/file"], "can become one disk, not 2"),
    ]
    for arguments, want in cases:
      out = run([program(), "export", *arguments], check=False).strip()
      _same(want in out and "\n" not in out, True, f"'{want}' in one line: {out}")
    device = run(["losetup", "-r", "-f", "--show", image]).strip()
    try:
      _same("the device is read-only" in refusal(self.room, "--writable", device), True, "a device that is")
      self._unmount(self._mount("device", device))
    finally:
      run(["losetup", "-d", device])
    run(["mkfs.ext2", "-q", "-F", image])
    device = run(["losetup", "-f", "--show", image]).strip()
    try:
      run(["mount", device, empty])
      _same("it is mounted, or" in refusal(self.room, "--writable", device), True, "a device that is mounted")
      self._unmount(self._mount("mounted", device))
      run(["umount", empty])
      self._unmount(self._mount("unmounted", "--writable", device))
    finally:
      run(["umount", "-q", empty], check=False)
      run(["losetup", "-d", device])
    mounted = self._mount("busy", image)
    out = run([program(), "export", image, mounted.folder], check=False)
    _same("is busy: fuse.lgdev" in out, True, f"a busy mount point: {out.strip()}")
    self._unmount(mounted)

  @test("lying partition tables: warnings, and only what lies in the image", 120)
  def lies(self):
    image = self._image("fuse-lies", 16, "label: gpt\nstart=4096, size=8192\n")
    with open(image, "r+b") as file:
      file.seek(512)
      file.write(b"EFI PART" + os.urandom(84))
    past = self.disk("fuse-past", 4)
    with open(past, "r+b") as file:
      # One entry that begins past the end, one that ends there, one that overlaps it.
      entries = b"".join(
        b"\0" * 4 + b"\x83" + b"\0" * 3 + start.to_bytes(4, "little") + count.to_bytes(4, "little")
        for start, count in ((99999999, 10), (4096, 99999999), (2048, 4096))
      )
      file.seek(446)
      file.write(entries + bytes(16) + b"\x55\xaa")
    mounted = self._mount("lies", image, past)
    # They come when it is mounted already.
    for word in ("warning: ", "fuse-lies", "fuse-past"):
      until(lambda word=word: word in mounted.process.output(), 60, f"there is no {word} in the warnings")
    information = self._compare(image, f"{mounted.folder}/fuse-lies.img")
    _same([p["size"] for p in information["partitions"]], [8192 * 512], "the backup's partitions")
    information = self._compare(past, f"{mounted.folder}/fuse-past.img")
    for partition in information["partitions"]:
      _same(partition["start"] + partition["size"] <= 4 * _MIB, True, "that a partition ends in the image")
    self._unmount(mounted)

  @test("kill -9: the mount is stale, which the next export says, with the remedy", 120)
  def killed(self):
    image = self.disk("fuse-kill", 1)
    mounted = self._mount("kill", image)
    mounted.process.signal(signal.SIGKILL)
    mounted.process.wait(10)
    try:
      os.listdir(mounted.folder)
      raise Failure("a look at a stale mount goes well")
    except OSError as error:
      # A request that was on its way is aborted.
      _same(error.errno in (errno.ENOTCONN, errno.ECONNABORTED), True, f"a look at a stale mount: {error}")
    out = run([program(), "export", image, mounted.folder], check=False)
    _same("is stale" in out and f"fusermount3 -u {mounted.folder}" in out, True, f"the line: {out}")
    run(["fusermount3", "-u", mounted.folder])
    _same(os.listdir(mounted.folder), [], "the mount point")
    self.release(mounted)

  @test("auto_unmount: after kill -9 nothing is mounted", 120)
  def auto_unmount(self):
    image = self.disk("fuse-auto", 1)
    mounted = self._mount("auto", "-o", "auto_unmount", image)
    mounted.process.signal(signal.SIGKILL)
    mounted.process.wait(10)
    until(lambda: not os.path.ismount(mounted.folder), 20, "the mount is still there")
    self.release(mounted)
