# SPDX-License-Identifier: Apache-2.0
"""A guest with disks, network cards and consoles, on what runs on this machine.

User-mode Linux is quick, so it is tried first, in its oldest and then in its newest version. Which of them
runs depends on the processor: 6.1 panics where the state of its floating-point unit is larger than
that kernel has room for (Intel's AMX). Whether one runs is found out by letting it boot. Where none does, QEMU
plays its part, which is slower.
"""

import uml
from qemu import Qemu
from uml import Uml
from versions import BOTH, NEWEST

_found = {}


def choose(room):
  """The version of User-mode Linux that boots here, tried once; None if none does."""
  if "version" not in _found:
    _found["version"] = try_all(room)
  return _found["version"]


def try_all(room):
  """The oldest version that boots here, tried now; None if none does."""
  return next((version for version in BOTH if uml.runs(room, version)), None)


def name(room):
  """What plays the guests, for people."""
  version = choose(room)
  if not version:
    return "QEMU (no User-mode Linux boots on this machine)"
  return f"User-mode Linux {uml.release(room, version)}"


def make(room, title, blocks=(), nets=(), consoles=()):
  """A guest that is to be booted; all of its devices are back-ends' sockets."""
  return make_with(choose(room), room, title, blocks, nets, consoles)


def make_with(version, room, title, blocks=(), nets=(), consoles=()):
  """The same with that version of User-mode Linux, or QEMU."""
  if version:
    return Uml(room, title, blocks=blocks, nets=nets, consoles=consoles, version=version)
  return Qemu(
    room,
    title,
    blocks=[(path, "") for path in blocks],
    nets=nets,
    consoles=consoles,
    version=NEWEST,
    tools=True,
    queues=1,
  )
