# SPDX-License-Identifier: Apache-2.0
"""Disk images as files: what `lgdev export` shows is compared with the image, byte for byte."""

import ctypes
import errno
import json
import os
import random
import shutil

from bed import test
from export import Mounted
from exportbed import MIB, ExportBed, content, expect, loop_device, same
from failure import Failure
from process import run, until

_PUNCH, _ZERO, _KEEP = 2, 16, 1
_libc = ctypes.CDLL(None, use_errno=True)


def _fallocate(fd, mode, offset, count):
  if _libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(count)) != 0:
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class FuseBed(ExportBed):
  """Images made by the usual tools, exported, read, written, and lying."""

  name = "fuse"

  def _compare(self, image, folder):
    """Every byte of every file, and what info.json says of it."""
    run(["cmp", f"{folder}/disk", image], 120)
    with open(f"{folder}/info.json", encoding="utf-8") as file:
      information = json.load(file)
    for partition in information["partitions"]:
      path = f"{folder}/{partition['file']}"
      same(os.stat(path).st_size, partition["size"], f"the size of {path}")
      run(["cmp", "-i", f"0:{partition['start']}", "-n", str(partition["size"]), path, image], 120)
    listed = sorted(name for name in os.listdir(folder) if name.startswith("part"))
    same(listed, sorted(p["file"] for p in information["partitions"]), "the list of partitions")
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
    same(information["table"], "gpt", "the table")
    kinds = [(p["fileSystem"] or {}).get("kind") for p in information["partitions"]]
    same(kinds, ["vfat", "ext4", "xfs", None, "swap"], "the file systems")
    same(
      {name: os.readlink(f"{mounted.folder}/by-label/{name}") for name in os.listdir(f"{mounted.folder}/by-label")},
      {"BOOT": "../part1", "root": "../part2", "data": "../part3", "swap": "../part5"},
      "by-label",
    )
    names = [p["name"].replace(" ", r"\x20") for p in information["partitions"]]
    same(sorted(os.listdir(f"{mounted.folder}/by-partlabel")), names, "by-partlabel")
    for partition in information["partitions"]:
      path = f"{mounted.folder}/by-partuuid/{partition['uuid']}"
      same(os.readlink(path), f"../{partition['file']}", path)
    for number in (1, 2, 3):
      uuid = run(["blkid", "-p", "-s", "UUID", "-o", "value", f"{mounted.folder}/part{number}"])
      path = f"{mounted.folder}/by-uuid/{uuid.strip()}"
      same(os.readlink(path), f"../part{number}", path)
    self._unmount(mounted)

  def _fill(self, number, size, maker):
    """Makes a file system in a file of its own, and puts it into the image's partition."""
    part = self.disk(f"fuse-part{number}", size)
    run([*maker, part], 60)
    offset = self._start(number)
    with open(self.image, "r+b") as image:
      image.seek(offset)
      image.write(content(part))

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
        file.write(os.urandom(3 * MIB))
    bare = self.disk("fuse-bare", 24)
    run(["mkfs.btrfs", "-q", "-f", "-L", "bare", self.disk("fuse-btrfs", 128)])
    run(["mkfs.ext2", "-q", "-F", "-L", "bare disk", bare])
    mounted = self._mount("mbr", image, bare, self.room.file("fuse-btrfs.img"))
    one, two, three = (f"{mounted.folder}/{name}" for name in ("fuse-mbr.img", "fuse-bare.img", "fuse-btrfs.img"))
    information = self._compare(image, one)
    same([p["number"] for p in information["partitions"]], [1, 2, 5, 6], "the partitions")
    information = self._compare(bare, two)
    same(information["fileSystem"]["kind"], "ext2", "the file system of the bare disk")
    same(os.listdir(f"{two}/by-label"), ["bare\\x20disk"], "its label")
    same(self._compare(self.room.file("fuse-btrfs.img"), three)["fileSystem"]["kind"], "btrfs", "the third disk")
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
    same(len(out) > 0, True, "that debugfs reads a file")
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
      file.write(content(self.image, self._start(2), 40 * MIB))
    run(["e2fsck", "-fn", part])
    seen = run(["debugfs", "-R", "cat /new", part])
    same("written through the export" * 1000 in seen, True, "that the image has the new file")
    same(run(["debugfs", "-R", "ls /a/b", part]).split().count("1"), 0, "the removed file's entry")

  @test("a plain file as the mount point becomes the disk", 120)
  def file_mount(self):
    point = self.room.file("fuse-point")
    open(point, "wb").close()
    mounted = self.own(Mounted(self.room, "file", self.image, point=point), transient=True)
    same(content(point) == content(self.image), True, "that the mounted file is the image")
    self._unmount(mounted)
    same(os.stat(point).st_size, 0, "the file below")

  @test("holes stay holes: SEEK_DATA, SEEK_HOLE, allocated blocks, cp --sparse", 120)
  def holes(self):
    image = self._image("fuse-holes", 64, "label: gpt\nstart=4096, size=65536\n")
    start = 4096 * 512
    with open(image, "r+b") as file:
      for place in (4, 12, 31):
        file.seek(start + place * MIB)
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
          same(error.errno, errno.ENXIO, "the end of the search")
          break
        at = os.lseek(fd, data, os.SEEK_HOLE)
        places.append((data, at))
      want = [(place * MIB, place * MIB + 65536) for place in (4, 12, 31)]
      same(places, want, "the data in the partition")
      same(os.lseek(fd, 0, os.SEEK_HOLE), 0, "the first hole")
      expect(errno.ENXIO, "SEEK_DATA at the end", lambda: os.lseek(fd, 32 * MIB, os.SEEK_DATA))
      expect(errno.ENXIO, "SEEK_DATA before the start", lambda: os.lseek(fd, -5, os.SEEK_DATA))
    finally:
      os.close(fd)
    same(os.stat(part).st_blocks * 512, 3 * 65536, "the partition's allocated size")
    same(os.stat(f"{mounted.folder}/disk").st_blocks, os.stat(image).st_blocks, "the disk's blocks")
    copy = self.room.file("fuse-copy.img")
    run(["cp", "--sparse=auto", part, copy])
    same(content(copy) == content(part), True, "that the copy is equal")
    same(os.stat(copy).st_blocks * 512 < MIB, True, "that the copy is sparse")
    self._unmount(mounted)

  @test("punched holes, zeroed ranges and copies stay inside their partition", 120)
  def ranges(self):
    image = self._image("fuse-ranges", 32, "label: gpt\nstart=4096, size=16384\nstart=20480, size=16384\n")
    with open(image, "r+b") as file:
      file.seek(2 * MIB)
      file.write(os.urandom(16 * MIB))
    model = bytearray(content(image))
    one, two = 2 * MIB, 10 * MIB
    mounted = self._mount("ranges", "--writable", image)
    first = os.open(f"{mounted.folder}/part1", os.O_RDWR)
    second = os.open(f"{mounted.folder}/part2", os.O_RDWR)
    try:
      _fallocate(first, _PUNCH | _KEEP, MIB, MIB)
      model[one + MIB : one + 2 * MIB] = bytes(MIB)
      _fallocate(first, _ZERO | _KEEP, 3 * MIB, 4096)
      model[one + 3 * MIB : one + 3 * MIB + 4096] = bytes(4096)
      # A range that leaves the partition ends there.
      _fallocate(first, _PUNCH | _KEEP, 7 * MIB, 8 * MIB)
      model[one + 7 * MIB : one + 8 * MIB] = bytes(MIB)
      for mode in (0, _ZERO):
        expect(
          errno.ENOSPC, f"space behind the end ({mode})",
          lambda mode=mode: _fallocate(first, mode, 7 * MIB, 8 * MIB),
        )  # fmt: skip
      count = os.copy_file_range(second, first, MIB, 0, 4096 * 5)
      model[one + 4096 * 5 : one + 4096 * 5 + count] = model[two : two + count]
      same(count > 0, True, "that something was copied")
      same(os.pread(first, MIB, 8 * MIB), b"", "what is behind the partition's end")
      expect(errno.ENOSPC, "a write behind the end", lambda: os.pwrite(first, b"x", 8 * MIB))
      same(os.pwrite(first, b"y" * 8192, 8 * MIB - 4096), 4096, "a write over the end")
      model[one + 8 * MIB - 4096 : one + 8 * MIB] = b"y" * 4096
      expect(errno.EPERM, "a truncation", lambda: os.ftruncate(first, 0))
      os.fsync(first)
    finally:
      os.close(first)
      os.close(second)
    expect(errno.EPERM, "a new file", lambda: open(f"{mounted.folder}/new", "wb"))
    expect(errno.EPERM, "a removal", lambda: os.unlink(f"{mounted.folder}/part1"))
    same(content(image) == bytes(model), True, "that the image is what was done to it")
    self._unmount(mounted)

  @test("with --growable the disk becomes longer and shorter, and without it does not", 120)
  def growable(self):
    image = self.disk("fuse-grow", 8)
    for options in (["--growable"], ["--growable", "-o", "nopassthrough"]):
      mounted = self._mount("grow", "--writable", *options, image)
      disk = f"{mounted.folder}/disk"
      os.truncate(disk, 12 * MIB)
      same((os.stat(disk).st_size, os.stat(image).st_size), (12 * MIB,) * 2, "the sizes")
      with open(disk, "r+b") as file:
        file.seek(13 * MIB)
        file.write(b"behind the end")
        file.flush()
        _fallocate(file.fileno(), _ZERO, 13 * MIB + 4, 4096)
      same(os.stat(image).st_size, 13 * MIB + 4100, "the image's size after zeros")
      same(os.stat(disk).st_size, 13 * MIB + 4100, "the disk's size after zeros")
      same(content(disk, 13 * MIB).rstrip(b"\0"), b"behi", "what was written")
      os.close(os.open(disk, os.O_WRONLY | os.O_TRUNC))
      same((os.stat(disk).st_size, os.stat(image).st_size), (0, 0), "the sizes after O_TRUNC")
      os.truncate(disk, 8 * MIB)
      self._unmount(mounted)
    mounted = self._mount("rigid", "-v", "--writable", image)
    # Writing past the end must be refused here.
    mounted.process.wait_for("mounted, libfuse ", 20)
    same("no passthrough" in mounted.process.output(), True, "what -v says")
    # As a block device does it.
    os.close(os.open(f"{mounted.folder}/disk", os.O_WRONLY | os.O_TRUNC))
    same(os.stat(image).st_size, 8 * MIB, "the image's size after O_TRUNC")
    expect(errno.EPERM, "truncation", lambda: os.truncate(f"{mounted.folder}/disk", 12 * MIB))
    with open(f"{mounted.folder}/disk", "r+b", buffering=0) as file:
      file.seek(8 * MIB)
      expect(errno.ENOSPC, "a write behind the end", lambda: file.write(b"x"))
    same(os.stat(image).st_size, 8 * MIB, "the image's size")
    self._unmount(mounted)

  @test("ten thousand random operations do what they do to a model", 480)
  def model(self):
    image = self._image("fuse-model", 16, "label: gpt\nstart=2048, size=8192\nstart=10240, size=12288\n")
    model = bytearray(content(image))
    spans = {"disk": (0, 16 * MIB), "part1": (MIB, 4 * MIB), "part2": (5 * MIB, 6 * MIB)}
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
    same(content(image) == bytes(model), True, "that the image is the model")
    self._unmount(mounted)

  def _step(self, step, dice, fds, spans, model):
    name = dice.choice(list(spans))
    start, size = spans[name]
    low = MIB if name == "disk" else 0
    high = 11 * MIB if name == "disk" else size
    offset = dice.randrange(low, high)
    count = min(dice.choice((1, 511, 512, 4096, 70000)), high - offset)
    place = start + offset
    deed = dice.choice(("read", "read", "write", "write", "punch", "zero", "copy", "sync", "past"))
    if deed == "read":
      if os.pread(fds[name], count, offset) != model[place : place + count]:
        raise Failure(f"step {step}: {name} at {offset}, {count} bytes, is not what was written")
    elif deed == "write":
      data = dice.randbytes(count)
      same(os.pwrite(fds[name], data, offset), count, f"step {step}: the write's count")
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
          same(got > 0, True, f"step {step}: that something is copied")
          done += got
        model[begin + target : begin + target + done] = model[place : place + done]
    elif deed == "sync":
      os.fsync(fds[name])
    else:
      same(os.pread(fds[name], 4096, size), b"", f"step {step}: what is behind {name}")

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
    same(content(f"{mounted.folder}/disk") == content(image), True, "that disk and image are equal")
    self._unmount(mounted)

  @test("a full file system: ENOSPC reaches who writes, and the line says which image", 120)
  def full(self):
    small = self.room.socket("small")
    os.makedirs(small)
    run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small])
    try:
      image = f"{small}/full.raw"
      with open(image, "wb") as file:
        file.truncate(32 * MIB)
      mounted = self._mount("full", "--writable", image)
      with open(f"{mounted.folder}/disk", "r+b", buffering=0) as file:

        def fill():
          for _ in range(32):
            file.write(b"\x11" * MIB)

        expect(errno.ENOSPC, "filling a full file system", fill)
      mounted.process.wait_for("No space left on device", 10)
      self._unmount(mounted)
    finally:
      run(["umount", small])

  @test("a storage device that fails: EIO reaches who reads", 120)
  def failing(self):
    # A file that ends before its partition does, seen through a cache that must fetch it, cannot be had
    # from a plain file; a device that fails by itself is made of one that shrinks under a loop device.
    image = self.disk("fuse-fail", 8)
    with loop_device(image) as device:
      mounted = self._mount("fail", device)
      os.truncate(image, MIB)
      with open(f"{mounted.folder}/disk", "rb", buffering=0) as file:
        file.seek(6 * MIB)
        expect(errno.EIO, "a read of what the device has lost", lambda: file.read(65536))
      mounted.process.wait_for("Input/output error", 10)
      self._unmount(mounted)

  @test("a block device as the image: holes, zeros and copies", 120)
  def block_device(self):
    image = self._image("fuse-block", 32, "label: gpt\nstart=4096, size=16384\nstart=20480, size=16384\n")
    with open(image, "r+b") as file:
      file.seek(2 * MIB)
      file.write(os.urandom(16 * MIB))
    with loop_device(image) as device:
      mounted = self._mount("block", "--writable", device)
      self._compare(image, mounted.folder)
      one, two = (os.open(f"{mounted.folder}/part{number}", os.O_RDWR) for number in (1, 2))
      try:
        _fallocate(one, _PUNCH | _KEEP, 0, MIB)
        _fallocate(one, _ZERO | _KEEP, MIB, MIB)
        same(os.pread(one, 2 * MIB, 0), bytes(2 * MIB), "what was punched and zeroed")
        # Block devices have no such call, so the kernel does it by reading and writing.
        copied = os.copy_file_range(two, one, MIB, 3 * MIB, 4 * MIB)
        same(copied > 0, True, "that something was copied")
        same(os.pread(one, copied, 4 * MIB), os.pread(two, copied, 3 * MIB), "what was copied")
        os.fsync(one)
      finally:
        os.close(one)
        os.close(two)
      self._compare(image, mounted.folder)
      self._unmount(mounted)

  @test("--sector-size and --lost-gpt show what is not seen without them, and a warning says so", 120)
  def requests(self):
    # A partition from sector 256 on, and a file system in it.
    large = self.disk("fuse-4096", 16)
    run(["mkfs.ext2", "-q", "-F", "-L", "large", self.disk("fuse-large", 4)])
    with open(large, "r+b") as file:
      file.seek(446)
      file.write(bytes(4) + b"\x83" + bytes(3) + (256).to_bytes(4, "little") + (1024).to_bytes(4, "little"))
      file.seek(510)
      file.write(b"\x55\xaa")
      file.seek(256 * 4096)
      file.write(content(self.room.file("fuse-large.img")))
    # A GPT whose beginning somebody has overwritten.
    lost = self._image("fuse-lost", 16, "label: gpt\nstart=4096, size=8192\n")
    with open(lost, "r+b") as file:
      file.write(bytes(34 * 512))
    mounted = self._mount("unasked", large, lost)
    for said in ("with sectors of 4096 bytes, and none with 512", "the backup of a GPT"):
      until(lambda said=said: said in mounted.process.output(), 60, f"there is no '{said}' in the warnings")
    same(os.stat(f"{mounted.folder}/fuse-4096.img/part1").st_size, 1024 * 512, "the partition's size")
    same(os.path.exists(f"{mounted.folder}/fuse-lost.img/part1"), False, "that there is a partition")
    self._unmount(mounted)
    mounted = self._mount("asked", "--sector-size", "4096", "-o", "lost-gpt", large, lost)
    information = self._compare(large, f"{mounted.folder}/fuse-4096.img")
    same([p["fileSystem"]["label"] for p in information["partitions"]], ["large"], "the labels")
    information = self._compare(lost, f"{mounted.folder}/fuse-lost.img")
    same([p["start"] for p in information["partitions"]], [4096 * 512], "the partitions' places")
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
    same([p["size"] for p in information["partitions"]], [8192 * 512], "the backup's partitions")
    information = self._compare(past, f"{mounted.folder}/fuse-past.img")
    for partition in information["partitions"]:
      same(partition["start"] + partition["size"] <= 4 * MIB, True, "that a partition ends in the image")
    self._unmount(mounted)
