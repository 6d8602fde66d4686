# SPDX-License-Identifier: GPL-2.0-only
"""One host of the tests: QEMU (TCG) with one of Debian's kernels and an initrd of ours.

The initrd has busybox, machine/init.sh, machine/lib.sh, and what the check brings: lguest.ko, the
launcher, the guest, a script. What the script prints comes out of the serial port; `@@` begins a
line that is meant for us (see machine/lib.sh). The verdict is in the log, not in an exit code: the
end marker is there, every check passed, and the host's kernel never complained.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import time

import places
import abreast
import build
from failure import Failure
from initramfs import Archive

# What the host's kernel says when something went wrong in it. Guests' deaths do not look like this.
COMPLAINTS = re.compile(
  r"WARNING: CPU|WARNING: possible|WARNING: suspicious|BUG:|kernel BUG|Oops|Kernel panic"
  r"|soft lockup|hard LOCKUP|self-detected stall|detected stalls|blocked for more than"
  r"|general protection fault|double fault|stack segment:|invalid opcode:|unable to handle"
  r"|Bad page|bad page state|refcount_t|UBSAN|KASAN|list_(add|del) corruption"
  r"|scheduling while atomic|sleeping function|Call Trace|unchecked MSR|Spurious LAPIC"
  r"|do_IRQ: .* No irq handler|Fixing recursive fault"
)

# Seconds after which a machine that does not answer hangs.
_QMP_LIMIT = 120
_ACCEL = ["-accel", "tcg,thread=multi"]
# Virtual time is 8 ns for each instruction, which one thread executes.
_ICOUNT = ["-accel", "tcg,thread=single", "-icount", "shift=3,sleep=off"]
_APPEND = (
  "console=ttyS0 loglevel=5 panic=-1 oops=panic no_timer_check tsc=reliable"
  " cryptomgr.notests random.trust_cpu=on"
)


class Machine:
  """A host that runs one script to its end.

  files: {path in the initrd: path here}; script: text for busybox's shell, run with lib.sh loaded.
  """

  def __init__(self, name, kernel, script, files, cpu="Skylake-Client-v4", cpus=2, memory=384,
               append="nokaslr", serial="stdio", icount=False):
    os.makedirs(places.ROOM, exist_ok=True)
    self.name = name
    self.log = f"{places.ROOM}/{name}.log"
    self._qmp_path = f"{places.ROOM}/{name}.qmp"
    self._qmp = None
    initrd = f"{places.ROOM}/{name}.cpio"
    _write_initrd(initrd, script, files)
    # Where instructions make the time, counting is safe.
    rate = "" if icount else f" tsc_early_khz={build.cycles()}"
    self.command = [
      "qemu-system-x86_64", *(_ICOUNT if icount else _ACCEL),
      "-cpu", cpu, "-smp", str(cpus), "-m", str(memory),
      "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", serial,
      "-kernel", kernel.image, "-initrd", initrd, "-append", f"{_APPEND}{rate} {append}",
    ]

  def run(self, seconds, meanwhile=None):
    """Runs to the end of the script; `meanwhile(machine)` is called again and again until then."""
    if os.path.exists(self._qmp_path):
      os.unlink(self._qmp_path)
    qmp = ["-qmp", f"unix:{self._qmp_path},server=on,wait=off"]
    with open(self.log, "wb") as output, open(f"{self.log}.qemu", "wb") as errors:
      child = subprocess.Popen(
        [*self.command, *qmp], stdin=subprocess.PIPE, stdout=output, stderr=errors,
        start_new_session=True,
      )
    self._console = child.stdin
    end = time.monotonic() + seconds
    try:
      while child.poll() is None and time.monotonic() < end:
        if meanwhile:
          meanwhile(self)
        time.sleep(0.02)
      return Verdict(self.output(), child.poll() is None)
    finally:
      if child.poll() is None:
        child.kill()
      child.wait()
      child.stdin.close()
      if self._qmp:
        self._qmp.close()

  def say(self, line):
    """Types a line on the machine's console."""
    self._console.write(line.encode() + b"\n")
    self._console.flush()

  def talk(self):
    """Runs with the user's terminal as the serial port."""
    return subprocess.run(self.command).returncode

  def output(self):
    with open(self.log, "rb") as log:
      return log.read().decode("utf-8", "replace").replace("\r", "")

  def qmp(self, command, **arguments):
    """One command of QEMU's machine protocol; quietly nothing when the machine has just ended."""
    try:
      if not self._qmp:
        self._qmp = socket.socket(socket.AF_UNIX)
        self._qmp.settimeout(_QMP_LIMIT)
        self._qmp.connect(self._qmp_path)
        self._answers = self._qmp.makefile("r")
        self._answers.readline()
        self.qmp("qmp_capabilities")
      request = {"execute": command, "arguments": arguments}
      self._qmp.sendall(json.dumps(request).encode() + b"\n")
      while True:
        answer = json.loads(self._answers.readline() or '{"return": null}')
        if "error" in answer:
          raise Failure(f"QEMU's {command}: {answer['error']}")
        if "return" in answer:
          return answer["return"]
    except OSError:
      return None


