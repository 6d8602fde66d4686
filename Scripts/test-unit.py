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
  """How many passed, and the names of those that failed; a run that breaks off is a failure."""
  with tempfile.TemporaryDirectory() as folder:
    code = subprocess.run(
      ["swift", "test", "--disable-xctest", "--xunit-output", f"{folder}/unit.xml"], cwd=ROOT).returncode
    passed, failed = 0, []
    for report in pathlib.Path(folder).glob("*.xml"):
      for case in xml.parse(report).iter("testcase"):
        if case.find("failure") is None and case.find("error") is None:
          passed += 1
        else:
          failed.append(f"{case.get('classname')}: {case.get('name')}")
  if passed == 0 and not failed:
    failed.append("swift test has reported no test")
  elif code != 0 and not failed:
    failed.append(f"swift test ended with {code}")
  return passed, failed


def run_proofs():
  passed, failed = 0, []
  for proof in sorted((ROOT / "Tests/Proofs").glob("*")):
    if not proof.is_file() or not proof.stat().st_mode & 0o100:
      continue
    start = time.monotonic()
    print(f"{proof.name}:", flush=True)
    good = subprocess.run([proof], cwd=ROOT).returncode == 0
    if good:
      passed += 1
    else:
      failed.append(proof.name)
    print(f"{'ok  ' if good else 'FAIL'}  {time.monotonic() - start:.1f} s  {proof.name}", flush=True)
  return passed, failed


def main():
  tests = run_swift_tests()
  proofs = run_proofs()
  passed, failed = tests[0] + proofs[0], tests[1] + proofs[1]
  for name in failed:
    print(f"FAIL  {name}")
  print(f"{passed} passed, {len(failed)} failed")
  return 1 if failed else 0


if __name__ == "__main__":
  sys.exit(main())
