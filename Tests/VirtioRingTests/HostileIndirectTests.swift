// SPDX-License-Identifier: Apache-2.0

import Testing
import VirtioRing
import VirtioTesting

private let next = RingFlag.next
private let indirect = RingFlag.indirect

@Suite("Hostile indirect tables, split ring", .timeLimit(.minutes(20)))
struct HostileSplitIndirectTests {
  /// A chain of one descriptor that points to a table.
  static func bed(
    at table: UInt64 = HostileBed.table, byteCount: UInt32, flags: UInt16 = indirect,
    features: Features = .indirectDescriptors
  ) throws -> HostileBed {
    let bed = try HostileBed(packed: false, features: features)
    bed.split.setDescriptor(0, address: table, byteCount: byteCount, flags: flags, next: 1)
    bed.split.makeAvailable(0)
    return bed
  }

  @Test("indirect not negotiated")
  func notNegotiated() throws {
    try Self.bed(byteCount: 16, features: []).expectFault(.indirectNotNegotiated)
  }

  @Test("indirect nested")
  func nested() throws {
    let bed = try Self.bed(byteCount: 32)
    bed.memory.setSplitDescriptor(
      at: HostileBed.table, address: HostileBed.buffer, byteCount: 16, flags: indirect)
    try bed.expectFault(.indirectNested)
  }

  @Test("indirect with NEXT set")
  func withNext() throws {
    try Self.bed(byteCount: 16, flags: indirect | next).expectFault(.indirectWithNext)
  }

  @Test(
    "indirect length 0, or no multiple of 16", arguments: [0, 1, 15, 17, 0xffff_ffff] as [UInt32])
  func badLength(byteCount: UInt32) throws {
    try Self.bed(byteCount: byteCount).expectFault(.indirectBadLength)
  }

  @Test("indirect table out of range, wholly or at its end")
  func outOfRange() throws {
    for (table, byteCount): (UInt64, UInt32) in [
      (0, 16), (HostileBed.end, 16), (UInt64.max - 15, 16), (UInt64.max - 8, 16),
      (HostileBed.hole, 32),
    ] {
      try Self.bed(at: table, byteCount: byteCount).expectFault(.indirectOutsideMemory)
    }
    // Its beginning is there, and the chain goes on behind the end.
    for end in [HostileBed.end, HostileBed.hole] {
      let bed = try Self.bed(at: end - 24, byteCount: 32)
      bed.memory.setSplitDescriptor(
        at: end - 24, address: HostileBed.buffer, byteCount: 1, flags: next, next: 1)
      try bed.expectFault(.indirectOutsideMemory)
    }
  }

  @Test("indirect table as long as a length can say, whose first entry ends the chain")
  func hugeTable() throws {
    let bed = try Self.bed(byteCount: 0xffff_fff0)
    bed.memory.setSplitDescriptor(
      at: HostileBed.table, address: HostileBed.buffer, byteCount: 5)
    // Only entries that belong to the chain are looked at.
    try bed.expectTaken(5, 0)
  }

  @Test("indirect table looping inside")
  func loopingInside() throws {
    let bed = try Self.bed(byteCount: 32)
    for index in UInt64(0)..<2 {
      bed.memory.setSplitDescriptor(
        at: HostileBed.table + index * 16, address: HostileBed.buffer, byteCount: 0, flags: next,
        next: UInt16(1 - index))
    }
    try bed.expectFault(.chainTooLong)
  }

  @Test("indirect table looping inside, across regions")
  func loopingAcrossRegions() throws {
    let table = HostileBed.border - 16
    let bed = try Self.bed(at: table, byteCount: 32)
    for index in UInt64(0)..<2 {
      bed.memory.setSplitDescriptor(
        at: table + index * 16, address: HostileBed.buffer, byteCount: 0, flags: next,
        next: UInt16(1 - index))
    }
    try bed.expectFault(.chainTooLong)
  }

  @Test("next out of range inside an indirect table", arguments: [UInt16(2), 3, 0xffff])
  func nextOutOfRange(index: UInt16) throws {
    for table in [HostileBed.table, HostileBed.border - 16] {
      let bed = try Self.bed(at: table, byteCount: 32)
      bed.memory.setSplitDescriptor(
        at: table, address: HostileBed.buffer, byteCount: 1, flags: next, next: index)
      try bed.expectFault(.nextOutOfRange)
    }
  }

