#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`make test-lguest`: lgdev runs guests on the lguest module, on hosts in QEMU.

usage: transport.py [--list] [SCRIPT...]

Each SCRIPT of transport/ runs on a host with lguest.ko, the guest and the lgdev that was built
(environment LGDEV, default .build/release/lgdev); `demo` is `make demo`, `monitor` is `make demo-lguest`
with somebody at its terminal, `recordings` is `make record-lguest`, compared with what is committed. The last line is `N passed, N failed`; the exit
code is 0 when none failed. Logs are in .build/kernel/run.
"""

import glob
import os
import re
import subprocess
import sys
import time

import places
import build
import kernels
import recording
from failure import Failure
from machine import Machine
from typist import Typist

_SCRIPTS = f"{places.HERE}/transport"
# Seconds after which a host hangs: none needs half of it, however busy this machine is.
_SECONDS = 900
_LIMIT = 400  # MiB of the host's memory: lgdev alone is 20
# What a script's host has that others have not.
_HARDWARE = {"kicks": {"cpus": 1}}
# What is typed at the demo's monitor, and what is to be in the answer.
_TYPED = [
  ("mem", "32768 KiB"),
  ("blk copy 0 2048 256", "256 sectors read back, 0 KiB differ"),
  ("net ping", "4 of 4 answers"),
]


def _run(script):
  kernel = kernels.kernel("stable")
  files = {"lguest.ko": build.module(kernel), **build.programs(), **kernel.modules(), **build.lgdev()}
  with open(f"{_SCRIPTS}/{script}.sh") as source, open(f"{_SCRIPTS}/lib.inc") as shared:
    text = shared.read() + source.read()
  machine = Machine(f"transport-{script}", kernel, text, files, memory=_LIMIT, **_HARDWARE.get(script, {}))
  return machine.run(_SECONDS), machine


def _demo():
  """Runs the demo. - Returns: how many things it has shown, and what was wrong."""
  done = subprocess.run(
    [sys.executable, f"{places.HERE}/demo.py"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
  closing = re.search(r"^demo: all (\d+) things are as they should be", done.stdout, re.MULTILINE)
  if done.returncode == 0 and closing:
    return int(closing[1]), []
  lines = (done.stdout + done.stderr).splitlines()[-60:]
  return 0, [f"exit code {done.returncode}", *lines]


def _monitor():
  """Types at the demo's monitor. - Returns: how many answers were right, and what was wrong."""
  typist = Typist([sys.executable, f"{places.HERE}/demo.py", "--monitor"])
  try:
    typist.wait_for("lguest> ")
    for line, answer in _TYPED:
      typist.type(f"{line}\r")
      said = typist.wait_for("lguest> ")
      if answer not in said:
        return 0, [f"{line}: {said}"]
    typist.type("halt\r")
    code = typist.end()
    return (len(_TYPED) + 1, []) if code == 0 else (0, [f"exit code {code}"])
  except Failure as failure:
    return 0, [str(failure)]
  finally:
    typist.kill()


# What is run here, and not by a script on a host.
_OTHERS = {"demo": _demo, "monitor": _monitor, "recordings": recording.check}


def main(arguments):
  scripts = sorted(os.path.basename(path)[:-3] for path in glob.glob(f"{_SCRIPTS}/*.sh"))
  scripts = [*_OTHERS, *scripts]
  if arguments == ["--list"]:
    print("\n".join(scripts))
    return 0
  passed = failed = 0
  for script in arguments or scripts:
    start = time.monotonic()
    if script in _OTHERS:
      good, bad = _OTHERS[script]()
      passed, failed = passed + good, failed + bool(bad)
      print(f"{script}: {good} passed, {int(bool(bad))} failed, {time.monotonic() - start:.0f} s")
      print("".join(f"  {line}\n" for line in bad), end="", flush=True)
      continue
    try:
      verdict, machine = _run(script)
    except (Failure, OSError) as failure:
      print(f"{script}: FAIL  {failure}")
      failed += 1
      continue
    passed, failed = passed + len(verdict.passed), failed + len(verdict.failed)
    seconds = time.monotonic() - start
    print(f"{script}: {len(verdict.passed)} passed, {len(verdict.failed)} failed, {seconds:.0f} s")
    verdict.report()
    if verdict.failed:
      print(f"  log: {os.path.relpath(machine.log)}")
    sys.stdout.flush()
  print(f"{passed} passed, {failed} failed")
  return 1 if failed else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
