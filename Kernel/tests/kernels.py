# SPDX-License-Identifier: GPL-2.0-only
"""Debian's cloud kernels with their headers, unpacked into a cache folder and never installed.

The versions come from the meta packages at run time. "stable" is the kernel of the Debian that
this machine runs; "backports" the newer one of its backports suite, which is read through a
private source list, so that the machine's own apt settings stay as they are.
"""

import glob
import os
import re
import subprocess
import tempfile

import places
from failure import Failure

NAMES = ["stable", "backports"]
# In load order.
_MODULES = ["net/tun", "../net/llc/llc", "../net/802/stp", "../net/bridge/bridge", "../fs/fuse/fuse"]


class Kernel:
  """One unpacked kernel: `image` to boot, `headers` to build modules against."""

  def __init__(self, name, root):
    self.name = name
    self.root = root
    self.image = _only(f"{root}/boot/vmlinuz-*")
    self.release = self.image.split("vmlinuz-", 1)[1]
    self.headers = f"{root}/usr/src/linux-headers-{self.release}"

  def modules(self):
    """{path in the initrd: path here} of what lgdev's taps, bridges and exports need and the image lacks."""
    drivers = f"{self.root}/lib/modules/{self.release}/kernel/drivers"
    files = {}
    for name in _MODULES:
      path = os.path.normpath(f"{drivers}/{name}.ko")
      if os.path.exists(path):
        files[f"modules/{os.path.basename(path)}"] = path
    return files


def kernel(name):
  """The kernel of that name; brought first if it is not in the cache."""
  root = f"{places.CACHE}/kernel-{name}"
  if not os.path.isdir(root):
    os.makedirs(places.CACHE, exist_ok=True)
    # The folder gets its name last, so one with that name is complete.
    with tempfile.TemporaryDirectory(prefix="unpack.", dir=places.CACHE) as work:
      _unpack(_Apt(name, work), f"{work}/root", root)
      os.rename(f"{work}/root", root)
  return Kernel(name, root)


def source(work):
  """The package of the stable kernel's source, downloaded into that folder."""
  apt = _Apt("stable", work)
  return apt.download(apt.newest("linux-source", "linux-source-"))


def _unpack(apt, root, final):
  image = apt.newest("linux-image-cloud-amd64", "linux-image-")
  headers = image.replace("linux-image-", "linux-headers-")
  needed = apt.depends(headers)
  parts = [name for name in needed if re.match(r"linux-(headers-.*-common|kbuild-)", name)]
  for package in [image, headers, *parts]:
    subprocess.run(["dpkg-deb", "-x", apt.download(package), root], check=True)
  # The headers name their common part by where the package would have put it.
  makefile = f"{root}/usr/src/{headers}/Makefile"
  with open(makefile) as source:
    text = source.read()
  with open(makefile, "w") as patched:
    patched.write(text.replace("/usr/src/", f"{final}/usr/src/"))


class _Apt:
  """apt-get and apt-cache, as the machine has them or with the backports list alone."""

  def __init__(self, name, work):
    self._work = work
    self._options = []
    if name == "backports":
      self._use_backports()
    elif not self.depends("linux-image-cloud-amd64"):
      self._call("apt-get", "update")

  def _use_backports(self):
    listed = self._call(
      "apt-get",
      "indextargets",
      "--format",
      "$(REPO_URI) $(CODENAME) $(COMPONENT)",
      "Created-By: Packages",
    )
    suites = re.findall(r"^(\S+/debian/?) ([a-z]+) main$", listed, re.MULTILINE)
    if not suites:
      raise Failure("apt lists no Debian release on this machine, so no backports of it")
    address, release = suites[0]
    for folder in ("lists/partial", "archives/partial"):
      os.makedirs(f"{self._work}/{folder}")
    with open(f"{self._work}/sources.list", "w") as sources:
      sources.write(f"deb {address} {release}-backports main\n")
    self._options = [
      f"-oDir::Etc::sourcelist={self._work}/sources.list",
      "-oDir::Etc::sourceparts=-",
      f"-oDir::State::lists={self._work}/lists",
      f"-oDir::Cache={self._work}",
    ]
    self._call("apt-get", "update")

  def depends(self, package):
    return re.findall(r"Depends: (\S+)", self._call("apt-cache", "depends", package, check=False))

  def newest(self, meta, prefix):
    found = [name for name in self.depends(meta) if name.startswith(prefix)]
    if not found:
      raise Failure(f"apt knows no {meta}; is this Debian on amd64?")
    return found[0]

  def download(self, package):
    for attempt in ("", "update"):
      if attempt:  # A list gone stale names a version that the mirror no longer has.
        self._call("apt-get", "update")
      self._call("apt-get", "download", package, check=not attempt)
      files = glob.glob(f"{self._work}/{package}_*.deb")
      if files:
        return files[0]
    raise Failure(f"{package} could not be downloaded")

  def _call(self, program, *arguments, check=True):
    done = subprocess.run(
      [program, "-q", *self._options, *arguments],
      cwd=self._work,
      capture_output=True,
      text=True,
    )
    if check and done.returncode != 0:
      raise Failure(f"{program} {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _only(pattern):
  found = glob.glob(pattern)
  if len(found) != 1:
    raise Failure(f"{pattern}: {len(found)} files, one is wanted; remove {places.CACHE}")
  return found[0]
