#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`make test-lguest`: lgdev runs guests on the lguest module, on hosts in QEMU.

usage: transport.py [--list] [SCRIPT...]

Each SCRIPT of transport/ runs on a host with lguest.ko, the guest and the lgdev that was built
(environment LGDEV, default .build/release/lgdev); `demo` is `make demo`, `monitor` is `make demo-lguest`
with somebody at its terminal, `recordings` is `make record-lguest`, compared with what is committed. The last
line is `N passed, N failed`; the exit code is 0 when none failed. Environment: JOBS (abreast.py). Logs are in
.build/kernel/run.
"""

import functools
import glob
import os
import re
import subprocess
import sys

import places
import abreast
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
# Its tracing is turned on and off: see checks/events.sh.
_HARDWARE = {"kicks": {"cpus": 1}, "barriers": {"cpus": 1}}
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
  return machine.run(_SECONDS).result(machine)


def _demo():
  """Runs the demo."""
  done = subprocess.run(
    [sys.executable, f"{places.HERE}/demo.py"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
  closing = re.search(r"^demo: all (\d+) things are as they should be", done.stdout, re.MULTILINE)
  if done.returncode == 0 and closing:
    return abreast.Result(int(closing[1]), 0, [])
  lines = (done.stdout + done.stderr).splitlines()[-60:]
  return abreast.Result(0, 1, [f"FAIL  exit code {done.returncode}", *lines])


def _monitor():
  """Types at the demo's monitor, and looks at the answers."""
  typist = Typist([sys.executable, f"{places.HERE}/demo.py", "--monitor"])
  try:
    typist.wait_for("lguest> ")
    for line, answer in _TYPED:
      typist.type(f"{line}\r")
      said = typist.wait_for("lguest> ")
      if answer not in said:
        raise Failure(f"{line}: {said}")
    typist.type("halt\r")
    code = typist.end()
    if code != 0:
      raise Failure(f"exit code {code}")
    return abreast.Result(len(_TYPED) + 1, 0, [])
  finally:
    typist.kill()


def _recordings():
  good, bad = recording.check()
  return abreast.Result(good, int(bool(bad)), [f"FAIL  {bad[0]}", *bad[1:]] if bad else [])


# What is run here, and not by a script on a host. The demo and its monitor wait for each other.
_OTHERS = {"demo": _demo, "recordings": _recordings, "monitor": _monitor}


def main(arguments):
  scripts = sorted(os.path.basename(path)[:-3] for path in glob.glob(f"{_SCRIPTS}/*.sh"))
  jobs = {**_OTHERS, **{script: functools.partial(_run, script) for script in scripts}}
  if arguments == ["--list"]:
    print("\n".join(jobs))
    return 0
  unknown = [name for name in arguments if name not in jobs]
  if unknown:
    print(f"transport.py: there is no {unknown[0]}; there are {', '.join(jobs)}", file=sys.stderr)
    return 2
  passed, failed = abreast.run({name: jobs[name] for name in arguments or jobs})
  print(f"{passed} passed, {failed} failed")
  return 1 if failed else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