  @Test("two indirect tables in one chain")
  func twoTables() throws {
    let bed = try HostileBed(packed: false)
    bed.memory.setSplitDescriptor(at: HostileBed.table, address: HostileBed.buffer, byteCount: 1)
    bed.split.setDescriptor(
      0, address: HostileBed.table, byteCount: 16, flags: indirect | next, next: 1)
    bed.split.setDescriptor(1, address: HostileBed.table, byteCount: 16, flags: indirect)
    bed.split.makeAvailable(0)
    try bed.expectFault(.indirectWithNext)
  }

  @Test("a legal table at any alignment still works", arguments: 0..<16)
  func unaligned(offset: UInt64) throws {
    let table = HostileBed.table + offset
    let bed = try Self.bed(at: table, byteCount: 48)
    // Out of order: entries are linked, not in a row.
    for (place, following, length): (UInt64, UInt16, UInt32) in [(0, 2, 1), (2, 1, 2), (1, 0, 4)] {
      bed.memory.setSplitDescriptor(
        at: table + place * 16, address: HostileBed.buffer, byteCount: length,
        flags: following == 0 ? 0 : next, next: following)
    }
    try bed.expectTaken(7, 0)
    #expect(bed.readableCount == 3)
  }

  @Test("a legal table that crosses regions, with every split of a descriptor", arguments: 1..<32)
  func crossesRegions(before: UInt64) throws {
    let table = HostileBed.border - before
    let bed = try Self.bed(at: table, byteCount: 32)
    bed.memory.setSplitDescriptor(
      at: table, address: HostileBed.buffer, byteCount: 3, flags: next, next: 1)
    bed.memory.setSplitDescriptor(
      at: table + 16, address: HostileBed.border - 2, byteCount: 4, flags: RingFlag.write)
    try bed.expectTaken(3, 4)
    #expect(bed.writableCount == 2)
  }

  @Test("direct descriptors followed by a table; WRITE on the table's descriptor means nothing")
  func directThenTable() throws {
    let bed = try HostileBed(packed: false)
    bed.split.setDescriptor(0, address: HostileBed.buffer, byteCount: 1, flags: next, next: 5)
    bed.split.setDescriptor(5, address: HostileBed.buffer, byteCount: 2, flags: next, next: 3)
    bed.split.setDescriptor(
      3, address: HostileBed.table, byteCount: 32, flags: indirect | RingFlag.write)
    bed.memory.setSplitDescriptor(
      at: HostileBed.table, address: HostileBed.buffer, byteCount: 4, flags: next, next: 1)
    bed.memory.setSplitDescriptor(
      at: HostileBed.table + 16, address: HostileBed.buffer, byteCount: 8, flags: RingFlag.write)
    bed.split.makeAvailable(0)
    try bed.expectTaken(7, 8)
    bed.push(written: 8)
    #expect(bed.split.usedElement(0) == (id: 0, written: 8))
  }

  @Test("a table longer than the queue is taken: drivers do that")
  func longerThanQueue() throws {
    let bed = try HostileBed(packed: false, size: 2)
    bed.split.setDescriptor(0, address: HostileBed.table, byteCount: 40 * 16, flags: indirect)
    for index in UInt64(0)..<40 {
      bed.memory.setSplitDescriptor(
        at: HostileBed.table + index * 16, address: HostileBed.buffer, byteCount: 1,
        flags: index < 39 ? next : 0, next: UInt16(index) + 1)
    }
    bed.split.makeAvailable(0)
    try bed.expectTaken(40, 0)
  }
}

@Suite("Hostile indices and event words, split ring", .timeLimit(.minutes(20)))
struct HostileSplitIndexTests {
  /// Eight chains of one descriptor, available as far as `count`.
  static func bed(available count: UInt16, features: Features = []) throws -> HostileBed {
    let bed = try HostileBed(packed: false, size: 8, features: features)
    for index in UInt16(0)..<8 {
      bed.split.setDescriptor(index, address: HostileBed.buffer, byteCount: 1)
    }
    for index in 0..<count { bed.split.makeAvailable(index) }
    return bed
  }

