// SPDX-License-Identifier: Apache-2.0
//
// What belongs to something larger: members of RAID arrays, of ZFS pools, of bcache sets. What is in them is not to
// be taken for a file system of its own: a mirror's member shows one, and writing to it breaks the mirror.

extension DiskFileSystem {
  /// A member of an md array (linux/raid/md_p.h). Its superblock is at the end (0.90, 1.0), at the start (1.1) or
  /// 4 KiB behind it (1.2), and says itself where it is.
  static func linuxRAID(_ area: ProbeArea) -> DiskFileSystem? {
    // 1.0: eight kilobytes before the end, on a boundary of four.
    let end = area.byteCount & ~0xfff
    let places: [(UInt64, String)] = [
      (end >= 0x2000 ? end - 0x2000 : .max, "1.0"), (0, "1.1"), (0x1000, "1.2"),
    ]
    return oldRAID(area)
      ?? places.lazy.compactMap { place, version in newRAID(area, at: place, version) }.first
  }

  private static func newRAID(_ area: ProbeArea, at place: UInt64, _ version: String)
    -> DiskFileSystem?
  {
    let block = area.bytes(at: place, count: 256)
    guard block.little(0) == 0xa92b_4efc as UInt32, block.little(4) == 1 as UInt32,
      block.little(144) == place / 512
    else { return nil }
    return DiskFileSystem(
      kind: .linuxRAID, labelBytes: block.label(32, 32), uuid: block.uuid(16), version: version)
  }

  /// The superblock of version 0.90, in the byte order of the machine that made it, is in the last whole 64 KiB but
  /// one. It does not say where it is, so that of a disk's last partition stands where the disk's own would.
  private static func oldRAID(_ area: ProbeArea) -> DiskFileSystem? {
    let room: UInt64 = 0x10000
    guard area.byteCount > room else { return nil }
    let place = (area.byteCount & ~(room - 1)) - room
    let block = area.bytes(at: place, count: 256)
    let isLittle = block.little(0) == 0xa92b_4efc as UInt32
    guard isLittle || block.big(0) == 0xa92b_4efc as UInt32 else { return nil }
    func word(_ offset: Int) -> UInt32 { isLittle ? block.little(offset) : block.big(offset) }
    let size = UInt64(word(32)) << 10
    guard area.byteCount >= size + room, place >= size else { return nil }
    // Of four words, the first of which came before the others.
    let words = [word(20)] + (word(8) >= 90 ? [word(52), word(56), word(60)] : [0, 0, 0])
    let uuid = Bytes(
      words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * $0)) } })
    return DiskFileSystem(
      kind: .linuxRAID, uuid: uuid.uuid(0), version: "\(word(4)).\(word(8)).\(word(12))")
  }

  /// A member of a bcache set (Documentation/admin-guide/bcache.rst in Linux' sources; struct cache_sb_disk).
  static func bcache(_ area: ProbeArea) -> DiskFileSystem? {
    let block = area.bytes(at: 4096, count: 128)
    let magic: [UInt8] = [
      0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d,
      0x81,
    ]
    guard block.has(magic, at: 24), block.little(8) == 8 as UInt64 else { return nil }
    return DiskFileSystem(kind: .bcache, labelBytes: block.label(72, 32), uuid: block.uuid(40))
  }

  /// A member of a ZFS pool (ZFS On-Disk Specification, chapter 1): four labels, two at each end, with a list of
  /// names and values and a ring of uberblocks.
  static func zfs(_ area: ProbeArea) -> DiskFileSystem? {
    let labelSize: UInt64 = 256 << 10
    guard area.byteCount >= 4 * labelSize else { return nil }
    let end = area.byteCount & ~(labelSize - 1)
    var found = 0
    var member = DiskFileSystem(kind: .zfs)
    for label in [0, labelSize, end - 2 * labelSize, end - labelSize] {
      // Without the list there is no label, and the ring need not be looked at.
      let list = area.bytes(at: label + 16384, count: 16384)
      guard list[0] == 1, list.big(4) == 0 as UInt32,
        list.big(8) != 0 as UInt32 || list.big(12) != 0 as UInt32
      else { continue }
      for half: UInt64 in [0, 65536] {
        let ring = area.bytes(at: label + 131072 + half, count: 65536)
        for offset in stride(from: 0, to: ring.count - 1023, by: 1024) {
          let isLittle = ring.little(offset) == 0xbab10c as UInt64
          guard isLittle || ring.big(offset) == 0xbab10c as UInt64 else { continue }
          found += 1
          if member.version == nil {
            member.version =
              "\(isLittle ? ring.little(offset + 8) : ring.big(offset + 8) as UInt64)"
          }
        }
      }
      if member.uuid == nil {
        let names = ZFSNames(list)
        member.labelBytes = names.pool
        member.uuid = names.guid.map { "\($0)" }
      }
    }
    // One may be left over from a pool that was here before.
    return found >= 4 ? member : nil
  }
}

/// The name and the number of a pool, from a label's list in XDR (RFC 4506).
private struct ZFSNames {
  var pool: [UInt8] = []
  var guid: UInt64?

  init(_ list: Bytes) {
    // Encoding, byte order, and then the list's version and flags.
    var pair = 12
    while pair + 16 <= list.count {
      let size = Int(list.big(pair, as: UInt32.self))
      guard size >= 20, size <= list.count - pair else { return }
      let length = Int(list.big(pair + 8, as: UInt32.self))
      guard length <= size - 20 else { return }
      let name = list.part(pair + 12, length)
      let value = pair + 12 + (length + 3) & ~3
      let (isString, isNumber) = (list.big(value) == 9 as UInt32, list.big(value) == 8 as UInt32)
      if isString, name == Array("name".utf8) {
        pool = list.label(value + 12, min(Int(list.big(value + 8, as: UInt32.self)), 256))
      } else if isNumber, name == Array("pool_guid".utf8) {
        guid = list.big(value + 8)
      }
      pair += size
    }
  }
}
