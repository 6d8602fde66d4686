// SPDX-License-Identifier: Apache-2.0
//
// UDF (ECMA-167 and OSTA's UDF): DVDs, and disks that several systems write.
//
// Descriptors of 2 KiB from byte 32768 on say that it is UDF. An anchor at sector 256, whatever a sector's size,
// leads to the descriptors of the volume, and they have its names. A disc that has ISO 9660 too ("bridge") is
// UDF, as for blkid(8) and Linux.

extension DiskFileSystem {
  static func udf(_ area: ProbeArea) -> DiskFileSystem? {
    guard hasUDFStructure(area) else { return nil }
    for sectorSize: UInt64 in [512, 1024, 2048, 4096] {
      let anchor = area.bytes(at: 256 * sectorSize, count: 512)
      guard isTag(anchor, 2, at: 256) else { continue }
      let count = UInt64(anchor.little(16, as: UInt32.self)) / sectorSize
      let start = UInt64(anchor.little(20, as: UInt32.self))
      var found = DiskFileSystem(kind: .udf)
      var volume: [UInt8] = []
      // A sequence has 16 sectors at least, and no more than these in use.
      descriptors: for sector in start..<start + min(count, 64) {
        let block = area.bytes(at: sector * sectorSize, count: 512)
        guard isTag(block, block.little(0), at: UInt32(clamping: sector)) else { break }
        switch block.little(0) as UInt16 {
        case 1:
          volume = dstring(block, 24, 32)
          found.uuid = udfUUID(dstring(block, 72, 128))
        case 6:
          found.labelBytes = dstring(block, 84, 128)
          let revision: UInt16 = block.little(240)
          found.version =
            "\(revision >> 8).\(hexadecimal(UInt8(truncatingIfNeeded: revision), digits: 2))"
        case 8: break descriptors
        default: break
        }
      }
      if found.labelBytes.isEmpty { found.labelBytes = volume }
      return found
    }
    return nil
  }

  /// Whether the volume's structure names ECMA-167.
  private static func hasUDFStructure(_ area: ProbeArea) -> Bool {
    for size: UInt64 in [2048, 4096] {
      for index: UInt64 in 0..<64 {
        let descriptor = area.bytes(at: 32768 + index * size, count: 6)
        if descriptor.has("NSR02", at: 1) || descriptor.has("NSR03", at: 1) { return true }
        let others = ["BEA01", "BOOT2", "CD001", "CDW02", "TEA01"]
        guard others.contains(where: { descriptor.has($0.utf8, at: 1) }) else { break }
      }
    }
    return false
  }

  /// Whether a descriptor begins with a tag of that kind, which says where it is (ECMA-167, 3/7.2).
  private static func isTag(_ block: Bytes, _ kind: UInt16, at sector: UInt32) -> Bool {
    let sum = (0..<16).reduce(UInt8(0)) { $1 == 4 ? $0 : $0 &+ block[$1] }
    return block.little(0) == kind && block.little(12) == sector && sum == block[4] && kind > 0
  }

  /// A string of a fixed field (OSTA's UDF, 2.1.3): its first byte says how many bits a character has, its last
  /// how many bytes are in use.
  private static func dstring(_ block: Bytes, _ offset: Int, _ size: Int) -> [UInt8] {
    let used = min(Int(block[offset + size - 1]), size - 1)
    guard used > 1 else { return [] }
    switch block[offset] {
    case 8, 254:
      let text = block.part(offset + 1, used - 1).map { Character(Unicode.Scalar($0)) }
      return Bytes(Array(String(text).utf8)).label(0, 2 * size)
    case 16, 255: return block.label16(offset + 1, (used - 1) / 2, isBig: true)
    default: return []
    }
  }

  /// blkid's: the first 16 characters of the volume set's name where they are hexadecimal digits; of what is none,
  /// the digits of the bytes.
  private static func udfUUID(_ set: [UInt8]) -> String? {
    guard set.count >= 8 else { return nil }
    let letters = set.prefix(16)
    let digits = letters.prefix { byte in
      (0x30...0x39).contains(byte) || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte)
    }
    func text(_ bytes: some Sequence<UInt8>) -> String {
      String(decoding: Array(bytes), as: UTF8.self).lowercased()
    }
    func hex(_ bytes: some Sequence<UInt8>) -> String {
      bytes.map { hexadecimal($0, digits: 2) }.joined()
    }
    if digits.count == 16 { return text(digits) }
    if digits.count >= 8 { return set.count >= 12 ? text(set[..<8]) + hex(set[8..<12]) : nil }
    return hex(set[..<8])
  }
}
