#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of Kernel/: `make test-kernel`.

usage: run.py [--list] [MACHINE...]

The unit tests of the module's pure files run here; everything else runs on hosts in QEMU, each a script of
checks/ on a kernel and a CPU of the matrix below. The last line is `N passed, N failed`; the exit code is 0
when none failed. Environment: FUZZ_SEED, FUZZ_FIRST, FUZZ_COUNT (random guest programs), JOBS (abreast.py).
Logs are in .build/kernel/run.
"""

import os
import re
import subprocess
import sys
import time

import places
import abreast
import build
import kernels
import style
from failure import Failure
from machine import Machine
from windows import Selectors, Windows

# Seconds after which a machine hangs: none needs half of it, however busy this one is.
_LIMIT = 900
_NMI_EVERY = 0.002
_MCE_EVERY = 0.3
# TCG's cmpxchg16b breaks the allocator of this kernel, with or without the module.
_BACKPORTS_CPU = "Skylake-Client-v4,-cx16"
# A corrected-by-ignoring error: a scrub found it, no context is lost, the next instruction can run.
_MCE = "mce -b 0 9 0xbd000000000000c0 5 0xa0000 0x8c"


class Storm:
  """Sends something to the machine again and again between the two marks of checks/storm.sh. Where the
  machine's kernel says `told` of each, the next waits for that.
  """

  def __init__(self, send, every, told=""):
    self._send = send
    self._every = every
    self._told = told
    self._sent = 0
    self._next = 0
    self._over = False

  def __call__(self, machine):
    if self._over or time.monotonic() < self._next:
      return
    text = machine.output()
    self._over = "@@storm ends" in text
    if "@@storm begins" not in text or self._over:
      return
    if self._told and text.count(self._told) < self._sent:
      return
    # The log is looked at now and then, not between any two.
    for _ in range(int(0.1 / self._every) or 1):
      self._send(machine)
      self._sent += 1
      time.sleep(self._every)


def _nmi(machine):
  machine.qmp("inject-nmi")


def _mce(machine):
  answer = machine.qmp("human-monitor-command", **{"command-line": _MCE})
  if answer:
    raise Failure(f"QEMU's mce: {answer.strip()}")


class Test:
  """One machine of the matrix."""

  def __init__(self, name, title, script, kernel="stable", meanwhile=None, settings=(), **hardware):
    self.name, self.title = name, title
    self._script, self._kernel, self._meanwhile = script, kernel, meanwhile
    self._settings, self._hardware = dict(settings), hardware

  def run(self):
    kernel = kernels.kernel(self._kernel)
    files = {
      "lguest.ko": build.module(kernel),
      "adversaries": f"{places.HERE}/adversaries",
      **build.programs(),
    }
    with open(f"{places.HERE}/checks/{self._script}.sh") as script:
      text = "".join(f"{name}={value}\n" for name, value in self._settings.items())
      text += script.read()
    machine = Machine(self.name, kernel, text, files, **self._hardware)
    windows = self._meanwhile if isinstance(self._meanwhile, (Windows, Selectors)) else None
    if windows:
      windows.attach(machine, files["lguest.ko"])
    verdict = machine.run(_LIMIT, self._meanwhile)
    if windows:
      windows.finish(verdict)
    return verdict.result(machine)


def _matrix():
  fuzz = {
    "FUZZ_SEED": os.environ.get("FUZZ_SEED", "1"),
    "FUZZ_FIRST": os.environ.get("FUZZ_FIRST", "0"),
    "FUZZ_COUNT": os.environ.get("FUZZ_COUNT", "3000"),
  }
  return [
    Test("skylake", "Skylake-Client-v4, 2 CPUs, PTI", "full"),
    Test("endings", "sudden ends, leaks", "endings"),
    Test("fuzz", "random guest programs", "fuzz", settings=fuzz),
    Test("max", "max, 2 CPUs, KASLR, LA57", "cpu", cpu="max", append=""),
    Test("qemu64", "qemu64, 1 CPU", "cpu", cpu="qemu64", cpus=1),
    Test("epyc", "EPYC, 2 CPUs", "cpu", cpu="EPYC"),
    Test("backports", "the kernel of Debian's backports", "cpu", kernel="backports",
         cpu=_BACKPORTS_CPU),
    Test("nmi", "a storm of NMIs", "storm", meanwhile=Storm(_nmi, _NMI_EVERY),
         settings={"STORM_LEAST": 300}),
    # The other kernel is built without machine checks.
    Test("mce", "machine checks", "storm", kernel="backports", cpu=_BACKPORTS_CPU,
         # A second one within the handler of the first ends the machine.
         meanwhile=Storm(_mce, _MCE_EVERY, "Machine Check Exception:"), settings={"STORM_LEAST": 10}),
    Test("nmi-windows", "an NMI at each instruction of the Switcher", "windows",
         meanwhile=Windows(_nmi, 150), cpus=1),
    Test("mce-windows", "a machine check at each instruction of the Switcher", "windows",
         kernel="backports", cpu=_BACKPORTS_CPU, meanwhile=Windows(_mce, 150), cpus=1),
    Test("selectors", "a fault of the Switcher's own", "selectors", meanwhile=Selectors(), cpus=1),
    Test("hotplug", "three guests at once, and CPUs that go and come", "hotplug"),
    Test("events", "the module's trace events", "events", cpus=1),
    Test("spin", "a guest that spins for long", "spin", cpus=1, icount=True),
    # Each instruction takes 8 ns there, so that the figures repeat.
    Test("speed", "the figures of Kernel/README.md", "speed", cpus=1, icount=True),
  ]


def _unit():
  done = subprocess.run([build.unit_tests()], capture_output=True, text=True, timeout=_LIMIT)
  counts = re.search(r"^(\d+) passed, (\d+) failed$", done.stdout, re.MULTILINE)
  failures = re.findall(r"^FAILED: (.*)", done.stdout, re.MULTILINE)
  if not counts or (done.returncode != 0 and not failures):
    failures.append(f"the unit tests ended with {done.returncode}: {done.stderr[-1500:]}")
  return _result(int(counts[1]) if counts else 0, failures)


def _style():
  files, found = style.findings()
  return _result(0 if found else files, found)


def _result(passed, failures):
  return abreast.Result(passed, len(failures), [f"FAIL  {failure}" for failure in failures])


def main(arguments):
  jobs = {
    "unit": ("unit tests of the module's pure files", _unit),
    "style": ("checkpatch.pl --strict over the module", _style),
  }
  jobs |= {test.name: (f"{test.name} ({test.title})", test.run) for test in _matrix()}
  if arguments == ["--list"]:
    for test in _matrix():
      print(f"{test.name}: {test.title}")
    return 0
  unknown = [name for name in arguments if name not in jobs]
  if unknown:
    print(f"run.py: there is no {unknown[0]}; there are {', '.join(jobs)}", file=sys.stderr)
    return 2
  begin = time.monotonic()
  passed, failed = abreast.run(dict(job for name, job in jobs.items() if not arguments or name in arguments))
  print(f"{time.monotonic() - begin:.0f} s; logs in {os.path.relpath(places.ROOM)}")
  print(f"{passed} passed, {failed} failed")
  return 1 if failed else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
