// SPDX-License-Identifier: Apache-2.0
//
// DiskFileSystem: a file system, or another use of a partition, recognised by its superblock.

/// A file system, or another known use of a partition, as its superblock describes it.
public struct DiskFileSystem: Equatable, Sendable {
  /// What it is. The raw value is what blkid(8) prints as TYPE.
  public enum Kind: String, CaseIterable, Sendable {
    /// ext2: no journal, nothing that ext2 does not know.
    case ext2
    /// ext3: a journal, nothing that ext3 does not know.
    case ext3
    /// ext4: something that ext3 does not know.
    case ext4
    /// A journal of ext3 or ext4 on a partition of its own.
    case jbd
    /// XFS.
    case xfs
    /// Btrfs.
    case btrfs
    /// FAT12, FAT16 or FAT32; ``DiskFileSystem/version`` says which.
    case vfat
    /// Swap space.
    case swap
    /// Swap space with the memory of a machine that hibernates.
    case swsuspend
    /// Squashfs.
    case squashfs
    /// NTFS.
    case ntfs
    /// exFAT.
    case exfat
    /// ISO 9660.
    case iso9660
    /// F2FS.
    case f2fs
    /// EROFS.
    case erofs
    /// An encrypted volume (LUKS).
    case luks = "crypto_LUKS"
    /// A physical volume of LVM2.
    case lvm2 = "LVM2_member"
  }

  /// What it is.
  public internal(set) var kind: Kind

  /// Its label as bytes, without trailing spaces: mostly UTF-8, but whoever made the file system decides.
  /// Empty where it has none.
  public internal(set) var labelBytes: [UInt8] = []

  /// Its UUID or serial number, spelt as blkid(8) does. Nil where it has none.
  public internal(set) var uuid: String?

  /// Its format's version, spelt as blkid(8) does: "FAT32", "1.0". Nil where it has none.
  public internal(set) var version: String?

  /// Its label, with U+FFFD for what is no UTF-8. It may hold any character but U+0000; nil where it has
  /// none. For the name of a link see ``safeFileName(_:)``.
  public var label: String? {
    labelBytes.isEmpty ? nil : String(decoding: labelBytes, as: UTF8.self)
  }
}
