// SPDX-License-Identifier: Apache-2.0
//
// TableImage: partition tables written word by word, so that any word can be wrong.

import DiskHarness
import DiskLayout

/// An image in memory with a partition table.
struct TableImage {
  var image: SparseImage
  let sectorSize: UInt64

  init(byteCount: UInt64, sectorSize: UInt64 = 512) {
    image = SparseImage(byteCount: byteCount)
    self.sectorSize = sectorSize
  }

  /// The layout, with a look at all that must hold of any.
  func layout(sectorSize: Int? = nil) -> DiskLayout { checkedLayout(image, sectorSize: sectorSize) }

  /// What the layout's warnings are.
  var warnings: [String] { layout().warnings }

  // MARK: GPT

  /// An entry of a GPT.
  struct Entry {
    var first: UInt64
    var last: UInt64
    var name = ""
    /// In the order in which they are stored: Linux filesystem.
    var type: [UInt8] = [
      0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d,
      0xe4,
    ]
  }

  var lastSector: UInt64 { image.byteCount / sectorSize - 1 }

  /// Where the headers are, and their entries. The table has 8 entries.
  var primary: UInt64 { sectorSize }
  var backup: UInt64 { lastSector * sectorSize }
  var primaryEntries: UInt64 { 2 * sectorSize }
  var backupEntries: UInt64 { (lastSector - tableSectors) * sectorSize }
  private var tableSectors: UInt64 { max(1, 1024 / sectorSize) }

  /// Writes a protective MBR, both headers and both tables.
  mutating func writeGPT(_ entries: [Entry]) {
    writeMBR([.init(type: 0xee, start: 1, count: UInt32(clamping: lastSector))])
    for table in [primaryEntries, backupEntries] {
      for (index, entry) in entries.enumerated() {
        write(entry, index, at: table + UInt64(index) * 128)
      }
    }
    for (here, there, table) in [
      (primary, backup, primaryEntries), (backup, primary, backupEntries),
    ] {
      image.write(Array("EFI PART".utf8), at: here)
      image.write(0x10000 as UInt32, at: here + 8)
      image.write(92 as UInt32, at: here + 12)
      image.write(here / sectorSize, at: here + 24)
      image.write(there / sectorSize, at: here + 32)
      image.write(2 + tableSectors, at: here + 40)
      image.write(lastSector - tableSectors - 1, at: here + 48)
      image.write([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88] + Array(1...8), at: here + 56)
      image.write(table / sectorSize, at: here + 72)
      image.write(8 as UInt32, at: here + 80)
      image.write(128 as UInt32, at: here + 84)
    }
    image.repairChecksums()
  }

  private mutating func write(_ entry: Entry, _ index: Int, at place: UInt64) {
    image.write(entry.type, at: place)
    image.write(
      [UInt8(truncatingIfNeeded: index + 1)] + Array(repeating: 7, count: 15), at: place + 16)
    image.write(entry.first, at: place + 32)
    image.write(entry.last, at: place + 40)
    for (index, unit) in entry.name.utf16.enumerated() {
      image.write(unit, at: place + 56 + UInt64(index) * 2)
    }
  }

  // MARK: MBR

  /// An entry of a boot record.
  struct Record {
    var flag: UInt8 = 0
    var type: UInt8
    var start: UInt32
    var count: UInt32
  }

  /// Writes a boot record at a sector.
  mutating func writeMBR(_ records: [Record], at sector: UInt64 = 0) {
    let place = sector * sectorSize
    image.write([0x55, 0xaa], at: place + 510)
    for (index, record) in records.enumerated() {
      let entry = place + 446 + UInt64(index) * 16
      image.write([record.flag], at: entry)
      image.write([record.type], at: entry + 4)
      image.write(record.start, at: entry + 8)
      image.write(record.count, at: entry + 12)
    }
  }
}
