// SPDX-License-Identifier: Apache-2.0
//
// QueueStatistics: the counters of a queue as everybody else sees them. The worker has a QueueMeter.

import Linux
import Synchronization

/// Counters of one queue. Its worker writes them, anybody may read them, at any time and from any thread; that
/// costs the worker nothing.
///
/// They count over the life of the device, across stops and resets, and include all that the driver was
/// given back so far. `StatisticsFile.add` moves them to where other processes can read them.
public final class QueueStatistics: Sendable {
  /// What the queue is for: `rx`, `tx`, `requests`.
  public let name: String
  private let slot = Mutex(CounterSlot())
  fileprivate let isClaimed = Atomic<Bool>(false)

  /// All counters at zero.
  ///
  /// - Parameter name: what the queue is for, in a word of up to 32 bytes.
  public init(_ name: String = "queue") {
    self.name = name
    current.words.store(name, StatisticsFormat.Slot.queue)
  }

  /// Where the next worker counts.
  var current: CounterSlot { slot.withLock { $0 } }

  /// The next worker counts there.
  func move(to new: CounterSlot) {
    slot.withLock {
      new.words.store($0.words.load(StatisticsFormat.Slot.writes), StatisticsFormat.Slot.writes)
      $0 = new
    }
  }

  /// Says when writes are durable. On the control thread: no worker writes that word.
  func note(_ writes: WriteDurability) {
    slot.withLock { $0.words.store(writes.rawValue, StatisticsFormat.Slot.writes) }
  }

  private func counter(_ offset: Int) -> UInt64 { current.words.load(offset) }

  /// Chains given back.
  public var chains: UInt64 { counter(StatisticsFormat.Slot.chains) }
  /// Bytes of data that the device took out of the guest's memory.
  public var bytesFromGuest: UInt64 { counter(StatisticsFormat.Slot.bytesFromGuest) }
  /// Bytes of data that the device put into the guest's memory.
  public var bytesToGuest: UInt64 { counter(StatisticsFormat.Slot.bytesToGuest) }
  /// Both together.
  public var bytes: UInt64 { bytesFromGuest &+ bytesToGuest }
  /// Kicks heard.
  public var kicks: UInt64 { counter(StatisticsFormat.Slot.kicks) }
  /// Calls made.
  public var calls: UInt64 { counter(StatisticsFormat.Slot.calls) }
  /// Requests that were answered with an error.
  public var errors: UInt64 { counter(StatisticsFormat.Slot.errors) }
  /// Frames, or pieces of a stream, that were thrown away as nobody could or would take them.
  public var dropped: UInt64 { counter(StatisticsFormat.Slot.dropped) }
  /// Times the driver has broken the ring.
  public var faults: UInt64 { counter(StatisticsFormat.Slot.faults) }

  /// All of it at one moment, service times and requests in flight included.
  public func reading() -> QueueReading {
    QueueReading(words: current.words.words, now: MonotonicClock.nanoseconds)
  }
}

/// A worker's right to a queue's counters, and so to the queue: there is one at a time.
struct QueueClaim: ~Copyable, Sendable {
  private let statistics: QueueStatistics

  /// - Throws: `.busy` where a worker has it.
  init(_ statistics: QueueStatistics) throws(Errno) {
    guard !statistics.isClaimed.exchange(true, ordering: .acquiring) else { throw .busy }
    self.statistics = statistics
  }

  deinit { statistics.isClaimed.store(false, ordering: .releasing) }
}
