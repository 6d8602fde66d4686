#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make demo-vhost-user`: one lgdev, four devices, two Linux guests, each step shown as it happens.

usage: demo.py. Takes LGDEV as run.py does, and ends with exit code 0 when all of it worked.
"""

import os
import subprocess
import sys
import time

import guestdisk
import guests
import lgdev
import network
import sandbox
import terminal
from failure import Failure
from lgdev import Lgdev
from process import tail
from qemu import Qemu
from run import CACHE, HERE


class Demo:
  """The steps, in order; `running` is what is to be ended if one of them fails."""

  def __init__(self, room):
    self.room = room
    self.running = []

  def run(self):
    self._serve()
    self._user_mode_linux()
    self._qemu()
    self._end()

  def _serve(self):
    self.image = self.room.file("demo.img")
    with open(self.image, "wb") as image:
      image.truncate(128 << 20)
    self.line = self.room.socket("console")
    options = ["--block", f"path={self.image},serial=DEMO,queues=2"]
    options += ["--net", f"tap={network.TAP},address={network.HOST}/24"]
    options += ["--console", f"socket:{self.line}", "--rng"]
    _step("One daemon with a disk, a network link, a console and a source of random numbers:")
    self.daemon = Lgdev(self.room, "demo-lgdev", options, ["block0", "net0", "console0", "rng0"])
    self.running.append(self.daemon)
    command = f"$ lgdev serve --transport vhost-user --socket-dir DIR {' '.join(options)}"
    for line in (command, *tail(self.daemon.process.log)):
      # The folders are of this run and tell nothing.
      for folder, name in (
        (self.daemon.folder, "DIR"), (self.room.short, "DIR"), (self.room.path, "DIR")
      ):
        line = line.replace(folder, name)
      _show(line)

  def _user_mode_linux(self):
    sockets = self.daemon.sockets
    _step("User-mode Linux, a Linux kernel in a process, connects to disk, network and console:")
    guest = guests.make(
      self.room,
      "demo-uml",
      blocks=[sockets["block0"]],
      nets=[sockets["net0"]],
      consoles=[sockets["console0"]],
    )
    self.running.append(guest)
    guest.boot()
    shell = guest.shell
    _show(f"booted {shell.run('uname -sr')}")

    serial = shell.run("cat /sys/block/vda/serial")
    self.digest = guestdisk.make_ext4(shell, "vda")
    _show(f"block    made ext4 on /dev/vda (serial {serial}), wrote 24 files of random bytes")

    network.guest_up(shell)
    network.ping(shell)
    _show(f"net      {network.GUEST} and {network.HOST} ping each other")
    network.check_offloads(shell)
    _show(f"net      TCP with offloads, SHA-256 equal: {network.transfer(shell, 100)}")

    user = terminal.Terminal.unix(self.line)
    for said in terminal.session(shell, user).splitlines():
      _show(f"console  {said}")
    user.close()
    guestdisk.check_kernel_log(shell)
    guest.power_off()
    self.running.remove(guest)
    self.daemon.check_idle()
    _show("powered off; the daemon listens again")

  def _qemu(self):
    sockets = self.daemon.sockets
    _step("QEMU (emulating a PC) boots Debian's kernel on the same disk and the random numbers:")
    guest = Qemu(
      self.room,
      "demo-qemu",
      blocks=[(sockets["block0"], "")],
      rngs=[sockets["rng0"]],
      memory="256M",
    )
    self.running.append(guest)
    guest.boot()
    shell = guest.shell
    _show(f"booted {shell.run('uname -sr')}")
    guestdisk.check_files(shell, "vda", self.digest)
    _show("block    all 24 files that the other guest wrote are there, SHA-256 equal")
    source = shell.run("cat /sys/class/misc/hw_random/rng_current")
    number = shell.run("head -c 24 /dev/hwrng | xxd -p")
    _show(f"rng      {source} gives {number}")
    guestdisk.check_kernel_log(shell)
    guest.power_off()
    self.running.remove(guest)
    self.daemon.check_idle()
    _show("powered off")

  def _end(self):
    _step("SIGTERM to the daemon:")
    start = time.monotonic()
    self.daemon.check_stop()
    self.running.remove(self.daemon)
    _show(f"ended in {time.monotonic() - start:.2f} s, sockets and tap removed")


def _step(text):
  print(f"\n{text}", flush=True)


def _show(*lines):
  for line in lines:
    print(f"  {line}", flush=True)


def main():
  lgdev.program()
  if os.environ.get(sandbox.MARK) is None:
    if subprocess.run([f"{HERE}/setup.sh", CACHE]).returncode != 0:
      return 1
  sandbox.enter()
  start = time.monotonic()
  with sandbox.Room(CACHE, "demo") as room:
    demo = Demo(room)
    try:
      demo.run()
    except Failure as failure:
      print(f"\ndemo: {failure}", file=sys.stderr)
      for thing in demo.running:
        for log in thing.logs:
          print(f"--- {log}", *tail(log), sep="\n", file=sys.stderr)
      return 1
    finally:
      for thing in reversed(demo.running):
        thing.kill()
  print(f"\nThe demo took {time.monotonic() - start:.0f} s.")
  return 0


if __name__ == "__main__":
  sys.exit(main())
