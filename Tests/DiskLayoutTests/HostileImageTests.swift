// SPDX-License-Identifier: Apache-2.0
//
// Images that are too small, storage that fails, superblocks that lie.

import DiskHarness
import DiskLayout
import Testing

@Suite("Hostile images: sizes, storage and superblocks", .timeLimit(.minutes(20)))
struct HostileImageTests {
  @Test("images smaller than a sector, and of odd sizes")
  func small() {
    for size: UInt64 in [0, 1, 510, 511] {
      var image = SparseImage(byteCount: size)
      image.write(Array(repeating: 0xff, count: Int(size)), at: 0)
      let layout = checkedLayout(image)
      #expect(layout.table == .none && layout.partitions.isEmpty)
      #expect(layout.warnings == ["the image is smaller than a sector"])
    }
    for size: UInt64 in [512, 513, 1024, 4095, 4096, 8191, 65537] {
      var image = TableImage(byteCount: size)
      image.writeMBR([.init(type: 0x83, start: 1, count: 1)])
      image.image.write(Array("EFI PART".utf8), at: 512)
      #expect(image.layout().partitions.count == (size > 512 ? 1 : 0))
    }
  }

  @Test("an image of nearly 2^64 bytes")
  func huge() {
    for sectorSize: UInt64 in [512, 4096] {
      var image = TableImage(byteCount: .max, sectorSize: sectorSize)
      image.writeGPT([.init(first: 64, last: .max), .init(first: 1 << 51, last: 1 << 52)])
      image.image.write([0x99], at: image.primary + 60)
      let layout = image.layout()
      #expect(layout.table == .gpt)
      #expect(layout.partitions.first?.start == 64 * sectorSize)
    }
  }

  /// Storage that fails, or gives less or more than was asked for.
  struct Storage: ImageReader {
    enum Fault { case fails, isEmpty, isShort, isLong }
    let image: SparseImage
    let fault: Fault
    var byteCount: UInt64 { image.byteCount }

    func read(at offset: UInt64, count: Int) throws(ImageReadError) -> [UInt8] {
      switch fault {
      case .fails: throw ImageReadError("Input/output \u{1b}error")
      case .isEmpty: []
      case .isShort: image.bytes(at: offset, count: max(1, count / 3))
      case .isLong: image.bytes(at: offset, count: count) + [1, 2, 3]
      }
    }
  }

