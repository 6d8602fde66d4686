# SPDX-License-Identifier: Apache-2.0
"""`lgdev export`, running and mounted."""

import os
import signal

from failure import Failure
from lgdev import program
from process import Process, run, tail, until


class Mounted:
  """A running export; `folder` is where it is mounted."""

  def __init__(self, room, name, *arguments, point=None):
    self.folder = point or room.socket(f"export-{name}")
    if not point:
      os.makedirs(self.folder, exist_ok=True)
    self.process = Process(
      name, [program(), "export", *arguments, self.folder], room.file(f"export-{name}.log")
    )
    self.logs = [self.process.log]
    try:
      until(
        lambda: os.path.ismount(self.folder), 20, "the export is not mounted", still=self.process.alive
      )
    except Failure as failure:
      self.kill()
      raise Failure(f"{failure}; its last words: {' / '.join(tail(self.process.log, 3))}") from None

  def check_stop(self):
    """SIGTERM unmounts and ends it with exit code 0."""
    self.process.signal(signal.SIGTERM)
    code = self.process.wait(20)
    if code != 0:
      raise Failure(f"lgdev export ended with {code}: {' / '.join(tail(self.process.log, 3))}")
    if os.path.ismount(self.folder):
      raise Failure(f"{self.folder} is still mounted after lgdev export has ended")

  def kill(self):
    self.process.kill()
    run(["umount", "-l", self.folder], check=False)


def refusal(room, *arguments):
  """What an export that is refused says."""
  folder = room.socket("export-refused")
  os.makedirs(folder, exist_ok=True)
  out = run([program(), "export", *arguments, folder], check=False).strip()
  if os.path.ismount(folder):
    raise Failure(f"{arguments} was mounted")
  return out
