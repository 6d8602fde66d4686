// SPDX-License-Identifier: Apache-2.0
//
// DiskLayout: what is on a disk image: its partition table, its partitions, the file systems on them.
//
// An image belongs to a guest, so every word of it may be a lie. Reading is bounded whatever it says: no
// byte outside the image is asked for, no table is followed for longer than the limits below, no
// arithmetic on its numbers can overflow. What is wrong becomes a warning, a line of text for the user, and
// the rest is shown all the same: reading a layout never fails.
//
// The order of things:
//  1. Sector 0 is looked at for an MBR, as Linux does it (block/partitions/msdos.c): the signature, and boot
//     flags that are 0 or 0x80. A type 0xee entry says that a GPT is what counts.
//  2. The GPT's header is looked for at sector 1, of 512 bytes and then of 4096; where that is broken, at
//     the end of the disk, and where the broken one says that its backup is. A backup alone, without an MBR that
//     protects it, counts on request only: the first sectors are somebody else's.
//  3. Without a GPT the MBR's entries count, and the chains of its extended partitions.
//  4. Each partition is looked at for a file system, and so is the disk as a whole.

/// What is on a disk image: its partition table, partitions and file systems.
public struct DiskLayout: Equatable, Sendable {
  /// A kind of partition table.
  public enum Table: String, Sendable {
    /// A GUID partition table (UEFI 2.10, 5.3).
    case gpt
    /// An MBR, perhaps with extended partitions.
    case mbr
    /// None: a file system on the whole disk, or nothing that is known.
    case none
  }

  /// The kind of partition table.
  public internal(set) var table: Table = .none

  /// The logical sector size that the table was made for, in bytes: 512 or 4096.
  public internal(set) var sectorSize = 512

  /// The image's size in bytes.
  public internal(set) var byteCount: UInt64

  /// The disk's identifier: a GPT's GUID in lower case, an MBR's signature as `0x1234abcd`. Nil where it
  /// is 0 or there is no table.
  public internal(set) var diskID: String?

  /// The partitions by ascending number. All lie inside the image and none is empty; see
  /// ``Partition``.
  public internal(set) var partitions: [Partition] = []

  /// The file system on the disk as a whole: of a disk without a table, or of a hybrid ISO image beside its
  /// table.
  public internal(set) var fileSystem: DiskFileSystem?

  /// What is wrong with the image, a line each, for the user to see. At most
  /// ``warningLimit`` of them. They hold no control characters.
  public internal(set) var warnings: [String] = []

  /// The largest number of warnings that are kept.
  public static let warningLimit = 64

  /// The largest number of a GPT's entries that are looked at.
  public static let entryLimit = 1024

  /// The largest number of logical partitions, and of links of a chain of extended partitions, that are
  /// looked at.
  public static let logicalLimit = 256

  /// Finds out what is on an image.
  ///
  /// Storage that fails and tables that lie become ``warnings``.
  ///
  /// - Parameters:
  ///   - reader: the image.
  ///   - sectorSize: the logical sector size that the guest sees, 512 or 4096, where it is known: an MBR
  ///     does not tell its own. A GPT is found with either all the same. Other values count as unknown.
  ///   - usesLostGPT: whether a GPT counts that Linux does not see: the MBR before it is somebody else's, or only the
  ///     backup in the last sector is left. Whatever else is on the disk may be newer.
  public static func read(
    from reader: some ImageReader, sectorSize: Int? = nil, usesLostGPT: Bool = false
  ) -> DiskLayout {
    let image = BoundedImage(reader)
    if image.byteCount < 512 {
      image.warn("the image is smaller than a sector")
    } else if image.byteCount % 512 != 0 {
      image.warn("the image ends in a part of a sector")
    }
    var wholeDisk = DiskFileSystem.find(in: image, at: 0, byteCount: image.byteCount)
    var scan = TableScan(
      image, sectorSize: sectorSize, usesLostGPT: usesLostGPT, wholeDisk: wholeDisk)
    scan.run()
    var layout = scan.layout
    for index in layout.partitions.indices where !layout.partitions[index].isExtended {
      let partition = layout.partitions[index]
      let found = DiskFileSystem.find(
        in: image, at: partition.start, byteCount: partition.byteCount)
      layout.partitions[index].fileSystem = choose(found, on: partition.fileName, image)
    }
    if layout.hasMemberAtEnd(wholeDisk) {
      wholeDisk = DiskFileSystem.find(
        in: image, at: 0, byteCount: image.byteCount, withoutRAID: true)
    }
    layout.use(wholeDisk, image)
    // What a file system on the whole disk has left may look so, too.
    if wholeDisk.isEmpty {
      layout.warnOfOtherSectorSize(reader, image, isKnown: scan.knownSectorSize != nil)
    }
    layout.warnOfTwins(image)
    layout.warnings = image.warnings
    return layout
  }

  /// What an area has, as blkid(8) decides it. - Returns: nil where that is ambivalent, which becomes a warning.
  private static func choose(
    _ found: [DiskFileSystem], on name: String, _ image: BoundedImage
  ) -> DiskFileSystem? {
    if found.count > 1, found.contains(where: { !$0.kind.isTolerant }) {
      let kinds = found.map(\.kind.rawValue).joined(separator: " and like ")
      image.warn(
        "\(name) looks like \(kinds), of which all but one are left over: it is shown without; "
          + "'wipefs' shows them and removes what is wrong")
      return nil
    }
    return found.first
  }

  /// Whether what looks like a member of an array on the whole disk is one on its last partition: a superblock of
  /// version 0.90 does not say where it is.
  private func hasMemberAtEnd(_ wholeDisk: [DiskFileSystem]) -> Bool {
    guard let member = wholeDisk.first, member.kind == .linuxRAID else { return false }
    return partitions.contains {
      $0.fileSystem?.kind == .linuxRAID && $0.fileSystem?.uuid == member.uuid
    }
  }

  private mutating func use(_ wholeDisk: [DiskFileSystem], _ image: BoundedImage) {
    guard !partitions.isEmpty else {
      fileSystem = Self.choose(wholeDisk, on: "the disk", image)
      return
    }
    for found in wholeDisk {
      let name = found.kind.rawValue
      if found.kind.isTolerant {
        // A hybrid ISO image is both.
        fileSystem = fileSystem ?? found
      } else if found.kind.isContainer {
        fileSystem = fileSystem ?? found
        image.warn("the whole disk is \(name) too: its partitions may be a part of what is in that")
      } else {
        // It was there before the partitions were.
        image.warn(
          "the whole disk looks like \(name) too, perhaps left over: its partitions are used")
      }
    }
  }

  init(byteCount: UInt64) { self.byteCount = byteCount }
}
