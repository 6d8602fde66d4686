#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A single check while working: boots one machine, runs one script in it, shows all that it says.

usage: check.py [--kernel stable|backports] [--cpu MODEL] [--cpus N] [--append WORDS]
                [--file NAME=PATH]... [--seconds N] SCRIPT

SCRIPT is a file for busybox's shell. It finds lguest.ko, launcher, guest and guest-pae in /, and
what --file adds; functions of machine/lib.sh are loaded. The log is left in .build/kernel/run.
"""

import argparse
import sys

import places
import build
import kernels
from failure import Failure
from machine import Machine


def main():
  parser = argparse.ArgumentParser(usage=__doc__)
  parser.add_argument("--kernel", choices=kernels.NAMES, default="stable")
  parser.add_argument("--cpu", default="Skylake-Client-v4")
  parser.add_argument("--cpus", type=int, default=2)
  parser.add_argument("--append", default="nokaslr")
  parser.add_argument("--file", action="append", default=[])
  parser.add_argument("--seconds", type=int, default=60)
  parser.add_argument("script")
  options = parser.parse_args()
  try:
    kernel = kernels.kernel(options.kernel)
    files = {"lguest.ko": build.module(kernel), **build.programs()}
    files.update(pair.split("=", 1) for pair in options.file)
    with open(options.script) as script:
      machine = Machine(
        "check", kernel, script.read(), files, cpu=options.cpu, cpus=options.cpus,
        append=options.append,
      )
    verdict = machine.run(options.seconds)
  except Failure as failure:
    print(f"check.py: {failure}", file=sys.stderr)
    return 1
  print(machine.output())
  for failed in verdict.failed:
    print(f"FAIL {failed}")
  print(f"{len(verdict.passed)} passed, {len(verdict.failed)} failed; log in {machine.log}")
  return 1 if verdict.failed else 0


if __name__ == "__main__":
  sys.exit(main())
