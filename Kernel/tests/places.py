# SPDX-License-Identifier: GPL-2.0-only
"""Where things are, and the way to the beds' modules, which these tests share."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
KERNEL = os.path.dirname(HERE)
ROOT = os.path.dirname(KERNEL)
CACHE = os.path.join(ROOT, ".build", "kernel")
ROOM = os.path.join(CACHE, "run")

sys.path.append(os.path.join(ROOT, "Tests", "Beds"))
