// SPDX-License-Identifier: Apache-2.0
//
// GPT: a GUID partition table's header and entries (UEFI 2.10, 5.3), checked before anything is believed.
//
// A header counts when its own checksum and that of its entries are right, and when its numbers make sense
// together. It may speak of a larger disk than the image is: of an image that was cut, what is left is
// shown.

/// A header whose checksums are right, with its entries.
struct GPT {
  let sectorSize: Int
  /// Where the header is, in sectors.
  let sector: UInt64
  /// Where it says that the other one is.
  let otherSector: UInt64
  let usable: ClosedRange<UInt64>
  let diskGUID: GUID
  let entryCount: Int
  let entrySize: Int
  let entriesChecksum: UInt32
  /// The entries that are looked at, ``entrySize`` bytes each.
  let entries: Bytes

  /// The largest table that is read to check it, in bytes: 32 times what nearly all disks have.
  static let largestTable = 512 << 10

  /// What was found where a header might be.
  enum Outcome {
    case good(GPT)
    /// There is no header at all.
    case absent
    /// Something is wrong with it; where it says that the other one is.
    case broken(String, otherSector: UInt64)
  }

  /// Looks for a header at a sector.
  static func look(in image: BoundedImage, at sector: UInt64, sectorSize: Int) -> Outcome {
    guard let offset = byteOffset(sector, sectorSize) else { return .absent }
    let header = image.bytes(at: offset, count: sectorSize)
    guard header.has("EFI PART", at: 0) else { return .absent }
    let other: UInt64 = header.little(32)
    func broken(_ text: String) -> Outcome { .broken(text, otherSector: other) }

    let headerSize = Int(header.little(12, as: UInt32.self))
    guard (92...sectorSize).contains(headerSize), header.count == sectorSize else {
      return broken("its header claims \(headerSize) bytes")
    }
    let zero: [UInt8] = [0, 0, 0, 0]
    let summed = header.part(0, 16) + zero + header.part(20, headerSize - 20)
    guard CRC32.of(summed) == header.little(16) else {
      return broken("its header's checksum is wrong")
    }
    guard header.little(24) == sector else { return broken("its header is of another sector") }
    let first: UInt64 = header.little(40)
    let last: UInt64 = header.little(48)
    guard first <= last else { return broken("its usable sectors end before they begin") }

    let count: UInt32 = header.little(80)
    let size: UInt32 = header.little(84)
    let (tableSize, overflow) = count.multipliedReportingOverflow(by: size)
    guard size >= 128, size.nonzeroBitCount == 1, !overflow, tableSize <= largestTable else {
      return broken("it claims \(count) entries of \(size) bytes")
    }
    guard let start = byteOffset(header.little(72), sectorSize),
      let table = readTable(in: image, at: start, count: Int(tableSize))
    else { return broken("its entries are not inside the image") }
    guard CRC32.of(table) == header.little(88) else {
      return broken("its entries' checksum is wrong")
    }
    return .good(
      GPT(
        sectorSize: sectorSize, sector: sector, otherSector: other, usable: first...last,
        diskGUID: header.guid(56), entryCount: Int(count), entrySize: Int(size),
        entriesChecksum: header.little(88), entries: Bytes(table)))
  }

  private static func readTable(
    in image: BoundedImage, at start: UInt64, count: Int
  ) -> [UInt8]? {
    guard start <= image.byteCount, UInt64(count) <= image.byteCount - start else { return nil }
    var table: [UInt8] = []
    while table.count < count {
      let piece = image.bytes(
        at: start + UInt64(table.count),
        count: min(count - table.count, BoundedImage.largestRead))
      // The image has shrunk, or cannot be read.
      guard piece.count > 0 else { return nil }
      table += piece.part(0, piece.count)
    }
    return table
  }
}

/// Where a sector begins, in bytes; nil where that is more than 64 bits can say.
func byteOffset(_ sector: UInt64, _ sectorSize: Int) -> UInt64? {
  let (offset, overflow) = sector.multipliedReportingOverflow(by: UInt64(sectorSize))
  return overflow ? nil : offset
}
