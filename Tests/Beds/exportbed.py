# SPDX-License-Identifier: Apache-2.0
"""What beds of `lgdev export` have in common: images, exports of them, and what is expected of both."""

import contextlib
import os
import subprocess

from bed import Bed
from export import Mounted
from failure import Failure
from process import run

MIB = 1 << 20


def expect(error, what, body):
  """The body fails with this error."""
  try:
    body()
  except OSError as found:
    if found.errno != error:
      raise Failure(f"{what}: {found.strerror}, should be {os.strerror(error)}") from None
    return
  raise Failure(f"{what} went well, should be {os.strerror(error)}")


def same(seen, want, what):
  if seen != want:
    raise Failure(f"{what} is {seen!r}, should be {want!r}")


def content(path, offset=0, count=-1):
  with open(path, "rb") as file:
    file.seek(offset)
    return file.read(count)


@contextlib.contextmanager
def loop_device(image, *options):
  """A block device on an image."""
  device = run(["losetup", *options, "-f", "--show", image]).strip()
  try:
    yield device
  finally:
    run(["losetup", "-d", device])


class ExportBed(Bed):
  """A bed whose images are exported again and again."""

  def _image(self, name, megabytes, table):
    path = self.disk(name, megabytes)
    subprocess.run(["sfdisk", "-q", path], input=table, text=True, check=True)
    return path

  def _mount(self, name, *arguments):
    return self.own(Mounted(self.room, name, *arguments), transient=True)

  def _unmount(self, mounted):
    mounted.check_stop()
    self.release(mounted)
