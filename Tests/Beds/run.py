#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the beds: real front-ends against `lgdev serve --transport vhost-user`.

usage: run.py [--list] [BED[/WORD]...]

Without names every bed runs. BED/WORD runs a bed only as far as the last test whose title holds
WORD: what a test needs, earlier ones have made. A bed named twice runs once, as far as either
asks. Several beds run abreast, each in a room of its own, and what one says is shown when it ends. The last
line is `N passed, N failed`; the exit code is 0 when none failed. Environment: LGDEV (the program under
test, default .build/release/lgdev), LGDEV_LOG_LEVEL, LGDEV_BED_BROKEN (versions.py), JOBS (abreast.py).
"""

import functools
import os
import re
import signal
import subprocess
import sys
import time

import abreast
import guests
import lgdev
import sandbox
from bed_block import BlockBed
from bed_dpdk import DpdkBed
from bed_fuse import FuseBed
from bed_fuse_live import FuseLiveBed
from bed_fuse_mount import FuseMountBed
from bed_guests import GuestsBed
from bed_pause import PauseBed
from bed_qemu import QemuBed
from bed_uml import UmlBed
from failure import Failure
from patience import patience

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.join(os.path.dirname(os.path.dirname(HERE)), ".build", "beds")
# The longest first.
BEDS = [PauseBed, QemuBed, BlockBed, UmlBed, DpdkBed, GuestsBed]
# Run by name, by `make test-fuse`.
OTHERS = [FuseBed, FuseMountBed, FuseLiveBed]


def _out_of_time(*_):
  raise Failure("ran out of its time")


def _run_test(bed, method, seconds):
  """None when it passed, else why not."""
  signal.signal(signal.SIGALRM, _out_of_time)
  signal.alarm(patience(seconds))
  try:
    return True, getattr(bed, method)()
  except Failure as failure:
    return False, str(failure)
  except (
    Exception
  ) as error:  # A defect of the bed itself, or a system call that failed: shown, counted.
    return False, f"{type(error).__name__}: {error}"
  finally:
    signal.alarm(0)


def _as_far_as(words, tests):
  while tests and not any(word in tests[-1][1] for word in words):
    tests.pop()
  return tests


def _run_bed(kind, words, room):
  """(passed, failed) of one bed."""
  passed = failed = 0
  unreachable = None
  bed = kind(room)
  print(f"{kind.name}:", flush=True)
  try:
    for method, title, seconds, essential in _as_far_as(words, kind.tests()):
      if unreachable:
        failed += 1
        print(f"  FAIL          {title}: not reached, since '{unreachable}' failed", flush=True)
        continue
      start = time.monotonic()
      good, note = _run_test(bed, method, seconds)
      took = time.monotonic() - start
      if good:
        passed += 1
        print(f"  ok    {took:5.1f} s  {title}{f' ({note})' if note else ''}", flush=True)
      else:
        failed += 1
        print(f"  FAIL  {took:5.1f} s  {title}: {note}", flush=True)
        bed.after_failure()
        if essential:
          unreachable = title
  finally:
    bed.close()
  return passed, failed


def _run_alone(name, words):
  """A bed in a process of its own. - Returns: what came of it."""
  command = [sys.executable, os.path.abspath(__file__), *(f"{name}/{word}" for word in words)]
  done = subprocess.run(
    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
  lines = done.stdout.splitlines()
  counts = re.fullmatch(r"(\d+) passed, (\d+) failed", lines[-1]) if lines else None
  if not counts:
    return abreast.Result(0, 1, [*lines, f"FAIL  ended with {done.returncode}"])
  return abreast.Result(int(counts[1]), int(counts[2]), lines[:-1])


def _run_all(chosen):
  passed, failed = abreast.run({name: functools.partial(_run_alone, name, words) for name, words in chosen.items()})
  print(f"{passed} passed, {failed} failed")
  return 1 if failed else 0


def main(arguments):
  # A bed that is named twice runs once, as far as the later of its words.
  chosen = {}
  for argument in arguments or [kind.name for kind in BEDS]:
    name, _, word = argument.partition("/")
    chosen.setdefault(name, []).append(word)
  by_name = {kind.name: kind for kind in BEDS + OTHERS}
  if arguments == ["--list"]:
    for kind in BEDS + OTHERS:
      for _, title, seconds, _ in kind.tests():
        print(f"{kind.name}: {title} (at most {seconds} s)")
    return 0
  unknown = [name for name in chosen if name not in by_name]
  if unknown:
    print(
      f"run.py: there is no bed '{unknown[0]}'; there are {', '.join(by_name)}", file=sys.stderr
    )
    return 2
  lgdev.program()
  if os.environ.get(sandbox.MARK) is None:
    if subprocess.run([f"{HERE}/setup.sh", CACHE]).returncode != 0:
      return 1
  if len(chosen) > 1:
    return _run_all(chosen)
  sandbox.enter()
  # nohup(1) and shells in the background have programs ignore these, and what beds start would, too.
  signal.signal(signal.SIGINT, signal.default_int_handler)
  for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
  start = time.monotonic()
  [(name, words)] = chosen.items()
  with sandbox.Room(CACHE, f"run/{name}") as room:
    print(f"Guests of User-mode Linux's kind: {guests.name(room)}", flush=True)
    passed, failed = _run_bed(by_name[name], words, room)
  print(f"{time.monotonic() - start:.0f} s; logs in {os.path.relpath(room.path)}")
  print(f"{passed} passed, {failed} failed")
  return 1 if failed else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
