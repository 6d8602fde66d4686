// SPDX-License-Identifier: Apache-2.0
//
// WriteWatch: lets somebody who reads a disk beside its guest know that no write went on meanwhile.
//
// A read and a write of one file at the same time may mix within a sector: the kernel copies to and from its
// page cache without a lock between the two. A disk's sectors are written whole, so who shows the disk
// has to notice. There is a counter for each block of 4 KiB, shared by blocks far apart:
//
//     low 32 bits    writes under way
//     high 32 bits   writes begun, which begin again at 0 after 2^32
//
// A queue's worker counts a write before the kernel is asked, and takes it back when that has answered. A
// reader looks, reads, and looks again: where no write was under way and none has begun, what it read is whole.
// Workers wait for nobody. Without a reader nothing is counted.

import Synchronization

/// Counts the writes of a disk's queues.
final class WriteWatch: Sendable {
  /// So many blocks, 256 MiB, have counters of their own.
  private static let counterCount = 1 << 16
  private static let blockShift = 12
  private static let begun: UInt64 = 1 << 32
  private static let underWay: UInt64 = begun - 1

  private let counters: InlineArray<65536, Atomic<UInt64>>

  /// - Parameter begun: how many writes of each block count as begun before.
  init(begun: UInt32 = 0) {
    let first = UInt64(begun) << 32
    counters = InlineArray { _ in Atomic(first) }
  }

  private static func blocks(_ offset: Int, _ count: Int) -> Range<Int> {
    guard count > 0 else { return 0..<0 }
    let first = offset >> blockShift
    let last = (offset &+ count &- 1) >> blockShift
    // A write over all of them counts in each once.
    return first..<min(last + 1, first + counterCount)
  }

  /// A write begins.
  func begin(_ offset: Int, _ count: Int) {
    for block in Self.blocks(offset, count) {
      counters[block & (Self.counterCount - 1)].wrappingAdd(
        Self.begun | 1, ordering: .sequentiallyConsistent)
    }
  }

  /// It has ended.
  func end(_ offset: Int, _ count: Int) {
    for block in Self.blocks(offset, count) {
      counters[block & (Self.counterCount - 1)].wrappingSubtract(
        1, ordering: .sequentiallyConsistent)
    }
  }

  /// What a reader remembers: nil while a write is under way.
  func look(_ offset: Int, _ count: Int) -> UInt64? {
    var sum: UInt64 = 0
    for block in Self.blocks(offset, count) {
      let counter = counters[block & (Self.counterCount - 1)].load(
        ordering: .sequentiallyConsistent)
      guard counter & Self.underWay == 0 else { return nil }
      // The sum grows by one with each write, except that a counter takes 2^32 off where it begins again. So a
      // sum stays where nothing was written, or 2^32 times between two looks.
      sum &+= counter >> 32
    }
    return sum
  }
}
