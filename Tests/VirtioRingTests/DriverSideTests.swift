// SPDX-License-Identifier: Apache-2.0

import Testing
import VirtioRing
import VirtioTesting

@Suite("The driver's side finds a device that breaks the rules", .timeLimit(.minutes(20)))
struct DriverSideTests {
  @Test("split: a used index that jumps, an unknown head, more bytes than there is room for")
  func split() throws {
    let bed = try RingBed(.split)
    let ring = RawSplitRing(bed.plan, memory: bed.memory)
    #expect(bed.offer([.writable(bed.buffers, 8)], token: 4))
    ring.usedIndex = 2
    #expect(throws: DeviceFault.usedIndexJumped) { _ = try bed.collect() }
    ring.usedIndex = 1
    for head: UInt32 in [1, 8, 0x10000] {
      bed.memory.store(head, at: ring.usedEntry(0))
      #expect(throws: DeviceFault.chainNotInFlight) { _ = try bed.collect() }
    }
    bed.memory.store(UInt32(0), at: ring.usedEntry(0))
    bed.memory.store(UInt32(9), at: ring.usedEntry(0) + 4)
    #expect(throws: DeviceFault.wroteTooMuch) { _ = try bed.collect() }
    bed.memory.store(UInt32(8), at: ring.usedEntry(0) + 4)
    #expect(try bed.collect()?.token == 4)
  }

  @Test("packed: an id that is not in flight, a used descriptor where none can be")
  func packed() throws {
    let bed = try RingBed(.packed)
    let ring = RawPackedRing(bed.plan, memory: bed.memory)
    ring.setFlags(0, RawPackedRing.usedFlags(wrap: true))
    #expect(throws: DeviceFault.usedIndexJumped) { _ = try bed.collect() }
    #expect(bed.offer([.writable(bed.buffers, 8)], token: 4))
    for id: UInt16 in [1, 8, 0xffff] {
      ring.setDescriptor(
        0, address: 0, byteCount: 0, id: id, flags: RawPackedRing.usedFlags(wrap: true))
      #expect(throws: DeviceFault.chainNotInFlight) { _ = try bed.collect() }
    }
    let flags = RawPackedRing.usedFlags(wrap: true)
    ring.setDescriptor(0, address: 0, byteCount: 9, id: 0, flags: flags | RingFlag.write)
    #expect(throws: DeviceFault.wroteTooMuch) { _ = try bed.collect() }
    // Without WRITE the length says nothing.
    ring.setDescriptor(0, address: 0, byteCount: 9, id: 0, flags: flags)
    #expect(try bed.collect()?.written == 0)
  }

  @Test("IN_ORDER: a device out of order", arguments: [RingFormat.split])
  func outOfOrder(format: RingFormat) throws {
    let bed = try RingBed(format, features: .inOrder)
    let ring = RawSplitRing(bed.plan, memory: bed.memory)
    for token in UInt64(0)..<2 { #expect(bed.offer(token: token)) }
    bed.memory.store(UInt32(1), at: ring.usedEntry(0))
    ring.usedIndex = 1
    #expect(throws: DeviceFault.outOfOrder) { _ = try bed.collect() }
  }

  @Test("IN_ORDER: one used entry may stand for a batch", arguments: [false, true])
  func batch(packed: Bool) throws {
    let bed = try RingBed(packed ? .packed : .split, features: .inOrder)
    for token in UInt64(0)..<4 {
      #expect(bed.offer([.readable(bed.buffers, 1), .writable(bed.buffers, 8)], token: token))
    }
    if packed {
      // Written where the batch began; the device skips to behind its end (2.8.9).
      RawPackedRing(bed.plan, memory: bed.memory).setDescriptor(
        0, address: 0, byteCount: 5, id: 2,
        flags: RawPackedRing.usedFlags(wrap: true) | RingFlag.write)
    } else {
      let ring = RawSplitRing(bed.plan, memory: bed.memory)
      bed.memory.store(UInt32(4), at: ring.usedEntry(0))
      bed.memory.store(UInt32(5), at: ring.usedEntry(0) + 4)
      ring.usedIndex = 3
    }
    // Those without an entry count as written completely.
    for (token, written): (UInt64, UInt32) in [(0, 8), (1, 8), (2, 5)] {
      let used = try bed.collect()
      #expect(used?.token == token)
      #expect(used?.written == written)
    }
    #expect(try bed.collect() == nil)
    #expect(bed.driver.inFlightCount == 1)
  }

  @Test("IN_ORDER, split: descriptors are taken in ring order (2.7.5)")
  func ringOrder() throws {
    let bed = try RingBed(.split, features: .inOrder)
    let ring = RawSplitRing(bed.plan, memory: bed.memory)
    for turn in UInt16(0)..<20 {
      #expect(bed.offer([.readable(bed.buffers, 1), .readable(bed.buffers, 1)]))
      let head = bed.memory.load(UInt16.self, at: ring.availableEntry(turn))
      #expect(head == turn * 2 % 8)
      #expect(try bed.pop())
      bed.push()
      #expect(try bed.collect() != nil)
    }
  }

  @Test("memory: words and bytes across regions, and where memory is")
  func memory() throws {
    let memory = try TestMemory([0..<0x1000, 0x1000..<0x2000, 0x3000..<0x4000])
    memory.store(UInt64(0x0807_0605_0403_0201), at: 0xffd)
    #expect(memory.bytes(at: 0xffd, count: 8) == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(memory.load(UInt64.self, at: 0xffd) == 0x0807_0605_0403_0201)
    #expect(memory.load(UInt16.self, at: 0xfff) == 0x0403)
    memory.fill(0xee, at: 0xfff, count: 2)
    #expect(memory.load(UInt32.self, at: 0xffe) == 0x05ee_ee02)
    #expect(memory.holds(0, byteCount: 0x2000))
    #expect(!memory.holds(0x1fff, byteCount: 2))
    #expect(memory.holds(0x3000, byteCount: 0x1000))
    #expect(!memory.holds(UInt64.max, byteCount: 1))
    #expect(memory.holds(UInt64.max, byteCount: 0))
  }

  @Test("an honest driver's event words are those of the specification")
  func eventWords() throws {
    let split = try RingBed(.split, features: .eventIndex, start: 0xffff)
    let splitRing = RawSplitRing(split.plan, memory: split.memory)
    _ = split.requestCall(after: 3)
    #expect(splitRing.usedEvent == 1)
    #expect(splitRing.availableFlags == 0)
    let packed = try RingBed(.packed, size: 5, features: .eventIndex, start: 4)
    let packedRing = RawPackedRing(packed.plan, memory: packed.memory)
    _ = packed.requestCall(after: 1)
    #expect(packedRing.driverEventWord == (offsetAndWrap: 0x8004, flags: 2))
    _ = packed.requestCall(after: 2)
    #expect(packedRing.driverEventWord == (offsetAndWrap: 0, flags: 2))
    packed.driver.suppressCalls()
    #expect(packedRing.driverEventWord.flags == 1)
  }
}
