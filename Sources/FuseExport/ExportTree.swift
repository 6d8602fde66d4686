// SPDX-License-Identifier: Apache-2.0
//
// ExportTree: the file system's names and attributes. It knows nothing of FUSE.
//
//     disk           the whole image
//     part1 …        each partition
//     by-label/ …    links by file systems' labels; by-uuid/, by-partlabel/, by-partuuid/ likewise
//     info.json      what is known of all that

import Backends
import DiskLayout
import Linux

/// The names, files and attributes of an export.
final class ExportTree: Sendable {
  let images: [ExportImage]
  let root: ExportNode
  private let user: UInt32
  private let group: UInt32
  private let mode: UInt32?
  private let began: FileTime

  /// - Parameter isFile: whether the root is the one disk itself.
  init(_ images: [ExportImage], isFile: Bool, _ options: ExportOptions) {
    self.images = images
    root = isFile ? .disk(image: 0) : images.count == 1 ? .directory(image: 0) : .list
    user = options.user
    group = options.group
    mode = options.mode
    began = FileTime.now
  }

  /// What stat(2) tells of a node.
  struct Attributes {
    enum Kind { case file, directory, link }
    var number: UInt64
    var kind: Kind
    var permissions: UInt32
    var linkCount = 1
    var size: UInt64 = 0
    var allocatedSize: UInt64 = 0
    var user: UInt32
    var group: UInt32
    var modified: FileTime
    var changed: FileTime
  }

  struct Entry {
    var name: String
    var node: ExportNode
    var kind: Attributes.Kind
  }

  /// What a number stands for.
  func node(_ number: UInt64) throws(Errno) -> ExportNode {
    guard let node = ExportNode(number: number, root: root), node.image ?? 0 < images.count else {
      throw .notFound
    }
    return node
  }

  /// A node's number.
  func number(of node: ExportNode) -> UInt64 {
    node == root ? ExportNode.rootNumber : node.number
  }

  // MARK: Names

  /// The node of a name in a directory. Names are compared as bytes, as the kernel does it: to a string's comparison
  /// two spellings of one character are the same.
  func find(_ name: String, in directory: ExportNode) throws(Errno) -> ExportNode {
    switch directory {
    case .list:
      if let index = images.firstIndex(where: { $0.name.utf8.elementsEqual(name.utf8) }) {
        return .directory(image: index)
      }
    case .directory(let image):
      switch name {
      case "disk": return .disk(image: image)
      case "info.json": return .information(image: image)
      default:
        if let kind = ExportNode.LinkKind.allCases.first(where: { $0.directoryName == name }) {
          return .links(image: image, by: kind)
        }
        if let partition = images[image].layout.partitions.first(where: { $0.fileName == name }) {
          return .partition(image: image, number: partition.number)
        }
      }
    case .links(let image, let kind):
      let layout = images[image].layout
      if let link = layout.links(kind).first(where: { $0.name.utf8.elementsEqual(name.utf8) }) {
        return .link(image: image, by: kind, target: layout.target(link))
      }
    default: throw .notDirectory
    }
    throw .notFound
  }

  /// What a directory lists, without `.` and `..`.
  func entries(of directory: ExportNode) throws(Errno) -> [Entry] {
    switch directory {
    case .list:
      return images.indices.map {
        Entry(name: images[$0].name, node: .directory(image: $0), kind: .directory)
      }
    case .directory(let image):
      var entries = [Entry(name: "disk", node: .disk(image: image), kind: .file)]
      for partition in images[image].layout.partitions {
        entries.append(
          Entry(
            name: partition.fileName, node: .partition(image: image, number: partition.number),
            kind: .file))
      }
      for kind in ExportNode.LinkKind.allCases {
        entries.append(
          Entry(
            name: kind.directoryName, node: .links(image: image, by: kind), kind: .directory))
      }
      entries.append(Entry(name: "info.json", node: .information(image: image), kind: .file))
      return entries
    case .links(let image, let kind):
      let layout = images[image].layout
      return layout.links(kind).map {
        Entry(
          name: $0.name, node: .link(image: image, by: kind, target: layout.target($0)),
          kind: .link)
      }
    default: throw .notDirectory
    }
  }

  /// What a link says.
  func target(of node: ExportNode) throws(Errno) -> String {
    guard case .link(let image, let kind, let target) = node else { throw .invalidArgument }
    let layout = images[image].layout
    guard let link = layout.links(kind).first(where: { layout.target($0) == target }) else {
      throw .notFound
    }
    return "../\(link.target)"
  }

