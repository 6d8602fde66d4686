// SPDX-License-Identifier: Apache-2.0
//
// DiskLink: an entry of by-label/, by-uuid/, by-partlabel/ or by-partuuid/.

/// A link by a label or UUID to the file of a partition, or of the disk.
public struct DiskLink: Equatable, Sendable {
  /// Its name, from ``safeFileName(_:)``: unique among the links of its directory.
  public let name: String

  /// The name of the file that it leads to: `part1`, or `disk` for a file system on the whole disk.
  public let target: String

  /// A link.
  public init(name: String, target: String) {
    self.name = name
    self.target = target
  }
}

extension DiskLayout {
  /// The links by file systems' labels. Where two have the same label the first partition has it, as the
  /// whole disk comes first.
  public var labelLinks: [DiskLink] { links { $0.labelBytes } }

  /// The links by file systems' UUIDs.
  public var uuidLinks: [DiskLink] { links { Array(($0.uuid ?? "").utf8) } }

  /// The links by a GPT's names of partitions.
  public var partitionLabelLinks: [DiskLink] {
    Self.links(partitions.map { (Array(($0.name ?? "").utf8), $0.fileName) })
  }

  /// The links by partitions' own identifiers.
  public var partitionUUIDLinks: [DiskLink] {
    Self.links(partitions.map { (Array(($0.uuid ?? "").utf8), $0.fileName) })
  }

  private func links(_ bytes: (DiskFileSystem) -> [UInt8]) -> [DiskLink] {
    let all = [("disk", fileSystem)] + partitions.map { ($0.fileName, $0.fileSystem) }
    return Self.links(all.compactMap { file, fileSystem in fileSystem.map { (bytes($0), file) } })
  }

  private static func links(_ targets: [(name: [UInt8], file: String)]) -> [DiskLink] {
    // As bytes: to a string's comparison two spellings of one character are the same.
    var names: Set<[UInt8]> = []
    var links: [DiskLink] = []
    for (bytes, target) in targets {
      guard let name = safeFileName(bytes), names.insert(Array(name.utf8)).inserted else {
        continue
      }
      links.append(DiskLink(name: name, target: target))
    }
    return links
  }
}
