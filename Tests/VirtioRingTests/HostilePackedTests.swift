// SPDX-License-Identifier: Apache-2.0

import Testing
import VirtioRing
import VirtioTesting

private let next = RingFlag.next
private let indirect = RingFlag.indirect
private let available = RingFlag.available
private let used = RingFlag.used

@Suite("Hostile packed ring", .timeLimit(.minutes(20)))
struct HostilePackedTests {
  @Test("bad buffer id: not below the queue's size", arguments: [8, 9, 0x8000, 0xffff] as [UInt16])
  func badID(id: UInt16) throws {
    let bed = try HostileBed(packed: true, size: 8)
    bed.packed.setDescriptor(0, address: HostileBed.buffer, byteCount: 1, id: id, flags: available)
    try bed.expectFault(.idOutOfRange)
  }

  @Test("bad buffer id: in flight already")
  func idInFlight() throws {
    let bed = try HostileBed(packed: true, size: 8)
    for slot in UInt16(0)..<2 {
      bed.packed.setDescriptor(
        slot, address: HostileBed.buffer, byteCount: 1, id: 5, flags: available)
    }
    #expect(try bed.pop())
    try bed.expectFault(.headInFlight)
  }

  @Test("bad buffer id in the first descriptors of a chain is not looked at: the last one counts")
  func idOfTheLast() throws {
    let bed = try HostileBed(packed: true, size: 8)
    bed.packed.setDescriptor(
      1, address: HostileBed.buffer, byteCount: 1, id: 2, flags: available)
    bed.packed.setDescriptor(
      0, address: HostileBed.buffer, byteCount: 1, id: 0xffff, flags: available | next)
    try bed.expectTaken(2, 0)
    bed.push()
    #expect(bed.packed.element(0).id == 2)
  }

  @Test("AVAIL and USED bits confused: nothing is available")
  func bitsConfused() throws {
    let bed = try HostileBed(packed: true, size: 8)
    for flags in [available | used, used, 0] {
      bed.packed.setDescriptor(0, address: 0, byteCount: 1, id: 0, flags: flags)
      #expect(try !bed.pop())
      #expect(try !bed.enableKicks())
    }
    // In the second round the meaning turns round.
    bed.queue = try Virtqueue(
      QueueConfiguration(
        layout: bed.plan.layout, size: 8, features: bed.configuration.features,
        position: RingPosition(nextAvailable: 0, availableWrap: false, usedWrap: false)),
      memory: bed.memory.guestMemory)
    for flags in [available | used, available, 0] {
      bed.packed.setDescriptor(0, address: 0, byteCount: 1, id: 0, flags: flags)
      #expect(try !bed.pop())
    }
    bed.packed.setDescriptor(0, address: HostileBed.buffer, byteCount: 1, id: 0, flags: used)
    try bed.expectTaken(1, 0)
  }

  @Test("AVAIL and USED bits toggled in mid chain", arguments: [0, 1, 2])
  func bitsToggled(kind: Int) throws {
    let bed = try HostileBed(packed: true, size: 8)
    let wrong = [available | used, used, 0][kind]
    for slot in UInt16(0)..<3 {
      bed.packed.setDescriptor(
        slot, address: HostileBed.buffer, byteCount: 1, id: 0,
        flags: (slot == 1 ? wrong : available) | (slot < 2 ? next : 0))
    }
    try bed.expectFault(.descriptorNotAvailable)
  }

  @Test(
    "indirect length 0, or no multiple of 16", arguments: [0, 1, 15, 17, 0xffff_ffff] as [UInt32])
  func indirectBadLength(byteCount: UInt32) throws {
    let bed = try HostileBed(packed: true)
    bed.packed.setDescriptor(
      0, address: HostileBed.table, byteCount: byteCount, flags: indirect | available)
    try bed.expectFault(.indirectBadLength)
  }

  @Test("INDIRECT together with NEXT (CVE-2026-16457)")
  func indirectWithNext() throws {
    let bed = try HostileBed(packed: true)
    bed.packed.setDescriptor(
      0, address: HostileBed.table, byteCount: 16, flags: indirect | next | available)
    try bed.expectFault(.indirectWithNext)
  }

