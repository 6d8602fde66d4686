# SPDX-License-Identifier: GPL-2.0-only
"""Builds what a test host gets: the module against a kernel's headers, the guest, the launcher.

The module is built in a copy of its sources, a folder a kernel, so that the tree stays clean and
two kernels do not share objects. Several machines may be prepared at once, by threads and by processes (demo.py):
one builds at a time.
"""

import contextlib
import fcntl
import functools
import os
import re
import shutil
import subprocess

import places
from failure import Failure

# What a build in the tree leaves there, for another kernel perhaps.
_BUILT = shutil.ignore_patterns(
  "*.o", "*.ko", "*.mod", "*.mod.c", ".*", "modules.order", "Module.symvers"
)


@contextlib.contextmanager
def _alone():
  """No other thread or process builds meanwhile."""
  os.makedirs(places.CACHE, exist_ok=True)
  with open(f"{places.CACHE}/build.lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield


def module(kernel):
  """lguest.ko for that kernel. A compiler's warning is a failure: it is built with W=1."""
  with _alone():
    return _module(kernel)


def _module(kernel):
  tree = f"{places.CACHE}/module-{kernel.name}"
  for folder in ("module", "include"):
    shutil.copytree(
      f"{places.KERNEL}/{folder}", f"{tree}/{folder}", ignore=_BUILT, dirs_exist_ok=True
    )
  # Without pahole, BTF for modules cannot be made, and nothing here needs it.
  output = _make(
    f"{tree}/module", f"KDIR={kernel.headers}", "W=1", "CONFIG_DEBUG_INFO_BTF_MODULES="
  )
  warning = re.search(r".*warning:.*", output)
  if warning:
    raise Failure(f"lguest.ko for {kernel.release}: {warning[0]}")
  return f"{tree}/module/lguest.ko"


def programs():
  """{path in the initrd: path here} of the guest kernels and of the programs that run them."""
  out = _made(f"{places.KERNEL}/guest", f"{places.HERE}/launcher", f"{places.HERE}/host")
  names = ("guest", "guest-pae", "launcher", "device-test", "fuzz", "terminal-test", "record", "rows")
  return {name: f"{out}/{name}" for name in names}


def lgdev():
  """{path in the initrd: path here} of lgdev and the libraries that it needs."""
  program = os.environ.get("LGDEV", f"{places.ROOT}/.build/release/lgdev")
  if not os.path.exists(program):
    raise Failure(f"there is no {program}: run make build")
  listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
  files = {"bin/lgdev": program}
  for path in set(re.findall(r"(/\S+)\s+\(0x", listed)):
    folder = "lib64" if "ld-linux" in path else "lib"
    files[f"{folder}/{os.path.basename(path)}"] = path
  return files


@functools.cache
def cycles():
  """The rate of this machine's time-stamp counter in kHz."""
  out = _made(f"{places.HERE}/host")
  return subprocess.run([f"{out}/cycles"], capture_output=True, text=True, check=True).stdout.strip()


def linux_init():
  """The first program of a real Linux guest."""
  out = _made(f"{places.HERE}/linux")
  return f"{out}/linux-init"


def unit_tests():
  """The program with the unit tests of the module's pure files."""
  out = _made(f"{places.HERE}/unit")
  return f"{out}/unit"


def _made(*folders):
  """The folder with the programs of these folders, which are built into it."""
  out = f"{places.CACHE}/programs"
  with _alone():
    os.makedirs(out, exist_ok=True)
    for folder in folders:
      _make(folder, f"OUT={out}")
  return out


def _make(folder, *arguments):
  done = subprocess.run(
    ["make", "--no-print-directory", "-C", folder, *arguments],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    stdin=subprocess.DEVNULL,
    text=True,
  )
  if done.returncode != 0:
    raise Failure(f"make -C {folder}: {done.stdout[-3000:]}")
  return done.stdout
