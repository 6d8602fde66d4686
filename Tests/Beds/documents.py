# SPDX-License-Identifier: Apache-2.0
"""Commands as the documents show them, so that what people copy is what runs."""

import os
import shlex

from failure import Failure

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def command(document, program):
  """The words behind `program` of the one command in a document's example that begins with it.

  A last word … stands for what a reader adds.
  """
  with open(os.path.join(_ROOT, document)) as text:
    lines = text.read().replace("\\\n", " ").splitlines()
  found = [line for line in lines if line.startswith(f"    {program} ")]
  if len(found) != 1:
    raise Failure(f"{document} has {len(found)} examples of {program}, one is wanted")
  return shlex.split(found[0].removesuffix("…"))[1:]
