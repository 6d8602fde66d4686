#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the ring fuzzers: Fuzz/corpus/ring-split, Fuzz/corpus/ring-packed.

A seed is a driver's shape, hostile or only seldom, as the bytes that RingHarness reads its decisions
from; the classes below mirror the harness, decision by decision. Beside each folder stands a file of
what each seed must lead to: the fault of the queue (or `none`) and how many chains are taken. The
replay test compares, so that a seed cannot turn into something else when the harness changes.
"""

import pathlib

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
NEXT, WRITE, INDIRECT = 1, 2, 4
SIZE = 8


class Address:
  """RingHarness.hostileAddress: an offset, then a place."""

  def __init__(self, place, offset=0, word=None):
    self.place, self.offset, self.word = place, offset, word

  def bytes(self):
    return bytes([self.offset, self.place]) + (
      self.word.to_bytes(8, "little") if self.place == 9 else b"")


ZERO = Address(0)
BUFFER = Address(1, 0)  # the start of the arena, 16 bytes further for each offset


def end_of_arena(offset):
  return Address(2, offset)


def end_of_memory(offset):
  return Address(3, offset)


def end_of_space(offset):
  return Address(4, offset)


def table(offset=0):
  return Address(5, offset)


def shared_table(offset=0):
  return Address(6, offset)


def own_ring(offset):
  return Address(7, offset)


def before_last_region(offset):
  return Address(8, offset)


def anywhere(address):
  return Address(9, 0, address)


def length(value):
  """RingHarness.hostileLength."""
  if value == 0:
    return bytes([0])
  if value < 64:
    return bytes([1, value])
  if value % 16 == 0 and value // 16 < 9:
    return bytes([2, value // 16])
  if value < 65536:
    return bytes([3]) + value.to_bytes(2, "little")
  if 0xFFFFFFFF - value < 32:
    return bytes([4, 0xFFFFFFFF - value])
  return bytes([5]) + value.to_bytes(8, "little")


def number(value):
  """RingHarness.hostileNumber."""
  if value < SIZE:
    return bytes([0, value])
  if value <= SIZE + 1:
    return bytes([1, value - SIZE + 1])
  return bytes([3]) + value.to_bytes(8, "little")


class Seed:
  """The bytes of one input, from the scenario on: a ring of 8 entries."""

  def __init__(self, packed, event=False, indirect=True, in_order=False, start_kind=0, legacy=False):
    self.packed, self.indirect = packed, indirect
    self.data = bytearray([event, indirect, in_order])
    self.data += bytes([SIZE - 1, 0, 0])  # RingScenario.choose: the size, twice no other one
    self.data += bytes([start_kind])
    if not packed:
      self.data += bytes([legacy])
      if legacy:
        self.data += bytes([1])  # NOTIFY_ON_EMPTY
    self.data += bytes([0])  # the wrap counter is 1

  # What the driver writes.

  def descriptor(self, index, address, byte_count, flags=0, following=0, at=None, wrap=True):
    """A descriptor of the ring, or of the table `at` = (kind, entry): kind 0 own, 1 shared."""
    self.data += bytes([0, 0]) + address.bytes() + length(byte_count)
    self.data += bytes([index, flags, 0]) + number(following)
    if at is not None:
      self.data += bytes(at)
    else:
      self.data += bytes([2])
      if self.packed:
        self.data += bytes([0 if wrap else 1])
    return self

  def raw_flags(self, index, address, byte_count, flags, following=0):
    """A descriptor of the ring with 16 bits of flags; packed: AVAIL is added."""
    self.data += bytes([0, 0]) + address.bytes() + length(byte_count)
    self.data += bytes([index, 0, 3]) + flags.to_bytes(8, "little") + number(following) + bytes([2])
    if self.packed:
      self.data += bytes([0])
    return self

  def word(self, kind, index, value):
    self.data += bytes([0, 1, kind, index]) + number(value)
    return self

  def available(self, *heads):
    """Split: entries from 0 on, then the index by as many."""
    for place, head in enumerate(heads):
      self.word(3, place, head)
    return self.word(0, 0, len(heads))

  # What both sides do.

  def step(self, *decisions):
    self.data += bytes([0, 2, *decisions])
    return self

  def pop(self, count=1):
    for _ in range(count):
      self.step(13)
    return self

  def push(self, which=0):
    """The chain in flight with this number; no byte written."""
    self.step(18)
    self.data += bytes([3, which] if which else [0])
    # How many bytes were written: one byte of decision where the chain has few to write.
    return self

  def reset(self):
    self.data += bytes([63])
    return self

  def offer(self, buffers, shape=None):
    """An honest chain: buffers as (is writable, length, offset in the arena); shape None is direct."""
    self.step(0)
    if self.indirect:
      self.data += bytes([0 if shape is None else 1])
    count = len(buffers)
    limit = 8
    self.data += bytes([limit - 1, count - 1])
    self.data += bytes([sum(1 for writable, _, _ in buffers if not writable)])
    for _, byte_count, offset in buffers:
      self.data += bytes([0])
      self.data += bytes([0, byte_count]) if byte_count < 256 else bytes([15]) + byte_count.to_bytes(2, "little")
      self.data += offset.to_bytes(2, "little")
    if shape is not None:
      self.data += bytes(shape)
    return self

  def publish(self):
    return self.step(8)


def split_seeds():
  def seed(**options):
    return Seed(False, **options)

  def one(address, byte_count, flags=0, following=0, **options):
    return seed(**options).descriptor(0, address, byte_count, flags, following).available(0).pop(2)

  def chain(*descriptors, **options):
    result = seed(**options)
    for index, (address, byte_count, flags) in enumerate(descriptors):
      last = index == len(descriptors) - 1
      result.descriptor(index, address, byte_count, flags | (0 if last else NEXT), 0 if last else index + 1)
    return result.available(0).pop(2)

  def tabled(byte_count, *entries, at=(0, 0), **options):
    """The ring's descriptor 0 points to a table; entries are (address, length, flags, next)."""
    result = seed(**options)
    for index, entry in enumerate(entries):
      result.descriptor(0, *entry, at=(at[0], at[1] + index))
    place = shared_table(16 * at[1]) if at[0] else table(at[1])
    return result.descriptor(0, place, byte_count, INDIRECT).available(0).pop(2)

  yield "chain-loop", "chainTooLong", 0, seed().descriptor(0, BUFFER, 4, NEXT, 1).descriptor(
    1, BUFFER, 4, NEXT, 0).available(0).pop()
  yield "chain-self-loop", "chainTooLong", 0, one(BUFFER, 0, NEXT, 0)
  yield "next-out-of-range", "nextOutOfRange", 0, one(BUFFER, 1, NEXT, 8)
  yield "next-far-out-of-range", "nextOutOfRange", 0, one(BUFFER, 1, NEXT, 0xFFFF)
  yield "head-out-of-range", "headOutOfRange", 0, seed().available(8).pop(2)
  yield "head-far-out-of-range", "headOutOfRange", 0, seed().available(0xFFFF).pop(2)
  yield "address-zero", "addressOutsideMemory", 0, one(ZERO, 1)
  yield "address-past-the-end", "addressOutsideMemory", 0, one(end_of_memory(0), 1, WRITE)
  yield "address-and-length-wrap", "addressOutsideMemory", 0, one(end_of_space(15), 0xFFFFFFFF)
  yield "address-anywhere", "addressOutsideMemory", 0, one(anywhere(0x123456789ABCDEF0), 16)
  yield "buffer-spans-the-end", "addressOutsideMemory", 0, one(end_of_memory(16), 17)
  yield "buffer-ends-at-the-end", "none", 1, one(end_of_memory(16), 16)
  yield "buffer-spans-a-hole", "addressOutsideMemory", 0, one(end_of_arena(16), 17)
  yield "buffer-starts-in-a-hole", "addressOutsideMemory", 0, one(before_last_region(1), 2)
  yield "buffer-crosses-regions", "none", 1, one(BUFFER, 0x1000, WRITE)
  for index, area in enumerate(["descriptors", "available", "used"]):
    yield f"buffer-in-own-{area}", "none", 1, one(own_ring(index + 3), 8, WRITE)
  yield "length-zero", "none", 1, one(BUFFER, 0)
  yield "length-zero-bad-address", "none", 1, one(end_of_space(0), 0, WRITE)
  yield "length-maximum", "addressOutsideMemory", 0, one(BUFFER, 0xFFFFFFFF)
  yield "readable-after-writable", "readableAfterWritable", 0, chain((BUFFER, 1, WRITE), (BUFFER, 1, 0))
  yield "readable-after-empty-writable", "readableAfterWritable", 0, chain((BUFFER, 0, WRITE), (BUFFER, 1, 0))
  yield "header-in-single-bytes", "none", 1, chain(*[(Address(1, index), 1, 0) for index in range(8)])
  yield "status-of-length-zero", "none", 1, chain((BUFFER, 16, 0), (BUFFER, 0, WRITE))
  yield "indirect-not-negotiated", "indirectNotNegotiated", 0, one(table(), 16, INDIRECT, indirect=False)
  yield "indirect-nested", "indirectNested", 0, tabled(16, (BUFFER, 16, INDIRECT, 0))
  yield "indirect-with-next", "indirectWithNext", 0, one(table(), 16, INDIRECT | NEXT, 1)
  yield "indirect-length-zero", "indirectBadLength", 0, one(table(), 0, INDIRECT)
  yield "indirect-length-no-multiple", "indirectBadLength", 0, one(table(), 17, INDIRECT)
  yield "indirect-out-of-range", "indirectOutsideMemory", 0, one(end_of_space(15), 16, INDIRECT)
  yield "indirect-runs-out-of-memory", "indirectOutsideMemory", 0, one(end_of_memory(8), 32, INDIRECT)
  yield "indirect-loop", "chainTooLong", 0, tabled(32, (BUFFER, 0, NEXT, 1), (BUFFER, 0, NEXT, 0))
  yield "indirect-next-out-of-range", "nextOutOfRange", 0, tabled(32, (BUFFER, 1, NEXT, 2))
  yield "indirect-huge-table", "none", 1, tabled(0xFFFFFFF0, (BUFFER, 1, 0, 0))
  yield "indirect-crosses-regions-unaligned", "none", 1, tabled(
    64, (BUFFER, 1, NEXT, 1), (BUFFER, 2, NEXT, 2), (BUFFER, 3, NEXT, 3), (BUFFER, 4, WRITE, 0), at=(1, 0))
  yield "indirect-loop-across-regions", "chainTooLong", 0, tabled(
    64, (BUFFER, 0, NEXT, 1), (BUFFER, 0, NEXT, 2), (BUFFER, 0, NEXT, 3), (BUFFER, 0, NEXT, 0), at=(1, 0))
  yield "indirect-too-many-segments", "tooManySegments", 0, tabled(
    64, (BUFFER, 1, NEXT, 1), (BUFFER, 1, NEXT, 0))
  yield "available-index-jumps", "availableIndexJumped", 0, seed().word(2, 0, 9).pop(2)
  yield "available-index-goes-backwards", "availableIndexJumped", 1, one(BUFFER, 4).push().word(2, 0, 0).pop(2)
  yield "available-index-over-chains-in-flight", "availableIndexJumped", 1, one(BUFFER, 4).word(2, 0, 9).pop(2)
  yield "same-head-twice", "headInFlight", 1, seed().descriptor(3, BUFFER, 4).available(3, 3).pop(2)
  yield "used-event-poisoned", "none", 2, seed(event=True).descriptor(0, BUFFER, 4).word(4, 0, 0x8000).available(
    0, 0).pop().push().step(24).word(4, 0, 0xFFFF).pop().push().step(24)
  yield "used-ring-written", "none", 2, seed().descriptor(0, BUFFER, 4).available(0, 0).pop().word(
    6, 0, 0xDEAD).word(7, 0, 0xFFFF).push().pop().push()
  yield "avail-flags-nonsense", "none", 1, one(BUFFER, 4).word(5, 0, 0xFFFE).push().step(24)
  yield "reset-after-fault", "headOutOfRange", 1, seed().available(9).pop().reset().descriptor(
    0, BUFFER, 4).available(0).pop()
  yield from honest_seeds(False)


