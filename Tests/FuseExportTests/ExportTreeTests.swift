// SPDX-License-Identifier: Apache-2.0

import Backends
import Linux
import Synchronization
import Testing

@testable import FuseExport

@Suite struct ExportTreeTests {
  /// An image with an MBR of one partition, nameless, as long as `body` runs.
  private func withImages<Result>(
    _ count: Int, isFile: Bool = false, writable: Bool = true,
    _ body: (ExportTree) throws -> Result
  ) throws -> Result {
    var images: [ExportImage] = []
    for index in 0..<count {
      let file = try Memfd.create(name: "image", size: 1 << 20)
      var table = [UInt8](repeating: 0, count: 512)
      // Linux, from sector 64 on, 128 sectors.
      table[450] = 0x83
      table[454] = 64
      table[458] = 128
      table[510] = 0x55
      table[511] = 0xaa
      _ = try file.write(table, at: 0)
      let view = try DiskView(path: "/proc/self/fd/\(file.raw)", writable: writable)
      images.append(
        try ExportImage(
          view, name: "image\(index)", ExportOptions(mountPoint: "/nowhere"),
          trouble: TroubleReport(nil)))
    }
    return try body(ExportTree(images, isFile: isFile, ExportOptions(mountPoint: "/nowhere")))
  }

