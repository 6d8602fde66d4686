# SPDX-License-Identifier: Apache-2.0
"""Net on DPDK's virtio-user driver: split and packed rings, IN_ORDER, mergeable buffers, sudden
death.

testpmd sends every frame back; the bed sends frames of random length and content into the tap and
compares.
"""

import itertools
import time

import frames
import network
from bed import Bed, test
from dpdk import BUFFER, MAC, Testpmd
from lgdev import Lgdev
from versions import NEWEST, OLDEST


class DpdkBed(Bed):
  """One daemon, one testpmd after the other."""

  name = "dpdk"
  started = 0

  def _testpmd(self, packed=False, in_order=False, mergeable=False, version=OLDEST):
    self.started += 1
    guest = self.own(
      Testpmd(
        self.room,
        f"testpmd-{self.started}",
        self.daemon.sockets["net0"],
        packed,
        in_order,
        mergeable,
        version,
      ),
      transient=True,
    )
    guest.start()
    return guest

  def _show(self, count=5000, version=OLDEST, **kind):
    guest = self._testpmd(version=version, **kind)
    if kind.get("mergeable") and kind.get("packed") and not kind.get("in_order"):
      # Frames of two to seven buffers are left out: DPDK sends them in indirect tables, and without
      # IN_ORDER it writes the buffer's id (virtio 1.3, 2.8.6) into the table, not into the ring,
      # where an older chain's is left. So it takes one frame's completion for another's, and uses
      # buffers again that are still under way.
      frames.exchange(network.TAP, MAC, count, BUFFER)
      frames.exchange(network.TAP, MAC, count // 5, 9014, shortest=7 * BUFFER + 100, window=16)
    else:
      frames.exchange(network.TAP, MAC, count, 1514)
      if kind.get("mergeable"):
        frames.exchange(network.TAP, MAC, count // 5, 9014, window=16)
    guest.stop()
    self.release(guest)
    self.daemon.check_idle()

  @test("testpmd: split ring", 40, essential=True)
  def split(self):
    self.daemon = self.own(
      Lgdev(
        self.room, "dpdk-lgdev", ["--net", f"tap={network.TAP},address={network.HOST}/24"], ["net0"]
      )
    )
    frames.long_frames(network.TAP)
    self._show()

  @test("testpmd: split ring, mergeable buffers, frames of 9000 bytes", 40)
  def split_mergeable(self):
    self._show(mergeable=True)

  @test("testpmd: split ring, in order", 40)
  def split_in_order(self):
    self._show(in_order=True)

  @test("testpmd: split ring, in order, mergeable buffers", 40)
  def split_in_order_mergeable(self):
    self._show(in_order=True, mergeable=True)

  @test("testpmd: packed ring", 40)
  def packed(self):
    self._show(packed=True)

  @test("testpmd: packed ring, mergeable buffers, frames of 9000 bytes", 40)
  def packed_mergeable(self):
    self._show(packed=True, mergeable=True)

  @test("testpmd: packed ring, in order", 40)
  def packed_in_order(self):
    self._show(packed=True, in_order=True)

  @test("testpmd: packed ring, in order, mergeable buffers", 40)
  def packed_in_order_mergeable(self):
    self._show(packed=True, in_order=True, mergeable=True)

  @test("the newest testpmd: each kind of ring, in order and not, mergeable buffers and not", 240)
  def newest(self):
    for packed, in_order, mergeable in itertools.product((False, True), repeat=3):
      self._show(500, NEWEST, packed=packed, in_order=in_order, mergeable=mergeable)

  @test(
    "killed with SIGKILL while frames flow it leaves the daemon healthy; the next is served",
    60,
  )
  def sudden_death(self):
    for kind in ({"mergeable": True}, {"packed": True, "in_order": True}):
      guest = self._testpmd(**kind)
      with frames.Flood(network.TAP, MAC) as flood:
        flood.wait_for_flow()
        guest.kill()
        self.release(guest)
        time.sleep(0.5)
      self.daemon.check_idle()
    self._show(packed=True, mergeable=True)

  @test("SIGTERM ends the daemon within a second and leaves nothing behind", 10)
  def end(self):
    self.daemon.check_stop()
