# SPDX-License-Identifier: Apache-2.0
"""Block, net and console of one daemon on User-mode Linux: the main job, its second boot, and
sudden death.
"""

import os

import guestdisk
import guests
import network
import terminal
import uml
from bed import Bed, test
from failure import Failure
from lgdev import Lgdev
from process import run, until
from versions import NEWEST

_MAC = "52:54:00:17:00:02"


class UmlBed(Bed):
  """One daemon over four boots."""

  name = "uml"

  @test("User-mode Linux boots on block, net and three consoles of one daemon", 40, essential=True)
  def boot(self):
    self.image = self.disk("uml-vda", 128)
    self.scratch = self.disk("uml-vdb", 96)
    self.pty = self.room.socket("uml-pty")
    self.console_log = self.room.file("uml-console2.txt")
    self.daemon = self.own(
      Lgdev(
        self.room,
        "uml-lgdev",
        [
          "--block",
          f"path={self.image},serial=D1",
          "--block",
          f"path={self.scratch},serial=D2",
          "--net",
          f"tap={network.TAP},mac={_MAC},address={network.HOST}/24",
          "--console",
          f"pty:{self.pty}",
          "--console",
          f"socket:{self.room.socket('uml-terminal')}",
          "--console",
          f"file:{self.console_log}",
        ],
        ["block0", "block1", "net0", "console0", "console1", "console2"],
      )
    )
    self._boot("uml-1")

  def _boot(self, name):
    self._boot_with(guests.choose(self.room), name)

  def _boot_with(self, version, name):
    sockets = self.daemon.sockets
    self.guest = self.own(
      guests.make_with(
        version,
        self.room,
        name,
        blocks=[sockets["block0"], sockets["block1"]],
        nets=[sockets["net0"]],
        consoles=[sockets["console0"], sockets["console1"], sockets["console2"]],
      )
    )
    self.guest.boot()
    self.shell = self.guest.shell

  def _power_off(self):
    guestdisk.check_kernel_log(self.shell)
    self.guest.power_off()
    self.release(self.guest)
    self.daemon.check_idle()

  @test("ext4 is made, mounted and written", 60)
  def ext4(self):
    self.digest = guestdisk.make_ext4(self.shell, "vda")

  @test("random writes, 32 in flight, read back equal", 60)
  def fio(self):
    guestdisk.fio_write(self.shell, "vdb", "96M")

  @test("ping answers both ways, and the guest has the MAC that was asked for", 30)
  def ping(self):
    network.guest_up(self.shell)
    seen = self.shell.run("cat /sys/class/net/eth0/address")
    if seen != _MAC:
      raise Failure(f"the guest's MAC is {seen}, should be {_MAC}")
    network.ping(self.shell)

  @test("100 MB over TCP each way with equal checksums, offloads on", 180)
  def transfer(self):
    network.check_offloads(self.shell)
    return network.transfer(self.shell, 100)

  @test("a console session on a pty: typed, echoed, answered", 40)
  def session_pty(self):
    self.terminal = terminal.Terminal.pty(self.pty)
    terminal.session(self.shell, self.terminal)

  @test("a new window size reaches the guest", 20)
  def resize(self):
    terminal.resize(self.shell, self.terminal)

  @test("512 KB each way through a console on a socket: nothing lost or reordered", 60)
  def stream_socket(self):
    user = terminal.Terminal.unix(self.room.socket("uml-terminal"))
    terminal.session(self.shell, user, "hvc1")
    terminal.stream(self.shell, user, 512, "hvc1")
    user.close()

  @test("a console with nobody at its other end does not hold the guest up for ever", 60)
  def console_alone(self):
    self.shell.run("seq 1 60000 >/dev/hvc1", 40)

  @test("a console's log file holds what the guest printed", 20)
  def console_file(self):
    self.shell.run("(stty raw; seq 1 20000) </dev/hvc2 >/dev/hvc2", 20)
    want = "".join(f"{number}\n" for number in range(1, 20001))

    def printed():
      with open(self.console_log) as log:
        return log.read()

    until(lambda: printed() == want, 10, "the log file does not hold what was printed")

  @test("the guest ends; its disk is whole as seen from the host; the daemon is idle", 30)
  def first_end(self):
    self._power_off()
    run(["e2fsck", "-fn", self.image])

  @test("a second boot on the same daemon finds its files and answers ping", 60, essential=True)
  def second_boot(self):
    self._boot("uml-2")
    guestdisk.check_ext4(self.shell, "vda", self.digest)
    guestdisk.fio_check(self.shell, "vdb", "96M")
    network.guest_up(self.shell)
    network.ping(self.shell)
    terminal.session(self.shell, self.terminal)
    self._power_off()

  @test(
    "killed with SIGKILL in mid-transfer of disk, net and console, it leaves the daemon healthy",
    60,
    essential=True,
  )
  def sudden_death(self):
    self._boot("uml-3")
    network.guest_up(self.shell)
    self.shell.run("mount -t ext4 /dev/vda /tmp/mnt")
    up = network.Listener()
    with self.terminal.swallowing():
      self.shell.run(guestdisk.WRITE_FOR_EVER)
      self.shell.run("(while :; do cat /dev/urandom; done >/dev/hvc0) &")
      self.shell.run(f"(cat /dev/zero | nc {network.HOST} {up.port} >/dev/null) &")
      until(lambda: up.received > 20 << 20, 30, "the transfer did not get under way")
      self.guest.kill()
    self.release(self.guest)
    self.daemon.check_idle()

  @test("the next front-end after it is served: disk, net, console", 90)
  def next_one(self):
    self._boot("uml-4")
    guestdisk.check_ext4(self.shell, "vda", self.digest, repair=True)
    guestdisk.fio_write(self.shell, "vdb", "32M")
    network.guest_up(self.shell)
    network.ping(self.shell)
    network.transfer(self.shell, 20)
    self.terminal.drain()
    terminal.session(self.shell, self.terminal)
    self._power_off()

  @test("the newest User-mode Linux finds its files, writes, answers ping and types", 120)
  def newest(self):
    # Where it does not boot, no other is newer.
    version = NEWEST if uml.runs(self.room, NEWEST) else guests.choose(self.room)
    self._boot_with(version, "uml-newest")
    guestdisk.check_ext4(self.shell, "vda", self.digest)
    guestdisk.fio_write(self.shell, "vdb", "16M")
    network.guest_up(self.shell)
    network.ping(self.shell)
    network.transfer(self.shell, 10)
    terminal.session(self.shell, self.terminal)
    self._power_off()
    return uml.release(self.room, version) if version else "QEMU"

  @test("SIGTERM ends the daemon within a second and leaves nothing behind", 10)
  def end(self):
    self.daemon.check_stop()
    if os.path.lexists(self.pty):
      raise Failure(f"the daemon left {self.pty} behind")
    left = run(["ip", "-o", "link", "show"])
    if network.TAP in left:
      raise Failure(f"the daemon's tap is still there: {left}")
