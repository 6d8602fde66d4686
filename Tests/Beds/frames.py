# SPDX-License-Identifier: Apache-2.0
"""Raw Ethernet frames sent into a tap and compared with what the front-end behind it sends back."""

import errno
import json
import os
import random
import socket
import struct
import threading
import time

from failure import Failure
from patience import patience
from process import run

_PROTOCOL = 0x88B5  # For experiments (IEEE 802): the host's own stack sends and answers none.
_HOST = bytes.fromhex("525400170001")
_PACKET_OUTGOING = 4
_UNHEARD = 0x88B6  # The other one of these, for frames that no exchange waits for.


def exchange(interface, mac, count, longest, shortest=60, window=64, seconds=20):
  """Sends `count` frames of random length and content; each comes back once, in order, MACs
  swapped. At most `window` are on their way at a time.
  """
  guest = bytes.fromhex(mac.replace(":", ""))
  _await_room(interface, guest, seconds)
  rng = random.Random(count * longest)
  pool = os.urandom(longest * 2)
  link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_PROTOCOL))
  link.bind((interface, _PROTOCOL))
  link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
  link.settimeout(0.5)
  expected, sent, returned = [], 0, 0
  end = time.monotonic() + patience(seconds)
  try:
    while returned < count:
      while sent < count and len(expected) < window:
        length = rng.randrange(shortest, longest + 1) - 18
        start = rng.randrange(longest)
        payload = struct.pack("!HI", _PROTOCOL, sent) + pool[start : start + length]
        link.send(guest + _HOST + payload)
        expected.append(_HOST + guest + payload)
        sent += 1
      try:
        frame, address = link.recvfrom(65536)
      except TimeoutError:
        frame = None
      if frame is not None and address[2] != _PACKET_OUTGOING:
        want = expected.pop(0)
        if frame != want:
          raise Failure(
            f"frame {returned} of {len(want)} bytes came back as {len(frame)} bytes: "
            f"{_difference(want, frame)}"
          )
        returned += 1
      if time.monotonic() > end:
        raise Failure(f"{sent} frames were sent, {returned} came back within {patience(seconds)} s")
  finally:
    link.close()


def _await_room(interface, guest, seconds):
  """Waits until a frame comes back. Then what others have left in the tap's queue is gone: while it is full the
  kernel drops what is sent, without a word.
  """
  frame = guest + _HOST + struct.pack("!H", _UNHEARD) + b"is there room?".ljust(60)
  link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_UNHEARD))
  link.bind((interface, _UNHEARD))
  link.settimeout(0.1)
  end = time.monotonic() + patience(seconds)
  try:
    while time.monotonic() < end:
      try:
        link.send(frame)
      except OSError as error:
        if error.errno != errno.ENOBUFS:
          raise
      try:
        while True:
          came, address = link.recvfrom(65536)
          if address[2] != _PACKET_OUTGOING and came[12:] == frame[12:]:
            return
      except TimeoutError:
        pass
    raise Failure(f"no frame came back within {patience(seconds)} s")
  finally:
    link.close()


class Flood:
  """Keeps frames flowing, in a `with`, without looking at what comes back. The last ones stay in the
  tap's queue when their reader has gone, and reach the next one.
  """

  def __init__(self, interface, mac):
    self._interface = interface
    self._frame = bytes.fromhex(mac.replace(":", "")) + _HOST + struct.pack("!H", _UNHEARD) + bytes(1000)
    self._over = False
    self._error = None
    self._thread = threading.Thread(target=self._send)

  def __enter__(self):
    self._start = counters(self._interface)
    self._thread.start()
    return self

  def __exit__(self, *_):
    self._over = True
    self._thread.join()
    if self._error:
      raise Failure(f"the flood has ended: {self._error}")

  def _send(self):
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
      link.bind((self._interface, 0))
      while not self._over:
        try:
          link.send(self._frame)
        except OSError as error:
          if error.errno != errno.ENOBUFS:
            raise
          # The tap's queue is full: its reader is slow, or has gone.
    except OSError as error:
      self._error = error
    finally:
      link.close()

  def wait_for_flow(self, frames=1000, seconds=20):
    """Waits until so many frames have gone through the interface each way since the flood began."""
    end = time.monotonic() + patience(seconds)
    while True:
      now = counters(self._interface)
      moved = [after - before for before, after in zip(self._start, now)]
      if min(moved) >= frames:
        return
      if self._error or time.monotonic() > end:
        raise Failure(
          f"within {patience(seconds)} s {moved[0]} frames went to the front-end, {moved[1]} came back"
        )
      time.sleep(0.02)


def counters(interface):
  """Frames that the interface's reader has taken, and frames that it has sent, so far."""
  (link,) = json.loads(run(["ip", "-json", "-stats", "link", "show", interface]))
  return link["stats64"]["tx"]["packets"], link["stats64"]["rx"]["packets"]


def long_frames(interface, mtu=9000):
  run(["ip", "link", "set", interface, "mtu", str(mtu)])


def _difference(want, got):
  for position, (a, b) in enumerate(zip(want, got)):
    if a != b:
      return f"byte {position} is {b:#04x}, should be {a:#04x}"
  return "equal as far as both go"
