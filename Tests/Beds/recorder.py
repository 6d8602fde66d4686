# SPDX-License-Identifier: Apache-2.0
"""A proxy between a vhost-user front-end and its back-end, which writes down what the front-end asks.

What is written, one event a line:

  == boot                        what is being done to the front-end, in plain words
  connect                        a connection is made, by whichever side does that
  hangup                         the front-end ends it
  lost                           the back-end ends it
  > SET_VRING_NUM index=0 num=128        a request of the front-end
  > SET_MEM_TABLE regions=2 reply fds=2  `reply`: the back-end's answer is asked for (need_reply);
                                         `fds=2`: so many descriptors come along
  < GET_FEATURES value=0x150000000       an answer with a value; `< ok` and `< failed` are answers of the other kind

Numbers in decimal but for bits (`value`). A guest's or front-end's addresses are not written: they vary.
Neither are the bytes of configuration spaces, and how often a request comes in turn: once stands for many.
A ring's position (`num` of SET_VRING_BASE and of GET_VRING_BASE's answer) varies with what the guest did:

  num=0, num=0x8000, num=0x80008000   the beginning of a split or packed ring, as the front-end says it
  num=position                   an answer: where the ring stands; a request: what the last answer was
  num=used                       a request after a ring's life without such an answer: where the used index stands

A ring that is kicked in band is so by messages at any time; they are left out (`VRING_KICK`). Requests of
the back-end go over a channel of their own, which is not looked at.
"""

import os
import select
import socket
import struct
import threading

from failure import Failure
from process import until

_HEADER = struct.Struct("<III")
_REPLY, _NEED_REPLY = 4, 8
_MOST_FDS = 64

_NAMES = {
  1: "GET_FEATURES",
  2: "SET_FEATURES",
  3: "SET_OWNER",
  4: "RESET_OWNER",
  5: "SET_MEM_TABLE",
  6: "SET_LOG_BASE",
  7: "SET_LOG_FD",
  8: "SET_VRING_NUM",
  9: "SET_VRING_ADDR",
  10: "SET_VRING_BASE",
  11: "GET_VRING_BASE",
  12: "SET_VRING_KICK",
  13: "SET_VRING_CALL",
  14: "SET_VRING_ERR",
  15: "GET_PROTOCOL_FEATURES",
  16: "SET_PROTOCOL_FEATURES",
  17: "GET_QUEUE_NUM",
  18: "SET_VRING_ENABLE",
  19: "SEND_RARP",
  20: "NET_SET_MTU",
  21: "SET_BACKEND_REQ_FD",
  24: "GET_CONFIG",
  25: "SET_CONFIG",
  31: "GET_INFLIGHT_FD",
  32: "SET_INFLIGHT_FD",
  34: "RESET_DEVICE",
  35: "VRING_KICK",
  36: "GET_MAX_MEM_SLOTS",
  37: "ADD_MEM_REG",
  38: "REM_MEM_REG",
  39: "SET_STATUS",
  40: "GET_STATUS",
}
_WITH_VALUE = {"SET_FEATURES", "SET_PROTOCOL_FEATURES", "SET_STATUS", "NET_SET_MTU"}
_ANSWERED_WITH_VALUE = {
  "GET_FEATURES", "GET_PROTOCOL_FEATURES", "GET_QUEUE_NUM", "GET_MAX_MEM_SLOTS", "GET_STATUS",
}
_VRING_STATE = {"SET_VRING_NUM", "SET_VRING_ENABLE"}
_VRING_DESCRIPTOR = {"SET_VRING_KICK", "SET_VRING_CALL", "SET_VRING_ERR"}
_NO_DESCRIPTOR = 1 << 8
_BEGINNINGS = {0: "0", 0x8000: "0x8000", 0x8000_8000: "0x80008000"}


