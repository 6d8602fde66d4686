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
  /// What is looked for, in this order. Containers come first: what is in them may show through. FAT has the
  /// weakest signs of all and comes last.
  private static let probes: [@Sendable (ProbeArea) -> DiskFileSystem?] = [
    luks, lvm2, xfs, btrfs, ext, swap, squashfs, f2fs, erofs, iso9660, exfat, ntfs, vfat,
  ]

  /// Finds out which file system an area has, if it is a known one.
  ///
  /// - Parameters:
  ///   - start: where it begins in the image, in bytes.
  ///   - byteCount: its size. It lies inside the image.
  static func find(
    in image: BoundedImage, at start: UInt64, byteCount: UInt64
  ) -> DiskFileSystem? {
    let area = ProbeArea(image, at: start, byteCount: byteCount)
    for probe in probes {
      if let found = probe(area) { return found }
    }
    return nil
  }
}
