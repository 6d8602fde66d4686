// SPDX-License-Identifier: Apache-2.0
//
// RingBed: what most tests here start from: memory, an honest driver and the device on one ring.

import Testing
import VirtioRing
import VirtioTesting

enum RingFormat: String, CaseIterable, CustomStringConvertible, Sendable {
  case split
  case legacy
  case packed

  var description: String { rawValue }

  func plan(size: UInt16, in space: inout GuestSpace, indirectCapacity: Int = 0) -> RingPlan {
    switch self {
    case .split: .split(size: size, in: &space, indirectCapacity: indirectCapacity)
    case .legacy: .legacy(size: size, in: &space, indirectCapacity: indirectCapacity)
    case .packed: .packed(size: size, in: &space, indirectCapacity: indirectCapacity)
    }
  }

  /// The features that belong to the format itself.
  var features: Features {
    switch self {
    case .split: .version1
    case .legacy: []
    case .packed: [.version1, .packedRing]
    }
  }
}

/// A driver and a device on one ring, with memory for buffers. A class, so that `#expect` can take
/// calls of it: the macro copies what it looks at, and queues, drivers and chains cannot be copied.
final class RingBed {
  let memory: TestMemory
  let plan: RingPlan
  var driver: Driver
  var queue: Virtqueue
  /// Chains for requests in flight, named by number.
  var chains: ChainPool
  /// Guest address of 64 KiB that nothing else uses.
  let buffers: UInt64

  init(
    _ format: RingFormat, size: UInt16 = 8, features: Features = [], start: UInt16 = 0,
    wrap: Bool = true, indirectCapacity: Int = 8, chainCount: Int = 8,
    segmentCapacity: Int = 64
  ) throws {
    let ringBytes = UInt64(size) * UInt64(16 * (indirectCapacity + 2)) + 0x4000
    memory = TestMemory(byteCount: ringBytes + 0x10000)
    var space = GuestSpace(0..<ringBytes + 0x10000)
    buffers = space.take(0x10000, alignment: 4096)
    plan = format.plan(size: size, in: &space, indirectCapacity: indirectCapacity)
    driver = Driver(
      plan, memory: memory, features: features.union(format.features), start: start, wrap: wrap)
    queue = try Virtqueue(driver.configuration, memory: memory.guestMemory)
    chains = ChainPool(count: chainCount, segmentCapacity: segmentCapacity)
  }

  // MARK: Driver

  /// Offers a chain of these buffers, else one readable buffer of 16 bytes.
  func offer(
    _ buffers: [DriverBuffer]? = nil, shape: ChainShape = .direct, token: UInt64 = 0
  ) -> Bool {
    driver.offer(buffers ?? [.readable(self.buffers, 16)], shape: shape, token: token)
  }

  func stageOffer(_ buffers: [DriverBuffer]? = nil, token: UInt64 = 0) -> Bool {
    driver.stage(buffers ?? [.readable(self.buffers, 16)], token: token)
  }

  func needsKick() -> Bool { driver.needsKick() }
  func collect() throws -> UsedChain? { try driver.collect() }
  func allowCalls() -> Bool { driver.allowCalls() }
  func requestCall(after count: UInt16) -> Bool { driver.requestCall(after: count) }

  /// The tokens of all used chains, collected.
  func collectAll() throws -> [UInt64] {
    var tokens: [UInt64] = []
    while let used = try driver.collect() { tokens.append(used.token) }
    return tokens
  }

  // MARK: Device

  func pop(_ number: Int = 0) throws(RingError) -> Bool {
    let taken = try queue.pop(into: &chains, at: number)
    queue._checkInvariants()
    return taken
  }

  func push(_ number: Int = 0, written: UInt32 = 0) {
    queue.push(chains[number], written: written)
    queue._checkInvariants()
  }

  func stage(_ number: Int = 0, written: UInt32 = 0) {
    queue.stage(chains[number], written: written)
    queue._checkInvariants()
  }

  func unpop(_ number: Int = 0) {
    queue.unpop(chains[number])
    queue._checkInvariants()
  }

  func publish() { queue.publish() }
  func needsCall() -> Bool { queue.needsCall() }
  func enableKicks() throws -> Bool { try queue.enableKicks() }
  func hasMore() throws -> Bool { try queue.hasMore() }

  /// Offers, takes and gives back this many chains of one buffer.
  func serve(_ count: Int) throws {
    for _ in 0..<count {
      try #require(offer())
      try #require(try pop())
      push()
    }
  }

  // MARK: What was popped

  func readableBytes(_ number: Int = 0) -> Int { chains[number].readableBytes }
  func writableBytes(_ number: Int = 0) -> Int { chains[number].writableBytes }
  func readableCount(_ number: Int = 0) -> Int { chains[number].readableCount }
  func writableCount(_ number: Int = 0) -> Int { chains[number].writableCount }
  func id(_ number: Int = 0) -> UInt16 { chains[number].id }

  func load<Word: FixedWidthInteger & BitwiseCopyable>(
    _ type: Word.Type, at offset: Int, of number: Int = 0
  ) -> Word? {
    chains[number].load(type, at: offset)
  }

  func store<Word: FixedWidthInteger & BitwiseCopyable>(
    _ word: Word, at offset: Int, of number: Int = 0
  ) -> Bool {
    chains[number].store(word, at: offset)
  }

  /// Copies readable bytes out. - Returns: how many were there.
  func read(from offset: Int, into bytes: inout [UInt8], of number: Int = 0) -> Int {
    var span = bytes.mutableSpan
    // SAFETY: every value is a UInt8.
    var raw = unsafe span.mutableBytes
    return chains[number].copyReadable(from: offset, into: &raw)
  }

  /// Copies bytes into the writable part. - Returns: how many found room.
  func write(_ bytes: [UInt8], to offset: Int, of number: Int = 0) -> Int {
    // SAFETY: every value is a UInt8.
    unsafe chains[number].copyWritable(to: offset, from: bytes.span.bytes)
  }
}
