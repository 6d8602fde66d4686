// SPDX-License-Identifier: Apache-2.0
//
// ExportNode: what a number of the file system stands for.
//
// Numbers (inodes) are made from what they stand for, so there is no table of them, whatever a guest writes
// into its partition table and however often:
//
//     1                          the root
//     (image + 1) << 32 | kind << 24 | index
//
// The root is the directory of the only image, a list of images, or the one disk as a file.

/// A file, directory or link of an export.
enum ExportNode: Equatable, Sendable {
  /// The list of several images.
  case list
  case directory(image: Int)
  case disk(image: Int)
  case information(image: Int)
  /// `by-label` and its like.
  case links(image: Int, by: LinkKind)
  /// One of those links: to the disk (0) or the partition of that number.
  case link(image: Int, by: LinkKind, target: Int)
  case partition(image: Int, number: Int)

  enum LinkKind: UInt64, CaseIterable, Sendable {
    case label, uuid, partitionLabel, partitionUUID

    /// As in Linux' /dev/disk.
    var directoryName: String {
      switch self {
      case .label: "by-label"
      case .uuid: "by-uuid"
      case .partitionLabel: "by-partlabel"
      case .partitionUUID: "by-partuuid"
      }
    }
  }

  private enum Kind: UInt64 {
    case directory, disk, information, partition
    /// And as many more as there are kinds of links, for the directories.
    case links = 16
    /// The same for the links in them.
    case link = 32
  }

  static let rootNumber: UInt64 = 1

  /// The image, but for the list of them.
  var image: Int? {
    switch self {
    case .list: nil
    case .directory(let image), .disk(let image), .information(let image), .links(let image, _),
      .link(let image, _, _), .partition(let image, _):
      image
    }
  }

  /// Its number, but for the root's.
  var number: UInt64 {
    switch self {
    case .list: Self.rootNumber
    case .directory(let image): Self.number(image, .directory)
    case .disk(let image): Self.number(image, .disk)
    case .information(let image): Self.number(image, .information)
    case .links(let image, let by): Self.number(image, .links, by)
    case .partition(let image, let number): Self.number(image, .partition, index: number)
    case .link(let image, let by, let target): Self.number(image, .link, by, index: target)
    }
  }

  private static func number(
    _ image: Int, _ kind: Kind, _ by: LinkKind = .label, index: Int = 0
  ) -> UInt64 {
    UInt64(image + 1) << 32 | (kind.rawValue + by.rawValue) << 24 | UInt64(index)
  }

  /// What a number stands for; nil where it cannot be one of an export's.
  init?(number: UInt64, root: ExportNode) {
    guard number != Self.rootNumber else {
      self = root
      return
    }
    let kind = number >> 24 & 0xff
    guard number >> 32 > 0 else { return nil }
    let image = Int(number >> 32) - 1
    let index = Int(number & 0xff_ffff)
    if let by = LinkKind(rawValue: kind &- Kind.links.rawValue) {
      self = .links(image: image, by: by)
    } else if let by = LinkKind(rawValue: kind &- Kind.link.rawValue) {
      self = .link(image: image, by: by, target: index)
    } else {
      switch Kind(rawValue: kind) {
      case .directory: self = .directory(image: image)
      case .disk: self = .disk(image: image)
      case .information: self = .information(image: image)
      case .partition: self = .partition(image: image, number: index)
      case .links, .link, nil: return nil
      }
    }
  }
}
