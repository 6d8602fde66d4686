# SPDX-License-Identifier: GPL-2.0-only
"""checkpatch.pl --strict over the module's sources: the style of Linux, whose module it is.

The program is Linux's own, out of Debian's package of its source, of which nothing else is kept.
"""

import glob
import os
import re
import subprocess
import tempfile

import kernels
import places
from failure import Failure

# One source for several kernels has to look at their version; the tracing macros are laid out as in
# Linux, which its own checkpatch does not like either.
_IGNORED = "LINUX_VERSION_CODE,CONSTANT_COMPARISON"
_IGNORED_IN_TRACE = "OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT"


def findings():
  """(number of files, what checkpatch has found)"""
  sources = [
    path
    for pattern in ("module/*.[chS]", "include/*.h")
    for path in sorted(glob.glob(f"{places.KERNEL}/{pattern}"))
    if not path.endswith(".mod.c")
  ]
  found = []
  for path in sources:
    ignored = _IGNORED
    if os.path.basename(path) == "trace.h":
      ignored += f",{_IGNORED_IN_TRACE}"
    done = subprocess.run(
      ["perl", f"{_scripts()}/checkpatch.pl", "--no-tree", "--strict", "--terse", "--show-types",
       "--ignore", ignored, "--file", path],
      capture_output=True, text=True,
    )
    lines = re.findall(r"^(?:.*/)?(\S+:\d+: .*)$", done.stdout, re.MULTILINE)
    # It says nothing of a file that is right.
    if (done.returncode != 0) != bool(lines):
      raise Failure(f"checkpatch.pl ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    found += lines
  return len(sources), found


def _scripts():
  """The folder of checkpatch.pl; brought first if it is not in the cache."""
  folder = f"{places.CACHE}/checkpatch"
  if not os.path.isdir(folder):
    os.makedirs(places.CACHE, exist_ok=True)
    # The folder gets its name last, so one with that name is complete.
    with tempfile.TemporaryDirectory(prefix="unpack.", dir=places.CACHE) as work:
      package = kernels.source(work)
      os.mkdir(f"{work}/scripts")
      unpack = (
        f"dpkg-deb --fsys-tarfile {package} | tar -xO --wildcards '*/linux-source-*.tar.xz' |"
        f" tar -xJ -C {work}/scripts --strip-components=2 --wildcards"
        " '*/scripts/checkpatch.pl' '*/scripts/spelling.txt' '*/scripts/const_structs.checkpatch'"
      )
      subprocess.run(["bash", "-o", "pipefail", "-c", unpack], check=True)
      os.rename(f"{work}/scripts", folder)
  return folder
