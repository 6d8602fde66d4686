// SPDX-License-Identifier: Apache-2.0
//
// Valid images with some bytes changed at random, and the fuzzer's corpus.

import DiskHarness
import DiskLayout
import Foundation
import Testing

/// A seeded generator (xorshift), the same on every machine.
private struct Generator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}

@Suite("Images with changed bytes", .timeLimit(.minutes(20)))
struct MutationTests {
  /// A GPT, an MBR with a chain, and what they hold.
  static var originals: [TableImage] {
    var gpt = TableImage(byteCount: 1 << 20)
    gpt.writeGPT([
      .init(first: 64, last: 263, name: "a name"), .init(first: 264, last: 463),
      .init(first: 464, last: 663), .init(first: 664, last: 863), .init(first: 864, last: 1063),
      .init(first: 1064, last: 1263),
    ])
    var mbr = TableImage(byteCount: 1 << 20)
    mbr.writeMBR([
      .init(flag: 0x80, type: 0x83, start: 64, count: 200),
      .init(type: 0x82, start: 264, count: 200), .init(type: 0x05, start: 463, count: 1000),
    ])
    mbr.writeMBR(
      [.init(type: 0x83, start: 1, count: 199), .init(type: 0x05, start: 200, count: 200)],
      at: 463)
    mbr.writeMBR(
      [.init(type: 0x83, start: 1, count: 199), .init(type: 0x05, start: 400, count: 200)],
      at: 663)
    mbr.writeMBR([.init(type: 0x0c, start: 1, count: 199)], at: 863)
    let systems = [ext, fat, swap, ntfs, xfs, exfat]
    return [gpt, mbr].map { table in
      var table = table
      for (index, system) in systems.enumerated() {
        system(&table.image, UInt64(64 + index * 200) * 512)
      }
      return table
    }
  }

  private static func ext(_ image: inout SparseImage, _ start: UInt64) {
    image.write([0x53, 0xef], at: start + 1024 + 0x38)
    image.write(Array("label".utf8), at: start + 1024 + 0x78)
  }

  private static func fat(_ image: inout SparseImage, _ start: UInt64) {
    image.write([0xeb, 0x3c, 0x90], at: start)
    image.write([0, 2, 1, 1, 0, 2, 16, 0, 200, 0, 0xf8, 1, 0], at: start + 0x0b)
    image.write([0x29, 1, 2, 3, 4] + Array("NO NAME    ".utf8), at: start + 0x26)
    image.write([0x55, 0xaa], at: start + 510)
    image.write(Array("ROOT LABEL ".utf8) + [8], at: start + 3 * 512)
  }

  private static func swap(_ image: inout SparseImage, _ start: UInt64) {
    image.write(Array("SWAPSPACE2".utf8), at: start + 4086)
    image.write(1 as UInt32, at: start + 1024)
    image.write(Array(1...16), at: start + 1036)
  }

  private static func ntfs(_ image: inout SparseImage, _ start: UInt64) {
    image.write(Array("NTFS    ".utf8) + [0, 2, 1], at: start + 3)
    image.write(4 as UInt64, at: start + 0x30)
    image.write([0xf6], at: start + 0x40)
    let record = start + 4 * 512 + 3 * 1024
    for place in [start + 4 * 512, record] { image.write(Array("FILE".utf8), at: place) }
    image.write([0x38, 0], at: record + 0x14)
    image.write([0x60, 0, 0, 0, 0x40, 0, 0, 0], at: record + 0x38)
    image.write([8, 0, 0, 0, 0x18, 0], at: record + 0x48)
    image.write([0x41, 0, 0x42, 0], at: record + 0x50)
  }

  private static func xfs(_ image: inout SparseImage, _ start: UInt64) {
    image.write(Array("XFSB".utf8) + [0, 0, 0x10, 0], at: start)
    image.write([0, 0, 0, 4], at: start + 88)
    image.write([2, 0], at: start + 102)
    image.write(Array("xlabel".utf8), at: start + 108)
  }

  private static func exfat(_ image: inout SparseImage, _ start: UInt64) {
    image.write(Array("EXFAT   ".utf8), at: start + 3)
    image.write(10 as UInt32, at: start + 88)
    image.write(4 as UInt32, at: start + 96)
    image.write([9, 1], at: start + 108)
    image.write([0x83, 2, 0x45, 0, 0x46, 0], at: start + 14 * 512)
  }

  @Test("the images are as they should be before they are changed")
  func unchanged() {
    for original in Self.originals {
      let layout = original.layout()
      #expect(
        layout.partitions.compactMap(\.fileSystem?.kind)
          == (layout.table == .gpt
            ? [.ext2, .vfat, .swap, .ntfs, .xfs, .exfat] : [.ext2, .vfat, .swap, .ntfs, .xfs])
      )
      #expect(
        layout.partitions.compactMap(\.fileSystem?.label).prefix(4)
          == ["label", "ROOT LABEL", "AB", "xlabel"])
    }
  }

  @Test("whatever bytes are changed, all that must hold of a layout holds", arguments: 0..<4)
  func changed(part: Int) {
    var generator = Generator(state: 0x9e37_79b9_7f4a_7c15 ^ UInt64(part + 1))
    let originals = Self.originals
    let edges: [UInt8] = [0, 1, 0x7f, 0x80, 0xff, 5]
    for round in 0..<1500 {
      var image = originals[round % 2].image
      let places = image.writtenPages
      for _ in 0..<Int.random(in: 1...8, using: &generator) {
        guard let page = places.randomElement(using: &generator) else { continue }
        // Most words that decide something are in the first half of a sector, or at its end.
        let sector = page + UInt64.random(in: 0..<8, using: &generator) * 512
        let place = sector + UInt64.random(in: 0..<512, using: &generator)
        let value =
          Bool.random(using: &generator)
          ? UInt8.random(in: 0...255, using: &generator) : edges.randomElement(using: &generator)
        let count = [1, 1, 2, 4, 8].randomElement(using: &generator) ?? 1
        image.write(Array(repeating: value ?? 0, count: count), at: place)
      }
      if Int.random(in: 0..<8, using: &generator) == 0 {
        image.byteCount = UInt64.random(in: 0...(1 << 20), using: &generator)
      }
      if round % 4 < 3 { image.repairChecksums() }
      checkedLayout(image, sectorSize: [nil, 512, 4096][round % 3])
    }
  }
}
