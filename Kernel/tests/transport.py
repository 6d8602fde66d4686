#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`make test-lguest`: lgdev runs guests on the lguest module, on hosts in QEMU.

usage: transport.py [--list] [SCRIPT...]

Each SCRIPT of transport/ runs on a host with lguest.ko, the guest and the lgdev that was built
(environment LGDEV, default .build/release/lgdev). The last line is `N passed, N failed`; the exit
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
from failure import Failure
from machine import Machine

_SCRIPTS = f"{places.HERE}/transport"
_SECONDS = 240
_LIMIT = 400  # MiB of the host's memory: lgdev alone is 20
# What a script's host has that others have not.
_HARDWARE = {"kicks": {"cpus": 1}}
# In load order.
_MODULES = ["net/tun", "../net/llc/llc", "../net/802/stp", "../net/bridge/bridge"]


def _program():
  """{path in the initrd: path here} of lgdev and the libraries that it needs."""
  lgdev = os.environ.get("LGDEV", f"{places.ROOT}/.build/release/lgdev")
  if not os.path.exists(lgdev):
    raise Failure(f"there is no {lgdev}: run make build")
  listed = subprocess.run(["ldd", lgdev], capture_output=True, text=True, check=True).stdout
  files = {"bin/lgdev": lgdev}
  for path in set(re.findall(r"(/\S+)\s+\(0x", listed)):
    folder = "lib64" if "ld-linux" in path else "lib"
    files[f"{folder}/{os.path.basename(path)}"] = path
  return files


def _modules(kernel):
  drivers = f"{kernel.root}/lib/modules/{kernel.release}/kernel/drivers"
  files = {}
  for name in _MODULES:
    path = os.path.normpath(f"{drivers}/{name}.ko")
    if os.path.exists(path):
      files[f"modules/{os.path.basename(path)}"] = path
  return files


def _run(script):
  kernel = kernels.kernel("stable")
  files = {"lguest.ko": build.module(kernel), **build.programs(), **_modules(kernel), **_program()}
  with open(f"{_SCRIPTS}/{script}.sh") as source, open(f"{_SCRIPTS}/lib.inc") as shared:
    text = shared.read() + source.read()
  machine = Machine(f"transport-{script}", kernel, text, files, memory=_LIMIT, **_HARDWARE.get(script, {}))
  return machine.run(_SECONDS), machine


def main(arguments):
  scripts = sorted(os.path.basename(path)[:-3] for path in glob.glob(f"{_SCRIPTS}/*.sh"))
  if arguments == ["--list"]:
    print("\n".join(scripts))
    return 0
  passed = failed = 0
  for script in arguments or scripts:
    start = time.monotonic()
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
