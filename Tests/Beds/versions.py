# SPDX-License-Identifier: Apache-2.0
"""The versions of the front-ends that the beds run: the oldest that is supported, Debian 12's, which
setup.sh installs, and the newest, Debian testing's, which newest.sh unpacks into the cache.

Environment: LGDEV_BED_BROKEN=linux.uml/oldest,linux.uml/newest stands for a machine on which those programs
do not run.
"""

import glob
import os
import shutil

from failure import Failure

OLDEST, NEWEST = "oldest", "newest"
BOTH = [OLDEST, NEWEST]
BROKEN = "LGDEV_BED_BROKEN"


def program(cache, name, version):
  """The path of a front-end's program."""
  if f"{name}/{version}" in os.environ.get(BROKEN, "").split(","):
    return "/bin/false"
  if version == OLDEST:
    path = shutil.which(name)
  else:
    path = f"{cache}/newest/usr/bin/{name}"
  if not path or not os.path.exists(path):
    raise Failure(f"the {version} {name} is not there: run Tests/Beds/setup.sh")
  return path


def file(cache, pattern, version):
  """The one file or folder of that version's packages that a pattern matches."""
  root = "" if version == OLDEST else f"{cache}/newest"
  found = sorted(glob.glob(root + pattern))
  if not found:
    raise Failure(f"there is no {root}{pattern}: run Tests/Beds/setup.sh")
  return found[-1]
