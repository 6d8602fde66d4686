#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs everything that needs no guest: the unit tests, then each proof in Tests/Proofs.

A proof is an executable file that ends with 0 when what its first comment says holds. The last line is
`N passed, N failed`, over tests and proofs; the exit code is 0 when none failed. What hangs is ended, named
and counted as failed.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent

# How long things may take on a slow and busy machine, in seconds.
BUILD = 3600
TESTS = 1800
PROOF = 1200


def run(command, seconds, note=lambda line: None):
  """Runs a command and passes its output on, line by line; `note` sees each line.

  Returns its exit code, or None where it has taken too long and was ended with all that it had started.
  """
  process = subprocess.Popen(
    command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    start_new_session=True)
  late = threading.Event()

  def end():
    late.set()
    os.killpg(process.pid, signal.SIGKILL)

  timer = threading.Timer(seconds, end)
  timer.start()
  try:
    for line in process.stdout:
      print(line, end="", flush=True)
      note(line)
    code = process.wait()
  except KeyboardInterrupt:
    end()
    raise
  finally:
    timer.cancel()
  return None if late.is_set() else code


def _printable(text):
  """Without the control characters that a failure's message may quote and that XML has no way to write."""
  return re.sub(r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]", "\N{REPLACEMENT CHARACTER}", text)


class Progress:
  """Which tests have begun and not ended, and what went wrong, from what swift test prints."""

  def __init__(self):
    self.running, self.passed, self.failed, self.issues = [], 0, [], []

  def note(self, line):
    if issue := re.search(r" recorded an issue(?: .*?)? at (.*)", line):
      self.issues.append(issue[1])
    elif begun := re.match(r"\S+ Test (?!case |run )(.+) started\.$", line):
      self.running.append(begun[1])
    elif ended := re.match(
        r"\S+ Test (?!case |run )(.+?)(?: with \d+ test cases?)? (passed|failed) after ", line):
      if ended[1] in self.running:
        self.running.remove(ended[1])
      if ended[2] == "passed":
        self.passed += 1
      else:
        self.failed.append(ended[1])


def run_swift_tests():
  """How many passed, the names of those that failed, and what they found; a run that breaks off is a failure."""
  code = run(["swift", "build", "--build-tests"], BUILD)
  if code != 0:
    return 0, [f"swift build has not ended within {BUILD} s" if code is None else "swift build"], []
  progress = Progress()
  with tempfile.TemporaryDirectory() as folder:
    code = run(
      ["swift", "test", "--skip-build", "--disable-xctest", "--xunit-output", f"{folder}/unit.xml"],
      TESTS, progress.note)
    if code is None:
      hung = [f"{name} has not ended within {TESTS} s" for name in progress.running]
      return progress.passed, progress.failed + (
        hung or [f"swift test has not ended within {TESTS} s"]), progress.issues
    passed, failed = 0, []
    for report in pathlib.Path(folder).glob("*.xml"):
      for case in xml.fromstring(_printable(report.read_text(errors="replace"))).iter("testcase"):
        if case.find("failure") is None and case.find("error") is None:
          passed += 1
        else:
          failed.append(f"{case.get('classname')}: {case.get('name')}")
  if passed == 0 and not failed:
    failed.append("swift test has reported no test")
  elif code != 0 and not failed:
    failed.append(f"swift test ended with {code}")
  # Told once more at the end, where it is looked for; what a thread of a test finds names no test.
  return passed, failed, progress.issues


def run_proofs():
  passed, failed = 0, []
  for proof in sorted((ROOT / "Tests/Proofs").glob("*")):
    if not proof.is_file() or not proof.stat().st_mode & 0o100:
      continue
    start = time.monotonic()
    print(f"{proof.name}:", flush=True)
    code = run([proof], PROOF)
    if code == 0:
      passed += 1
    else:
      failed.append(
        f"{proof.name} has not ended within {PROOF} s" if code is None else proof.name)
    print(
      f"{'ok  ' if code == 0 else 'FAIL'}  {time.monotonic() - start:.1f} s  {proof.name}", flush=True)
  return passed, failed


def main():
  passed, failed, issues = run_swift_tests()
  proofs = run_proofs()
  passed, failed = passed + proofs[0], failed + proofs[1]
  for name in failed:
    print(f"FAIL  {name}")
  for issue in issues:
    print(f"      {issue}")
  print(f"{passed} passed, {len(failed)} failed")
  return 1 if failed else 0


if __name__ == "__main__":
  sys.exit(main())
