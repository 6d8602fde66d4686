# SPDX-License-Identifier: Apache-2.0
"""How long to wait for what must come.

Limits are told as an idle machine needs them with room to spare. A busy one, or one that stands still for a
while, may need any number of times that, and a limit is only there to end a hang.
"""

_SLOW = 10


def patience(seconds):
  return seconds * _SLOW
