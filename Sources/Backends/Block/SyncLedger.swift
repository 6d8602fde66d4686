// SPDX-License-Identifier: Apache-2.0
//
// SyncLedger: whether a disk has anything to make durable.
//
// A flush behind which nothing was written need not reach the storage, and drivers send many of those. So it is
// counted what was written and what was made durable, over all queues of the disk; the image's lock
// makes this process the only writer. Time is cut into periods, and each sync, as it begins, begins a new one:
//
//     period     the one that is now
//     written    the latest in which a write has ended
//     durable    the latest at whose end a sync began that has succeeded
//
// There is something to make durable where `written` is later than `durable`. A write looks at the period after the
// kernel has answered, so what it notes is at the least the period in which it ended: a sync
// that begins a later one comes after it and covers it. A write that is still under way when a sync begins
// notes the new period when it ends, and is left to the next sync.
//
// What a sync covers is durable only once it has succeeded. A flush that comes while it runs makes a sync of its
// own, for the first one may yet fail.
//
// What was written before this process counts as a write in the first period: the first flush always syncs.

import Synchronization

/// Tells which flushes have something to do.
final class SyncLedger: Sendable {
  /// A sync that has begun.
  struct Ticket: Sendable {
    fileprivate let period: UInt64
  }

  private let period = Atomic<UInt64>(1)
  private let written = Atomic<UInt64>(1)
  private let durable = Atomic<UInt64>(0)

  /// A write has ended, whole, in part or with an error. To be called before the driver can know of it.
  @inline(__always)
  func noteWrite() {
    // Pairs with the one in `begin`: the pages are dirty before the period is read there, or the new period is seen
    // here.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    let now = period.load(ordering: .relaxed)
    // All but the first write of a period leave the words as they are, and the queues do not fight over them.
    if written.load(ordering: .relaxed) < now { raiseWritten(now) }
  }

  @inline(never)
  private func raiseWritten(_ now: UInt64) {
    written.max(now, ordering: .sequentiallyConsistent)
  }

  /// A sync is wanted, and begins if there is anything to make durable.
  ///
  /// - Returns: nil where all that was written is durable.
  func begin() -> Ticket? {
    guard
      written.load(ordering: .sequentiallyConsistent)
        > durable.load(ordering: .sequentiallyConsistent)
    else { return nil }
    let ending = period.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    return Ticket(period: ending)
  }

  /// A sync has succeeded.
  func succeed(_ sync: Ticket) {
    durable.max(sync.period, ordering: .sequentiallyConsistent)
  }
}
