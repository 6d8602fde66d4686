#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`make record-lguest`: records /dev/lguest, for tests that have none.

Runs recordings.sh on a host with the module, puts into order what host/record.c has written down there, and
writes a file for each recording into Tests/LguestTransportTests/Recordings. Replayed by RecordedHost.swift,
which says what the lines mean. `make test-lguest` records anew, writes nothing, and fails where a line differs.

What differs from run to run, or from compiler to compiler, is not in a recording:

- Addresses of the process and numbers of descriptors: host/record.c says what they are. Where in its
  memory the guest has a string that it wants to be printed: TEXT. Where in its code a guest dies.
- How the threads were interleaved: each thread's calls are together.
- How many interrupts a queue's thread sends: once stands for many. One that comes after the guest's end
  is refused, and whether one does is chance: it is left out. So is the closing of duplicates.
- How many hypercalls the guest has made: some or none.
- How often in turn a signal ended the guest's run: once stands for many.
"""

import difflib
import os
import re
import sys

import places
import build
import kernels
from failure import Failure
from machine import Machine

FOLDER = f"{places.ROOT}/Tests/LguestTransportTests/Recordings"
# The thread that looks whether a guest can be run, and the one that runs it.
_MAIN, _GUEST = "lgdev", "guest"
_SECONDS = 900
_MEMORY = 400  # MiB of the host's: lgdev alone is 20


def _host():
  """Runs the script on a host. - Returns: its verdict, and {name: what was written down}."""
  kernel = kernels.kernel("stable")
  files = {"lguest.ko": build.module(kernel), **build.programs(), **kernel.modules(), **build.lgdev()}
  with open(f"{places.HERE}/recordings.sh") as source, open(f"{places.HERE}/transport/lib.inc") as shared:
    text = shared.read() + source.read()
  machine = Machine("transport-recordings", kernel, text, files, memory=_MEMORY)
  verdict = machine.run(_SECONDS)
  raw = {}
  for name, line in re.findall(r"^@@raw (\S+) (.*)", machine.output(), re.MULTILINE):
    raw.setdefault(name, []).append(line)
  header = [
    f"# Recorded on /dev/lguest of Kernel/module, Linux {kernel.release} in QEMU, by Kernel/tests/recordings.sh.",
    "# Made by `make record-lguest`; Kernel/tests/recording.py says what is left out.",
  ]
  return verdict, {name: (header, _order(name, lines)) for name, lines in raw.items()}


class _Devices:
  """Where the guest's devices and rings are, from the page that describes them."""

  def __init__(self, address, page):
    self.end = address
    self._devices, self._rings = {}, set()
    at = 0
    while at < len(page):
      _, queues, features, config, _ = page[at : at + 5]
      self._devices[address + at] = (5 + 8 * queues + features, features)
      for queue in range(queues):
        start = at + 5 + 8 * queue + 4
        self._rings.add(int.from_bytes(page[start : start + 4], "little") << 12)
      at += 5 + 8 * queues + 2 * features + config

  def seen(self, address, memory):
    """What the launcher sees in the guest's memory when it is told of that address."""
    if address in self._devices:
      at, count = self._devices[address]
      accepted = f" accepted {memory[at : at + count].hex()}" if count else ""
      return f"{address:x} status {memory[4]}{accepted}"
    if address in self._rings or address >= self.end:
      return f"{address:x}"
    text = memory.split(b"\0")[0]
    return f"TEXT {_quoted(text)}"


def _quoted(text):
  shown = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in text)
  return f'"{shown}"'


# Where in our guest's code a trap came.
_INSTRUCTION = re.compile(rb" at 0xc01[0-9a-f]{5} ")


def _answer(result, data):
  """A read's result as it is shown: the address of a notify, or text."""
  if len(data) == 8:
    return f"{result} notified {int.from_bytes(data, 'little'):x}"
  data = _INSTRUCTION.sub(b" at 0xc0100000 ", data)
  return f"{result} text {_quoted(data)}"


