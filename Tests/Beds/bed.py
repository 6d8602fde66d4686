# SPDX-License-Identifier: Apache-2.0
"""A bed: a daemon, a front-end, and the tests that run on them in order.

A bed is a class whose tests are its methods marked with `@test`, run in the order in which they are
written; they share what earlier ones have started. When one marked `essential` fails, the rest of
the bed cannot be shown and counts as failed.
"""

from process import tail


def test(title, seconds, essential=False):
  """Marks a method as a test; `seconds` is its hard limit."""

  def mark(method):
    method.test = (title, seconds, essential)
    return method

  return mark


class Bed:
  """Base of the beds. Whatever a test starts goes through `own`, and is ended and its logs shown
  here.
  """

  name = ""

  def __init__(self, room):
    self.room = room
    self._owned = []
    self._transient = []

  @classmethod
  def tests(cls):
    """(method name, title, seconds, essential) in the order of the source."""
    return [(name, *value.test) for name, value in vars(cls).items() if hasattr(value, "test")]

  def own(self, thing, transient=False):
    """`thing` has kill() and logs. A transient one is of no use to later tests when its own test
    fails.
    """
    self._owned.append(thing)
    if transient:
      self._transient.append(thing)
    return thing

  def release(self, thing):
    """Ended in good order: nothing to end, and its logs explain no later failure."""
    self._owned.remove(thing)
    if thing in self._transient:
      self._transient.remove(thing)

  def print_logs(self):
    for thing in self._owned:
      for log in thing.logs:
        print(f"  --- {log}")
        for line in tail(log):
          print(f"  | {line}")

  def after_failure(self):
    self.print_logs()
    for thing in list(self._transient):
      thing.kill()
      self.release(thing)

  def close(self):
    for thing in reversed(self._owned):
      thing.kill()
    self._owned.clear()

  def disk(self, name, megabytes):
    """A new, empty, sparse disk image."""
    path = self.room.file(f"{name}.img")
    with open(path, "wb") as image:
      image.truncate(megabytes << 20)
    return path
