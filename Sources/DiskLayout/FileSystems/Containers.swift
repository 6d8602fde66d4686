// SPDX-License-Identifier: Apache-2.0
//
// What a partition holds where it is no file system: swap space, encrypted volumes, volume groups.

extension DiskFileSystem {
  /// Swap space of version 1 (union swap_header in Linux). Its magic is at the end of the first page, whose
  /// size depends on the machine; a machine that hibernates there puts its own magic in that place.
  static func swap(_ area: ProbeArea) -> DiskFileSystem? {
    let hibernated: [[UInt8]] = [
      Array("S1SUSPEND".utf8), Array("S2SUSPEND".utf8), Array("ULSUSPEND".utf8),
      Array("LINHIB0001".utf8), [0xed, 0xc3, 0x02, 0xe9, 0x98, 0x56, 0xe5, 0x0c],
    ]
    for pageSize: UInt64 in [4096, 8192, 16384, 32768, 65536] {
      let magic = area.bytes(at: pageSize - 10, count: 10)
      let isSwap = magic.has("SWAPSPACE2", at: 0)
      guard isSwap || hibernated.contains(where: { magic.has($0, at: 0) }) else { continue }
      let head = area.head
      // The version, in the machine's byte order, which is not known.
      guard head.little(1024) == 1 as UInt32 || head.big(1024) == 1 as UInt32 else { continue }
      return DiskFileSystem(
        kind: isSwap ? .swap : .swsuspend, labelBytes: head.label(1052, 16), uuid: head.uuid(1036),
        version: isSwap ? "1" : nil)
    }
    return nil
  }

  /// LUKS 1 and 2 (their On-Disk Format Specifications, "PHDR" and "Binary Header").
  static func luks(_ area: ProbeArea) -> DiskFileSystem? {
    if area.head.has([0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe], at: 0) { return luks(area.head) }
    // The second header of LUKS 2 is where the first one ends, and says where it is.
    for shift in 14...22 as ClosedRange<UInt64> {
      let head = area.bytes(at: 1 << shift, count: 512)
      guard head.has([0x53, 0x4b, 0x55, 0x4c, 0xba, 0xbe], at: 0),
        head.big(256) == 1 << shift as UInt64
      else { continue }
      return luks(head)
    }
    return nil
  }

  private static func luks(_ head: Bytes) -> DiskFileSystem {
    let version: UInt16 = head.big(6)
    let uuid = String(decoding: head.label(168, 40), as: UTF8.self)
    return DiskFileSystem(
      kind: .luks, labelBytes: version == 2 ? head.label(24, 48) : [],
      uuid: uuid.isEmpty ? nil : visible(uuid), version: "\(version)")
  }

  /// A physical volume of LVM2: its label is in one of the first four sectors.
  static func lvm2(_ area: ProbeArea) -> DiskFileSystem? {
    let head = area.head
    for sector in 0..<4 {
      let label = sector * 512
      guard head.has("LABELONE", at: label), head.has("LVM2 001", at: label + 24) else { continue }
      // Where the volume's own header is, from the label on: it follows at once.
      let header: UInt32 = head.little(label + 20)
      guard (32...480).contains(header) else { continue }
      let letters = Bytes(head.label(label + Int(header), 32))
      // 32 letters and digits, in groups.
      let groups = [(0, 6), (6, 4), (10, 4), (14, 4), (18, 4), (22, 4), (26, 6)]
        .map { String(decoding: letters.part($0.0, $0.1), as: UTF8.self) }
      let uuid = groups.joined(separator: "-")
      return DiskFileSystem(
        kind: .lvm2, uuid: letters.count == 32 ? visible(uuid) : nil, version: "LVM2 001")
    }
    return nil
  }
}
