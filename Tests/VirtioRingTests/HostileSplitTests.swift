// SPDX-License-Identifier: Apache-2.0

import Testing
import VirtioRing
import VirtioTesting

private let next = RingFlag.next
private let write = RingFlag.write
private let indirect = RingFlag.indirect

@Suite("Hostile split ring: chains", .timeLimit(.minutes(20)))
struct HostileSplitChainTests {
  @Test("chain loop: next points back to the head")
  func loopToHead() throws {
    let bed = try HostileBed(packed: false)
    for index in UInt16(0)..<3 {
      bed.split.setDescriptor(
        index, address: HostileBed.buffer, byteCount: 4, flags: next, next: (index + 1) % 3)
    }
    bed.split.makeAvailable(0)
    try bed.expectFault(.chainTooLong)
  }

  @Test("chain loop: a descriptor that points to itself, in rings of every size")
  func selfLoop() throws {
    for shift in 0..<9 {
      let bed = try HostileBed(packed: false, size: 1 << shift)
      bed.split.setDescriptor(
        0, address: HostileBed.buffer, byteCount: 0, flags: next, next: 0)
      bed.split.makeAvailable(0)
      try bed.expectFault(.chainTooLong)
    }
  }

  @Test("chain longer than the queue ends at the queue's size, one as long as the queue is taken")
  func longerThanQueue() throws {
    let bed = try HostileBed(packed: false, size: 8)
    for index in UInt16(0)..<8 {
      bed.split.setDescriptor(
        index, address: HostileBed.buffer, byteCount: 1, flags: index < 7 ? next : 0,
        next: index + 1)
    }
    bed.split.makeAvailable(0)
    try bed.expectTaken(8, 0)
    bed.push()
    // Now the last one goes on, too.
    bed.split.setDescriptor(7, address: HostileBed.buffer, byteCount: 1, flags: next, next: 1)
    bed.split.makeAvailable(0)
    try bed.expectFault(.chainTooLong)
  }

  @Test("next out of range", arguments: [UInt16(8), 9, 0x7fff, 0x8000, 0xffff])
  func nextOutOfRange(index: UInt16) throws {
    let bed = try HostileBed(packed: false, size: 8)
    bed.split.setDescriptor(0, address: HostileBed.buffer, byteCount: 1, flags: next, next: index)
    bed.split.makeAvailable(0)
    try bed.expectFault(.nextOutOfRange)
  }

  @Test("head out of range", arguments: [UInt16(8), 9, 0x7fff, 0x8000, 0xffff])
  func headOutOfRange(index: UInt16) throws {
    let bed = try HostileBed(packed: false, size: 8)
    bed.split.makeAvailable(index)
    try bed.expectFault(.headOutOfRange)
  }

  @Test("next of the last descriptor is not looked at")
  func deadNext() throws {
    let bed = try HostileBed(packed: false, size: 8)
    bed.split.setDescriptor(0, address: HostileBed.buffer, byteCount: 1, next: 0xffff)
    bed.split.makeAvailable(0)
    try bed.expectTaken(1, 0)
  }
}

@Suite("Hostile buffers: addresses, lengths, direction", .timeLimit(.minutes(20)))
struct HostileBufferTests {
  /// A bed with one chain of these buffers in the format that is asked for.
  static func bed(_ packed: Bool, _ buffers: [DriverBuffer]) throws -> HostileBed {
    let bed = try HostileBed(packed: packed, size: 64)
    for (position, buffer) in buffers.enumerated() {
      let index = UInt16(position)
      let isLast = position == buffers.count - 1
      let flags = (buffer.isWritable ? write : 0) | (isLast ? 0 : next)
      if packed {
        bed.packed.setDescriptor(
          index, address: buffer.address, byteCount: buffer.byteCount, id: 3,
          flags: flags | RingFlag.available)
      } else {
        bed.split.setDescriptor(
          index, address: buffer.address, byteCount: buffer.byteCount, flags: flags,
          next: index + 1)
      }
    }
    if !packed { bed.split.makeAvailable(0) }
    return bed
  }

  @Test("address 0, where no memory is", arguments: [false, true])
  func addressZero(packed: Bool) throws {
    try Self.bed(packed, [.readable(0, 1)]).expectFault(.addressOutsideMemory)
  }

  @Test("address past the end of memory", arguments: [false, true])
  func pastTheEnd(packed: Bool) throws {
    for address in [HostileBed.end, HostileBed.end + 1, 1 << 40, UInt64.max] {
      try Self.bed(packed, [.writable(address, 1)]).expectFault(.addressOutsideMemory)
    }
  }

  @Test("address and length wrap 64 bits", arguments: [false, true])
  func wraps(packed: Bool) throws {
    for (address, length) in [
      (UInt64.max, UInt32(2)), (UInt64.max - 15, 0xffff_ffff), (0xffff_ffff_0000_1000, 0xffff_f000),
    ] {
      try Self.bed(packed, [.readable(address, length)]).expectFault(.addressOutsideMemory)
    }
  }

