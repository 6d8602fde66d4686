# SPDX-License-Identifier: Apache-2.0
"""The user's end of a guest's virtio console: a person at a pty or at a Unix socket, played by
the bed.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import select
import socket
import struct
import termios
import threading
import time
import tty

from failure import Failure
from patience import patience
from process import until

_PART = 4096


class Terminal:
  """An open descriptor that reads what the guest prints and writes what is typed."""

  def __init__(self, fd, owner=None):
    self._fd = fd
    self._owner = owner  # Keeps a socket object alive.
    os.set_blocking(fd, False)

  @classmethod
  def pty(cls, path):
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(fd)
    return cls(fd)

  @classmethod
  def unix(cls, path):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return cls(connection.fileno(), connection)

  def close(self):
    if self._owner:
      self._owner.close()
    else:
      os.close(self._fd)

  def resize(self, columns, rows):
    fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

  def type(self, data, seconds=20):
    end = time.monotonic() + patience(seconds)
    while data:
      if not select.select([], [self._fd], [], max(0, end - time.monotonic()))[1]:
        raise Failure(f"the console takes no more input; {len(data)} bytes are left to type")
      data = data[os.write(self._fd, data[:_PART]) :]

  def drain(self, seconds=2):
    """Drops what an earlier guest printed: reads until it has been silent for a while."""
    while select.select([self._fd], [], [], seconds)[0] and os.read(self._fd, 65536):
      pass

  @contextlib.contextmanager
  def swallowing(self):
    """Somebody reads the console, and drops what it says, for as long as the block runs."""
    over = threading.Event()

    def swallow():
      while not over.is_set():
        if select.select([self._fd], [], [], 0.1)[0] and not os.read(self._fd, 65536):
          return

    reader = threading.Thread(target=swallow, daemon=True)
    reader.start()
    try:
      yield
    finally:
      over.set()
      reader.join()

  def read(self, enough, seconds, complaint):
    """Reads until `enough(bytes)` holds and gives the bytes."""
    data = b""
    end = time.monotonic() + patience(seconds)
    while not enough(data):
      if not select.select([self._fd], [], [], max(0, end - time.monotonic()))[0]:
        raise Failure(
          f"{complaint} within {patience(seconds)} s; got {len(data)} bytes, the last {data[-80:]!r}"
        )
      part = os.read(self._fd, 65536)
      if not part:
        raise Failure(f"{complaint}: the console was closed; got {data[-80:]!r}")
      data += part
    return data


def session(shell, terminal, port="hvc0"):
  """Starts a shell on the guest's virtio console, types at it, reads echo and answers, and gives
  the transcript.
  """
  shell.run(f"(setsid sh -c 'exec sh -i </dev/{port} >/dev/{port} 2>&1'; echo left >/dev/{port}) &")
  transcript = terminal.read(_prompted, 10, "no prompt came on the console")
  for typed, answer in (
    (b"tty", b"/dev/" + port.encode()),
    (b"echo answer $((6 * 7))", b"answer 42"),
    (b"echo answer $((1234 * 7))", b"answer 8638"),
  ):
    transcript += _ask(terminal, typed, answer)
  terminal.type(b"exit\r")
  # With the echo of "exit", which is no part of what comes next.
  terminal.read(lambda data: data.endswith(b"left\r\n"), 10, "the shell on the console did not end")
  # Without the escape sequences of the shell's line editor.
  plain = re.sub(rb"\x1b\[[0-9;]*[A-Za-z]|\r", b"", transcript)
  return plain.decode("utf-8", "replace").strip()


def _ask(terminal, typed, answer):
  """Types a line; what comes back must be its echo, the answer, and a new prompt."""
  terminal.type(typed + b"\r")
  seen = terminal.read(
    lambda data: answer in data and _prompted(data),
    10,
    f"'{answer.decode()}' did not come back on the console",
  )
  if typed not in seen:
    raise Failure(f"what was typed was not echoed: {seen!r}")
  return seen


def _prompted(data):
  return b"# " in data[data.rfind(b"\n") + 1 :]


def _exists(shell, path):
  return shell.run(f"ls {path}", check=False) == path


def stream(shell, terminal, kilobytes=512, port="hvc0"):
  """Random bytes both ways through a raw console: nothing lost, doubled or reordered."""
  size = kilobytes << 10
  shell.run(f"head -c {size} /dev/urandom >/tmp/blob")
  # stty runs inside: the terminal forgets its settings when nobody holds it open any more.
  shell.run(f"(stty raw -echo; cat /tmp/blob) </dev/{port} >/dev/{port} &")
  data = terminal.read(lambda data: len(data) >= size, 60, "the guest's output did not arrive")
  want = shell.run("sha256sum /tmp/blob").split()[0]
  if len(data) != size or hashlib.sha256(data).hexdigest() != want:
    raise Failure(f"guest to host: {size} bytes {want} sent, {len(data)} other bytes arrived")

  data = os.urandom(size)
  shell.run(
    f"(stty raw -echo; touch /tmp/open; head -c {size} >/tmp/typed; touch /tmp/done) </dev/{port} &"
  )
  until(lambda: _exists(shell, "/tmp/open"), 10, "the guest did not open its console")
  terminal.type(data, 60)
  until(lambda: _exists(shell, "/tmp/done"), 60, "the guest did not get all that was typed")
  seen = shell.run("sha256sum /tmp/typed").split()[0]
  if seen != hashlib.sha256(data).hexdigest():
    raise Failure(f"host to guest: {size} bytes were typed, other ones arrived")
  shell.run("rm -f /tmp/blob /tmp/typed /tmp/open /tmp/done")


def resize(shell, terminal, port="hvc0"):
  """A new window size reaches the guest while it runs."""
  for columns, rows in ((132, 43), (80, 24)):
    terminal.resize(columns, rows)
    until(
      lambda: shell.run(f"stty size </dev/{port}") == f"{rows} {columns}",
      5,
      f"the guest did not learn that its window is {columns} by {rows}",
      step=0.2,
    )
