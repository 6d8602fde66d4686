#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares docs/features.md with the tests: every name in it exists, and every suite is in it."""

import re
import subprocess
import sys

from findings import ROOT, report


def test_names():
  """The names of all tests, and of the files that hold them."""
  files, names = set(), set()
  for file in ROOT.glob("Tests/*Tests/*.swift"):
    text = file.read_text()
    if "@Test" not in text:
      continue
    files.add(file.stem)
    # A name may be split over lines with "+".
    joined = re.sub(r'"\s*\+\s*"', "", text)
    names.update(re.findall(r'@Test\(\s*"((?:[^"\\]|\\.)*)"', joined))
    names.update(re.findall(r"func `([^`]+)`", text))
  return files, names


def bed_names():
  listed = subprocess.run(
    [sys.executable, ROOT / "Tests/Beds/run.py", "--list"], capture_output=True, text=True, check=True)
  return set(re.findall(r"^[\w-]+: (.*) \(at most \d+ s\)$", listed.stdout, re.MULTILINE))


def kernel_names():
  """The checks of Kernel/: machines, adversaries, and the titles in the tests' own sources."""
  kernel = ROOT / "Kernel"
  listed = subprocess.run(
    [sys.executable, kernel / "tests/run.py", "--list"], capture_output=True, text=True, check=True)
  names = set(re.findall(r"^[\w-]+: (.*)$", listed.stdout, re.MULTILINE))
  for line in (kernel / "tests/adversaries").read_text().splitlines():
    if line and not line.startswith("#"):
      names.add("adversary " + line.split()[0])
  for file in (
    *kernel.glob("guest/check_*.c"), *kernel.glob("tests/unit/test_*.c"),
    *kernel.glob("tests/host/device*.c"), *kernel.glob("tests/checks/*.sh"), *kernel.glob("tests/transport/*.sh"),
    kernel / "tests/machine/lib.sh", kernel / "tests/demo.sh",
  ):
    names.update(re.findall(r'"((?:[^"\\\n]|\\.)*)"', file.read_text()))
    # As a command of a shell script names it.
    names.update(re.findall(r"^ *(?:ok|answer_has|holds) '([^']*)'", file.read_text(), re.MULTILINE))
  return names


def findings():
  files, names = test_names()
  names |= bed_names() | kernel_names()
  rows = [line for line in (ROOT / "docs/features.md").read_text().splitlines() if line.startswith("|")]
  shown = "\n".join(row.rsplit("|", 2)[1] for row in rows)
  troubles = []
  for suite in sorted(set(re.findall(r"`(\w+Tests)`", shown)) - files):
    troubles.append(f"there is no suite {suite}")
  for name in sorted(set(re.findall(r'"([^"]+)"', shown)) - names):
    troubles.append(f'there is no test "{name}"')
  for proof in sorted(set(re.findall(r"`([\w-]+\.sh)`", shown))):
    if not (ROOT / "Tests/Proofs" / proof).is_file():
      troubles.append(f"there is no proof {proof}")
  for suite in sorted(files - set(re.findall(r"`(\w+Tests)`", shown))):
    troubles.append(f"{suite} is not named")
  return [f"docs/features.md: {trouble}" for trouble in troubles]


if __name__ == "__main__":
  sys.exit(report("check-features", findings()))
