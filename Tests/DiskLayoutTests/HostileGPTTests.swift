// SPDX-License-Identifier: Apache-2.0
//
// GPTs that are broken, or lie. Every layout here is read with a look at each request and at
// all that must hold of any layout (`checkedLayout`).

import DiskHarness
import DiskLayout
import Testing

/// A GPT with two partitions on an image of 4 MiB.
private func twoPartitions(sectorSize: UInt64 = 512) -> TableImage {
  var image = TableImage(byteCount: 4 << 20, sectorSize: sectorSize)
  image.writeGPT([.init(first: 64, last: 127, name: "one"), .init(first: 128, last: 255)])
  return image
}

/// Expects both partitions.
private func expectBoth(_ layout: DiskLayout, sectorSize: UInt64 = 512) {
  #expect(layout.table == .gpt)
  #expect(layout.partitions.map(\.number) == [1, 2])
  #expect(layout.partitions.map(\.start) == [64 * sectorSize, 128 * sectorSize])
  #expect(layout.partitions.map(\.byteCount) == [64 * sectorSize, 128 * sectorSize])
}

@Suite("Hostile images: GPT", .timeLimit(.minutes(20)))
struct HostileGPTTests {
  @Test("a header with a wrong checksum: the backup is used", arguments: [512 as UInt64, 4096])
  func headerChecksum(sectorSize: UInt64) {
    var image = twoPartitions(sectorSize: sectorSize)
    image.image.write([0x99], at: image.primary + 60)
    let layout = image.layout()
    expectBoth(layout, sectorSize: sectorSize)
    #expect(layout.warnings == ["the GPT's backup is used: its header's checksum is wrong"])
  }

  @Test("entries with a wrong checksum: the backup's are used")
  func entriesChecksum() {
    var image = twoPartitions()
    image.image.write([0xff], at: image.primaryEntries + 32)
    let layout = image.layout()
    expectBoth(layout)
    #expect(layout.warnings == ["the GPT's backup is used: its entries' checksum is wrong"])
  }

  @Test("a first header that is gone: the backup at the end is used")
  func missing() {
    var image = twoPartitions()
    image.image.write(Array(repeating: 0, count: 2048), at: image.primary)
    let layout = image.layout()
    expectBoth(layout)
    #expect(layout.warnings == ["the GPT's backup is used: its first header is missing"])
  }

  @Test("an image that has grown: the backup is where the broken header says")
  func grown() {
    var image = twoPartitions()
    image.image.byteCount *= 2
    expectBoth(image.layout())
    #expect(image.warnings.isEmpty)
    image.image.write([0x99], at: image.primary + 60)
    let layout = image.layout()
    expectBoth(layout)
    #expect(layout.warnings.count == 1)
  }

  @Test("a broken backup is told, and the first header used")
  func brokenBackup() {
    var image = twoPartitions()
    image.image.write([0x99], at: image.backup + 60)
    expectBoth(image.layout())
    #expect(image.warnings == ["the GPT's backup is broken: its header's checksum is wrong"])
    image.image.write(Array(repeating: 0, count: 512), at: image.backup)
    expectBoth(image.layout())
    #expect(image.warnings == ["the GPT's backup is missing"])
  }

  @Test("a backup of other partitions is told, and the first header used")
  func otherBackup() {
    var image = twoPartitions()
    image.image.write(130 as UInt64, at: image.backupEntries + 128 + 32)
    image.image.repairChecksums()
    expectBoth(image.layout())
    #expect(image.warnings == ["the GPT's backup has other partitions: it is not used"])
  }