  @Test("one image's directory is the root, and has the disk, its partition and what is known")
  func one() throws {
    try withImages(1) { (tree) throws in
      let names = try tree.entries(of: tree.root).map(\.name)
      #expect(
        names == [
          "disk", "part1", "by-label", "by-uuid", "by-partlabel", "by-partuuid", "info.json",
        ])
      let part = try tree.find("part1", in: tree.root)
      #expect(try tree.span(of: part) == ImageSpan(start: 64 * 512, count: 128 * 512))
      #expect(try tree.attributes(of: part).size == 128 * 512)
      #expect(throws: Errno.notFound) { try tree.find("part2", in: tree.root) }
    }
  }

  @Test("several images have a directory each")
  func several() throws {
    try withImages(3) { (tree) throws in
      #expect(try tree.entries(of: tree.root).map(\.name) == ["image0", "image1", "image2"])
      let second = try tree.find("image1", in: tree.root)
      let disk = try tree.find("disk", in: second)
      #expect(disk == .disk(image: 1))
      #expect(try tree.attributes(of: disk).size == 1 << 20)
    }
  }

  @Test("a file as the root is the disk itself")
  func file() throws {
    try withImages(1, isFile: true) { (tree) throws in
      #expect(tree.root == .disk(image: 0))
      #expect(tree.number(of: tree.root) == ExportNode.rootNumber)
      #expect(throws: Errno.notDirectory) { try tree.entries(of: tree.root) }
    }
  }

  @Test("every number stands for the node that it was made from, and others for none")
  func numbers() throws {
    try withImages(2) { (tree) throws in
      let nodes: [ExportNode] = [
        .list, .directory(image: 1), .disk(image: 0), .information(image: 1),
        .links(image: 0, by: .label), .links(image: 1, by: .uuid),
        .link(image: 0, by: .uuid, target: 3), .links(image: 1, by: .partitionUUID),
        .link(image: 1, by: .partitionLabel, target: 128), .partition(image: 1, number: 1024),
      ]
      for node in nodes {
        let found = try tree.node(tree.number(of: node))
        #expect(found == node)
      }
      #expect(Set(nodes.map { tree.number(of: $0) }).count == nodes.count)
      for wrong in [0, 2, 1 << 31, 3 << 32, 1 << 32 | 0xff << 24, .max] as [UInt64] {
        #expect(throws: Errno.notFound) { try tree.node(wrong) }
      }
    }
  }

  @Test("what is read-only is not opened for writing, and nothing but a growable disk is resized")
  func refusals() throws {
    try withImages(1, writable: false) { (tree) throws in
      let disk = ExportNode.disk(image: 0)
      #expect(throws: Errno.readOnlyFileSystem) { try tree.open(disk, forWriting: true) }
      _ = try tree.open(disk, forWriting: false)
      #expect(try tree.attributes(of: disk).permissions == 0o400)
    }
    try withImages(1) { (tree) throws in
      let disk = ExportNode.disk(image: 0)
      #expect(try tree.attributes(of: disk).permissions == 0o600)
      #expect(throws: Errno.permission) { try tree.resize(disk, to: 0) }
      #expect(throws: Errno.permission) {
        try tree.resize(.partition(image: 0, number: 1), to: 0)
      }
      // As the size is already.
      try tree.resize(disk, to: 1 << 20)
    }
  }

  /// An image of one file's bytes.
  private func image(_ file: borrowing FileDescriptor, _ trouble: TroubleReport) throws
    -> ExportImage
  {
    try ExportImage(
      try DiskView(path: "/proc/self/fd/\(file.raw)", writable: true), name: "image",
      ExportOptions(mountPoint: "/nowhere"), trouble: trouble)
  }

  @Test("labels that a string's comparison takes for the same are two names")
  func spellings() throws {
    let file = try Memfd.create(name: "image", size: 1 << 20)
    var table = [UInt8](repeating: 0, count: 512)
    for (index, label) in ["\u{e9}", "e\u{301}"].enumerated() {
      let sector = 64 * (index + 1)
      table[446 + 16 * index + 4] = 0x82
      table[446 + 16 * index + 8] = UInt8(sector)
      table[446 + 16 * index + 12] = 64
      var swap = [UInt8](repeating: 0, count: 4096)
      swap[1024] = 1
      swap.replaceSubrange(1052..<1052 + label.utf8.count, with: label.utf8)
      swap.replaceSubrange(4086..<4096, with: "SWAPSPACE2".utf8)
      _ = try file.write(swap, at: UInt64(sector * 512))
    }
    table[510] = 0x55
    table[511] = 0xaa
    _ = try file.write(table, at: 0)
    let tree = ExportTree(
      [try image(file, TroubleReport(nil))], isFile: false, ExportOptions(mountPoint: "/nowhere"))
    let labels = ExportNode.links(image: 0, by: .label)
    #expect(try tree.entries(of: labels).count == 2)
    #expect(try tree.find("\u{e9}", in: labels) == .link(image: 0, by: .label, target: 1))
    #expect(try tree.find("e\u{301}", in: labels) == .link(image: 0, by: .label, target: 2))
  }

  @Test("an image that has shrunk is named, also where a request has seen the new size first")
  func shrinking() throws {
    let lines = Mutex<[String]>([])
    let file = try Memfd.create(name: "image", size: 1 << 20)
    let image = try image(
      file, TroubleReport { line in lines.withLock { $0.append(line) } })
    image.inspect()
    try file.truncate(to: 1 << 19)
    #expect(image.refreshSize() == 1 << 19)
    image.inspect()
    image.inspect()
    let shrunk = lines.withLock { $0.filter { $0.contains("the image has shrunk") } }
    #expect(shrunk.count == 1)
    #expect(shrunk.first?.contains("from 1048576 to 524288 bytes") == true)
  }

  @Test("what mount shows as the device is cut where there are too many images for it")
  func sources() {
    #expect(MountWords.source(["a.img", "b.img"]) == "a.img b.img")
    let names = (0..<100).map { "/srv/guests/a disk of some length \($0).img" }
    #expect(MountWords.source(names) == "\(names[0]) and 99 more")
    let long = String(repeating: "x", count: 4000)
    #expect(MountWords.source([long]).utf8.count < 1100)
    #expect(MountWords.source([long, "b"]).hasSuffix("... and 1 more"))
  }

  @Test("holes and data of a partition are told from its own start to its own end")
  func seeking() throws {
    try withImages(1) { (tree) throws in
      let part = try tree.open(.partition(image: 0, number: 1), forWriting: true)
      #expect(try part.seek(data: false, from: 0) == 0)
      #expect(throws: Errno.noSuchDeviceOrAddress) { try part.seek(data: true, from: 0) }
      #expect(throws: Errno.noSuchDeviceOrAddress) { try part.seek(data: false, from: 128 * 512) }
    }
  }
}
