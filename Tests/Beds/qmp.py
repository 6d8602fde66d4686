# SPDX-License-Identifier: Apache-2.0
"""What a person says to QEMU rather than to its guest: QMP, on a Unix socket."""

import json
import socket

from failure import Failure
from patience import patience
from process import until


class Qmp:
  """A connection to a running QEMU's monitor; made with the first command."""

  def __init__(self, process, path):
    self._process, self._path = process, path
    self._lines = None

  def __call__(self, command, **arguments):
    """The answer to a command; an error is a failure."""
    if self._lines is None:
      self._connect()
    return self._ask(command, arguments)

  def wait_for(self, event, seconds=30):
    """Waits for an event that comes after the last answer."""
    while True:
      said = self._read(seconds, f"no {event}")
      if said.get("event") == event:
        return said["data"]

  def _connect(self):
    connection = socket.socket(socket.AF_UNIX)

    def connected():
      try:
        connection.connect(self._path)
      except OSError:
        return False
      return True

    until(connected, 20, f"{self._process.name} has no monitor", still=self._process.alive)
    self._connection, self._lines = connection, connection.makefile("rb")
    self._read(20, "no greeting")
    self._ask("qmp_capabilities", {})

  def _ask(self, command, arguments):
    self._connection.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
    while True:
      said = self._read(60, f"no answer to {command}")
      if "error" in said:
        raise Failure(f"{self._process.name}: {command}: {said['error']['desc']}")
      if "return" in said:
        return said["return"]

  def _read(self, seconds, complaint):
    self._connection.settimeout(patience(seconds))
    try:
      line = self._lines.readline()
    except TimeoutError:
      raise Failure(f"{self._process.name}: {complaint} within {patience(seconds)} s") from None
    if not line:
      raise Failure(f"{self._process.name}: {complaint}: it has ended")
    return json.loads(line)