def packed_seeds():
  def seed(**options):
    return Seed(True, **options)

  def one(address, byte_count, flags=0, identifier=0, **options):
    return seed(**options).descriptor(0, address, byte_count, flags, identifier).pop(2)

  def chain(*descriptors, **options):
    """Written from the end, the head last; (address, length, flags)."""
    result = seed(**options)
    for index, (address, byte_count, flags) in reversed(list(enumerate(descriptors))):
      last = index == len(descriptors) - 1
      result.descriptor(index, address, byte_count, flags | (0 if last else NEXT))
    return result.pop(2)

  def tabled(byte_count, *entries, at=(0, 0), **options):
    result = seed(**options)
    for index, entry in enumerate(entries):
      result.descriptor(0, *entry, at=(at[0], at[1] + index))
    place = shared_table(16 * at[1]) if at[0] else table(at[1])
    return result.descriptor(0, place, byte_count, INDIRECT).pop(2)

  yield "id-out-of-range", "idOutOfRange", 0, one(BUFFER, 1, 0, 8)
  yield "id-far-out-of-range", "idOutOfRange", 0, one(BUFFER, 1, 0, 0xFFFF)
  yield "id-in-flight", "headInFlight", 1, seed().descriptor(0, BUFFER, 1, 0, 5).descriptor(
    1, BUFFER, 1, 0, 5).pop(2)
  yield "bits-toggled-in-mid-chain", "descriptorNotAvailable", 0, seed().descriptor(
    1, BUFFER, 1, NEXT, wrap=False).descriptor(0, BUFFER, 1, NEXT).pop(2)
  yield "bits-of-the-other-round", "none", 0, seed().descriptor(0, BUFFER, 1, wrap=False).pop(2)
  yield "bits-of-a-used-descriptor", "none", 0, seed().raw_flags(0, BUFFER, 1, 1 << 15).pop(2)
  yield "flags-all-ones", "none", 0, seed().raw_flags(0, BUFFER, 1, 0xFFFF).pop(2)
  yield "chain-around-the-ring", "descriptorNotAvailable", 0, seed().descriptor(0, BUFFER, 0, NEXT).pop(2)
  yield "chain-too-long", "chainTooLong", 0, chain(*[(BUFFER, 0, NEXT)] * 8)
  yield "chain-as-long-as-the-ring", "none", 1, chain(*[(BUFFER, 1, 0)] * 8)
  yield "chain-over-chains-in-flight", "chainTooLong", 1, seed().descriptor(0, BUFFER, 1, 0, 1).pop().descriptor(
    7, BUFFER, 1, NEXT).descriptor(6, BUFFER, 1, NEXT).descriptor(5, BUFFER, 1, NEXT).descriptor(
    4, BUFFER, 1, NEXT).descriptor(3, BUFFER, 1, NEXT).descriptor(2, BUFFER, 1, NEXT).descriptor(
    1, BUFFER, 1, NEXT).pop(2)
  yield "address-zero", "addressOutsideMemory", 0, one(ZERO, 1)
  yield "address-past-the-end", "addressOutsideMemory", 0, one(end_of_memory(0), 1, WRITE)
  yield "address-and-length-wrap", "addressOutsideMemory", 0, one(end_of_space(15), 0xFFFFFFFF)
  yield "buffer-spans-the-end", "addressOutsideMemory", 0, one(end_of_memory(16), 17)
  yield "buffer-spans-a-hole", "addressOutsideMemory", 0, one(end_of_arena(16), 17)
  yield "buffer-crosses-regions", "none", 1, one(BUFFER, 0x1000, WRITE)
  yield "buffer-in-own-ring", "none", 1, one(own_ring(3), 8, WRITE)
  yield "buffer-in-event-words", "none", 1, one(own_ring(1), 3, WRITE)
  yield "length-zero", "none", 1, one(BUFFER, 0)
  yield "length-zero-bad-address", "none", 1, one(end_of_space(0), 0, WRITE)
  yield "length-maximum", "addressOutsideMemory", 0, one(BUFFER, 0xFFFFFFFF)
  yield "readable-after-writable", "readableAfterWritable", 0, chain((BUFFER, 1, WRITE), (BUFFER, 1, 0))
  yield "indirect-not-negotiated", "indirectNotNegotiated", 0, one(table(), 16, INDIRECT, indirect=False)
  yield "indirect-nested", "indirectNested", 0, seed().raw_flags(1, BUFFER, 0, 0).descriptor(
    0, own_ring(0), 32, INDIRECT).pop(2)
  yield "indirect-with-next", "indirectWithNext", 0, one(table(), 16, INDIRECT | NEXT)
  yield "indirect-length-zero", "indirectBadLength", 0, one(table(), 0, INDIRECT)
  yield "indirect-length-no-multiple", "indirectBadLength", 0, one(table(), 15, INDIRECT)
  yield "indirect-out-of-range", "indirectOutsideMemory", 0, one(end_of_space(15), 16, INDIRECT)
  yield "indirect-runs-out-of-memory", "indirectOutsideMemory", 0, one(end_of_memory(16), 32, INDIRECT)
  yield "indirect-crosses-regions-unaligned", "none", 1, tabled(
    64, (BUFFER, 1, 0), (BUFFER, 2, 0), (BUFFER, 3, 0), (BUFFER, 4, WRITE), at=(1, 0))
  yield "indirect-huge-table", "chainTooLong", 0, one(table(), 0xFFFFFFF0, INDIRECT)
  yield "event-offset-nonsense", "none", 2, seed(event=True).descriptor(0, BUFFER, 4).pop().word(
    5, 2, 0xFFFF).push().step(24).word(6, 7, 0xFFFF).descriptor(1, BUFFER, 4, 0, 1).pop().word(
    5, 2, 9).push().step(24)
  yield "reset-after-fault", "idOutOfRange", 1, seed().descriptor(0, BUFFER, 1, 0, 9).pop().reset().descriptor(
    0, BUFFER, 4).pop()
  yield from honest_seeds(True)


