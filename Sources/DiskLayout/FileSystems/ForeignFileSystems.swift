// SPDX-License-Identifier: Apache-2.0
//
// File systems of other systems that guests' disks have: NTFS, exFAT, ISO 9660.

extension DiskFileSystem {
  /// NTFS: the serial number is in the boot sector, the label in an attribute of the fourth record of the
  /// master file table.
  static func ntfs(_ area: ProbeArea) -> DiskFileSystem? {
    let head = area.head
    let sectorSize = UInt32(head.little(0x0b, as: UInt16.self))
    guard head.has("NTFS    ", at: 3), isPowerOfTwo(sectorSize, in: 256...4096) else { return nil }
    guard let label = ntfsLabel(area, sectorSize: UInt64(sectorSize)) else { return nil }
    let number: UInt64 = head.little(0x48)
    return DiskFileSystem(
      kind: .ntfs, labelBytes: label,
      uuid: number == 0 ? nil : hexadecimal(number, digits: 16).uppercased())
  }

  /// - Returns: nil where there is no master file table, and so no NTFS any more.
  private static func ntfsLabel(_ area: ProbeArea, sectorSize: UInt64) -> [UInt8]? {
    let head = area.head
    // Sectors, or the power of two that they are, negative.
    let raw = head[0x0d]
    let sectorsPerCluster: UInt64 =
      raw <= 128 ? UInt64(raw) : 1 << min(UInt64(256 - UInt16(raw)), 31)
    let clusterSize = sectorsPerCluster * sectorSize
    let recordSpan = Int8(bitPattern: head[0x40])
    let recordSize =
      recordSpan > 0
      ? UInt64(recordSpan) * clusterSize : 1 << min(UInt64(recordSpan.magnitude), 31)
    guard (256...4096).contains(recordSize) else { return nil }
    let (table, overflow) = head.little(0x30, as: UInt64.self)
      .multipliedReportingOverflow(by: clusterSize)
    let (fourth, carry) = table.addingReportingOverflow(3 * recordSize)
    guard !overflow, !carry else { return nil }
    let record = area.bytes(at: fourth, count: Int(recordSize))
    guard record.has("FILE", at: 0), area.bytes(at: table, count: 4).has("FILE", at: 0) else {
      return nil
    }
    var attribute = Int(record.little(0x14, as: UInt16.self))
    while attribute + 24 <= record.count {
      let type: UInt32 = record.little(attribute)
      let length = Int(record.little(attribute + 4, as: UInt32.self))
      if type == 0x60 {
        let start = attribute + Int(record.little(attribute + 0x14, as: UInt16.self))
        let size = Int(record.little(attribute + 0x10, as: UInt32.self))
        return record.label16(start, min(size / 2, 128))
      }
      guard type != 0xffff_ffff, length >= 24 else { break }
      attribute += length
    }
    return []
  }

  /// exFAT (Microsoft's exFAT file system specification): the label is an entry of the root directory.
  static func exfat(_ area: ProbeArea) -> DiskFileSystem? {
    let head = area.head
    let sectorShift = UInt64(head[108])
    let clusterShift = UInt64(head[109])
    guard head.has("EXFAT   ", at: 3), (9...12).contains(sectorShift),
      clusterShift <= 25 - sectorShift
    else { return nil }
    return DiskFileSystem(
      kind: .exfat, labelBytes: exfatLabel(area, sectorShift, clusterShift),
      uuid: serial(head, 100), version: "\(head[105]).\(head[104])")
  }

  private static func exfatLabel(
    _ area: ProbeArea, _ sectorShift: UInt64, _ clusterShift: UInt64
  ) -> [UInt8] {
    let head = area.head
    let heap = UInt64(head.little(88, as: UInt32.self)) << sectorShift
    let cluster = UInt64(head.little(96, as: UInt32.self))
    guard cluster >= 2 else { return [] }
    // 32 bits shifted by at most 25, and as much again. The label is one of the first entries.
    let start = heap + (cluster - 2) << (sectorShift + clusterShift)
    let size = 1 << min(sectorShift + clusterShift, 16)
    let directory = area.bytes(at: start, count: size)
    for entry in stride(from: 0, to: directory.count - 31, by: 32) {
      switch directory[entry] {
      case 0: return []
      case 0x83: return directory.label16(entry + 2, min(Int(directory[entry + 1]), 11))
      default: continue
      }
    }
    return []
  }

  /// ISO 9660 (ECMA-119): the primary volume descriptor, whose times stand for a UUID, and Joliet's, which
  /// has the label as it was meant where that is not cut at 16 characters.
  static func iso9660(_ area: ProbeArea) -> DiskFileSystem? {
    let volume = area.bytes(at: 32768, count: 2048)
    guard volume[0] == 1, volume.has("CD001", at: 1) else { return nil }
    // Modified, or else created: 16 digits.
    let time = [830, 813].map { volume.part($0, 16) }
      .first { digits in
        digits.count == 16 && digits.allSatisfy { (0x30...0x39).contains($0) }
          && digits.contains { $0 != 0x30 }
      }
    let parts = time.map { digits in
      [(0, 4), (4, 2), (6, 2), (8, 2), (10, 2), (12, 2), (14, 2)]
        .map { String(decoding: Bytes(digits).part($0.0, $0.1), as: UTF8.self) }
    }
    var found = DiskFileSystem(
      kind: .iso9660, labelBytes: volume.label(40, 32), uuid: parts?.joined(separator: "-"))
    for sector: UInt64 in 17..<32 {
      let descriptor = area.bytes(at: sector * 2048, count: 2048)
      guard descriptor.has("CD001", at: 1), descriptor[0] != 255 else { break }
      guard descriptor[0] == 2, descriptor.has("%/", at: 88) else { continue }
      found.version = "Joliet Extension"
      let label = descriptor.label16(40, 16, isBig: true)
      if !label.isEmpty, String(decoding: label, as: UTF8.self).utf16.count < 16 {
        found.labelBytes = label
      }
      break
    }
    return found
  }
}
