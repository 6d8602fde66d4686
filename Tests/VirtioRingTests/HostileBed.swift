// SPDX-License-Identifier: Apache-2.0
//
// HostileBed: a ring whose words are written by hand, in memory with borders, a hole and an end.
//
//     0x1000 ring, tables   0x10000 adjacent   0x14000 hole   0x20000 the last region   0x24000 end

import Testing
import VirtioRing
import VirtioTesting

final class HostileBed {
  static let border: UInt64 = 0x10000
  static let hole: UInt64 = 0x14000
  static let last: UInt64 = 0x20000
  static let end: UInt64 = 0x24000
  /// Where buffers may be.
  static let buffer: UInt64 = 0x8000
  /// Where an indirect table may be.
  static let table: UInt64 = 0xc000

  let memory: TestMemory
  let plan: RingPlan
  let configuration: QueueConfiguration
  var queue: Virtqueue
  var chain = Chain(segmentCapacity: 64)
  /// Another queue in the same memory, which must not notice anything.
  var neighbour: Virtqueue
  var neighbourDriver: Driver
  var neighbourChain = Chain(segmentCapacity: 8)

  init(packed: Bool, size: UInt16 = 8, features: Features = .indirectDescriptors) throws {
    memory = try TestMemory([
      0x1000..<Self.border, Self.border..<Self.hole, Self.last..<Self.end,
    ])
    var space = GuestSpace(0x1000..<0x8000)
    plan = packed ? .packed(size: size, in: &space) : .split(size: size, in: &space)
    let format: Features = packed ? [.version1, .packedRing] : .version1
    configuration = QueueConfiguration(
      layout: plan.layout, size: size, features: features.union(format))
    queue = try Virtqueue(configuration, memory: memory.guestMemory)
    neighbourDriver = Driver(
      packed ? .packed(size: 8, in: &space) : .split(size: 8, in: &space), memory: memory,
      features: format)
    neighbour = try Virtqueue(neighbourDriver.configuration, memory: memory.guestMemory)
  }

  var split: RawSplitRing { RawSplitRing(plan, memory: memory) }
  var packed: RawPackedRing { RawPackedRing(plan, memory: memory) }

  func pop() throws(RingError) -> Bool {
    defer { queue._checkInvariants() }
    return try queue.pop(into: &chain)
  }

  func push(written: UInt32 = 0) {
    queue.push(chain, written: written)
    queue._checkInvariants()
  }

  func needsCall() -> Bool { queue.needsCall() }
  func enableKicks() throws(RingError) -> Bool { try queue.enableKicks() }
  var readableBytes: Int { chain.readableBytes }
  var writableBytes: Int { chain.writableBytes }
  var readableCount: Int { chain.readableCount }
  var writableCount: Int { chain.writableCount }

  func load<Word: FixedWidthInteger & BitwiseCopyable>(_ type: Word.Type, at offset: Int) -> Word? {
    chain.load(type, at: offset)
  }

  func store<Word: FixedWidthInteger & BitwiseCopyable>(_ word: Word, at offset: Int) -> Bool {
    chain.store(word, at: offset)
  }

  /// Makes a chain of one descriptor available, and takes it: the ring is as it should be.
  func expectTaken(
    _ readable: Int, _ writable: Int, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    #expect(try pop(), sourceLocation: sourceLocation)
    #expect(readableBytes == readable, sourceLocation: sourceLocation)
    #expect(writableBytes == writable, sourceLocation: sourceLocation)
  }

  /// What every fault of a driver comes to: the queue says what it was, stays broken and idle, the
  /// neighbour goes on, and a reset brings the queue back.
  func expectFault(
    _ error: RingError, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    // More than once: a driver that goes on kicking gets no work done in its name.
    for _ in 0..<3 {
      #expect(throws: error, sourceLocation: sourceLocation) { _ = try pop() }
      #expect(throws: error, sourceLocation: sourceLocation) { _ = try enableKicks() }
      #expect(throws: error, sourceLocation: sourceLocation) { _ = try queue.hasMore() }
    }
    #expect(queue.fault == error, sourceLocation: sourceLocation)
    try expectNeighbourWorks(sourceLocation: sourceLocation)
    try expectResetWorks(sourceLocation: sourceLocation)
  }

  func expectNeighbourWorks(sourceLocation: SourceLocation = #_sourceLocation) throws {
    let offered = neighbourDriver.offer([.readable(Self.buffer, 16)])
    #expect(offered, sourceLocation: sourceLocation)
    let taken = try neighbour.pop(into: &neighbourChain)
    #expect(taken, sourceLocation: sourceLocation)
    neighbour.push(neighbourChain, written: 0)
    let collected = try neighbourDriver.collect()
    #expect(collected != nil, sourceLocation: sourceLocation)
  }

  private func expectResetWorks(sourceLocation: SourceLocation) throws {
    var driver = Driver(plan, memory: memory, features: configuration.features)
    queue = try Virtqueue(configuration, memory: memory.guestMemory)
    let offered = driver.offer([.readable(Self.buffer, 16)], token: 7)
    #expect(offered, sourceLocation: sourceLocation)
    #expect(try pop(), sourceLocation: sourceLocation)
    push()
    let collected = try driver.collect()
    #expect(collected?.token == 7, sourceLocation: sourceLocation)
  }
}
