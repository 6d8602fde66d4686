// SPDX-License-Identifier: Apache-2.0
//
// FAT12, FAT16 and FAT32 (Microsoft's FAT: General Overview of On-Disk Format).
//
// There is no magic to rely on: many boot sectors end in 55 AA. So the numbers of the boot sector must make
// sense together. The label that users see and change is an entry of the root directory; the one in the boot
// sector is what the file system was made with, and counts where there is no other.

extension DiskFileSystem {
  static func vfat(_ area: ProbeArea) -> DiskFileSystem? {
    guard let geometry = FATGeometry(area.head) else { return nil }
    let head = area.head
    let extended = geometry.kind == .fat32 ? 0x42 : 0x26
    let signature = head[extended]
    var label = geometry.rootLabel(area) ?? []
    if label.isEmpty, signature == 0x29, !head.has("NO NAME    ", at: extended + 5) {
      label = head.label(extended + 5, 11)
    }
    let isSerial = geometry.kind == .fat32 || signature == 0x28 || signature == 0x29
    return DiskFileSystem(
      kind: .vfat, labelBytes: label, uuid: isSerial ? serial(head, extended + 1) : nil,
      version: geometry.kind.rawValue)
  }

  /// A serial number of 32 bits, as FAT and exFAT have it: `1234-ABCD`.
  static func serial(_ bytes: Bytes, _ offset: Int) -> String? {
    let number: UInt32 = bytes.little(offset)
    guard number != 0 else { return nil }
    let digits = hexadecimal(number, digits: 8).uppercased()
    return "\(digits.prefix(4))-\(digits.suffix(4))"
  }
}

/// Where things are in a FAT file system.
struct FATGeometry {
  enum Kind: String {
    case fat12 = "FAT12"
    case fat16 = "FAT16"
    case fat32 = "FAT32"
  }

  let kind: Kind
  /// All in bytes from the file system's start.
  private let tableStart: UInt64
  private let dataStart: UInt64
  private let clusterSize: UInt64
  /// FAT12 and FAT16: the root directory's place and size.
  private let rootStart: UInt64
  private let rootSize: UInt64
  /// FAT32: the root directory's first cluster, and how many the table has room for.
  private let rootCluster: UInt32
  private let tableEntries: UInt64

  /// Takes a boot sector apart; nil where it cannot be one of FAT.
  init?(_ sector: Bytes) {
    let sectorSize = UInt32(sector.little(0x0b, as: UInt16.self))
    let sectorsPerCluster = UInt32(sector[0x0d])
    let reserved = UInt64(sector.little(0x0e, as: UInt16.self))
    let tables = UInt64(sector[0x10])
    let media = sector[0x15]
    guard isPowerOfTwo(sectorSize, in: 512...4096), isPowerOfTwo(sectorsPerCluster, in: 1...128),
      reserved > 0, tables > 0, media == 0xf0 || media >= 0xf8,
      sector.has([0x55, 0xaa], at: 510) || sector[0] == 0xeb || sector[0] == 0xe9,
      !sector.has("NTFS    ", at: 3), !sector.has("HPFS    ", at: 0x36),
      !sector.has("JFS     ", at: 0x36)
    else { return nil }
    let size = UInt64(sectorSize)
    let rootEntries = UInt64(sector.little(0x11, as: UInt16.self))
    let shortSectors = UInt64(sector.little(0x13, as: UInt16.self))
    let sectors =
      shortSectors > 0 ? shortSectors : UInt64(sector.little(0x20, as: UInt32.self))
    let shortTable = UInt64(sector.little(0x16, as: UInt16.self))
    let tableSize = shortTable > 0 ? shortTable : UInt64(sector.little(0x24, as: UInt32.self))
    // Numbers of at most 32 bits times one of 8: no overflow from here on.
    let rootSectors = (rootEntries * 32 + size - 1) / size
    let overhead = reserved + tables * tableSize + rootSectors
    guard tableSize > 0, overhead < sectors else { return nil }
    let clusters = (sectors - overhead) / UInt64(sectorsPerCluster)
    if shortTable == 0 {
      kind = .fat32
      guard clusters <= 0x0fff_fff6 else { return nil }
    } else {
      kind = clusters > 0xff4 ? .fat16 : .fat12
      guard clusters <= 0xfff4 else { return nil }
    }
    tableStart = reserved * size
    rootStart = (reserved + tables * tableSize) * size
    rootSize = rootEntries * 32
    dataStart = overhead * size
    clusterSize = UInt64(sectorsPerCluster) * size
    rootCluster = sector.little(0x2c)
    tableEntries = tableSize * size / 4
  }

  /// The most of a root directory that is searched, in bytes.
  private static let directoryLimit: UInt64 = 256 << 10
  /// The longest chain of clusters that is followed.
  private static let chainLimit = 100

  /// The label in the root directory; nil where there is none.
  func rootLabel(_ area: ProbeArea) -> [UInt8]? {
    guard kind == .fat32 else { return search(area, at: rootStart, byteCount: rootSize).label }
    var cluster = UInt64(rootCluster & 0x0fff_ffff)
    var searched: UInt64 = 0
    for _ in 0..<Self.chainLimit where searched < Self.directoryLimit {
      guard cluster >= 2, cluster < tableEntries else { return nil }
      let found = search(
        area, at: dataStart + (cluster - 2) * clusterSize, byteCount: clusterSize)
      if found.label != nil || found.isEnd { return found.label }
      searched += clusterSize
      let next: UInt32 = area.bytes(at: tableStart + cluster * 4, count: 4).little(0)
      cluster = UInt64(next & 0x0fff_ffff)
    }
    return nil
  }

  /// Searches a piece of a directory. `isEnd` tells that the directory ends in it.
  private func search(
    _ area: ProbeArea, at start: UInt64, byteCount: UInt64
  ) -> (label: [UInt8]?, isEnd: Bool) {
    let end = start + min(byteCount, Self.directoryLimit)
    for pieceStart in stride(from: start, to: end, by: BoundedImage.largestRead) {
      let piece = area.bytes(
        at: pieceStart, count: Int(min(end - pieceStart, UInt64(BoundedImage.largestRead))))
      for entry in stride(from: 0, to: piece.count - 31, by: 32) {
        if piece[entry] == 0 { return (nil, true) }
        // Deleted; or with a first cluster, which a label has not. Long names have all low bits set.
        guard piece[entry] != 0xe5, piece[entry + 11] & 0x18 == 8, piece[entry + 11] & 0x3f != 0x0f,
          piece.little(entry + 20) == 0 as UInt16, piece.little(entry + 26) == 0 as UInt16
        else { continue }
        var name = piece.part(entry, 11)
        // Stands for a first byte that would mean "deleted".
        if name.first == 5 { name[0] = 0xe5 }
        return (Bytes(name).label(0, 11), true)
      }
    }
    return (nil, false)
  }
}
