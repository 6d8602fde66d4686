#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what neither the compiler nor swift-format does, and ends with the number of findings.

- Each source file names its licence in the first lines.
- The word `unsafe` stands in fence files only, and every use there has a `SAFETY:` line in reach.
- `fatalError` and `try!` stand nowhere in Sources, nor does an atomic that traps on overflow: `add` and
  `subtract` do, `wrappingAdd` and `wrappingSubtract` do not.
- Library targets do not import Foundation; VirtioRing and VirtioTesting do not import the system.
"""

import re
import sys

from findings import ROOT, files, report

LICENCE = "SPDX-License-Identifier: Apache-2.0"
KERNEL_LICENCE = "SPDX-License-Identifier: GPL-2.0-only"  # What is loaded into or runs beside Linux.
SOURCE_SUFFIXES = {".swift", ".c", ".h", ".S", ".lds", ".py", ".sh", ".modulemap"}
SOURCE_NAMES = {"Makefile", "Kbuild", "run"}

# A fence is a file that may hold raw memory; a module has one, with the exceptions written here.
FENCE_NAMES = re.compile(r"Memory\.swift$")
FENCES = ("Sources/Backends/GuestIO.swift", "Sources/Backends/Block/IOUring.swift", "Sources/Linux/")
# A `SAFETY:` line speaks for what follows it closely; `SAFETY (all four): …` for what follows it in the
# same type or extension.
SAFETY_REACH = 12

COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"""(?:.|\n)*?"""|"(?:\\.|[^"\\\n])*"', re.DOTALL)


TRAPPING_ATOMIC = re.compile(r"\.(add|subtract)\((?=(?:[^()]|\((?:[^()]|\([^()]*\))*\))*\bordering\s*:)")


def code_of(text):
  """The text without comments and strings, lines kept in place."""
  return COMMENT_OR_STRING.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def is_fence(path):
  return path.startswith(FENCES) or bool(FENCE_NAMES.search(path))


def findings_in(path, text):
  lines = text.splitlines()
  licence = KERNEL_LICENCE if path.startswith("Kernel/") else LICENCE
  if not any(licence in line for line in lines[:3]):
    yield 1, f"no line '{licence}'"
  if not (path.endswith(".swift") and path.startswith("Sources/")):
    return
  module = path.split("/")[1]
  code = code_of(text)
  for call in TRAPPING_ATOMIC.finditer(code):
    wrapping = f"wrapping{call[1].capitalize()}"
    yield code.count("\n", 0, call.start()) + 1, f"an atomic {call[1]} that traps on overflow; use {wrapping}"
  code = code.splitlines()
  group = None
  for number, line in enumerate(code, 1):
    if line.startswith("}"):
      group = None
    if "SAFETY (" in lines[number - 1]:
      group = number
    # `@unsafe` is a promise asked of the caller, and no use of memory: it may stand anywhere.
    if re.search(r"(?<!@)\bunsafe\b|@safe\b|\bUnmanaged\b", line):
      if not is_fence(path):
        yield number, "unsafe code outside the fence files"
      elif group is None and re.search(r"(?<![@(])\bunsafe\b", line):
        before = lines[max(0, number - 1 - SAFETY_REACH):number]
        if not any("SAFETY:" in earlier for earlier in before):
          yield number, "unsafe without a SAFETY: line"
    if re.search(r"\bfatalError\b|\btry!", line):
      yield number, "fatalError or try!"
    imported = re.match(r"\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:\w+\s+)?import\s+(\w+)", line)
    if imported:
      if imported[1].startswith("Foundation") and module != "lgdev":
        yield number, "Foundation in a library target"
      if module in ("VirtioRing", "VirtioTesting") and imported[1] in ("Glibc", "Linux", "CLinux"):
        yield number, f"{module} reaches for the operating system"


def findings():
  for path in files():
    file = ROOT / path
    if file.suffix in SOURCE_SUFFIXES or file.name in SOURCE_NAMES:
      for number, finding in findings_in(path, file.read_text(errors="replace")):
        yield f"{path}:{number}: {finding}"


if __name__ == "__main__":
  sys.exit(report("check-sources", findings()))
