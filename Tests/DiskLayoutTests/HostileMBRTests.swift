// SPDX-License-Identifier: Apache-2.0
//
// Boot records and chains of logical partitions that are broken, or lie.

import DiskHarness
import DiskLayout
import Testing

@Suite("Hostile images: MBR", .timeLimit(.minutes(20)))
struct HostileMBRTests {
  /// An MBR with an extended partition from sector 1000 on, of 7000 sectors.
  private func extended() -> TableImage {
    var image = TableImage(byteCount: 4 << 20)
    image.writeMBR([
      .init(type: 0x83, start: 100, count: 100), .init(type: 0x05, start: 1000, count: 7000),
    ])
    return image
  }

  @Test("boot flags that are none: it is no table, as for Linux")
  func garbageFlags() {
    var image = TableImage(byteCount: 4 << 20)
    image.writeMBR([
      .init(flag: 0x80, type: 0x83, start: 100, count: 100),
      .init(flag: 0x41, type: 0x83, start: 300, count: 100),
    ])
    let layout = image.layout()
    #expect(layout.table == .none)
    #expect(
      layout.warnings == [
        "sector 0 ends like an MBR, but its boot flags are none: it is not used"
      ])
  }

  @Test("entries without a size are not used, those of type 0 are, as in Linux")
  func emptyEntries() {
    var image = TableImage(byteCount: 4 << 20)
    image.writeMBR([
      .init(type: 0x83, start: 100, count: 0), .init(type: 0, start: 100, count: 10),
      .init(type: 0x83, start: 300, count: 100),
    ])
    #expect(image.layout().partitions.map(\.number) == [2, 3])
    #expect(image.warnings.isEmpty)
    // In a chain the numbers and identifiers of all later ones depend on it.
    image = TableImage(byteCount: 4 << 20)
    image.writeMBR([.init(type: 5, start: 1000, count: 4000)])
    image.writeMBR(
      [.init(type: 0, start: 10, count: 10), .init(type: 5, start: 100, count: 500)], at: 1000)
    image.writeMBR([.init(type: 0x83, start: 10, count: 10)], at: 1100)
    #expect(image.layout().partitions.map(\.number) == [1, 5, 6])
  }

  @Test("partitions never reach outside the image")
  func outside() {
    var image = TableImage(byteCount: 4 << 20)
    image.writeMBR([
      .init(type: 0x83, start: 8191, count: .max), .init(type: 0x83, start: 8192, count: 1),
      .init(type: 0x83, start: .max, count: .max), .init(type: 0x0f, start: .max, count: .max),
    ])
    let layout = image.layout()
    #expect(layout.partitions.map(\.number) == [1])
    #expect(layout.partitions.map(\.byteCount) == [512])
    #expect(
      layout.warnings == [
        "partition 1 ends past the end of the image: it is cut there",
        "partition 2 begins past the end of the image: it is left out",
        "partition 3 begins past the end of the image: it is left out",
        "partition 4 begins past the end of the image: it is left out",
        "the chain of logical partitions breaks off at sector 4294967295",
      ])
  }

  @Test("a chain that leads back to its begin is left")
  func loop() {
    var image = extended()
    image.writeMBR(
      [.init(type: 0x83, start: 10, count: 10), .init(type: 0x05, start: 100, count: 100)],
      at: 1000)
    image.writeMBR(
      [.init(type: 0x83, start: 10, count: 10), .init(type: 0x05, start: 0, count: 7000)],
      at: 1100)
    let layout = image.layout()
    #expect(layout.partitions.map(\.number) == [1, 2, 5, 6])
    #expect(
      layout.warnings == ["the chain of logical partitions runs in a circle: it is left there"])
  }

  @Test("a link that leads to itself is left")
  func selfLoop() {
    var image = extended()
    image.writeMBR([.init(type: 0x05, start: 0, count: 7000)], at: 1000)
    #expect(image.layout().partitions.map(\.number) == [1, 2])
    #expect(image.warnings.count == 1)
  }

  @Test("an endless chain without partitions is left after 256 links")
  func endless() {
    var image = extended()
    for link in 0..<5000 as Range<UInt32> {
      image.writeMBR([.init(type: 0x05, start: link + 1, count: 1)], at: 1000 + UInt64(link))
    }
    #expect(image.layout().partitions.map(\.number) == [1, 2])
    #expect(image.warnings.count == 1 && image.warnings[0].contains("more than 256 links"))
  }

  @Test("of an endless chain of partitions 256 are used")
  func manyLogicals() {
    var image = extended()
    for link in 0..<3000 as Range<UInt32> {
      image.writeMBR(
        [
          .init(type: 0x83, start: 1, count: 1),
          .init(type: 0x05, start: (link + 1) * 2, count: 2),
        ], at: 1000 + UInt64(link) * 2)
    }
    let layout = image.layout()
    #expect(layout.partitions.map(\.number) == [1, 2] + Array(5..<261))
    #expect(layout.warnings.count == 1)
  }

  @Test("two extended partitions, and links with four partitions each, are limited too")
  func twoChains() {
    var image = TableImage(byteCount: 4 << 20)
    image.writeMBR([
      .init(type: 0x05, start: 1000, count: 3000), .init(type: 0x0f, start: 4000, count: 3000),
    ])
    for start: UInt64 in [1000, 4000] {
      for link in 0..<250 as Range<UInt32> {
        image.writeMBR(
          [
            .init(type: 0x83, start: 1, count: 1), .init(type: 0x83, start: 2, count: 1),
            .init(type: 0x05, start: (link + 1) * 4, count: 4),
            .init(type: 0x83, start: 3, count: 1),
          ], at: start + UInt64(link) * 4)
      }
    }
    let layout = image.layout()
    #expect(layout.partitions.count == 258)
    #expect(layout.partitions.last?.number == 260)
  }

  @Test("a chain that breaks off shows what came before")
  func brokenChain() {
    var image = extended()
    image.writeMBR(
      [.init(type: 0x83, start: 10, count: 10), .init(type: 0x05, start: 100, count: 100)],
      at: 1000)
    #expect(image.layout().partitions.map(\.number) == [1, 2, 5])
    #expect(image.warnings == ["the chain of logical partitions breaks off at sector 1100"])
  }

  @Test("a logical partition outside its extended one is told")
  func outsideExtended() {
    var image = extended()
    image.writeMBR([.init(type: 0x83, start: 6990, count: 100)], at: 1000)
    #expect(image.layout().partitions.map(\.number) == [1, 2, 5])
    #expect(image.warnings == ["partition 5 is not inside the extended partition"])
  }

  @Test("garbage in the entries of a link that are never used is passed over")
  func garbageEntries() {
    var image = extended()
    image.writeMBR(
      [
        .init(type: 0x83, start: 10, count: 10), .init(type: 0, start: 0, count: 0),
        .init(flag: 0x77, type: 0x12, start: .max, count: .max),
        .init(flag: 3, type: 0x34, start: 5, count: 1 << 30),
      ], at: 1000)
    #expect(image.layout().partitions.map(\.number) == [1, 2, 5])
    #expect(image.warnings.isEmpty)
  }

  @Test("partitions that overlap are told")
  func overlapping() {
    var image = TableImage(byteCount: 4 << 20)
    image.writeMBR([
      .init(type: 0x83, start: 100, count: 200), .init(type: 0x83, start: 299, count: 10),
      .init(type: 0x83, start: 309, count: 10),
    ])
    #expect(image.layout().partitions.count == 3)
    #expect(image.warnings == ["partitions 1 and 2 overlap"])
  }
}
