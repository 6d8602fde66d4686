# SPDX-License-Identifier: Apache-2.0
"""Jobs that run abreast, one for each processor of this machine: a guest in QEMU seldom keeps more than one busy.

A job is a function that returns its Result. Jobs begin in the order in which they are given, so the longest come
first. Each is reported when it ends. Environment: JOBS, how many run at once.
"""

import concurrent.futures
import dataclasses
import os
import time

from failure import Failure


@dataclasses.dataclass
class Result:
  """`lines` say more than the titles of what failed: figures, what was seen, where the log is."""

  passed: int
  failed: int
  lines: list


def _timed(job):
  begin = time.monotonic()
  try:
    came = job()
  except (Failure, OSError) as failure:
    came = Result(0, 1, [f"FAIL  {failure}"])
  return came, time.monotonic() - begin


def run(jobs):
  """Runs {title: job} and prints what comes of each. - Returns: how many things passed, and how many failed."""
  count = int(os.environ.get("JOBS") or len(os.sched_getaffinity(0)))
  passed = failed = 0
  with concurrent.futures.ThreadPoolExecutor(count) as pool:
    running = {pool.submit(_timed, job): title for title, job in jobs.items()}
    for done in concurrent.futures.as_completed(running):
      came, seconds = done.result()
      passed, failed = passed + came.passed, failed + came.failed
      print(f"{running[done]}: {came.passed} passed, {came.failed} failed, {seconds:.0f} s")
      print("".join(f"  {line}\n" for line in came.lines), end="", flush=True)
  return passed, failed