  @Test("indirect not negotiated, nested, out of range")
  func indirectFaults() throws {
    var bed = try HostileBed(packed: true, features: [])
    bed.packed.setDescriptor(
      0, address: HostileBed.table, byteCount: 16, flags: indirect | available)
    try bed.expectFault(.indirectNotNegotiated)

    bed = try HostileBed(packed: true)
    bed.memory.setPackedDescriptor(
      at: HostileBed.table, address: HostileBed.buffer, byteCount: 16, flags: indirect)
    bed.packed.setDescriptor(
      0, address: HostileBed.table, byteCount: 16, flags: indirect | available)
    try bed.expectFault(.indirectNested)

    for table in [0, HostileBed.end - 8, HostileBed.hole - 16, UInt64.max - 15] {
      bed = try HostileBed(packed: true)
      bed.packed.setDescriptor(0, address: table, byteCount: 32, flags: indirect | available)
      if table == HostileBed.hole - 16 {
        bed.memory.setPackedDescriptor(at: table, address: HostileBed.buffer, byteCount: 1)
      }
      try bed.expectFault(.indirectOutsideMemory)
    }
  }

  @Test("a table whose first entry says WRITE, before readable ones, as DPDK sends it")
  func writeInTable() throws {
    let bed = try HostileBed(packed: true)
    func offer(slot: UInt16) {
      bed.memory.setPackedDescriptor(
        at: HostileBed.table, address: HostileBed.buffer, byteCount: 12, flags: RingFlag.write)
      bed.memory.setPackedDescriptor(
        at: HostileBed.table + 16, address: HostileBed.buffer + 12, byteCount: 100)
      bed.packed.setDescriptor(
        slot, address: HostileBed.table, byteCount: 32, id: slot, flags: indirect | available)
    }
    offer(slot: 0)
    bed.queue.ignoreWriteInTables()
    #expect(try bed.pop())
    #expect(bed.chain.readableBytes == 112)
    #expect(bed.chain.writableBytes == 0)
    // Only in tables: in the ring itself the flag means what it says.
    bed.packed.setDescriptor(
      1, address: HostileBed.buffer, byteCount: 12, id: 1, flags: next | RingFlag.write | available)
    bed.packed.setDescriptor(
      2, address: HostileBed.buffer, byteCount: 12, id: 1, flags: available)
    try bed.expectFault(.readableAfterWritable)
    // Nor for a device that writes.
    let other = try HostileBed(packed: true)
    other.memory.setPackedDescriptor(
      at: HostileBed.table, address: HostileBed.buffer, byteCount: 12, flags: RingFlag.write)
    other.memory.setPackedDescriptor(
      at: HostileBed.table + 16, address: HostileBed.buffer + 12, byteCount: 100)
    other.packed.setDescriptor(
      0, address: HostileBed.table, byteCount: 32, flags: indirect | available)
    try other.expectFault(.readableAfterWritable)
  }

  @Test("indirect table of as many entries as a length can say ends at a bound")
  func hugeTable() throws {
    let memory = TestMemory(byteCount: 0x40000)
    var space = GuestSpace(0..<0x10000)
    let plan = RingPlan.packed(size: 8, in: &space)
    let features: Features = [.version1, .packedRing, .indirectDescriptors]
    var queue = try Virtqueue(
      QueueConfiguration(layout: plan.layout, size: 8, features: features),
      memory: memory.guestMemory)
    var chain = Chain(segmentCapacity: 4)
    // 2048 entries of no bytes: more than any chain may have.
    RawPackedRing(plan, memory: memory).setDescriptor(
      0, address: 0x10000, byteCount: 2048 * 16, flags: indirect | available)
    #expect(throws: RingError.chainTooLong) { _ = try queue.pop(into: &chain) }
  }

  @Test("a legal table at any alignment, in one region or in two", arguments: 0..<32)
  func unalignedTable(before: UInt64) throws {
    for table in [HostileBed.table + before, HostileBed.border - before] {
      let bed = try HostileBed(packed: true)
      // NEXT means nothing inside a table: the entries stand in a row.
      bed.memory.setPackedDescriptor(
        at: table, address: HostileBed.buffer, byteCount: 3, id: 0xffff, flags: 0)
      bed.memory.setPackedDescriptor(
        at: table + 16, address: HostileBed.border - 2, byteCount: 4, flags: RingFlag.write)
      bed.packed.setDescriptor(
        0, address: table, byteCount: 32, id: 6, flags: indirect | available)
      try bed.expectTaken(3, 4)
      bed.push(written: 4)
      #expect(bed.packed.element(0).id == 6)
    }
  }