def honest_seeds(packed):
  """Shapes of an honest driver that are seldom."""
  small = [(False, 16, 0), (True, 64, 0x100), (True, 1, 0x200)]

  def busy(**options):
    """Three chains at a time, used from the last to the first, many rounds."""
    seed = Seed(packed, **options)
    for _ in range(5):
      for _ in range(2):
        seed.offer(small)
      seed.publish().step(11).pop(2)
      seed.step(18, 3, 1, 0).step(18, 0, 0).step(24).step(27).step(27)
    return seed

  yield "honest-out-of-order", "none", 10, busy()
  yield "honest-in-order", "none", 10, busy(in_order=True)
  yield "honest-event-index", "none", 10, busy(event=True)
  yield "honest-from-before-the-wrap", "none", 10, busy(start_kind=1)
  yield "honest-crossing-regions", "none", 1, Seed(packed).offer(
    [(False, 0x1400, 0x300), (True, 0x1300, 0x3F0)]).publish().pop()
  yield "honest-table-crossing-regions", "none", 1, Seed(packed).offer(small, shape=[0]).publish().pop()
  yield "honest-unpop", "none", 4, Seed(packed).offer(small).offer(small).publish().pop(2).step(25).step(
    25).pop(2)
  yield "honest-chain-of-the-whole-ring", "none", 2, Seed(packed, start_kind=1).offer(
    [(False, 8, 8)] * 8).publish().pop().step(18, 0).step(27).offer([(True, 8, 8)] * 8).publish().pop()
  if not packed:
    yield "honest-direct-then-table", "none", 1, Seed(False).offer(small, shape=[1, 0]).publish().pop()
    yield "honest-legacy-notify-on-empty", "none", 1, Seed(False, legacy=True).offer(small).publish().pop().step(
      18, 0, 0).step(24)


def main():
  for target, seeds in [("ring-split", split_seeds()), ("ring-packed", packed_seeds())]:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
      old.unlink()
    lines = []
    for name, fault, taken, seed in seeds:
      (folder / name).write_bytes(seed.data)
      lines.append(f"{name} {fault} {taken}\n")
    (CORPUS / f"{target}.expected").write_text("".join(sorted(lines)))
    print(f"{len(lines)} seeds in {folder.relative_to(CORPUS.parent.parent)}")


if __name__ == "__main__":
  main()
