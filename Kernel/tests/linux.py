#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A real Linux guest on the module, in QEMU: checks, or the figures of Kernel/README.md.

usage: linux.py [--lgdev] [--icount] [--kernel stable|backports] [--cpu MODEL] [--memory MB] IMAGE [WORD...]

IMAGE is an i386 kernel, ELF or bzImage, that was built as an lguest guest (CONFIG_LGUEST_GUEST,
CONFIG_VIRTIO_BLK, CONFIG_HW_RANDOM_VIRTIO, CONFIG_BLK_DEV_INITRD, all built in); there is none in
this tree. Its init is linux/init.c; words are for that ("checks", "figures"; else checks) or for
the kernel. With --icount the host has one CPU on which each instruction takes 8 ns, so that
figures repeat. With --lgdev (the environment's LGDEV, default .build/release/lgdev) lgdev runs it, with all
four devices; else the little launcher of these tests. The last line is `N passed, N failed`; the log
is left in .build/kernel/run.
"""

import argparse
import sys

import places
import build
import kernels
from failure import Failure
from initramfs import Archive
from machine import Machine

_LAUNCHER = """launcher --counters --block=/tmp/disk --net --rng \
  --initrd=/linux.cpio {memory} /linux console=hvc0 {words}"""
_LGDEV = """lgdev serve --transport lguest --kernel /linux --initrd /linux.cpio \
  --memory {memory}M --console stdio --block path=/tmp/disk --net tap=tap0,address=10.0.0.1/24 --rng \
  --append "console=hvc0 {words}" """
_SCRIPT = """
truncate -s 4M /tmp/disk
read -r before idle </proc/uptime
check "the guest powers off" timeout {seconds} {command}
read -r after idle </proc/uptime
echo "@@figure start-to-power-off $(awk "BEGIN {{ print $after - $before }}") s"
tr -d '\\r' </tmp/check.out | sed -n 's/^figure /@@figure /p; s/^FAILED: .*/| &/p; s/^launcher: .*/| &/p'
has "it reaches user space" "linux: user space"
"""
_CHECKS = """
has "all its checks pass" " passed, 0 failed"
check "what it wrote is on the disk" grep -q "written by Linux" /tmp/disk
"""


def main():
  parser = argparse.ArgumentParser(usage=__doc__)
  parser.add_argument("--lgdev", action="store_true")
  parser.add_argument("--icount", action="store_true")
  parser.add_argument("--kernel", choices=kernels.NAMES, default="stable")
  parser.add_argument("--cpu", default="Skylake-Client-v4")
  parser.add_argument("--memory", type=int, default=64)
  parser.add_argument("--seconds", type=int, default=60)
  parser.add_argument("image")
  parser.add_argument("words", nargs="*", default=["checks"])
  options = parser.parse_args()
  try:
    verdict, log = _run(options)
  except Failure as failure:
    print(f"linux.py: {failure}", file=sys.stderr)
    return 1
  for name, value in verdict.figures.items():
    print(f"{name}: {value}")
  for failed in verdict.failed:
    print(f"FAIL {failed}")
  print(f"log in {log}")
  print(f"{len(verdict.passed)} passed, {len(verdict.failed)} failed")
  return 1 if verdict.failed else 0


def _run(options):
  kernel = kernels.kernel(options.kernel)
  initrd = f"{places.CACHE}/linux.cpio"
  with open(initrd, "wb") as output:
    output.write(_guest_initrd(build.linux_init()))
  files = {
    "lguest.ko": build.module(kernel), **build.programs(), "linux": options.image, "linux.cpio": initrd,
  }
  command, prelude = _LAUNCHER, "load\n"
  if options.lgdev:
    command = _LGDEV
    files |= {**kernel.modules(), **build.lgdev()}
    with open(f"{places.HERE}/transport/lib.inc", encoding="utf-8") as library:
      prelude = library.read()
  command = command.format(memory=options.memory, words=" ".join(options.words))
  script = prelude + _SCRIPT.format(seconds=options.seconds, command=command)
  if "checks" in options.words:
    script += _CHECKS
  machine = Machine(
    "linux", kernel, script, files, cpu=options.cpu, memory=(640 if options.lgdev else 320) + options.memory,
    cpus=1 if options.icount else 2, icount=options.icount,
  )
  return machine.run(options.seconds + 30), machine.log


def _guest_initrd(init):
  archive = Archive()
  archive.folder("dev")
  archive.device("dev/console", 5, 1)
  archive.file("init", init)
  return archive.finish()


if __name__ == "__main__":
  sys.exit(main())
