# SPDX-License-Identifier: Apache-2.0
"""A QEMU guest that writes is paused and resumed over and over (QMP `stop` and `cont`, which is also what
snapshots and `virsh suspend` do): every sector holds what was written last, and no other is touched.
"""

import os
import re

import guestdevices
from bed import Bed, test
from failure import Failure
from lgdev import Lgdev
from process import until
from qemu import Qemu
from versions import BOTH

_PAUSES = 20
_SIZE = 16  # MB of each disk
_USED = 4  # MB of it that the guest writes to
_STEP = 16  # Requests of each disk between two pauses


class PauseBed(Bed):
  """A daemon and a guest for each number of disks; every other disk has a packed ring."""

  name = "pause"

  def pause(self, version, count, first_packed):
    title = f"pause-{version}-{count}-{'packed' if first_packed else 'split'}"
    self._names = [f"block{index}" for index in range(count)]
    images = [self.disk(f"{title}-{name}", _SIZE) for name in self._names]
    rest = os.urandom((_SIZE - _USED) << 20)
    options = []
    for image in images:
      with open(image, "r+b") as file:
        file.seek(_USED << 20)
        file.write(rest)
      options += ["--block", f"path={image},queues=2"]
    self.daemon = self.own(Lgdev(self.room, f"{title}-lgdev", options, self._names), transient=True)
    packed = [",packed=on" if (index + first_packed) % 2 else "" for index in range(count)]
    blocks = [(self.daemon.sockets[name], option) for name, option in zip(self._names, packed)]
    self.guest = self.own(Qemu(self.room, title, blocks=blocks, version=version, tools=True), transient=True)
    self.guest.boot()
    rounds, done = 0, 0
    while done < _PAUSES:
      rounds += 1
      self._begin(count, rounds)
      while done < _PAUSES and self._goes_on():
        self.guest.qmp("stop")
        self.guest.qmp("cont")
        done += 1
      self._end()
    self.guest.power_off()
    self.release(self.guest)
    self.daemon.check_idle()
    self.daemon.check_stop()
    self.release(self.daemon)
    for image in images:
      with open(image, "rb") as file:
        file.seek(_USED << 20)
        if file.read() != rest:
          raise Failure(f"{image}: sectors were written that the guest did not write")
    return f"{done} pauses while {rounds} times all was written and read back"

  def _begin(self, count, seed):
    jobs = ""
    for index in range(count):
      disk = guestdevices.disk(index)
      guestdevices.check_disk(self.guest.shell, disk)
      jobs += f" --name={disk} --filename=/dev/{disk}"
    self.guest.shell.run(
      f"cd /tmp; rm -f fio.code; (fio --size={_USED}M --rw=randwrite --bsrange=4k-32k --ioengine=libaio "
      f"--iodepth=32 --direct=1 --randseed={seed} --allow_file_create=0 --verify=crc32c --verify_fatal=1 "
      f"--verify_state_save=0 --do_verify=1 --group_reporting {jobs} >fio.log 2>&1; echo $? >fio.code) &"
    )

  def _chains(self):
    return sum(self.daemon.stats(name)[2] for name in self._names)

  def _goes_on(self):
    """Waits until the guest has done more. - Returns: False where all has been written."""
    start = self._chains()

    more = start + _STEP * len(self._names)
    until(lambda: self._chains() >= more or self._ended(), 30, "the guest's disks stand still")
    return not self._ended()

  def _ended(self):
    # Not the whole answer: what QEMU itself says is printed into it.
    return "fio ended" in self.guest.shell.run("[ -s /tmp/fio.code ] && echo fio ended", check=False)

  def _end(self):
    until(self._ended, 60, "fio does not end", step=0.1)
    output = self.guest.shell.run("cat /tmp/fio.log; exit $(cat /tmp/fio.code)")
    if not re.search(r"READ: .*\bio=", output):
      raise Failure(f"fio: {output}")


def _add(version, count, packed):
  rings = {1: "a packed ring" if packed else "a split ring"}.get(count, "split and packed rings in turn")
  title = f"the {version} QEMU, {count} disk{'s' if count > 1 else ''}, {rings}: paused {_PAUSES} times under load"
  mark = test(title, 240)
  setattr(
    PauseBed, f"pause_{version}_{count}_{packed:d}", mark(lambda self: self.pause(version, count, packed))
  )


for _version in BOTH:
  for _count, _packed in ((1, False), (1, True), (4, False), (11, False)):
    _add(_version, _count, _packed)