  @Test("buffer spans the end of memory; one that ends there is taken", arguments: [false, true])
  func spansTheEnd(packed: Bool) throws {
    try Self.bed(packed, [.readable(HostileBed.end - 16, 17)]).expectFault(.addressOutsideMemory)
    try Self.bed(packed, [.readable(HostileBed.end - 16, 16)]).expectTaken(16, 0)
  }

  @Test("buffer spans a hole; one that ends there is taken", arguments: [false, true])
  func spansAHole(packed: Bool) throws {
    try Self.bed(packed, [.readable(HostileBed.hole - 16, 17)]).expectFault(.addressOutsideMemory)
    try Self.bed(packed, [.readable(HostileBed.hole - 16, 0x10000)])
      .expectFault(.addressOutsideMemory)
    try Self.bed(packed, [.readable(HostileBed.last - 1, 2)]).expectFault(.addressOutsideMemory)
    try Self.bed(packed, [.readable(HostileBed.hole - 16, 16)]).expectTaken(16, 0)
  }

  @Test(
    "buffer crosses two regions that are adjacent only in guest-physical space (CVE-2018-1059)",
    arguments: [false, true])
  func crossesRegions(packed: Bool) throws {
    let bed = try Self.bed(
      packed, [.readable(HostileBed.border - 3, 8), .writable(HostileBed.border - 5, 8)])
    bed.memory.write([1, 2, 3, 4, 5, 6, 7, 8], at: HostileBed.border - 3)
    try bed.expectTaken(8, 8)
    #expect(bed.readableCount == 2)
    #expect(bed.writableCount == 2)
    #expect(bed.load(UInt64.self, at: 0) == 0x0807_0605_0403_0201)
    #expect(bed.store(UInt64(0x1817_1615_1413_1211), at: 0))
    #expect(
      bed.memory.bytes(at: HostileBed.border - 5, count: 8)
        == [0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18])
  }

  @Test(
    "buffer in the ring's own descriptor table, available and used ring", arguments: [false, true])
  func ownRing(packed: Bool) throws {
    let bed = try HostileBed(packed: packed)
    switch bed.plan.layout {
    case .split(let descriptors, let available, let used):
      for address in [descriptors, available, used] {
        bed.split.setDescriptor(1, address: address, byteCount: 64, flags: write)
        bed.split.makeAvailable(1)
        try bed.expectTaken(0, 64)
        // The device does what it was asked for, to the driver's own loss.
        for offset in stride(from: 0, to: 64, by: 8) {
          #expect(bed.store(UInt64.max, at: offset))
        }
        bed.push(written: 64)
        if address == available {
          try bed.expectFault(.availableIndexJumped)
          return
        }
      }
    case .packed(let descriptors, let driverEvent, let deviceEvent):
      for (turn, address) in [driverEvent, deviceEvent, descriptors].enumerated() {
        bed.packed.setDescriptor(
          UInt16(turn), address: address, byteCount: 4, id: 1, flags: write | RingFlag.available)
        try bed.expectTaken(0, 4)
        #expect(bed.store(UInt32.max, at: 0))
        bed.push(written: 4)
        _ = bed.needsCall()
      }
    }
    try bed.expectNeighbourWorks()
  }

  @Test("length 0 is a chain without segments", arguments: [false, true])
  func lengthZero(packed: Bool) throws {
    let bed = try Self.bed(packed, [.readable(HostileBed.buffer, 0)])
    try bed.expectTaken(0, 0)
    #expect(bed.readableCount == 0)
    #expect(bed.load(UInt8.self, at: 0) == nil)
    bed.push()
  }

  @Test("length 0xffffffff", arguments: [false, true])
  func lengthMaximum(packed: Bool) throws {
    try Self.bed(packed, [.readable(HostileBed.buffer, 0xffff_ffff)])
      .expectFault(.addressOutsideMemory)
  }

  @Test(
    "length 0 together with a bad address: the address is never followed (CVE-2020-10725)",
    arguments: [false, true])
  func lengthZeroBadAddress(packed: Bool) throws {
    for address in [0, HostileBed.hole, HostileBed.end, UInt64.max] {
      let bed = try Self.bed(packed, [.readable(address, 0), .writable(address, 0)])
      try bed.expectTaken(0, 0)
      #expect(bed.readableCount == 0)
      #expect(bed.writableCount == 0)
      #expect(!bed.store(UInt8(1), at: 0))
      bed.push()
    }
  }

  @Test("device-readable after device-writable", arguments: [false, true])
  func readableAfterWritable(packed: Bool) throws {
    let at = HostileBed.buffer
    try Self.bed(packed, [.writable(at, 1), .readable(at, 1)]).expectFault(.readableAfterWritable)
    try Self.bed(packed, [.readable(at, 1), .writable(at, 1), .readable(at, 1)])
      .expectFault(.readableAfterWritable)
    // No bytes on either side make it no better.
    try Self.bed(packed, [.writable(at, 0), .readable(at, 1)]).expectFault(.readableAfterWritable)
    try Self.bed(packed, [.writable(at, 1), .readable(at, 0)]).expectFault(.readableAfterWritable)
  }

  @Test(
    "request header in a writable descriptor: there is nothing to read", arguments: [false, true])
  func headerWritable(packed: Bool) throws {
    let bed = try Self.bed(packed, [.writable(HostileBed.buffer, 16)])
    try bed.expectTaken(0, 16)
    #expect(bed.load(UInt32.self, at: 0) == nil)
  }

  @Test("status byte missing, of length 0, or read-only: there is nowhere to write it")
  func statusMissing() throws {
    let at = HostileBed.buffer
    for packed in [false, true] {
      for buffers in [
        [DriverBuffer.readable(at, 16)], [.readable(at, 16), .writable(at, 0)],
        [.readable(at, 16), .readable(at, 1)],
      ] {
        let bed = try Self.bed(packed, buffers)
        #expect(try bed.pop())
        #expect(bed.writableBytes == 0)
        #expect(!bed.store(UInt8(1), at: 0))
        bed.push()
      }
    }
  }

  @Test("header split over descriptors of one byte reads as one", arguments: [false, true])
  func headerInBytes(packed: Bool) throws {
    let places = (0..<16).map { HostileBed.buffer + 0x100 - $0 * 7 }
    let bed = try Self.bed(packed, places.map { .readable($0, 1) })
    for (value, place) in places.enumerated() { bed.memory.write([UInt8(value)], at: place) }
    try bed.expectTaken(16, 0)
    #expect(bed.load(UInt64.self, at: 0) == 0x0706_0504_0302_0100)
    #expect(bed.load(UInt64.self, at: 8) == 0x0f0e_0d0c_0b0a_0908)
    #expect(bed.load(UInt64.self, at: 9) == nil)
  }

  @Test("more segments than the device has room for", arguments: [false, true])
  func tooManySegments(packed: Bool) throws {
    let bed = try HostileBed(packed: packed, size: 64)
    let table = HostileBed.table
    for index in UInt64(0)..<65 {
      bed.memory.setSplitDescriptor(
        at: table + index * 16, address: HostileBed.buffer, byteCount: 1,
        flags: packed || index == 64 ? 0 : next, next: UInt16(index) + 1)
      if packed {
        bed.memory.setPackedDescriptor(
          at: table + index * 16, address: HostileBed.buffer, byteCount: 1)
      }
    }
    if packed {
      bed.packed.setDescriptor(
        0, address: table, byteCount: 65 * 16, flags: indirect | RingFlag.available)
    } else {
      bed.split.setDescriptor(0, address: table, byteCount: 65 * 16, flags: indirect)
      bed.split.makeAvailable(0)
    }
    try bed.expectFault(.tooManySegments)
  }
}

