# SPDX-License-Identifier: Apache-2.0
"""The host's end of a guest's network: pings, a large transfer each way, and proof that offloads
carried it.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import socket
import struct
import termios
import threading
import time

from failure import Failure
from patience import patience
from process import run

HOST = "10.17.0.1"
GUEST = "10.17.0.2"
TAP = "bed0"
_ETH_P_ALL = 3
_PACKET_OUTGOING = 4
_SO_RCVBUFFORCE = 33
_CHUNK = 1 << 18
_WINDOW = 1 << 18  # Of the host's end when the guest sends.
_BACKED_UP = 4 << 20  # Bytes before which the host's end lets its window fill.
_LOOKS = 8  # How often in turn nothing has come when nothing more does: a busy guest may pause.

# Feature bits of a net device (virtio 1.3, 5.1.3) that a transfer with offloads needs.
OFFLOADS = {"CSUM": 0, "GUEST_CSUM": 1, "GUEST_TSO4": 7, "HOST_TSO4": 11, "MRG_RXBUF": 15}


# How often either end asks for the other's address before it drops what it has for it: not three times, a
# second apart, as a busy machine may need longer for an answer.
_QUESTIONS = 100


def guest_up(shell):
  """Gives the guest's interface its address. The daemon has given the tap its own."""
  shell.run(f"ip address add {GUEST}/24 dev eth0 && ip link set eth0 up")
  shell.run(f"echo {_QUESTIONS} >/proc/sys/net/ipv4/neigh/eth0/mcast_solicit")
  # A container may have it read-only.
  with contextlib.suppress(OSError), open(f"/proc/sys/net/ipv4/neigh/{TAP}/mcast_solicit", "w") as questions:
    questions.write(str(_QUESTIONS))


# Seconds that an answer may take.
_ANSWER = 120


def ping(shell):
  """Both ways, small and nearly of the size of a frame, none lost."""
  for size in (56, 1400):
    answer = shell.run(f"ping -c 5 -i 0.1 -W {_ANSWER} -s {size} {HOST}", 60, check=False)
    _check_ping("guest to host", answer)
    _check_ping(
      "host to guest",
      run(
        ["busybox", "ping", "-c", "5", "-i", "0.1", "-W", str(_ANSWER), "-s", str(size), GUEST], 60,
        check=False,
      ),
    )


def _check_ping(way, answer):
  if not re.search(r"5 packets transmitted, 5 packets received, 0% packet loss", answer):
    raise Failure(f"ping, {way}: {answer.strip()}")


def check_offloads(shell):
  """The driver negotiated every offload (the kernel shows bit 0 first)."""
  bits = shell.run("cat /sys/class/net/eth0/device/features")
  missing = [name for name, bit in OFFLOADS.items() if bits[bit : bit + 1] != "1"]
  if missing:
    raise Failure(f"the driver did not negotiate {', '.join(missing)} (features {bits})")


class Listener:
  """A server for one connection, on a thread: sends `data`, or receives and digests."""

  def __init__(self, data=None):
    self._data = data
    self._server = socket.create_server((HOST, 0))
    if data is None:
      self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW)
    self._server.settimeout(patience(60))
    self.port = self._server.getsockname()[1]
    self.received = 0
    self.digest = hashlib.sha256()
    self.error = None
    self._thread = threading.Thread(target=self._serve, daemon=True)
    self._thread.start()

  def _serve(self):
    try:
      with self._server, self._server.accept()[0] as connection:
        connection.settimeout(patience(60))
        if self._data is not None:
          connection.sendall(self._data)
          return
        while chunk := connection.recv(_CHUNK):
          if self.received < _BACKED_UP:
            self._let_fill(connection)
          self.received += len(chunk)
          self.digest.update(chunk)
    except OSError as error:
      self.error = error

  def _let_fill(self, connection):
    """Returns when nothing more arrives for a while. By then the guest has more to send than it may, and
    sends it in long frames when it may again; a guest that writes little at a time, to a host that
    reads at once, may send all of it in short ones.
    """
    there, looks = -1, 0
    while looks < _LOOKS:
      now = self._unread(connection)
      looks = looks + 1 if now == there else 0
      there = now
      time.sleep(0.02)

  @staticmethod
  def _unread(connection):
    return struct.unpack("i", fcntl.ioctl(connection, termios.FIONREAD, bytes(4)))[0]

  def finish(self, seconds=60):
    self._thread.join(patience(seconds))
    if self._thread.is_alive():
      raise Failure(f"the transfer stands still after {self.received} bytes")
    if self.error:
      raise Failure(f"the transfer broke: {self.error}")


class Watch:
  """Notes the longest frame on the tap in each direction while it runs."""

  def __init__(self, interface=TAP):
    self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    # A thread that gets no processor for a while misses few frames.
    self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 32 << 20)
    self._socket.bind((interface, 0))
    self._socket.settimeout(0.2)
    self._over = False
    self.to_guest = 0
    self.from_guest = 0
    self._thread = threading.Thread(target=self._look, daemon=True)
    self._thread.start()

  def _look(self):
    buffer = bytearray(64)
    while not self._over:
      try:
        length, _, _, address = self._socket.recvmsg_into([buffer], 0, socket.MSG_TRUNC)
      except TimeoutError:
        continue
      if address[2] == _PACKET_OUTGOING:
        self.to_guest = max(self.to_guest, length)
      else:
        self.from_guest = max(self.from_guest, length)

  def stop(self):
    self._over = True
    self._thread.join()
    self._socket.close()


def transfer(shell, megabytes, seconds=120):
  """`megabytes` to the guest and the same back, digests compared; both ways in frames larger than
  a packet.
  """
  data = os.urandom(megabytes << 20)
  digest = hashlib.sha256(data).hexdigest()
  watch = Watch()
  try:
    began = time.monotonic()
    down = Listener(data)
    shell.run(f"nc {HOST} {down.port} </dev/null >/tmp/transfer", seconds)
    down.finish()
    middle = time.monotonic()
    seen = shell.run("sha256sum /tmp/transfer", seconds).split()[0]
    if seen != digest:
      size = shell.run("wc -c </tmp/transfer")
      raise Failure(f"host to guest: {len(data)} bytes {digest} sent, {size} bytes {seen} arrived")
    back = time.monotonic()
    up = Listener()
    shell.run(f"nc {HOST} {up.port} </tmp/transfer >/dev/null", seconds)
    up.finish()
    end = time.monotonic()
    if up.digest.hexdigest() != digest:
      raise Failure(
        f"guest to host: {len(data)} bytes {digest} sent, "
        f"{up.received} bytes {up.digest.hexdigest()} arrived"
      )
  finally:
    watch.stop()
    shell.run("rm -f /tmp/transfer", check=False)
  for way, longest in (("host to guest", watch.to_guest), ("guest to host", watch.from_guest)):
    if longest <= 1514:
      raise Failure(
        f"{way}: no frame was longer than {longest} bytes, so segmentation offload was not used"
      )
  return (
    f"{megabytes} MB to the guest in {middle - began:.1f} s, back in {end - back:.1f} s, "
    f"longest frames {watch.to_guest} and {watch.from_guest} bytes"
  )
