#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs everything that needs no guest: the unit tests, then each proof in Tests/Proofs.

A proof is an executable file that ends with 0 when what its first comment says holds. The last line is
`N passed, N failed`, over tests and proofs; the exit code is 0 when none failed.
"""

import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run_swift_tests():
  """(passed, failed) of `swift test`; a run that breaks off is at least one failure."""
  with tempfile.TemporaryDirectory() as folder:
    code = subprocess.run(
      ["swift", "test", "--disable-xctest", "--xunit-output", f"{folder}/unit.xml"], cwd=ROOT).returncode
    passed = failed = 0
    for report in pathlib.Path(folder).glob("*.xml"):
      for case in xml.parse(report).iter("testcase"):
        if case.find("failure") is None and case.find("error") is None:
          passed += 1
        else:
          failed += 1
  if passed + failed == 0:
    print("test-unit: swift test has reported no test", flush=True)
    failed = 1
  elif code != 0 and failed == 0:
    print(f"test-unit: swift test ended with {code}", flush=True)
    failed = 1
  return passed, failed


def run_proofs():
  passed = failed = 0
  for proof in sorted((ROOT / "Tests/Proofs").glob("*")):
    if not proof.is_file() or not proof.stat().st_mode & 0o100:
      continue
    start = time.monotonic()
    print(f"{proof.name}:", flush=True)
    good = subprocess.run([proof], cwd=ROOT).returncode == 0
    passed, failed = passed + good, failed + (not good)
    print(f"{'ok  ' if good else 'FAIL'}  {time.monotonic() - start:.1f} s  {proof.name}", flush=True)
  return passed, failed


def main():
  tests = run_swift_tests()
  proofs = run_proofs()
  passed, failed = tests[0] + proofs[0], tests[1] + proofs[1]
  print(f"{passed} passed, {failed} failed")
  return 1 if failed else 0


if __name__ == "__main__":
  sys.exit(main())
