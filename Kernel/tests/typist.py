# SPDX-License-Identifier: GPL-2.0-only
"""Somebody who types at a terminal, and waits for what a program answers."""

import os
import pty
import select
import signal
import time

from failure import Failure

# Seconds: only there to end what hangs.
_LIMIT = 900


class Typist:
  """A program on a terminal of its own."""

  def __init__(self, command):
    self._seen = b""
    self._pid, self._terminal = pty.fork()
    if self._pid == 0:
      try:
        os.execvp(command[0], command)
      finally:
        os._exit(127)

  def wait_for(self, text):
    """Reads until the text has come; what came before it is gone then. - Returns: that."""
    end = time.monotonic() + _LIMIT
    while text.encode() not in self._seen:
      if not select.select([self._terminal], [], [], max(0, end - time.monotonic()))[0]:
        raise self._failure(f"'{text}' has not come")
      if not self._read():
        raise self._failure(f"the program has ended, and '{text}' has not come")
    before, _, self._seen = self._seen.partition(text.encode())
    return before.decode(errors="replace")

  def type(self, text):
    os.write(self._terminal, text.encode())

  def end(self):
    """Waits for the program's end. - Returns: its exit code."""
    while self._read():
      pass
    status = os.waitpid(self._pid, 0)[1]
    self._pid = None
    return os.waitstatus_to_exitcode(status)

  def kill(self):
    if self._pid:
      os.kill(self._pid, signal.SIGKILL)
      os.waitpid(self._pid, 0)
    os.close(self._terminal)

  def _read(self):
    try:
      came = os.read(self._terminal, 65536)
    except OSError:
      came = b""  # Nobody has it open at its other side any more.
    self._seen += came
    return came

  def _failure(self, what):
    return Failure(f"{what}; the terminal has {self._seen[-2000:].decode(errors='replace')}")
