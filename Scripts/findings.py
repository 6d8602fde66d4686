# SPDX-License-Identifier: Apache-2.0
"""What the checks of this folder share: the tree's files, and how what was found is told."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def files():
  """All files that git knows or would add, as paths from the root, in order."""
  listed = subprocess.run(
    ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
  return sorted(path for path in listed.stdout.splitlines() if (ROOT / path).is_file())


def report(check, findings):
  """Prints findings, a line each. - Returns: the check's exit code."""
  count = 0
  for finding in findings:
    print(finding)
    count += 1
  print(f"{check}: {count} findings" if count else f"{check}: no finding")
  return 1 if count else 0
