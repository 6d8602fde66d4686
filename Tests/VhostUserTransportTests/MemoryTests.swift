// SPDX-License-Identifier: Apache-2.0
//
// Memory: tables that make no sense, regions that come and go while rings run, and files that are cut
// off under us.

import Linux
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing
import VirtioTesting

@Suite(.timeLimit(.minutes(20))) struct MemoryTests {
  private static let page: UInt64 = 4096

  private static func region(
    _ guest: UInt64, _ size: UInt64, user: UInt64 = 0x7000_0000, offset: UInt64 = 0
  ) -> RegionDescription {
    RegionDescription(guestAddress: guest, size: size, userAddress: user, offset: offset)
  }

  /// Tables of regions of a file of four pages, none of which can be.
  private static let badTables: [(String, [RegionDescription])] = [
    ("size 0", [region(0, 0)]),
    ("size 0", [region(0, page), region(page, 0)]),
    ("overlap", [region(0, 2 * page), region(page, page)]),
    ("overlap", [region(page, page), region(0, page), region(2 * page - 1, 1)]),
    ("overlap", [region(0, page), region(0, page)]),
    ("end of its file", [region(0, page, offset: 4 * page)]),
    ("end of its file", [region(0, 4 * page, offset: 1)]),
    ("end of its file", [region(0, 1 << 40)]),
    ("end of the address space", [region(0, page, offset: 0xffff_ffff_ffff_f000)]),
    ("end of the address space", [region(0, page, offset: 0x7fff_ffff_ffff_f001)]),
    ("end of the address space", [region(0xffff_ffff_ffff_f001, page)]),
    ("end of the address space", [region(0, page, user: 0xffff_ffff_ffff_f001)]),
    ("end of the address space", [region(0, UInt64.max)]),
    ("end of the address space", [region(0, UInt64.max, offset: 1)]),
  ]

  @Test("memory tables that cannot be are refused", arguments: badTables.indices)
  func badTable(_ index: Int) throws {
    let (reason, regions) = Self.badTables[index]
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd())
    let file = try Memfd.create(name: "test", size: 4 * Self.page)
    #expect(throws: FrontEndError.refused) {
      try client.frontEnd.tell(
        .setMemoryTable, RegionDescription.tableBytes(regions),
        descriptors: [Int32](repeating: file.raw, count: regions.count))
    }
    #expect(bed.lines.contains(reason))
    // The memory of before is still there.
    #expect(try client.echo([1, 2]) == [1, 2])
    for region in regions.prefix(1) where reason != "overlap" && region.size != Self.page {
      #expect(throws: FrontEndError.refused) {
        try client.frontEnd.tell(
          .addMemoryRegion, region.singleRegionBytes, descriptors: [file.raw])
      }
    }
  }

  @Test(
    "a number of regions that is 0, too high or not the descriptors' is refused",
    arguments: [(0, 0), (0, 1), (9, 9), (2, 1), (1, 2), (0xffff_ffff, 1)] as [(UInt32, Int)])
  func badCount(_ count: UInt32, _ descriptorCount: Int) throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([])
    let file = try Memfd.create(name: "test", size: 4 * Self.page)
    let regions = (0..<max(1, descriptorCount)).map {
      Self.region(UInt64($0) * Self.page, 4 * Self.page)
    }
    var payload = RegionDescription.tableBytes(regions)
    payload.replaceSubrange(0..<4, with: VringState(index: count, number: 0).bytes[..<4])
    #expect(throws: FrontEndError.refused) {
      try frontEnd.tell(
        .setMemoryTable, payload,
        descriptors: [Int32](repeating: file.raw, count: descriptorCount))
    }
  }

  @Test("a table may be sized for two regions and have one, as User-mode Linux sends it")
  func sizedForTwo() throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd())
    try client.frontEnd.tell(
      .setMemoryTable,
      RegionDescription.tableBytes(client.frontEnd.memory.descriptions)
        + [UInt8](repeating: 0, count: RegionDescription.byteCount),
      descriptors: client.frontEnd.memory.descriptors)
    #expect(try client.echo([1, 2]) == [1, 2])
  }

  @Test("a table that comes again while a ring runs changes nothing for it", arguments: formats)
  func replacedWhileRunning(_ features: Features) throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd(), features)
    for byte: UInt8 in 0..<200 {
      try client.frontEnd.shareMemory()
      #expect(try client.echo([byte]) == [byte])
    }
  }

  @Test("a table without the ring breaks it, and one that has it again mends it")
  func tableWithoutTheRing() throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd())
    let file = try Memfd.create(name: "test", size: 4 * Self.page)
    try client.frontEnd.tell(
      .setMemoryTable,
      RegionDescription.tableBytes([Self.region(0x4000_0000, 4 * Self.page)]),
      descriptors: [file.raw])
    #expect(bed.lines.contains("queue 0 is stopped: ring area outside guest memory"))
    let base = try client.frontEnd.stopRing(0)
    try client.frontEnd.shareMemory()
    try client.frontEnd.startRing(client.ring, base: base)
    #expect(try client.echo([1, 2]) == [1, 2])
  }

  @Test("a ring follows its memory to another guest address", arguments: formats)
  func movedInGuestSpace(_ features: Features) throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd(), features)
    #expect(try client.echo([1]) == [1])
    // The same memory, told at another guest address: buffers are not where the driver says now,
    // but the ring, which goes by the front-end's own addresses, is.
    let frontEnd = client.frontEnd
    let moved = frontEnd.memory.descriptions.map {
      RegionDescription(
        guestAddress: $0.guestAddress + (1 << 40), size: $0.size, userAddress: $0.userAddress,
        offset: 0)
    }
    try frontEnd.tell(
      .setMemoryTable, RegionDescription.tableBytes(moved),
      descriptors: frontEnd.memory.descriptors)
    try frontEnd.shareMemory()
    #expect(try client.echo([2]) == [2])
    #expect(bed.lines.all.allSatisfy { !$0.contains("is stopped") })
  }

  @Test("509 regions come and go one by one while a ring runs, and one more is refused")
  func memorySlots() throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd())
    let frontEnd = client.frontEnd
    let file = try Memfd.create(name: "test", size: 510 * Self.page)
    let regions = (0..<509).map { index in
      Self.region(
        (1 << 40) + UInt64(index) * Self.page, Self.page,
        user: (1 << 40) + UInt64(index) * Self.page, offset: UInt64(index) * Self.page)
    }
    // One region is there already.
    for region in regions.prefix(508) {
      try frontEnd.tell(
        .addMemoryRegion, region.singleRegionBytes, descriptors: [file.raw])
    }
    #expect(try client.echo([1]) == [1])
    #expect(throws: FrontEndError.refused) {
      try frontEnd.tell(
        .addMemoryRegion, regions[508].singleRegionBytes, descriptors: [file.raw])
    }
    // A buffer in a region that was added is served, and not any more when it has gone.
    for (index, region) in regions.prefix(508).enumerated() {
      // Half of the front-ends send the descriptor along.
      try frontEnd.tell(
        .removeMemoryRegion, region.singleRegionBytes,
        descriptors: index % 2 == 0 ? [] : [file.raw])
    }
    #expect(try client.echo([2]) == [2])
    #expect(throws: FrontEndError.refused) {
      try frontEnd.tell(.removeMemoryRegion, regions[0].singleRegionBytes)
    }
  }

  @Test("a buffer in a region that was added is served, in one that was removed it is not")
  func bufferInASlot() throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd())
    let frontEnd = client.frontEnd
    let extra = try SharedGuestMemory([0x4000_0000..<0x4000_1000])
    try frontEnd.tell(
      .addMemoryRegion, extra.descriptions[0].singleRegionBytes, descriptors: extra.descriptors)
    extra.memory.write([1, 2, 3], at: 0x4000_0000)
    let buffers: [DriverBuffer] = [.readable(0x4000_0000, 3), .writable(0x4000_0800, 3)]
    #expect(client.offer(buffers))
    _ = try client.ring.collect()
    #expect(extra.memory.bytes(at: 0x4000_0800, count: 3) == [1, 2, 3])
    try frontEnd.tell(.removeMemoryRegion, extra.descriptions[0].singleRegionBytes)
    #expect(client.offer(buffers))
    #expect(bed.lines.contains("queue 0 is stopped: buffer outside guest memory"))
  }

  @Test("memory can come slot by slot before any ring is set up")
  func slotsInsteadOfATable() throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate(.allRing)
    // The ring is set up first: it starts when its memory comes.
    let ring = try frontEnd.makeRing(0, size: 16)
    try frontEnd.startRing(ring)
    let device = bed.devices[0] as? EchoDevice
    #expect(device?.starts == 0)
    try frontEnd.tell(
      .addMemoryRegion, frontEnd.memory.descriptions[0].singleRegionBytes,
      descriptors: frontEnd.memory.descriptors)
    #expect(device?.starts == 1)
  }

  @Test("memory that is cut off under a running ring ends that session and nothing else")
  func truncated() throws {
    let bed = try ServerBed([EchoDevice(), EchoDevice()])
    let other = try EchoClient(try bed.frontEnd(1))
    for size: UInt64 in [0, 4096] {
      let client = try EchoClient(try bed.frontEnd())
      #expect(try client.echo([1]) == [1])
      try client.frontEnd.memory.truncate(region: 0, to: size)
      if size == 0 {
        // The worker touches the ring's pages, which are gone.
        client.ring.kick.signal()
      } else {
        // The ring is still there, but not the buffers.
        let start = client.frontEnd.memory.descriptions[0].guestAddress
        #expect(client.offer([.readable(start + 8192, 8), .writable(start + 12288, 8)]))
      }
      try client.frontEnd.raw.waitForClose()
      #expect(bed.lines.contains("shared memory was truncated"))
      #expect(try other.echo([2]) == [2])
    }
    #expect(try EchoClient(try bed.frontEnd()).echo([3]) == [3])
    #expect(bed.stop())
  }

  @Test("as many mappings as a process can have are not said to be the front-end's fault")
  func tooManyMappings() {
    #expect(
      "\(MemoryTableError.tooManyMappings)"
        == "memory region cannot be mapped: this process has mapped 4096 for all its front-ends already; "
        + "serve fewer devices with one process")
  }
}
