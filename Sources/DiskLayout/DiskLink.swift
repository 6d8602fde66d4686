// SPDX-License-Identifier: Apache-2.0
//
// DiskLink: an entry of by-label/ or by-uuid/.

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

  private func links(_ bytes: (DiskFileSystem) -> [UInt8]) -> [DiskLink] {
    var targets = fileSystem.map { [($0, "disk")] } ?? []
    for partition in partitions {
      if let fileSystem = partition.fileSystem { targets.append((fileSystem, partition.fileName)) }
    }
    // As bytes: to a string's comparison two spellings of one character are the same.
    var names: Set<[UInt8]> = []
    var links: [DiskLink] = []
    for (fileSystem, target) in targets {
      guard let name = safeFileName(bytes(fileSystem)), names.insert(Array(name.utf8)).inserted
      else { continue }
      links.append(DiskLink(name: name, target: target))
    }
    return links
  }
}
