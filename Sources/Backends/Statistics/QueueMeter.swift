// SPDX-License-Identifier: Apache-2.0
//
// QueueMeter: how a worker counts what it does. Its writes are plain stores into memory that it alone writes:
// no lock, no allocation, no retain.
//
// Time. Reading the clock costs as much as all the rest, so it is read for batches, not for requests: a reading
// holds until the thread has waited or made a call, and `settle`, which ends a batch, makes a new
// one. A request's time counts from when it was taken (the reading that holds then) to the `settle` after
// it was served, which stands just before it is shown to the driver.
//
//     take(slot)      a request is in flight from now on
//     served(slot)    it is not any more
//     settle()        and here its batch ends: times and counters are written
//
// What has begun and not ended is in the memory itself, so whoever reads sees how many requests are in
// flight, and since when, even while the thread hangs in one of them.

import Linux
import VirtioRing

/// The counters of a queue as its worker writes them.
public struct QueueMeter: ~Copyable, Sendable {
  private let slot: CounterSlot
  private let words: SlotWords
  /// The reading that holds; 0 where none does.
  private var clock: UInt64 = 0
  /// When the requests began that the next `settle` ends.
  private var ended = InlineArray<32, UInt64>(repeating: 0)
  private var endedCount = 0
  private var chains = 0
  private var bytesFromGuest = 0
  private var bytesToGuest = 0

  /// How many requests in flight are seen. A body may have more; what is in higher slots is counted when it ends,
  /// and its time is not.
  public static let slotCount = StatisticsFormat.Slot.inFlightCount

  /// Counts where a queue's counters are.
  init(_ slot: CounterSlot) {
    self.slot = slot
    words = SlotWords(slot.words)
  }

  // MARK: Requests

  /// When it is, in nanoseconds of `MonotonicClock`: read again only after a wait, a call or `settle`.
  public var now: UInt64 {
    @inline(__always) mutating get {
      if clock == 0 { clock = MonotonicClock.nanoseconds }
      return clock
    }
  }

  /// A request is in flight from now on.
  ///
  /// - Parameter slot: which one of the body's; a body that serves one at a time needs no other than 0.
  @inline(__always)
  public mutating func take(_ slot: Int = 0) {
    guard slot >= 0, slot < Self.slotCount else { return }
    words.store(now, StatisticsFormat.Slot.inFlight &+ slot &* 8)
  }

  /// A request that was taken goes back to the ring unserved.
  public mutating func giveUp(_ slot: Int = 0) {
    guard slot >= 0, slot < Self.slotCount else { return }
    words.store(0, StatisticsFormat.Slot.inFlight &+ slot &* 8)
  }

  /// A request was served, and is given back with the next `settle`.
  ///
  /// - Parameters:
  ///   - slot: the one that it was taken with.
  ///   - chains: how many chains it was, such as the buffers of a frame.
  ///   - bytesFromGuest: of data, as the device counts them.
  ///   - bytesToGuest: as well.
  @inline(__always)
  public mutating func served(
    _ slot: Int = 0, chains: Int = 1, bytesFromGuest: Int = 0, bytesToGuest: Int = 0
  ) {
    self.chains &+= chains
    self.bytesFromGuest &+= bytesFromGuest
    self.bytesToGuest &+= bytesToGuest
    guard slot >= 0, slot < Self.slotCount else { return }
    if endedCount == ended.count { settle() }
    let offset = StatisticsFormat.Slot.inFlight &+ slot &* 8
    ended[endedCount] = words.load(offset)
    endedCount &+= 1
    words.store(0, offset)
  }

  /// Counts chains that were given back unserved.
  public mutating func returned(chains: Int) { self.chains &+= chains }

  /// Ends a batch: what was served since the last one is counted. Call it before the driver is shown
  /// what was served, so that what a driver knows of is counted.
  @inline(__always)
  public mutating func settle() {
    guard chains > 0 || endedCount > 0 else { return }
    write()
  }

  private mutating func write() {
    typealias Slot = StatisticsFormat.Slot
    if endedCount > 0 {
      clock = MonotonicClock.nanoseconds
      for index in 0..<endedCount {
        let bucket = ServiceTimes.bucket(of: clock &- ended[index])
        words.add(1, Slot.histogram &+ bucket &* 8)
      }
      endedCount = 0
    }
    words.add(UInt64(truncatingIfNeeded: chains), Slot.chains)
    if bytesFromGuest != 0 {
      words.add(UInt64(truncatingIfNeeded: bytesFromGuest), Slot.bytesFromGuest)
    }
    if bytesToGuest != 0 {
      words.add(UInt64(truncatingIfNeeded: bytesToGuest), Slot.bytesToGuest)
    }
    chains = 0
    bytesFromGuest = 0
    bytesToGuest = 0
  }

  // MARK: Events

  /// Counts requests that were answered with an error.
  public func countError(_ count: Int = 1) {
    words.add(UInt64(truncatingIfNeeded: count), StatisticsFormat.Slot.errors)
  }

  /// Counts a frame, or a piece of a stream, that was thrown away as nobody could or would take it.
  public func countDropped() { words.add(1, StatisticsFormat.Slot.dropped) }

  func countKick() { words.add(1, StatisticsFormat.Slot.kicks) }

  /// Counts a call, which took time.
  mutating func countCall() {
    words.add(1, StatisticsFormat.Slot.calls)
    clock = 0
  }

  /// The thread has waited: what it knew of the time is old.
  @inline(__always)
  public mutating func hasWaited() { clock = 0 }

  // MARK: The queue

  /// The worker begins to serve a queue.
  func begin(_ configuration: QueueConfiguration) {
    typealias Slot = StatisticsFormat.Slot
    for index in 0..<Slot.inFlightCount { words.store(0, Slot.inFlight + index * 8) }
    words.store(UInt64(configuration.size), Slot.size)
    words.store(configuration.features.rawValue, Slot.features)
    words.add(1, Slot.starts)
    words.store(QueueState.running.rawValue, Slot.state)
  }

  /// The driver has broken the ring.
  func fail() {
    words.add(1, StatisticsFormat.Slot.faults)
    words.store(QueueState.failed.rawValue, StatisticsFormat.Slot.state)
  }

  /// The worker gives the queue back.
  mutating func end() {
    settle()
    slot.noteStopped()
  }
}
