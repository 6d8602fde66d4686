#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`make demo-lguest`: QEMU boots Debian's kernel, loads lguest.ko and starts the demo guest.

usage: demo.py [LAUNCHER_ARGUMENT... /guest|/guest-pae WORD...]

The terminal is the guest's console: type help there. `halt` ends the guest and the machine; so does
Ctrl-A X at any time.
"""

import sys

import build
import kernels
from failure import Failure
from machine import Machine

_SCRIPT = """
insmod /lguest.ko
truncate -s 8M /tmp/disk
cat <<END

  Host:  $(uname -sr), $(grep -c ^processor /proc/cpuinfo) CPUs, no hardware virtualisation
  Guest: launcher $ARGUMENTS

END
# shellcheck disable=SC2086 # words are meant
launcher $ARGUMENTS
reboot -f
"""


def main(arguments):
  words = arguments or ["--block=/tmp/disk", "--net", "--rng", "16", "/guest"]
  try:
    print("demo-lguest: building the module, the launcher and the guest", flush=True)
    kernel = kernels.kernel("stable")
    files = {"lguest.ko": build.module(kernel), **build.programs()}
    script = f"ARGUMENTS='{' '.join(words)}'\n{_SCRIPT}"
    machine = Machine(
      "demo", kernel, script, files, cpu="max", append="loglevel=3", serial="mon:stdio"
    )
    print("demo-lguest: booting; Ctrl-A X ends everything", flush=True)
    return machine.talk()
  except Failure as failure:
    print(f"demo-lguest: {failure}", file=sys.stderr)
    return 1


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
