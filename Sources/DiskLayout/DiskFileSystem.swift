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
    /// UDF, alone or beside ISO 9660.
    case udf
    /// F2FS.
    case f2fs
    /// JFS.
    case jfs
    /// ReiserFS.
    case reiserfs
    /// NILFS2.
    case nilfs2
    /// OCFS2.
    case ocfs2
    /// Minix.
    case minix
    /// cramfs.
    case cramfs
    /// EROFS.
    case erofs
    /// An encrypted volume (LUKS).
    case luks = "crypto_LUKS"
    /// A physical volume of LVM2.
    case lvm2 = "LVM2_member"
    /// A member of an md array.
    case linuxRAID = "linux_raid_member"
    /// A member of a bcache set.
    case bcache
    /// A member of a ZFS pool.
    case zfs = "zfs_member"

    /// Whether it has no file system of its own, but is a part of something or has something in it.
    var isContainer: Bool {
      switch self {
      case .luks, .lvm2, .linuxRAID, .bcache, .zfs: true
      default: false
      }
    }

    /// Whether nothing else is looked for once it is found: what it has in it shows through.
    var endsSearch: Bool { self == .luks || self == .lvm2 || self == .linuxRAID }

    /// Whether it is commonly beside another on purpose.
    var isTolerant: Bool { self == .udf || self == .iso9660 }
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

  /// What mount(8) needs besides `ro` where the storage cannot be written: the file system was not unmounted, and
  /// would have its journal played back. Nil where it needs nothing. XFS does not show whether it does, and always
  /// has it.
  public internal(set) var readOnlyOptions: String?

  /// Its label, with U+FFFD for what is no UTF-8. It may hold any character but U+0000; nil where it has
  /// none. For the name of a link see ``safeFileName(_:)``.
  public var label: String? {
    labelBytes.isEmpty ? nil : String(decoding: labelBytes, as: UTF8.self)
  }
}
