# SPDX-License-Identifier: Apache-2.0
"""The shell inside a guest, driven over its plain (non-virtio) console.

guest/init.sh reads lines `NUMBER COMMAND`, runs the command, and prints its output followed by a
line `@@NUMBER EXITCODE`. The number ties an answer to its question, so a late answer is never taken
for another.
"""

import re
import time

from failure import Failure
from patience import patience

_READY = "@@ready\n"


class GuestShell:
  """Commands in a guest; `process` is its front-end, `console` the file that gets the guest's
  console.
  """

  def __init__(self, process, console):
    self.process = process
    self.console = console
    self._number = 0
    self._seen = 0  # Bytes of the console that belong to earlier answers.

  def wait_ready(self, seconds):
    """Waits for the guest's init; also after a reboot of the same front-end."""
    self._await(re.compile(re.escape(_READY.encode())), seconds, "the guest did not boot")

  def run(self, command, seconds=20, check=True):
    """The output of a command in the guest; fails on an exit code other than 0 unless told
    otherwise.
    """
    if "\n" in command or len(command) > 3000:
      raise ValueError("a guest's command is one line that fits a terminal's line buffer")
    self._number += 1
    self.process.type(f"{self._number} {command}\n".encode())
    answer = re.compile(rb"\n@@%d (\d+)\n" % self._number)
    before, match = self._await(answer, seconds, f"the guest did not finish '{command}'")
    text = before.decode("utf-8", "replace").strip("\n")
    if check and match.group(1) != b"0":
      raise Failure(f"in the guest, '{command}' ended with {match.group(1).decode()}: {text}")
    return text

  def _await(self, pattern, seconds, complaint):
    end = time.monotonic() + patience(seconds)
    while True:
      alive = self.process.alive()  # Asked first: what it printed before its end is still read.
      with open(self.console, "rb") as log:
        log.seek(self._seen)
        data = log.read().replace(b"\r", b"")
      match = pattern.search(data)
      if match:
        self._seen += _raw_length(self.console, self._seen, match.end())
        return data[: match.start()], match
      if not alive:
        raise Failure(
          f"{complaint}: {self.process.name} has ended (exit code {self.process.exit_code})"
        )
      if time.monotonic() > end:
        raise Failure(f"{complaint} within {patience(seconds)} s")
      time.sleep(0.01)


def _raw_length(path, start, length):
  """How many raw bytes make up `length` bytes once carriage returns are dropped."""
  with open(path, "rb") as log:
    log.seek(start)
    raw = log.read()
  position = 0
  while length:
    if raw[position] != 0x0D:
      length -= 1
    position += 1
  return position
