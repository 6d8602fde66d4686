# SPDX-License-Identifier: Apache-2.0
"""The daemon under test: started, watched for leaks, ended as its manual says.

The program is the one that environment variable LGDEV names, by default .build/release/lgdev.
"""

import json
import os
import signal
import sys
import time

from failure import Failure
from patience import patience
from process import Process, run, tail, until

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def program():
  path = os.path.abspath(os.environ.get("LGDEV", os.path.join(_ROOT, ".build/release/lgdev")))
  if not os.access(path, os.X_OK):
    sys.exit(
      f"beds: there is no program {path}: "
      "run 'swift build -c release --product lgdev', or set LGDEV"
    )
  return path


class Lgdev:
  """A running `lgdev serve`; `sockets` maps `block0`, `net0`, … to paths."""

  def __init__(self, room, name, options, sockets):
    self.folder = room.socket(name)
    os.makedirs(self.folder)
    self.sockets = {socket: f"{self.folder}/{socket}.sock" for socket in sockets}
    self.pidfile = f"{self.folder}/pid"
    self.process = Process(
      name,
      [
        program(),
        "serve",
        "--transport",
        "vhost-user",
        "--socket-dir",
        self.folder,
        "--pidfile",
        self.pidfile,
        "--log-level",
        os.environ.get("LGDEV_LOG_LEVEL", "info"),
        *options,
      ],
      room.file(f"{name}.log"),
    )
    self.logs = [self.process.log]
    try:
      until(
        lambda: all(os.path.exists(path) for path in self.sockets.values()),
        10,
        "lgdev did not make its sockets",
        still=self.process.alive,
      )
    except Failure as failure:
      self.process.kill()
      raise Failure(f"{failure}; its last words: {' / '.join(tail(self.process.log, 5))}") from None
    self._idle_fds = self._fds()

  def _fds(self):
    found = {}
    for fd in os.listdir(f"/proc/{self.process.pid}/fd"):
      try:
        found[fd] = os.readlink(f"/proc/{self.process.pid}/fd/{fd}")
      except FileNotFoundError:
        pass  # Closed between the two calls.
    return found

  def check_idle(self, seconds=5):
    """With no front-end connected: alive, and as many descriptors open as before the first one
    came.
    """
    end = time.monotonic() + patience(seconds)
    while True:
      if not self.process.alive():
        raise Failure(f"lgdev has ended (exit code {self.process.exit_code})")
      fds = self._fds()
      if len(fds) == len(self._idle_fds):
        return
      if time.monotonic() > end:
        new = sorted(target for fd, target in fds.items() if self._idle_fds.get(fd) != target)
        raise Failure(
          f"lgdev had {len(self._idle_fds)} descriptors before its first front-end and has "
          f"{len(fds)} after the last one went; new or changed: {', '.join(new)}"
        )
      time.sleep(0.05)

  def stats(self, device):
    """What `lgdev stats` says of a device: bytes read by the guest, bytes written by it, chains."""
    command = [program(), "stats", "--json", str(self.process.pid)]
    report = json.loads(run(command))
    queues = [queue for queue in report["daemons"][0]["queues"] if queue["device"] == device]
    if not queues:
      raise Failure(f"lgdev stats has no {device}")
    return [
      sum(queue[key] for queue in queues) for key in ("bytes_to_guest", "bytes_from_guest", "chains")
    ]

  def check_stop(self):
    """SIGTERM ends it within a second of an idle machine, with exit code 0, and its sockets and pid
    file are gone.
    """
    start = time.monotonic()
    self.process.signal(signal.SIGTERM)
    code = self.process.wait(5)
    took = time.monotonic() - start
    if took > patience(1):
      raise Failure(f"lgdev took {took:.2f} s to end after SIGTERM")
    if code != 0:
      raise Failure(
        f"lgdev ended with {code} after SIGTERM: {' / '.join(tail(self.process.log, 3))}"
      )
    left = os.listdir(self.folder)
    if left:
      raise Failure(f"lgdev left {', '.join(left)} behind")

  def kill(self):
    self.process.kill()