  /// The bytes of the image that a file shows; nil for what is no part of one.
  func span(of node: ExportNode) throws(Errno) -> ImageSpan? {
    switch node {
    case .disk(let image): return ImageSpan(start: 0, count: images[image].lastByteCount)
    case .partition(let image, let number):
      guard let partition = images[image].layout.partitions.first(where: { $0.number == number })
      else { throw .notFound }
      return ImageSpan(start: partition.start, count: partition.byteCount)
    default: return nil
    }
  }

  // MARK: Files

  /// Opens a file.
  ///
  /// - Throws: `.readOnlyFileSystem` where it is to be written and cannot.
  func open(_ node: ExportNode, forWriting: Bool) throws(Errno) -> OpenFile {
    guard let index = node.image else { throw .isDirectory }
    let image = images[index]
    switch node {
    case .information:
      guard !forWriting else { throw .permission }
      return OpenFile(node, text: image.information)
    case .disk, .partition:
      guard !forWriting || image.view.isWritable else { throw .readOnlyFileSystem }
      image.refreshSize()
      guard let span = try span(of: node) else { throw .notFound }
      return OpenFile(node, image, span)
    default: throw .isDirectory
    }
  }

  /// Sets a disk's size.
  ///
  /// - Throws: `.permission` for what has the size that it has.
  func resize(_ node: ExportNode, to size: UInt64) throws(Errno) {
    guard case .disk(let index) = node else {
      guard let span = try span(of: node), span.count == size else { throw .permission }
      return
    }
    if images[index].isGrowable { return try images[index].resize(to: size) }
    guard images[index].refreshSize() == size else { throw .permission }
  }

  /// The size of all disks together, and what room there is, in bytes.
  var capacity: (total: UInt64, free: UInt64) {
    let total = images.reduce(UInt64(0)) { $0 &+ $1.refreshSize() }
    let free = images.first { $0.isGrowable }.flatMap { try? $0.view.file.freeByteCount() }
    return (total, free ?? 0)
  }

  // MARK: Attributes

  /// What is told of a node.
  func attributes(of node: ExportNode) throws(Errno) -> Attributes {
    guard let index = node.image else {
      return attributes(.list, .directory, linkCount: 2 + images.count)
    }
    let image = images[index]
    switch node {
    case .list, .directory: return attributes(node, .directory, linkCount: 4)
    case .links: return attributes(node, .directory, linkCount: 2)
    case .link:
      let target = try target(of: node)
      var link = attributes(node, .link)
      link.size = UInt64(target.utf8.count)
      return link
    case .information:
      var file = attributes(node, .file, writable: false)
      file.size = UInt64(image.information.count)
      file.allocatedSize = file.size
      try setTimes(&file, image)
      return file
    case .disk, .partition:
      image.refreshSize()
      guard let span = try span(of: node) else { throw .notFound }
      return try attributes(of: node, showing: span)
    }
  }

  /// What is told of a disk or partition that shows a span.
  func attributes(of node: ExportNode, showing span: ImageSpan) throws(Errno) -> Attributes {
    guard let index = node.image else { throw .notFound }
    let image = images[index]
    var file = attributes(node, .file, writable: image.view.isWritable)
    file.size = span.count
    file.allocatedSize = image.allocatedByteCount(span)
    try setTimes(&file, image)
    return file
  }

  private func setTimes(_ attributes: inout Attributes, _ image: ExportImage) throws(Errno) {
    let status = try image.view.file.status()
    attributes.modified = status.modified
    attributes.changed = status.changed
  }

  private func attributes(
    _ node: ExportNode, _ kind: Attributes.Kind, writable: Bool = false, linkCount: Int = 1
  ) -> Attributes {
    let permissions: UInt32 =
      switch kind {
      case .link: 0o777
      case .file: writable ? mode ?? 0o600 : (mode ?? 0o400) & 0o555
      // Who may read may search.
      case .directory: (mode ?? 0o400) & 0o444 | ((mode ?? 0o400) & 0o444) >> 2
      }
    return Attributes(
      number: number(of: node), kind: kind, permissions: permissions, linkCount: linkCount,
      user: user, group: group, modified: began, changed: began)
  }
}

extension DiskLayout {
  fileprivate func links(_ kind: ExportNode.LinkKind) -> [DiskLink] {
    switch kind {
    case .label: labelLinks
    case .uuid: uuidLinks
    case .partitionLabel: partitionLabelLinks
    case .partitionUUID: partitionUUIDLinks
    }
  }

  /// The number of the partition that a link leads to; 0 for the disk.
  fileprivate func target(_ link: DiskLink) -> Int {
    partitions.first { $0.fileName == link.target }?.number ?? 0
  }
}