# How much of what was said before a failure is shown with it; the log has the rest.
_LAST_LINES = 20
# A warning with its registers and call trace.
_COMPLAINT_LINES = 50


class Verdict:
  """What a log says: `passed` and `failed` are lists of titles; a failed one carries its why."""

  def __init__(self, text, timed_out):
    self._text = text
    self._tail = []
    self.passed = re.findall(r"^@@ok (.*)", text, re.MULTILINE)
    self.failed = re.findall(r"^@@no (.*)", text, re.MULTILINE)
    self.figures = dict(re.findall(r"^@@figure (\S+) (.*)", text, re.MULTILINE))
    end = re.search(r"^@@end (\d+)", text, re.MULTILINE)
    if timed_out or not end:
      self._tail = text.splitlines()[-_LAST_LINES:]
    if timed_out:
      self.failed.append("the machine did not end in time")
    elif not end:
      self.failed.append("the machine ended before its script did")
    elif int(end[1]) != len(self.passed) + len(self.failed):
      self.failed.append(f"{end[1]} checks ran, other marks arrived")
    complaint = COMPLAINTS.search(text)
    if complaint:
      at = text.rfind("\n", 0, complaint.start()) + 1
      line = text[at:].split("\n", 1)[0]
      self.failed.append(f"the host's kernel complains: {line.strip()}")
      self._tail = text[at:].splitlines()[:_COMPLAINT_LINES]

  def result(self, machine):
    """The same for who counts."""
    where = [f"log: {os.path.relpath(machine.log)}"] if self.failed else []
    return abreast.Result(len(self.passed), len(self.failed), self.lines() + where)

  def lines(self):
    """The failures with what was said there, how a broken log goes on, and the figures."""
    lines = []
    for failure in self.failed:
      lines.append(f"FAIL  {failure}")
      lines += [f"      | {line}" for line in self._said_by(failure)]
    lines += [f"      > {line}" for line in self._tail]
    return lines + [f"{name:24} {value}" for name, value in self.figures.items()]

  def _said_by(self, failure):
    """The output that lib.sh has put behind a check's mark: a guest's own failures, and its end."""
    at = self._text.find(f"\n@@no {failure}\n")
    if at < 0:
      return []
    said = self._text[at + 1 :].split("\n@@", 1)[0].split("\n")[1:]
    said = [line.removeprefix("  | ") for line in said if line.strip()]
    shown = set(range(len(said) - _LAST_LINES, len(said)))
    for number, line in enumerate(said):
      if "FAILED" in line:
        # What was seen stands before it.
        shown |= {number - 1, number}
    return [line for number, line in enumerate(said) if number in shown]


def _write_initrd(path, script, files):
  archive = Archive()
  folders = {"bin", "dev", "proc", "sys", "tmp"}
  folders.update(os.path.dirname(name) for name in files if os.path.dirname(name))
  for folder in sorted(folders):
    archive.folder(folder)
  archive.device("dev/console", 5, 1)
  archive.file("bin/busybox", shutil.which("busybox"))
  archive.file("init", f"{places.HERE}/machine/init.sh")
  archive.file("lib.sh", f"{places.HERE}/machine/lib.sh")
  archive.add("check.sh", 0o100755, script.encode())
  for name, source in files.items():
    archive.file(name, source)
  with open(path, "wb") as output:
    output.write(archive.finish())
