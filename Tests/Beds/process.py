# SPDX-License-Identifier: Apache-2.0
"""One program that a bed runs: started in a session of its own, its output in a log file, ended by
pid.

Output goes straight into a file, never through a pipe that somebody would have to drain; whoever
waits for a line polls that file.
"""

import os
import signal
import subprocess
import time

from failure import Failure
from patience import patience


class Process:
  """A running program; `log` is the file with its standard output and error."""

  def __init__(self, name, argv, log, stdin=subprocess.DEVNULL, pass_fds=(), environment=None):
    self.name = name
    self.log = log
    with open(log, "wb") as output:
      self._child = subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=pass_fds,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
      )
    self.pid = self._child.pid

  def alive(self):
    return self._child.poll() is None

  @property
  def exit_code(self):
    return self._child.poll()

  def signal(self, number):
    """Signals the program itself, which leads its own process group."""
    if self.alive():
      os.kill(self.pid, number)

  def wait(self, seconds):
    """The exit code; fails when the program does not end in time."""
    try:
      return self._child.wait(patience(seconds))
    except subprocess.TimeoutExpired:
      raise Failure(f"{self.name} did not end within {patience(seconds)} s") from None

  def kill(self):
    """Ends the program and what it started, at once; nothing to do when it has ended already."""
    try:
      os.killpg(self.pid, signal.SIGKILL)
    except ProcessLookupError:
      pass
    self._child.wait()
    if self._child.stdin:
      try:
        self._child.stdin.close()
      except BrokenPipeError:
        pass  # What was left to be typed has no reader any more.

  def type(self, data):
    """Writes to the program's standard input (started with stdin=subprocess.PIPE)."""
    try:
      self._child.stdin.write(data)
      self._child.stdin.flush()
    except BrokenPipeError:
      raise Failure(f"{self.name} has ended (exit code {self.exit_code})") from None

  def output(self):
    with open(self.log, "rb") as log:
      return log.read().decode("utf-8", "replace")

  def wait_for(self, text, seconds):
    """Waits until the program's output holds `text`."""
    until(
      lambda: text in self.output(),
      seconds,
      f"{self.name} did not print '{text}'",
      still=self.alive,
    )


def until(condition, seconds, complaint, still=lambda: True, step=0.02):
  """Polls until the condition holds; fails with the complaint when it does not in time, or
  `still` is over.
  """
  end = time.monotonic() + patience(seconds)
  while not condition():
    if not still():
      if condition():
        return
      raise Failure(f"{complaint}: it has ended")
    if time.monotonic() > end:
      raise Failure(f"{complaint} within {patience(seconds)} s")
    time.sleep(step)


def tail(path, lines=40):
  """The last lines of a log, readable whatever bytes are in it."""
  try:
    with open(path, "rb") as log:
      text = log.read().decode("utf-8", "replace").replace("\r", "")
  except FileNotFoundError:
    return []
  return text.splitlines()[-lines:]


def run(argv, seconds=30, check=True):
  """Runs a short host command to its end and gives its output."""
  try:
    done = subprocess.run(
      argv,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      stdin=subprocess.DEVNULL,
      timeout=patience(seconds),
      text=True,
      errors="replace",
    )
  except subprocess.TimeoutExpired:
    raise Failure(f"'{' '.join(argv)}' did not end within {patience(seconds)} s") from None
  if check and done.returncode != 0:
    raise Failure(f"'{' '.join(argv)}' ended with {done.returncode}: {done.stdout.strip()}")
  return done.stdout
