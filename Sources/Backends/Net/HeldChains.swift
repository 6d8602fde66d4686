// SPDX-License-Identifier: Apache-2.0

import VirtioRing

/// Receive buffers that were taken and wait for a frame, in the order in which the driver gave
/// them.
struct HeldChains: ~Copyable, Sendable {
  private var pool: ChainPool
  private var first = 0

  /// How many there are.
  private(set) var count = 0
  /// How many bytes they hold together.
  private(set) var byteCount = 0

  init(capacity: Int) {
    pool = ChainPool(count: capacity, segmentCapacity: 1024)
  }

  /// Whether no more can be held.
  var isFull: Bool { count == pool.count }

  /// The slot of the chain at a position, counted from the oldest one.
  @inline(__always)
  private func slot(_ position: Int) -> Int {
    let slot = first &+ position
    return slot < pool.count ? slot : slot &- pool.count
  }

  /// The chain at a position, counted from the oldest one. - Precondition: it is below `count`.
  subscript(position: Int) -> Chain {
    @inline(__always)
    _read {
      precondition(position < count)
      yield pool[slot(position)]
    }
  }

  /// Takes one more from the queue. - Returns: false where there is none.
  /// - Precondition: not full.
  @inline(__always)
  mutating func take(from queue: inout Virtqueue) throws(RingError) -> Bool {
    precondition(!isFull)
    let slot = slot(count)
    guard try queue.pop(into: &pool, at: slot) else { return false }
    byteCount &+= pool[slot].writableBytes
    count &+= 1
    return true
  }

  /// Gives the oldest one back without showing it yet. - Precondition: there is one.
  @inline(__always)
  mutating func stageOldest(in queue: inout Virtqueue, written: Int) {
    precondition(count > 0)
    queue.stage(pool[first], written: UInt32(truncatingIfNeeded: written))
    byteCount &-= pool[first].writableBytes
    count &-= 1
    first = slot(1)
  }

  /// Gives all back to the ring as if they had not been taken.
  mutating func returnAll(to queue: inout Virtqueue) {
    while count > 0 {
      count &-= 1
      queue.unpop(pool[slot(count)])
    }
    byteCount = 0
  }
}
