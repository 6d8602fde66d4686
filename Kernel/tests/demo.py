#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`make demo` and `make demo-lguest`: lgdev runs a guest on the lguest module.

usage: demo.py            shows what the guest does with each of its four devices (demo.sh)
       demo.py --monitor  the guest's monitor on this terminal

Natively where lguest.ko is loaded and this is root; elsewhere Debian's kernel boots in QEMU and loads it. The
environment's LGDEV is the program, default .build/release/lgdev. The exit code is 0 when all was as it
should be; what went on is in .build/kernel/run/demo.log.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
import time

import places
import build
import kernels
from failure import Failure
from machine import Machine

# After which the machine hangs.
_SECONDS = 900
# What lgdev needs in a network namespace of its own: the demo's script, or a person.
_SHOW = "busybox unshare -n busybox sh {script}"
_MONITOR = (
  "busybox unshare -n {lgdev} serve --transport lguest --kernel {guest} --memory 32M --console stdio"
  " --block path={room}/disk.img --net tap=tap0,address=10.0.0.1/24 --rng"
)
_IN_QEMU = """
export LD_LIBRARY_PATH=/lib LGDEV=/bin/lgdev GUEST=/guest SHARED=/lib.sh ROOM=/tmp
ulimit -l unlimited
insmod /modules/tun.ko
mkdir -p /dev/net
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
insmod /lguest.ko
truncate -s 8M /tmp/disk.img
{command}
reboot -f
"""


class Screen:
  """Shows what a script says, as it comes: lines that begin with @@."""

  def __init__(self):
    self._begin = time.monotonic()
    self._marks = ("\033[32m✓\033[0m", "\033[31m✗\033[0m") if sys.stdout.isatty() else ("✓", "✗")
    self._shown = 0
    self.good = self.bad = self.total = 0

  def update(self, text):
    """`text` is all that has come so far."""
    complete = text.rfind("\n") + 1
    for line in text[self._shown : complete].splitlines():
      self._line(line)
    self._shown = complete

  def _line(self, line):
    kind, _, rest = line.partition(" ")
    if kind == "@@demo":
      print(rest)
    elif kind == "@@ok":
      self.good += 1
      print(f"  {self._marks[0]} {rest}")
    elif kind == "@@no":
      self.bad += 1
      print(f"  {self._marks[1]} {rest}")
    elif kind == "@@end":
      self.total = int(rest)
    sys.stdout.flush()

  def close(self, where):
    """The last line. - Returns: the exit code."""
    seconds = time.monotonic() - self._begin
    if self.bad == 0 and self.total == self.good > 0:
      print(f"\ndemo: all {self.good} things are as they should be, {where}, in {seconds:.0f} s")
      return 0
    if self.total != self.good + self.bad:
      print("\ndemo: it ended before its end", end="")
    else:
      print(f"\ndemo: {self.bad} of {self.total} things are not as they should be", end="")
    print(f"; see {os.path.relpath(places.ROOM)}/demo.log")
    return 1


def _in_qemu(monitor):
  kernel = kernels.kernel("stable")
  print("demo: building the module and the guest", flush=True)
  files = {"lguest.ko": build.module(kernel), **build.programs(), **kernel.modules(), **build.lgdev()}
  # The whole path, as unshare looks for it.
  template = "/bin/" + (_MONITOR if monitor else _SHOW)
  command = template.format(script="/demo.sh", lgdev="/bin/lgdev", guest="/guest", room="/tmp")
  files["demo.sh"] = f"{places.HERE}/demo.sh"
  script = _IN_QEMU.format(command=command)
  if monitor:
    machine = Machine(
      "demo", kernel, script, files, cpu="max", append="loglevel=3", serial="mon:stdio")
    print("demo: booting; halt ends the guest and the machine, Ctrl-A X does so at any time", flush=True)
    return machine.talk()
  machine = Machine("demo", kernel, script, files, cpu="max", append="")
  print(f"demo: QEMU emulates a PC; Debian's Linux {kernel.release} boots and loads lguest.ko", flush=True)
  screen = Screen()
  verdict = machine.run(_SECONDS, lambda machine: screen.update(machine.output()))
  screen.update(machine.output())
  # What the script itself cannot know; each failed line of its own is shown already.
  for failed in verdict.failed[screen.bad :]:
    print(f"demo: {failed}")
    screen.bad += 1
  return screen.close("in QEMU")


def _natively(monitor):
  print(f"demo: lguest.ko is loaded: natively on Linux {os.uname().release}", flush=True)
  programs = build.programs()
  lgdev = build.lgdev()["bin/lgdev"]
  with tempfile.TemporaryDirectory(prefix="lgdev-demo.") as room:
    if monitor:
      with open(f"{room}/disk.img", "wb") as image:
        image.truncate(8 << 20)
      command = _MONITOR.format(lgdev=lgdev, guest=programs["guest"], room=room)
      return subprocess.run(command.split()).returncode
    environment = dict(
      os.environ, LGDEV=lgdev, GUEST=programs["guest"], ROOM=room,
      SHARED=f"{places.HERE}/machine/lib.sh",
    )
    screen = Screen()
    os.makedirs(places.ROOM, exist_ok=True)
    command = _SHOW.format(script=f"{places.HERE}/demo.sh").split()
    said = ""
    with open(f"{places.ROOM}/demo.log", "w") as log, subprocess.Popen(
      command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as child:
      for line in child.stdout:
        log.write(line)
        said += line
        screen.update(said)
  return screen.close("natively")


def _lock():
  """Waits until this is the only demo in this folder: all use its files. - Returns: what holds them."""
  os.makedirs(places.ROOM, exist_ok=True)
  lock = open(f"{places.ROOM}/demo.lock", "w")
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    print("demo: another one runs in this folder; waiting for its end", flush=True)
    fcntl.flock(lock, fcntl.LOCK_EX)
  return lock


def main(arguments):
  if arguments not in ([], ["--monitor"]):
    print(__doc__, file=sys.stderr)
    return 2
  monitor = bool(arguments)
  try:
    lock = _lock()  # Until this process ends.
    if not os.path.exists("/dev/lguest"):
      return _in_qemu(monitor)
    if os.geteuid() != 0:
      print("demo: lguest.ko is loaded, but only root may use it: sudo make demo runs natively")
      return _in_qemu(monitor)
    return _natively(monitor)
  except (Failure, OSError) as failure:
    print(f"demo: {failure}", file=sys.stderr)
    return 1


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
