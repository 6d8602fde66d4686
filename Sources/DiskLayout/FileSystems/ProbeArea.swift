// SPDX-License-Identifier: Apache-2.0
//
// ProbeArea: the part of an image in which a file system is looked for: a partition, or all of it. Where
// superblocks stand and what is in them is known from the file systems' own documentation, and blkid(8) is
// what the results are compared with.

/// A part of an image, with offsets from its start.
struct ProbeArea {
  private let image: BoundedImage
  private let start: UInt64
  let byteCount: UInt64
  /// Its first bytes, in which most superblocks are.
  let head: Bytes

  init(_ image: BoundedImage, at start: UInt64, byteCount: UInt64) {
    self.image = image
    self.start = start
    self.byteCount = byteCount
    head = image.bytes(at: start, count: Int(min(byteCount, 16384)))
  }

  /// Bytes at an offset: fewer, perhaps none, where the area ends.
  func bytes(at offset: UInt64, count: Int) -> Bytes {
    guard offset < byteCount, count > 0 else { return Bytes([]) }
    // Both lie in the image, so the sum is no larger than its size.
    return image.bytes(at: start + offset, count: Int(min(UInt64(count), byteCount - offset)))
  }
}

extension DiskFileSystem {
  /// What is looked for, in blkid's order. Containers come first: what is in them may show through.
  private static let probes: [@Sendable (ProbeArea) -> DiskFileSystem?] = [
    linuxRAID, bcache, lvm2, luks, vfat, swap, xfs, ext, reiserfs, jfs, udf, iso9660, zfs, ntfs,
    cramfs, minix,
    ocfs2, squashfs, btrfs, nilfs2, exfat, f2fs, erofs,
  ]

  /// A disk of at most so many bytes is taken for a floppy disk: what is found first counts.
  private static let tinySize: UInt64 = 1440 << 10

  /// Finds what an area may have, as far as it is known: nothing, one, or several.
  ///
  /// - Parameters:
  ///   - start: where it begins in the image, in bytes.
  ///   - byteCount: its size. It lies inside the image.
  ///   - withoutRAID: members of arrays are not looked for.
  static func find(
    in image: BoundedImage, at start: UInt64, byteCount: UInt64, withoutRAID: Bool = false
  ) -> [DiskFileSystem] {
    let area = ProbeArea(image, at: start, byteCount: byteCount)
    var all: [DiskFileSystem] = []
    for probe in withoutRAID ? Array(probes.dropFirst()) : probes {
      guard let found = probe(area) else { continue }
      all.append(found)
      if found.kind.endsSearch || byteCount <= tinySize { break }
    }
    return all
  }
}
