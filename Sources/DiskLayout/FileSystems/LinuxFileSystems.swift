// SPDX-License-Identifier: Apache-2.0
//
// The superblocks of the file systems that Linux was installed on: ext2 to ext4, XFS, Btrfs, F2FS, and
// those that are written once, Squashfs and EROFS.

extension DiskFileSystem {
  /// ext2, ext3, ext4 and their journals (Documentation/filesystems/ext4 in Linux' sources). The features
  /// tell them apart: it is the oldest one that knows them all.
  static func ext(_ area: ProbeArea) -> DiskFileSystem? {
    let head = area.head
    guard head.little(1024 + 0x38) == 0xef53 as UInt16 else { return nil }
    let compatible: UInt32 = head.little(1024 + 0x5c)
    let incompatible: UInt32 = head.little(1024 + 0x60)
    let readOnly: UInt32 = head.little(1024 + 0x64)
    let hasJournal = compatible & 4 != 0
    let kind: Kind
    if incompatible & 8 != 0 {
      kind = .jbd
    } else if readOnly & ~7 != 0 || incompatible & ~0x16 != 0 {
      kind = .ext4
    } else if hasJournal {
      kind = .ext3
    } else if incompatible & 4 == 0 {
      kind = .ext2
    } else {
      // It has a journal to recover and no journal.
      return nil
    }
    let major: UInt32 = head.little(1024 + 0x4c)
    let minor: UInt16 = head.little(1024 + 0x3e)
    let needsRecovery = incompatible & 4 != 0
    return DiskFileSystem(
      kind: kind, labelBytes: head.label(1024 + 0x78, 16), uuid: head.uuid(1024 + 0x68),
      version: "\(major).\(minor)", readOnlyOptions: needsRecovery ? "noload" : nil)
  }

  /// XFS (its Algorithms and Data Structures, "Superblocks"). The sizes are looked at too: the magic alone
  /// stands in the backup of each allocation group.
  static func xfs(_ area: ProbeArea) -> DiskFileSystem? {
    let head = area.head
    let blockSize: UInt32 = head.big(4)
    let sectorSize: UInt16 = head.big(102)
    guard head.has("XFSB", at: 0), head.big(88) != 0 as UInt32,
      isPowerOfTwo(blockSize, in: 512...65536), isPowerOfTwo(UInt32(sectorSize), in: 512...32768)
    else { return nil }
    return DiskFileSystem(
      kind: .xfs, labelBytes: head.label(108, 12), uuid: head.uuid(32),
      readOnlyOptions: "norecovery")
  }

  /// Btrfs (its On-disk Format, "Superblock").
  static func btrfs(_ area: ProbeArea) -> DiskFileSystem? {
    let block = area.bytes(at: 65536, count: 4096)
    guard block.has("_BHRfS_M", at: 0x40) else { return nil }
    // Where the log is that is to be played back.
    let log: UInt64 = block.little(0x60)
    return DiskFileSystem(
      kind: .btrfs, labelBytes: block.label(0x12b, 256), uuid: block.uuid(0x20),
      readOnlyOptions: log == 0 ? nil : "rescue=nologreplay")
  }

  /// F2FS (struct f2fs_super_block).
  static func f2fs(_ area: ProbeArea) -> DiskFileSystem? {
    let head = area.head
    guard head.little(1024) == 0xf2f5_2010 as UInt32 else { return nil }
    let major: UInt16 = head.little(1028)
    let minor: UInt16 = head.little(1030)
    return DiskFileSystem(
      kind: .f2fs, labelBytes: head.label16(1024 + 0x7c, 512), uuid: head.uuid(1024 + 0x6c),
      version: "\(major).\(minor)")
  }

  /// Squashfs (Documentation/filesystems/squashfs.rst in Linux' sources), in both byte orders.
  static func squashfs(_ area: ProbeArea) -> DiskFileSystem? {
    let head = area.head
    let isLittle = head.has("hsqs", at: 0)
    guard isLittle || head.has("sqsh", at: 0) else { return nil }
    let major: UInt16 = isLittle ? head.little(28) : head.big(28)
    let minor: UInt16 = isLittle ? head.little(30) : head.big(30)
    return DiskFileSystem(kind: .squashfs, version: "\(major).\(minor)")
  }

  /// EROFS (Documentation/filesystems/erofs.rst in Linux' sources).
  static func erofs(_ area: ProbeArea) -> DiskFileSystem? {
    let head = area.head
    guard head.little(1024) == 0xe0f5_e1e2 as UInt32 else { return nil }
    return DiskFileSystem(
      kind: .erofs, labelBytes: head.label(1024 + 64, 16), uuid: head.uuid(1024 + 48))
  }
}

/// Whether a number is a power of two in a range.
func isPowerOfTwo(_ number: UInt32, in range: ClosedRange<UInt32>) -> Bool {
  number.nonzeroBitCount == 1 && range.contains(number)
}