@Suite("Hostile lengths: totals over 4 GiB", .timeLimit(.minutes(20)))
struct HostileTotalTests {
  @Test("the chain's total is over 2^32", arguments: [false, true])
  func totalOver4GiB(packed: Bool) throws {
    // Many descriptors of one buffer of 8 MiB: 512 of them are 4 GiB.
    let bufferSize: UInt64 = 8 << 20
    let memory = TestMemory(byteCount: bufferSize + 0x10000)
    for (count, isTooLarge) in [(511, false), (512, true)] {
      var space = GuestSpace(bufferSize..<bufferSize + 0x10000)
      let plan: RingPlan =
        packed ? .packed(size: 8, in: &space) : .split(size: 8, in: &space)
      let table = space.take(512 * 16)
      var driver = Driver(
        plan, memory: memory,
        features: packed
          ? [.version1, .packedRing, .indirectDescriptors] : [.version1, .indirectDescriptors])
      var queue = try Virtqueue(driver.configuration, memory: memory.guestMemory)
      var chain = Chain(segmentCapacity: 1024)
      let buffers = (0..<count).map { index in
        DriverBuffer(address: 0, byteCount: UInt32(bufferSize), isWritable: index > count / 2)
      }
      let offered = driver.offer(buffers, shape: .indirectAt(table))
      #expect(offered)
      if isTooLarge {
        #expect(throws: RingError.chainTooLarge) { _ = try queue.pop(into: &chain) }
      } else {
        let taken = try queue.pop(into: &chain)
        let total = chain.readableBytes + chain.writableBytes
        #expect(taken)
        #expect(total == count * Int(bufferSize))
      }
    }
  }
}