def _order(name, lines):
  calls, devices, opened = [], None, set()
  for line in lines:
    if re.match(r"row |guest ", line):
      calls.append((None, "", line))
      continue
    task, thread, call = line.split(" ", 2)
    if found := re.match(r"page (\w+): (\w*)", call):
      devices = _Devices(int(found[1], 16), bytes.fromhex(found[2])) if found[2] else None
      if not devices:
        continue
    elif found := re.match(r"memory (\w+): (\w+)", call):
      if devices:
        # Of the read before.
        at = max(i for i, other in enumerate(calls) if other[0] == task)
        before = calls[at][2].rsplit(" ", 1)[0]
        seen = devices.seen(int(found[1], 16), bytes.fromhex(found[2]))
        calls[at] = (task, thread, f"{before} {seen}")
      continue
    elif found := re.match(r"hypercalls (\d+)", call):
      at = max(i for i, other in enumerate(calls) if other[0] == task)
      made = "some" if found[1] != "0" else "none"
      calls[at] = (task, thread, f"{calls[at][2]} hypercalls {made}")
      continue
    elif found := re.match(r"(read .*) = (\d+): (\w+)", call):
      call = f"{found[1]} = {_answer(found[2], bytes.fromhex(found[3]))}"
    elif found := re.match(r"open = (\d+)", call):
      opened.add((thread, found[1]))
      call = "open = 0"
    elif found := re.match(r"close (\d+) = (.*)", call):
      if (thread, found[1]) not in opened:
        continue
      opened.remove((thread, found[1]))
      call = f"close = {found[2]}"
    calls.append((task, thread, call))
  if name == "rows":
    return [call if task is None else f"{thread}: {call}" for task, thread, call in calls]
  return _by_thread(calls)


def _by_thread(calls):
  """Lives one after the other, and in each the guest's thread before those of the queues."""
  lives = [{}]
  life_of, runners = {}, {task for task, thread, call in calls if thread == _GUEST}
  for task, thread, call in calls:
    if task in runners and call == "open = 0" and _GUEST in lives[-1]:
      lives.append({})
    # A queue's thread belongs to the life in which it was first seen.
    life = lives[-1] if task in runners else life_of.setdefault(task, lives[-1])
    mine = life.setdefault(thread, [])
    if thread == _GUEST:
      if not (call.endswith("= EINTR") and mine and mine[-1] == call):
        mine.append(call)
    elif not re.match(r"write 16: 2 .* = ENOENT", call) and (call not in mine or "write" not in call):
      mine.append(call)
  ordered = []
  for life in lives:
    for thread in sorted(life, key=lambda thread: (thread != _MAIN, thread != _GUEST, thread)):
      ordered += [f"{thread}: {call}" for call in life[thread]]
  return ordered


def _committed(name):
  try:
    with open(f"{FOLDER}/{name}.txt") as file:
      return [line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")]
  except FileNotFoundError:
    return []


def check():
  """Records anew. - Returns: how many recordings are as they were, and what was wrong."""
  try:
    verdict, made = _host()
  except (Failure, OSError) as failure:
    return 0, [str(failure)]
  bad, good = list(verdict.failed), len(verdict.passed)
  names = {os.path.splitext(file)[0] for file in os.listdir(FOLDER)}
  for name in sorted(names | set(made)):
    lines = made[name][1] if name in made else []
    changes = [
      line for line in difflib.unified_diff(_committed(name), lines, "committed", "anew", n=1, lineterm="")]
    good += not changes
    if changes:
      bad += [f"{name}: /dev/lguest is not as recorded:", *changes[2:42]]
  return good, bad


def main():
  verdict, made = _host()
  print("\n".join(verdict.lines()))
  if verdict.failed:
    return 1
  os.makedirs(FOLDER, exist_ok=True)
  for name, (header, lines) in made.items():
    with open(f"{FOLDER}/{name}.txt", "w") as file:
      file.write("\n".join([*header, *lines]) + "\n")
    print(f"{os.path.relpath(FOLDER)}/{name}.txt: {len(lines)} lines")
  return 0


if __name__ == "__main__":
  sys.exit(main())