  @Test("chain across the wrap", arguments: 1..<8)
  func chainAcrossTheWrap(start: UInt16) throws {
    let bed = try RingBed(.packed, size: 8, start: start)
    let buffers = (1...8).map { DriverBuffer.readable(bed.buffers, UInt32($0)) }
    #expect(bed.offer(buffers, token: 9))
    #expect(try bed.pop())
    #expect(bed.readableBytes() == 36)
    #expect(try !bed.pop())
    bed.push()
    #expect(try bed.collectAll() == [9])
    #expect(bed.queue.position.nextAvailable == start)
    #expect(!bed.queue.position.availableWrap)
  }

  @Test("chain across the wrap that keeps the bits of its first round")
  func wrongBitsAcrossTheWrap() throws {
    let bed = try HostileBed(packed: true, size: 4)
    bed.queue = try Virtqueue(
      QueueConfiguration(
        layout: bed.plan.layout, size: 4, features: bed.configuration.features,
        position: RingPosition(nextAvailable: 3)), memory: bed.memory.guestMemory)
    bed.packed.setDescriptor(
      0, address: HostileBed.buffer, byteCount: 1, flags: available)
    bed.packed.setDescriptor(
      3, address: HostileBed.buffer, byteCount: 1, flags: available | next)
    try bed.expectFault(.descriptorNotAvailable)
  }

  @Test("chain longer than the ring: every descriptor goes on")
  func chainTooLong() throws {
    for size in [UInt16(1), 2, 3, 8] {
      let bed = try HostileBed(packed: true, size: size)
      for slot in 0..<size {
        bed.packed.setDescriptor(
          slot, address: HostileBed.buffer, byteCount: 0, flags: available | next)
      }
      try bed.expectFault(.chainTooLong)
    }
  }

  @Test("chain over slots of chains in flight")
  func chainOverChainsInFlight() throws {
    let bed = try HostileBed(packed: true, size: 4)
    for slot in UInt16(0)..<2 {
      bed.packed.setDescriptor(
        slot, address: HostileBed.buffer, byteCount: 1, id: slot, flags: available)
    }
    #expect(try bed.pop())
    #expect(try bed.pop())
    // Two slots are left; this chain takes three, the last of them in the next round.
    bed.packed.setDescriptor(
      2, address: HostileBed.buffer, byteCount: 1, id: 2, flags: available | next)
    bed.packed.setDescriptor(
      3, address: HostileBed.buffer, byteCount: 1, id: 2, flags: available | next)
    bed.packed.setDescriptor(0, address: HostileBed.buffer, byteCount: 1, id: 2, flags: used)
    try bed.expectFault(.chainTooLong)
  }

  @Test("event suppression structure with nonsense offsets and flags")
  func eventNonsense() throws {
    let bed = try HostileBed(packed: true, size: 8, features: .eventIndex)
    for turn in 0..<200 {
      let slot = UInt16(turn % 8)
      let wrap = turn / 8 % 2 == 0
      bed.packed.driverEventWord = (
        offsetAndWrap: UInt16(truncatingIfNeeded: turn &* 0x2f1d), flags: UInt16(turn % 5)
      )
      bed.packed.deviceEventWord = (offsetAndWrap: 0xffff, flags: 0xffff)
      bed.packed.setDescriptor(
        slot, address: HostileBed.buffer, byteCount: 1, id: slot,
        flags: RawPackedRing.availableFlags(wrap: wrap))
      try bed.expectTaken(1, 0)
      bed.push()
      _ = bed.needsCall()
      _ = try bed.enableKicks()
      // What the device says is its own.
      #expect(bed.packed.deviceEventWord.flags == RingFlag.eventsAtPosition)
    }
    try bed.expectNeighbourWorks()
  }

  @Test("flood: a device that keeps all it gets holds no more than the ring has")
  func flood() throws {
    let bed = try HostileBed(packed: true, size: 4)
    for turn in UInt16(0)..<4 {
      bed.packed.setDescriptor(
        turn, address: HostileBed.buffer, byteCount: 1, id: turn, flags: available)
      #expect(try bed.pop())
    }
    bed.packed.setDescriptor(0, address: HostileBed.buffer, byteCount: 1, id: 0, flags: used)
    // The id is in flight; any other one would find no room.
    try bed.expectFault(.headInFlight)
  }
}