class Recorder:
  """Stands on `path`, where the front-end connects to it, and passes all on to `back_end`.

  With `front_end`, where a front-end listens, it is the other way round: the back-end connects to `path`.
  """

  def __init__(self, path, back_end=None, front_end=None):
    self.path = path
    self._back_end, self._front_end = back_end, front_end
    self.lines = []
    self._positions = {}  # ring: the last answer to GET_VRING_BASE
    self._ran = set()  # rings that were started since that answer
    self._listening = None
    self._connection = None  # The two ends, while there is a connection.
    self._asked = []  # Requests whose answers are to come.
    self._busy = threading.Lock()  # Held while a message is passed on.
    self.listen(back_end)

  def listen(self, back_end=None):
    """Takes connections from now on; `back_end`: a new one's path."""
    self._back_end = back_end or self._back_end
    self._listening = socket.socket(socket.AF_UNIX)
    self._listening.bind(self.path)
    self._listening.listen(1)
    threading.Thread(target=self._accept, args=[self._listening], daemon=True).start()

  def close(self):
    """Takes no more connections; ones that are there go on."""
    os.unlink(self.path)
    self._listening.shutdown(socket.SHUT_RDWR)
    self._listening.close()

  def mark(self, title):
    """What follows is the front-end's answer to this; what it has sent before is passed on first."""
    until(self._is_settled, 60, f"{self.path}: requests without end")
    self.lines.append(f"== {title}")

  def wait_for(self, text, seconds=60):
    """Waits until an event since the last mark begins with this."""

    def seen():
      last = max((at for at, line in enumerate(self.lines) if line.startswith("==")), default=0)
      return any(line.startswith(text) for line in self.lines[last:])

    until(seen, seconds, f"{self.path}: no {text} after '{self._last_mark()}'")

  def _last_mark(self):
    return next((line for line in reversed(self.lines) if line.startswith("==")), "")

  def _is_settled(self):
    with self._busy:
      ends = [end for end in self._connection or () if end.fileno() >= 0]
      return not self._asked and not select.select(ends, [], [], 0)[0]

  def _accept(self, listening):
    while True:
      try:
        accepted, _ = listening.accept()
      except OSError:
        return
      other = socket.socket(socket.AF_UNIX)
      try:
        other.connect(self._front_end or self._back_end)
      except OSError:
        accepted.close()
        continue
      front, back = (other, accepted) if self._front_end else (accepted, other)
      self.lines.append("connect")
      threading.Thread(target=self._forward, args=(front, back), daemon=True).start()

  def _forward(self, front, back):
    poll = select.poll()
    poll.register(front, select.POLLIN)
    poll.register(back, select.POLLIN)
    self._asked, self._connection = [], (front, back)
    going = True
    while going:
      ready = {fd for fd, _ in poll.poll()}
      with self._busy:
        # An answer is older than any request that has come meanwhile.
        going = self._pass(back, front) if back.fileno() in ready else self._pass(front, back)
        if not going:
          self._asked, self._connection = [], None
          front.close()
          back.close()

  def _pass(self, source, target):
    """Passes a message on. - Returns: False at the end of the connection."""
    front = self._connection[0]
    message = _receive(source)
    if message is None:
      self.lines.append("hangup" if source is front else "lost")
      return False
    header, payload, fds = message
    # Before it is passed on: what the other side does about it comes behind it.
    (self._request if source is front else self._answer)(header, payload, fds)
    try:
      socket.send_fds(target, [_HEADER.pack(*header) + payload], fds)
    except OSError:
      self.lines.append("lost" if source is front else "hangup")
      return False
    finally:
      for fd in fds:
        os.close(fd)
    return True

  def _request(self, header, payload, fds):
    number, flags, _ = header
    name = _NAMES.get(number, f"request-{number}")
    if name == "VRING_KICK":
      if flags & _NEED_REPLY:
        self._asked.append(None)
      return
    words = [name, *self._payload(name, payload)]
    if flags & _NEED_REPLY:
      words.append("reply")
    if fds:
      words.append(f"fds={len(fds)}")
    if flags & _NEED_REPLY or name.startswith("GET_"):
      self._asked.append((name, payload))
    self._write(f"> {' '.join(words)}")

  def _payload(self, name, payload):
    if name in _WITH_VALUE:
      return [f"value={int.from_bytes(payload, 'little'):#x}"]
    if name in _VRING_STATE:
      return "index={} num={}".format(*struct.unpack("<II", payload)).split()
    if name == "SET_VRING_BASE":
      index, num = struct.unpack("<II", payload)
      return [f"index={index}", f"num={self._base(index, num)}"]
    if name == "GET_VRING_BASE":
      return [f"index={struct.unpack('<II', payload)[0]}"]
    if name == "SET_VRING_ADDR":
      return "index={} flags={}".format(*struct.unpack_from("<II", payload)).split()
    if name in _VRING_DESCRIPTOR:
      value = int.from_bytes(payload, "little")
      if name == "SET_VRING_KICK":
        self._ran.add(value & 0xFF)
      return [f"index={value & 0xFF}", *(["none"] if value & _NO_DESCRIPTOR else [])]
    if name == "SET_MEM_TABLE":
      return [f"regions={int.from_bytes(payload[:4], 'little')}"]
    if name in ("GET_CONFIG", "SET_CONFIG"):
      return "offset={} size={} flags={}".format(*struct.unpack_from("<III", payload)).split()
    return []

  def _base(self, index, num):
    if index not in self._ran and self._positions.get(index) == num:
      return "position"
    if num in _BEGINNINGS:
      return _BEGINNINGS[num]
    return "used" if index in self._ran else "strange"

  def _answer(self, header, payload, fds):
    if not self._asked:
      self._write(f"< unasked {header[0]}")
      return
    question = self._asked.pop(0)
    if question is None:
      return
    name, request = question
    if _NAMES.get(header[0]) != name:
      self._write(f"< {header[0]} where an answer to {name} was due")
    elif name == "GET_VRING_BASE":
      index, num = struct.unpack("<II", payload)
      # A ring that never ran stands where it was set.
      ran = index in self._ran or index in self._positions
      self._write(f"< {name} index={index} num={'position' if ran else _BEGINNINGS.get(num, 'strange')}")
      self._positions[index] = num
      self._ran.discard(index)
    elif name in _ANSWERED_WITH_VALUE:
      self._write(f"< {name} value={int.from_bytes(payload, 'little'):#x}")
    elif name.startswith("GET_"):
      self._write(f"< {name}{'' if payload else ' failed'}")
    else:
      self._write("< ok" if not any(payload) else "< failed")

  def _write(self, line):
    if line != self.lines[-1]:
      self.lines.append(line)

  def kill(self):
    """Nothing to end: its threads end with its peers or with the program."""

  @property
  def logs(self):
    return []


def _receive(connection):
  """(header, payload, descriptors) of the next message; None at the end."""
  data, fds = b"", []
  while len(data) < _HEADER.size:
    try:
      part, new, _, _ = socket.recv_fds(connection, _HEADER.size - len(data), _MOST_FDS)
    except OSError:
      part, new = b"", []
    fds += new
    if not part:
      return None
    data += part
  header = _HEADER.unpack(data)
  payload = b""
  while len(payload) < header[2]:
    part = connection.recv(header[2] - len(payload))
    if not part:
      return None
    payload += part
  return header, payload, fds
