// SPDX-License-Identifier: Apache-2.0

import HostTesting
import Testing
import VirtioRing
import VirtioTesting

@Suite("A queue goes on where another one stopped", .timeLimit(.minutes(20)))
struct PositionTests {
  @Test("after a stop, wherever it was, with the position it told", arguments: RingFormat.allCases)
  func resume(format: RingFormat) throws {
    let bed = try RingBed(format, size: 8)
    for token in UInt64(0)..<40 {
      let count = 1 + Int(token % 3)
      #expect(
        bed.offer(
          Array(repeating: .readable(bed.buffers, 4), count: count), token: token))
      var configuration = bed.queue.configuration
      configuration.position = bed.queue.position
      if token % 2 == 1 { configuration.position.nextUsed = nil }
      bed.queue = try Virtqueue(configuration, memory: bed.memory.guestMemory)
      #expect(try bed.pop())
      bed.push()
      #expect(try bed.collectAll() == [token])
    }
  }

  @Test("split: the used index is the ring's own where none is told")
  func usedIndexFromTheRing() throws {
    let bed = try RingBed(.split, size: 8, start: 0xfffe)
    for _ in 0..<5 { try bed.serve(1) }
    var configuration = bed.queue.configuration
    configuration.position = RingPosition(nextAvailable: 3, nextUsed: nil)
    bed.queue = try Virtqueue(configuration, memory: bed.memory.guestMemory)
    #expect(bed.queue.position == RingPosition(nextAvailable: 3, nextUsed: 3))
    #expect(try bed.collectAll().count == 5)
    try bed.serve(1)
    #expect(try bed.collectAll().count == 1)
  }

  @Test("chains that an earlier device kept stay the driver's affair", arguments: [false, true])
  func inherited(packed: Bool) throws {
    let bed = try RingBed(packed ? .packed : .split, size: 8)
    for token in UInt64(0)..<4 { #expect(bed.offer(token: token)) }
    for number in 0..<2 { #expect(try bed.pop(number)) }
    // The queue is dropped with two chains in flight; the next one begins behind them.
    var configuration = bed.queue.configuration
    configuration.position = bed.queue.position
    bed.queue = try Virtqueue(configuration, memory: bed.memory.guestMemory)
    for number in 0..<2 {
      #expect(try bed.pop(number))
      bed.push(number)
    }
    #expect(try bed.collectAll() == [2, 3])
  }

  @Test(
    "RING_RESET: a queue made anew at the start, whatever was in flight",
    arguments: RingFormat.allCases)
  func reset(format: RingFormat) throws {
    let bed = try RingBed(format, size: 8, features: .ringReset)
    for round in 0..<5 {
      for token in UInt64(0)..<5 { #expect(bed.offer(token: token)) }
      for number in 0...round { #expect(try bed.pop(number % 5)) }
      bed.driver = Driver(bed.plan, memory: bed.memory, features: bed.driver.features)
      bed.queue = try Virtqueue(bed.driver.configuration, memory: bed.memory.guestMemory)
      #expect(try !bed.pop())
      try bed.serve(20 - 12)
      #expect(try bed.collectAll().count == 8)
    }
  }
}

@Suite("A queue changes over to another memory table", .timeLimit(.minutes(20)))
struct ReplaceMemoryTests {
  /// A table of the same host memory in other regions, and more of it.
  private func larger(_ memory: TestMemory, _ more: TestMemory) throws -> GuestMemory {
    let region = memory.guestMemory[0]
    let extra = more.guestMemory[0]
    let cut: UInt64 = 0x8000
    return try unsafe GuestMemory(
      // SAFETY: parts of the two memories, which are the owner.
      regions: [
        GuestRegion(guestAddress: 0, byteCount: cut, hostAddress: region.hostAddress),
        GuestRegion(
          guestAddress: cut, byteCount: region.byteCount - cut,
          hostAddress: region.hostAddress + UInt(cut)),
        GuestRegion(
          guestAddress: 1 << 32, byteCount: extra.byteCount, hostAddress: extra.hostAddress),
      ], owner: Both(first: memory, second: more))
  }

  private final class Both: Sendable {
    let first: TestMemory
    let second: TestMemory
    init(first: TestMemory, second: TestMemory) {
      self.first = first
      self.second = second
    }
  }

  @Test("and goes on with the next chain; what is new is there", arguments: RingFormat.allCases)
  func hotPlug(format: RingFormat) throws {
    let bed = try RingBed(format)
    let more = TestMemory(byteCount: 4096)
    try bed.serve(3)
    #expect(bed.offer([.readable(1 << 32, 8)]))
    more.store(UInt64(0x1234), at: 0)
    try bed.queue.replaceMemory(larger(bed.memory, more))
    #expect(try bed.pop())
    #expect(bed.load(UInt64.self, at: 0) == 0x1234)
    bed.push()
    // Over the new border.
    #expect(bed.offer([.readable(0x7ffc, 8)]))
    #expect(try bed.pop())
    #expect(bed.readableCount() == 2)
    bed.push()
    #expect(try bed.collectAll().count == 5)
  }

  @Test(
    "a ring, its tables and its buffers are where the new table has them, and nowhere else",
    arguments: RingFormat.allCases, [ChainShape.direct, .indirect])
  func elsewhere(format: RingFormat, shape: ChainShape) throws {
    let bed = try RingBed(format, features: .indirectDescriptors)
    try bed.serve(3)
    let buffers = bed.buffers
    #expect(
      bed.offer(
        [.readable(buffers, 8), .readable(buffers + 64, 8), .writable(buffers + 128, 8)],
        shape: shape))
    // The same bytes under other host addresses; under the old ones there is nothing to rely on any more.
    let size = bed.memory.guestMemory[0].byteCount
    let other = TestMemory(byteCount: size)
    other.write(bed.memory.bytes(at: 0, count: Int(size)), at: 0)
    other.store(UInt64(0x1234), at: buffers)
    try bed.queue.replaceMemory(other.guestMemory)
    bed.memory.fill(0x5a, at: 0, count: size)
    #expect(try bed.pop())
    #expect(bed.readableCount() == 2 && bed.writableCount() == 1)
    #expect(bed.load(UInt64.self, at: 0) == 0x1234)
    bed.push(written: 8)
    // The device has written into the new ring alone.
    #expect(bed.memory.bytes(at: 0, count: Int(size)).allSatisfy { $0 == 0x5a })
  }

  @Test(
    "a table without the ring breaks the queue, and nothing else", arguments: RingFormat.allCases)
  func withoutTheRing(format: RingFormat) throws {
    let bed = try RingBed(format)
    try bed.serve(1)
    let other = TestMemory(byteCount: 4096)
    #expect(throws: RingError.ringOutsideMemory) {
      try bed.queue.replaceMemory(other.guestMemory)
    }
    #expect(throws: RingError.ringOutsideMemory) { _ = try bed.pop() }
    #expect(bed.queue.memory.regionCount == 1)
  }

  @Test("the old table stays alive while a queue holds it")
  func keepsOwner() throws {
    final class Owner: Sendable {
      let memory = TestMemory(byteCount: 0x10000)
      let onEnd: @Sendable () -> Void
      init(_ onEnd: @escaping @Sendable () -> Void) { self.onEnd = onEnd }
      deinit { onEnd() }
    }
    let ended = Flag()
    var owner: Owner? = Owner { ended.set() }
    let region = try #require(owner).memory.guestMemory[0]
    // SAFETY: the owner holds the memory that the region is.
    var table: GuestMemory? = try unsafe GuestMemory(
      regions: [region], owner: try #require(owner))
    owner = nil
    var space = GuestSpace(0..<0x10000)
    let plan = RingPlan.split(size: 8, in: &space)
    do {
      let queue = try Virtqueue(
        QueueConfiguration(layout: plan.layout, size: 8, features: []),
        memory: try #require(table))
      table = nil
      #expect(!ended.isSet)
      let more = queue.inFlightCount
      #expect(more == 0)
    }
    #expect(ended.isSet)
  }
}