  @Test("both headers broken: there is no partition, and a line says why")
  func bothBroken() {
    var image = twoPartitions()
    for header in [image.primary, image.backup] { image.image.write([0x99], at: header + 60) }
    let layout = image.layout()
    #expect(layout.table == .none)
    #expect(layout.partitions.isEmpty)
    #expect(
      layout.warnings == [
        "the GPT cannot be used: its header's checksum is wrong",
        "there should be a GPT, but neither header can be used: no partition is known",
      ])
  }

  @Test("both headers broken in a hybrid: the MBR's partitions are used")
  func bothBrokenHybrid() {
    var image = twoPartitions()
    for header in [image.primary, image.backup] { image.image.write([0x99], at: header + 60) }
    image.writeMBR([
      .init(type: 0xee, start: 1, count: 63), .init(type: 0x83, start: 64, count: 64),
    ])
    let layout = image.layout()
    #expect(layout.table == .mbr)
    #expect(layout.partitions.map(\.number) == [2])
    #expect(layout.warnings.count == 2)
  }

  @Test("no protective MBR: the GPT is used, with a warning")
  func noMBR() {
    var image = twoPartitions()
    image.image.write(Array(repeating: 0, count: 512), at: 0)
    expectBoth(image.layout())
    #expect(
      image.warnings == ["there is no protective MBR, without which Linux does not see the GPT"])
  }

  @Test("only a backup, and no protective MBR: it is used on request")
  func onlyBackup() {
    var image = twoPartitions()
    image.image.write(Array(repeating: 0, count: 1024), at: 0)
    for hasFileSystem in [false, true] {
      if hasFileSystem { image.image.write(Array("hsqs".utf8), at: 0) }
      let layout = image.layout()
      #expect(layout.table == .none)
      #expect(layout.partitions.isEmpty)
      #expect(
        layout.warnings == [
          "the last sector has the backup of a GPT, of which the first has nothing: it is not used"
        ])
      let shown = DiskLayout.read(from: CheckedReader(image.image), usesLostGPT: true)
      #expect(shown.table == .gpt)
      #expect(shown.partitions.map(\.number) == layoutOfBoth.partitions.map(\.number))
    }
  }

  private var layoutOfBoth: DiskLayout { twoPartitions().layout() }

  @Test("an MBR's entry for a GPT counts as for Linux: where it begins, and not how large it is")
  func protectiveEntries() {
    // The size is whatever, boot flags too, and other entries may be beside it, before it too.
    for records in [
      [TableImage.Record(type: 0xee, start: 1, count: 0)],
      [TableImage.Record(type: 0xee, start: 1, count: .max)],
      [TableImage.Record(flag: 0x12, type: 0xee, start: 1, count: 10)],
      [
        TableImage.Record(type: 0x83, start: 64, count: 64),
        TableImage.Record(type: 0xee, start: 1, count: 10),
      ],
    ] {
      var image = twoPartitions()
      image.writeMBR(records)
      expectBoth(image.layout())
    }
    // Elsewhere it begins, and Linux uses neither table.
    var image = twoPartitions()
    image.writeMBR([
      .init(type: 0xee, start: 2, count: 10), .init(type: 0x83, start: 64, count: 64),
    ])
    #expect(image.layout().partitions.isEmpty)
    #expect(
      image.warnings == [
        "the MBR's entry for a GPT does not begin at sector 1, so Linux sees no partition"
      ])
    expectBoth(DiskLayout.read(from: CheckedReader(image.image), usesLostGPT: true))
  }

  @Test(
    "names, labels and identifiers that two partitions have are reported; links lead to the first")
  func twins() {
    var image = TableImage(byteCount: 16 << 20)
    image.writeGPT([
      .init(first: 2048, last: 4095, name: "data"), .init(first: 4096, last: 6143, name: "data"),
    ])
    // The second's own identifier becomes the first's, and a file system is on both.
    for table in [image.primaryEntries, image.backupEntries] {
      image.image.write([1], at: table + 128 + 16)
    }
    for start: UInt64 in [1 << 20, 2 << 20] {
      image.image.write(Array("_BHRfS_M".utf8), at: start + 65536 + 0x40)
      image.image.write(Array(repeating: 0x41, count: 16), at: start + 65536 + 0x20)
      image.image.write(Array("same".utf8), at: start + 65536 + 0x12b)
    }
    image.image.repairChecksums()
    let layout = image.layout()
    #expect(
      layout.warnings == [
        "part1 and part2 have the same label, same",
        "part1 and part2 have the same UUID, 41414141-4141-4141-4141-414141414141",
        "part1 and part2 have the same name, data",
        "part1 and part2 have the same PARTUUID, 07070701-0707-0707-0707-070707070707",
      ])
    #expect(layout.labelLinks == [DiskLink(name: "same", target: "part1")])
    #expect(layout.partitionLabelLinks == [DiskLink(name: "data", target: "part1")])
    #expect(layout.partitionUUIDLinks.map(\.target) == ["part1"])
  }

  @Test("an MBR that is not for a GPT: the MBR is used, with a warning")
  func staleGPT() {
    var image = twoPartitions()
    image.writeMBR([.init(type: 0x83, start: 2048, count: 2048)])
    let layout = image.layout()
    #expect(layout.table == .mbr)
    #expect(layout.partitions.map(\.start) == [1 << 20])
    #expect(
      layout.warnings == ["there is a GPT, but the MBR is not for one: the MBR is used"])
  }

  /// Numbers of a header that lie; with them it cannot be used, and neither can the backup.
  static let headers: [(String, Int, [UInt8])] = [
    ("entries of 0 bytes", 84, [0, 0, 0, 0]), ("entries of 64 bytes", 84, [64, 0, 0, 0]),
    ("entries of 192 bytes", 84, [192, 0, 0, 0]),
    ("entries of 4 GiB", 84, [0, 0, 0, 0x80]),
    ("2^32 - 1 entries", 80, [0xff, 0xff, 0xff, 0xff]), ("2^25 entries", 80, [0, 0, 0, 2]),
    ("8192 entries", 80, [0, 0x20, 0, 0]),
    ("entries at sector 2^64 - 1", 72, Array(repeating: 0xff, count: 8)),
    ("entries past the end", 72, [0xff, 0x1f, 0, 0, 0, 0, 0, 0]),
    ("a header of 0 bytes", 12, [0, 0, 0, 0]), ("a header of 91 bytes", 12, [91, 0, 0, 0]),
    ("a header of 513 bytes", 12, [1, 2, 0, 0]),
    ("a header of 4 GiB", 12, [0xff, 0xff, 0xff, 0xff]),
    ("a header of another sector", 24, [7, 0, 0, 0, 0, 0, 0, 0]),
    ("no usable sectors", 40, Array(repeating: 0xff, count: 8)),
  ]

  @Test("headers that lie are not used", arguments: headers)
  func lies(_ name: String, offset: Int, bytes: [UInt8]) {
    var image = twoPartitions()
    for header in [image.primary, image.backup] {
      image.image.write(bytes, at: header + UInt64(offset))
    }
    image.image.repairChecksums()
    let layout = image.layout()
    #expect(layout.table == .none, "\(name)")
    #expect(layout.partitions.isEmpty)
    #expect(layout.warnings.count == 2)
  }

  @Test("a backup that is claimed to be anywhere is looked for nowhere else than in the image")
  func wildAlternate() {
    for sector: UInt64 in [0, 1, 8191, 8192, 1 << 55, .max] {
      var image = twoPartitions()
      image.image.write(sector, at: image.primary + 32)
      image.image.repairChecksums()
      expectBoth(image.layout())
      image.image.write([0x99], at: image.primary + 60)
      expectBoth(image.layout())
    }
  }

  @Test("entries of 512 bytes are read where they are")
  func largeEntries() {
    var image = twoPartitions()
    image.image.write(Array(repeating: 0, count: 1024), at: image.primaryEntries)
    image.image.write(2 as UInt32, at: image.primary + 80)
    image.image.write(512 as UInt32, at: image.primary + 84)
    let type = TableImage.Entry(first: 0, last: 0).type
    image.image.write(type, at: image.primaryEntries + 512)
    image.image.write(100 as UInt64, at: image.primaryEntries + 512 + 32)
    image.image.write(100 as UInt64, at: image.primaryEntries + 512 + 40)
    image.image.repairChecksums()
    let layout = image.layout()
    #expect(layout.partitions.map(\.number) == [2])
    #expect(layout.partitions.map(\.start) == [51200])
    #expect(layout.partitions.map(\.byteCount) == [512])
  }

  @Test("more than 1024 entries: the first 1024 are used")
  func manyEntries() {
    var image = TableImage(byteCount: 16 << 20)
    image.writeGPT([])
    let table: UInt64 = 1 << 20
    for header in [image.primary, image.backup] {
      image.image.write(table / 512, at: header + 72)
      image.image.write(2000 as UInt32, at: header + 80)
    }
    let type = TableImage.Entry(first: 0, last: 0).type
    for index: UInt64 in 0..<2000 {
      image.image.write(type, at: table + index * 128)
      image.image.write(4096 + index, at: table + index * 128 + 32)
      image.image.write(4096 + index, at: table + index * 128 + 40)
    }
    image.image.repairChecksums()
    let layout = image.layout()
    #expect(layout.partitions.count == 1024)
    #expect(layout.warnings == ["the GPT has 2000 entries: the first 1024 are used"])
  }

  /// Partitions that cannot be as they are: first sector, last sector, what is left of them.
  static let extents: [(UInt64, UInt64, ClosedRange<UInt64>?, String)] = [
    (200, 100, nil, "ends before it begins"), (8192, 9000, nil, "begins past the end"),
    (.max, .max, nil, "ends before it begins"),
    (1 << 60, (1 << 60) + 8, nil, "begins past the end"),
    (100, 9000, 100...8191, "ends past the end"), (100, .max, 100...8191, "ends past the end"),
    (8191, 8192, 8191...8191, "ends past the end"), (0, .max, 0...8191, "ends past the end"),
    (1, 3, 1...3, "is not inside the GPT's sectors"),
  ]

  @Test("partitions never reach outside the image", arguments: extents)
  func outside(first: UInt64, last: UInt64, left: ClosedRange<UInt64>?, warning: String) {
    var image = TableImage(byteCount: 4 << 20)
    image.writeGPT([.init(first: first, last: last)])
    let layout = image.layout()
    #expect(layout.table == .gpt)
    let starts: [UInt64] = left.map { [$0.lowerBound * 512] } ?? []
    let sizes: [UInt64] = left.map { [UInt64($0.count) * 512] } ?? []
    #expect(layout.partitions.map(\.start) == starts)
    #expect(layout.partitions.map(\.byteCount) == sizes)
    #expect(layout.warnings.contains { $0.hasPrefix("partition 1 \(warning)") })
  }

  @Test("an image that was cut shows what is left")
  func cut() {
    var image = twoPartitions()
    image.image.byteCount = 200 * 512 + 100
    let layout = image.layout()
    let left: [UInt64] = [32768, 36964]
    #expect(layout.partitions.map(\.byteCount) == left)
    #expect(
      layout.warnings == [
        "the image ends in a part of a sector", "the GPT's backup is missing",
        "partition 2 ends past the end of the image: it is cut there",
      ])
  }

  @Test("names of any characters are kept, and harmless in the JSON")
  func names() {
    var image = TableImage(byteCount: 4 << 20)
    image.writeGPT([
      .init(first: 64, last: 65, name: "\u{1b}[2J/../\n"),
      .init(first: 66, last: 67, name: String(repeating: "\u{ffff}", count: 36)),
      .init(first: 68, last: 69),
    ])
    // Half a character, then the other half of another.
    image.image.write([0x00, 0xd8, 0x41, 0x00, 0x00, 0xdc], at: image.primaryEntries + 256 + 56)
    image.image.repairChecksums()
    #expect(
      image.layout().partitions.map(\.name) == [
        "\u{1b}[2J/../\n", String(repeating: "\u{ffff}", count: 36), "\u{fffd}A\u{fffd}",
      ])
  }

  @Test("partitions that overlap are told")
  func overlapping() {
    var image = TableImage(byteCount: 4 << 20)
    image.writeGPT([
      .init(first: 100, last: 1000), .init(first: 64, last: 100), .init(first: 500, last: 600),
      .init(first: 1001, last: 1001), .init(first: 700, last: 2000),
    ])
    let layout = image.layout()
    #expect(layout.partitions.count == 5)
    #expect(
      layout.warnings == [
        "partitions 1 and 2 overlap", "partitions 1 and 3 overlap", "partitions 1 and 5 overlap",
        "partitions 4 and 5 overlap",
      ])
  }

  @Test("warnings are limited")
  func manyWarnings() {
    var image = TableImage(byteCount: 4 << 20)
    image.writeGPT([])
    let table: UInt64 = 1 << 20
    image.image.write(table / 512, at: image.primary + 72)
    image.image.write(512 as UInt32, at: image.primary + 80)
    for index: UInt64 in 0..<512 {
      image.image.write([1], at: table + index * 128)
      image.image.write(9 as UInt64, at: table + index * 128 + 32)
    }
    image.image.repairChecksums()
    let layout = image.layout()
    #expect(layout.partitions.isEmpty)
    #expect(layout.warnings.count == DiskLayout.warningLimit)
    #expect(layout.warnings.last == "and more that is not listed")
  }
}
