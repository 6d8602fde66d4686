# SPDX-License-Identifier: Apache-2.0
"""What a QEMU guest boots from: a small initramfs, and a disk with the heavier tools.

The initramfs has busybox, the virtio modules of Debian's kernel and guest/init.sh. Tools such as
fio, with their libraries, are too large for it; they come on an ext4 disk image at the same paths
as on the host, and the initramfs has links that lead there (`/usr` to `/tools/usr`, and so on).
"""

import glob
import os
import re
import shutil
import stat

from failure import Failure
from process import run

_HERE = os.path.dirname(os.path.abspath(__file__))

# In load order: a module stands after those that it needs.
MODULES = [
  "virtio/virtio_ring",
  "virtio/virtio",
  "virtio/virtio_pci_modern_dev",
  "virtio/virtio_pci_legacy_dev",
  "virtio/virtio_pci",
  "block/virtio_blk",
  "../net/core/failover",
  "net/net_failover",
  "net/virtio_net",
  "char/hw_random/virtio-rng",
  "char/virtio_console",
]
_TOOLS = ["fio", "mkfs.ext4", "e2fsck"]


class Archive:
  """A cpio archive in the `newc` form, which the kernel unpacks as its first root (see its
  initramfs docs).
  """

  def __init__(self):
    self._data = bytearray()
    self._inode = 0

  def add(self, name, mode, content=b""):
    self._inode += 1
    path = name.encode() + b"\0"
    words = [self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0]
    self._data += b"070701" + b"".join(b"%08X" % word for word in words) + path
    self._pad()
    self._data += content
    self._pad()

  def folder(self, name):
    self.add(name, stat.S_IFDIR | 0o755)

  def link(self, name, target):
    self.add(name, stat.S_IFLNK | 0o777, target.encode())

  def file(self, name, source):
    with open(source, "rb") as content:
      self.add(name, stat.S_IFREG | 0o755, content.read())

  def device(self, name, major, minor):
    # A character device's numbers are header words of their own, so patch the header just added.
    start = len(self._data)
    self.add(name, stat.S_IFCHR | 0o600)
    self._data[start + 78 : start + 94] = b"%08X%08X" % (major, minor)

  def finish(self):
    self.add("TRAILER!!!", 0)
    return bytes(self._data)

  def _pad(self):
    self._data += bytes(-len(self._data) % 4)


def kernel(cache):
  """The kernel image that setup.sh brought."""
  images = sorted(glob.glob(f"{cache}/kernel/boot/vmlinuz-*"))
  if not images:
    raise Failure(
      f"no kernel in {cache}/kernel: remove that folder and run Tests/Beds/setup.sh again"
    )
  return images[-1]


def build(cache, path):
  """Writes the initramfs and gives the names of its modules in load order."""
  release = kernel(cache).split("vmlinuz-", 1)[1]
  drivers = f"{cache}/kernel/lib/modules/{release}/kernel/drivers"
  archive = Archive()
  for folder in ("bin", "dev", "proc", "sys", "tmp", "tools", "modules"):
    archive.folder(folder)
  archive.device("dev/console", 5, 1)
  for folder in ("usr", "lib", "lib64"):
    archive.link(folder, f"tools/{folder}")
  archive.file("bin/busybox", shutil.which("busybox"))
  archive.file("init", f"{_HERE}/guest/init.sh")
  names = []
  for module in MODULES:
    source = os.path.normpath(f"{drivers}/{module}.ko")
    names.append(os.path.basename(source))
    archive.file(f"modules/{names[-1]}", source)
  with open(path, "wb") as output:
    output.write(archive.finish())
  return names


def tools_disk(room):
  """An ext4 image with the tools and their libraries; built once, then taken from the cache."""
  image = os.path.join(room.cache, "tools.img")
  if os.path.exists(image):
    return image
  tree = room.file("tools")
  for tool in _TOOLS:
    program = shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not program:
      raise Failure(f"{tool} is missing: run Tests/Beds/setup.sh")
    needed = set(re.findall(r"(/\S+)\s+\(0x", run(["ldd", program])))
    _copy(program, f"{tree}/usr/bin/{tool}")
    for library in needed:
      _copy(library, tree + library)
  for folder in ("usr/lib", "lib", "lib64"):
    os.makedirs(f"{tree}/{folder}", exist_ok=True)
  size = int(run(["du", "-sm", tree]).split()[0])
  unfinished = room.file("tools.img")
  run(["mke2fs", "-q", "-t", "ext4", "-d", tree, unfinished, f"{size * 5 // 4 + 16}M"], seconds=60)
  shutil.rmtree(tree)
  os.rename(unfinished, image)
  return image


def _copy(source, target):
  if not os.path.exists(target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy(source, target)