  @Test("storage that fails is told, and nothing is found")
  func failing() {
    var image = TableImage(byteCount: 4 << 20)
    image.writeGPT([.init(first: 64, last: 127)])
    let layout = DiskLayout.read(from: Storage(image: image.image, fault: .fails))
    #expect(layout.table == .none)
    #expect(
      layout.warnings.first == "the image cannot be read at byte 0: Input/output \u{fffd}error")
    #expect(layout.warnings.count <= DiskLayout.warningLimit)
  }

  @Test("an image that shrinks while it is read, or gives too much")
  func shrinking() {
    var image = TableImage(byteCount: 4 << 20)
    image.writeGPT([.init(first: 64, last: 127)])
    let empty = DiskLayout.read(from: Storage(image: image.image, fault: .isEmpty))
    #expect(empty.table == .none && empty.partitions.isEmpty)
    let short = DiskLayout.read(from: Storage(image: image.image, fault: .isShort))
    #expect(short.partitions.isEmpty)
    let long = DiskLayout.read(from: Storage(image: image.image, fault: .isLong))
    #expect(long.partitions.count == 1)
  }

  @Test("a table and a file system over the whole disk: the table is used, with a warning")
  func leftOver() {
    var image = TableImage(byteCount: 4 << 20)
    image.writeMBR([.init(type: 0x83, start: 2048, count: 2048)])
    image.image.write([0x53, 0xef], at: 1024 + 0x38)
    let layout = image.layout()
    #expect(layout.partitions.count == 1 && layout.fileSystem == nil)
    #expect(
      layout.warnings == [
        "the whole disk looks like ext2 too, perhaps left over: its partitions are used"
      ])
  }

  @Test("labels of any bytes are kept, and harmless as names and in the JSON")
  func labels() {
    let labels: [([UInt8], String)] = [
      (Array("..".utf8), "\\x2e\\x2e"), (Array("../../etc".utf8), "..\\x2f..\\x2fetc"),
      ([0xff, 0xfe], "\\xff\\xfe"), ([0x1b, 0x5d, 0x07], "\\x1b\\x5d\\x07"),
      (Array("a\nb".utf8), "a\\x0ab"),
    ]
    for (label, name) in labels {
      var image = SparseImage(byteCount: 1 << 20)
      image.write([0x53, 0xef], at: 1024 + 0x38)
      image.write(label, at: 1024 + 0x78)
      let layout = checkedLayout(image)
      #expect(layout.fileSystem?.labelBytes == label)
      #expect(layout.labelLinks == [DiskLink(name: name, target: "disk")])
    }
  }

  @Test("of two file systems with one label the first partition has the link")
  func twins() {
    var image = TableImage(byteCount: 4 << 20)
    image.writeMBR([
      .init(type: 0x83, start: 4000, count: 1000), .init(type: 0x83, start: 100, count: 1000),
    ])
    for start: UInt64 in [100, 4000] {
      image.image.write([0x53, 0xef], at: start * 512 + 1024 + 0x38)
      image.image.write(Array("twin".utf8), at: start * 512 + 1024 + 0x78)
    }
    #expect(image.layout().labelLinks == [DiskLink(name: "twin", target: "part1")])
  }

  @Test("a FAT whose root directory is a circle of clusters ends")
  func fatCircle() {
    var image = SparseImage(byteCount: 1 << 30)
    image.write([0xeb], at: 0)
    image.write(512 as UInt16, at: 0x0b)
    image.write([1], at: 0x0d)
    image.write(32 as UInt16, at: 0x0e)
    image.write([2], at: 0x10)
    image.write([0xf8], at: 0x15)
    image.write(2_000_000 as UInt32, at: 0x20)
    image.write(16000 as UInt32, at: 0x24)
    image.write(2 as UInt32, at: 0x2c)
    image.write(2 as UInt32, at: 32 * 512 + 8)
    // Entries that are deleted, so that the directory does not end.
    let data: UInt64 = (32 + 2 * 16000) * 512
    for entry: UInt64 in 0..<16 { image.write([0xe5], at: data + entry * 32) }
    let layout = checkedLayout(image)
    #expect(layout.fileSystem?.kind == .vfat)
    #expect(layout.fileSystem?.labelBytes == [])
  }

  @Test("an NTFS whose master file table is anywhere")
  func ntfs() {
    for (clusters, record, table) in [
      (8, 0xf6, UInt64.max), (0, 0xf6, 4), (0x80, 0x7f, 4), (0xf4, 0x80, 1 << 60), (1, 0xf6, 4),
      (0xff, 0x01, .max / 1024),
    ] as [(UInt8, UInt8, UInt64)] {
      var image = SparseImage(byteCount: 1 << 20)
      image.write(Array("NTFS    ".utf8), at: 3)
      image.write(512 as UInt16, at: 0x0b)
      image.write([clusters], at: 0x0d)
      image.write([record], at: 0x40)
      image.write(table, at: 0x30)
      let place: UInt64 = 4 * 512 + 3 * 1024
      for record in [place, 4 * 512] as [UInt64] { image.write("FILE".utf8, at: record) }
      image.write([0x38, 0x00], at: place + 0x14)
      image.write([0x10, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], at: place + 0x38)
      // Where the table is not in the image there is no NTFS.
      #expect(checkedLayout(image).fileSystem?.kind == (clusters == 1 ? .ntfs : nil))
    }
  }

  @Test("superblocks at the very end of an image, or cut by it")
  func cutSuperblocks() {
    for size: UInt64 in [1024 + 0x3a, 1024 + 0x79, 4096, 65536 + 0x48, 32768 + 7] {
      var image = SparseImage(byteCount: size)
      image.write([0x53, 0xef], at: 1024 + 0x38)
      image.write(Array("_BHRfS_M".utf8), at: 65536 + 0x40)
      image.write(Array("\u{1}CD001".utf8), at: 32768)
      image.write(Array("SWAPSPACE2".utf8), at: 4086)
      #expect(checkedLayout(image).fileSystem != nil)
    }
  }
}