  @Test("avail.idx ahead by more than the queue's size", arguments: [9, 100, 0x8000] as [UInt16])
  func ahead(index: UInt16) throws {
    let bed = try Self.bed(available: 0)
    bed.split.availableIndex = index
    try bed.expectFault(.availableIndexJumped)
  }

  @Test("avail.idx ahead by as much as the queue's size is taken, with nothing in flight only")
  func aheadWithChainsInFlight() throws {
    let bed = try Self.bed(available: 8)
    #expect(try bed.pop())
    // One is in flight: eight more cannot be there.
    for index in UInt16(1)..<8 {
      let other = try Self.bed(available: 8)
      for _ in 0..<index { #expect(try other.pop()) }
      other.split.availableIndex = 8 + index
      #expect(throws: RingError.availableIndexJumped) {
        while try other.pop() {}
        _ = try other.enableKicks()
      }
    }
  }

  @Test("avail.idx going backwards")
  func backwards() throws {
    let bed = try Self.bed(available: 3)
    for _ in 0..<3 {
      #expect(try bed.pop())
      bed.push()
    }
    bed.split.availableIndex = 2
    try bed.expectFault(.availableIndexJumped)
  }

  @Test("the same head made available twice while in flight")
  func headTwice() throws {
    let bed = try Self.bed(available: 0)
    bed.split.makeAvailable(3, 3)
    #expect(try bed.pop())
    try bed.expectFault(.headInFlight)
  }

  @Test("the same head once more after it was used is fine")
  func headAgain() throws {
    let bed = try Self.bed(available: 0)
    for _ in 0..<100 {
      bed.split.makeAvailable(3)
      try bed.expectTaken(1, 0)
      bed.push()
    }
  }

  @Test(
    "used_event poisoned: a call more or less, nothing else",
    arguments: [0, 7, 0x8000, 0xffff] as [UInt16])
  func usedEventPoisoned(event: UInt16) throws {
    let bed = try Self.bed(available: 0, features: .eventIndex)
    for turn in UInt16(0)..<40 {
      bed.split.usedEvent = event &+ turn &* 31
      bed.split.makeAvailable(turn % 8)
      try bed.expectTaken(1, 0)
      bed.push()
      _ = bed.needsCall()
    }
    try bed.expectNeighbourWorks()
  }

  @Test("the driver writes the used ring: the device never reads it back")
  func usedRingWritten() throws {
    let bed = try Self.bed(available: 0)
    for turn in UInt16(0)..<40 {
      bed.split.makeAvailable(turn % 8)
      try bed.expectTaken(1, 0)
      bed.split.usedIndex = 0xdead
      bed.split.usedFlags = 0xffff
      bed.memory.fill(0xff, at: bed.split.used + 4, count: 64)
      bed.push()
      #expect(bed.split.usedIndex == turn + 1)
      #expect(bed.split.usedElement(turn) == (id: UInt32(turn % 8), written: 0))
    }
  }

  @Test("flood: chains for ever, never collected: what the device holds stays the same")
  func flood() throws {
    let bed = try Self.bed(available: 0)
    for turn in 0..<100_000 {
      bed.split.makeAvailable(UInt16(turn % 8))
      guard try bed.pop() else {
        Issue.record("chain \(turn) is not there")
        return
      }
      bed.queue.push(bed.chain, written: 0)
    }
    #expect(bed.queue.inFlightCount == 0)
  }

  @Test("flood: a device that keeps all it gets holds no more than the ring has")
  func floodKept() throws {
    let bed = try Self.bed(available: 8)
    for _ in 0..<8 { #expect(try bed.pop()) }
    #expect(bed.queue.inFlightCount == 8)
    bed.split.makeAvailable(0)
    try bed.expectFault(.availableIndexJumped)
  }

  @Test(
    "flood: a malformed chain again and again costs one error, and no read of the ring after it")
  func malformedFlood() throws {
    let bed = try Self.bed(available: 0)
    bed.split.makeAvailable(9)
    for _ in 0..<100_000 {
      do {
        _ = try bed.queue.pop(into: &bed.chain)
        Issue.record("a broken queue gave a chain")
      } catch {
        guard error == .headOutOfRange else {
          Issue.record("another error: \(error)")
          return
        }
      }
      // A repaired ring does not repair the queue.
      bed.split.availableIndex = 0
    }
  }
}
