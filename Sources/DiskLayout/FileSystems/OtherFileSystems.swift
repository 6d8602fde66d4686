// SPDX-License-Identifier: Apache-2.0
//
// Superblocks of file systems that Linux has and that are rarer today: JFS, ReiserFS, NILFS2, OCFS2, Minix, cramfs.

extension DiskFileSystem {
  /// JFS (struct jfs_superblock).
  static func jfs(_ area: ProbeArea) -> DiskFileSystem? {
    let block = area.bytes(at: 32768, count: 256)
    let blockSize: UInt32 = block.little(16)
    let blockShift: UInt16 = block.little(20)
    guard block.has("JFS1", at: 0), blockShift < 32, blockSize == 1 << UInt32(blockShift) else {
      return nil
    }
    return DiskFileSystem(kind: .jfs, labelBytes: block.label(152, 16), uuid: block.uuid(136))
  }

  /// ReiserFS (struct reiserfs_super_block): 3.5, 3.6, and 3.6 with a journal elsewhere.
  static func reiserfs(_ area: ProbeArea) -> DiskFileSystem? {
    for place: UInt64 in [65536, 8192] {
      let block = area.bytes(at: place, count: 256)
      let magics = [("ReIsErFs", "3.5"), ("ReIsEr2Fs", "3.6"), ("ReIsEr3Fs", "JR")]
      guard let (_, version) = magics.first(where: { block.has($0.0.utf8, at: 52) }),
        block.little(44) >= 512 as UInt16
      else { continue }
      let isOld = version == "3.5"
      return DiskFileSystem(
        kind: .reiserfs, labelBytes: isOld ? [] : block.label(100, 16),
        uuid: isOld ? nil : block.uuid(84),
        version: version)
    }
    return nil
  }

  /// NILFS2 (struct nilfs_super_block): one superblock at the start, one in the last 4 KiB.
  static func nilfs2(_ area: ProbeArea) -> DiskFileSystem? {
    let end = area.byteCount / 512 * 512
    for place in [1024, end >= 4096 ? end - 4096 : .max] {
      let block = area.bytes(at: place, count: 1024)
      let size: UInt16 = block.little(8)
      guard block.little(6) == 0x3434 as UInt16, block.little(0) == 2 as UInt32,
        (248...1024).contains(size)
      else { continue }
      return DiskFileSystem(
        kind: .nilfs2, labelBytes: block.label(168, 80), uuid: block.uuid(152), version: "2")
    }
    return nil
  }

  /// OCFS2 (struct ocfs2_dinode with an ocfs2_super_block), in the third block, whatever a block's size.
  static func ocfs2(_ area: ProbeArea) -> DiskFileSystem? {
    for place: UInt64 in [1024, 2048, 4096, 8192] {
      let block = area.bytes(at: place, count: 512)
      guard block.has("OCFSV2", at: 0) else { continue }
      let (major, minor): (UInt16, UInt16) = (block.little(192), block.little(194))
      return DiskFileSystem(
        kind: .ocfs2, labelBytes: block.label(272, 64), uuid: block.uuid(336),
        version: "\(major).\(minor)")
    }
    return nil
  }

  /// Minix, versions 1 to 3 (struct minix_super_block, minix3_super_block). The magic is short, so the numbers must
  /// make sense together.
  static func minix(_ area: ProbeArea) -> DiskFileSystem? {
    let block = area.bytes(at: 1024, count: 64)
    let isThird = block.little(24) == 0x4d5a as UInt16
    let version: Int
    switch block.little(16) as UInt16 {
    case 0x137f, 0x138f: version = 1
    case 0x2468, 0x2478: version = 2
    default:
      guard isThird else { return nil }
      version = 3
    }
    func half(_ offset: Int) -> UInt64 { UInt64(block.little(offset, as: UInt16.self)) }
    func word(_ offset: Int) -> UInt64 { UInt64(block.little(offset, as: UInt32.self)) }
    let inodes = version == 3 ? word(0) : half(0)
    let zones = version == 1 ? half(2) : word(20)
    let at = version == 3 ? 6 : 4
    let (inodeMaps, zoneMaps, first, shift) = (half(at), half(at + 2), half(at + 4), half(at + 6))
    let blockSize = version == 3 ? half(28) : 1024
    // ext2's magic in the same place is stronger.
    guard shift == 0, first <= zones, inodes > 0, inodeMaps * blockSize * 8 > inodes,
      zoneMaps * blockSize * 8 >= zones - first + 1, block.little(56) != 0xef53 as UInt16
    else { return nil }
    return DiskFileSystem(kind: .minix, version: "\(version)")
  }

  /// cramfs (struct cramfs_super), in both byte orders.
  static func cramfs(_ area: ProbeArea) -> DiskFileSystem? {
    let head = area.head
    guard head.little(0) == 0x28cd_3d45 as UInt32 || head.big(0) == 0x28cd_3d45 as UInt32,
      head.has("Compressed ROMFS", at: 16)
    else { return nil }
    return DiskFileSystem(kind: .cramfs, labelBytes: head.label(48, 16))
  }
}
