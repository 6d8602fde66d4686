// SPDX-License-Identifier: Apache-2.0
//
// Tables made by sgdisk(8) and sfdisk(8) are read as sfdisk reads them.

import DiskHarness
import DiskLayout
import Foundation
import Testing

/// What `sfdisk --json` prints.
struct SfdiskTable: Decodable {
  struct Contents: Decodable {
    struct Entry: Decodable {
      let node: String
      let start: UInt64
      let size: UInt64
      let type: String
      let uuid: String?
      let name: String?
      let bootable: Bool?
    }
    let label: String
    let id: String
    let sectorsize: Int
    let partitions: [Entry]?
  }
  let partitiontable: Contents
}

/// Compares a layout with what sfdisk says of the image.
func compareWithSfdisk(_ image: ImageFile, _ layout: DiskLayout) throws {
  let text = try tool("sfdisk", ["--json", image.path]).text
  let table = try JSONDecoder().decode(SfdiskTable.self, from: Data(text.utf8)).partitiontable
  #expect(table.label == (layout.table == .mbr ? "dos" : layout.table.rawValue))
  #expect(table.id.lowercased() == layout.diskID)
  #expect(table.sectorsize == layout.sectorSize)
  let entries = table.partitions ?? []
  #expect(entries.map { $0.node } == layout.partitions.map { "\(image.path)\($0.number)" })
  for (entry, partition) in zip(entries, layout.partitions) {
    #expect(partition.start == entry.start * 512)
    #expect(partition.byteCount == entry.size * 512)
    let type = partition.type.description
    switch layout.table {
    case .gpt: #expect(type == entry.type.lowercased())
    default: #expect(UInt8(type.dropFirst(2), radix: 16) == UInt8(entry.type, radix: 16))
    }
    #expect(partition.uuid == entry.uuid?.lowercased() || layout.table == .mbr)
    #expect(partition.name == entry.name)
    #expect(partition.isBootable == (entry.bootable ?? false) || layout.table == .gpt)
    let blkid = try image.blkid(at: partition.start, byteCount: partition.byteCount)
    if let fileSystem = partition.fileSystem {
      try compare(fileSystem, blkid)
    } else {
      #expect(blkid["ID_FS_TYPE"] == nil || partition.isExtended)
    }
  }
}

@Suite("Partition tables", .timeLimit(.minutes(20)))
struct TableTests {
  @Test("GPT: numbers with gaps, types, names, attributes, file systems")
  func gpt() throws {
    let image = try ImageFile(byteCount: 96 << 20)
    try tool(
      "sgdisk",
      [
        "-n", "1:0:+4M", "-t", "1:ef00", "-c", "1:EFI System", "-n", "2:0:+40M", "-c",
        "2:root \u{fc} \u{65e5}\u{1f600}", "-n", "7:0:+2M", "-t", "7:8200", "-n", "9:0:+8M", "-A",
        "9:set:2", "-A", "9:set:63", image.path,
      ])
    let root = try ImageFile(byteCount: 32 << 20)
    try tool("mkfs.btrfs", ["-q", "-M", "-m", "single", "-L", "root", root.path])
    let boot = try ImageFile(byteCount: 4 << 20)
    try tool("mkfs.vfat", ["-n", "ESP", boot.path])
    let swap = try ImageFile(byteCount: 2 << 20)
    try tool("mkswap", ["-L", "swap", swap.path])
    let empty = image.layout
    try image.insert(boot, at: empty.partitions[0].start)
    try image.insert(root, at: empty.partitions[1].start)
    try image.insert(swap, at: empty.partitions[2].start)

    let layout = image.layout
    try compareWithSfdisk(image, layout)
    #expect(layout.warnings.isEmpty)
    #expect(layout.partitions.map(\.number) == [1, 2, 7, 9])
    #expect(layout.partitions.map(\.fileSystem?.kind) == [.vfat, .btrfs, .swap, nil])
    #expect(
      layout.partitions.map(\.type.name) == [
        "EFI System", "Linux filesystem", "Linux swap", "Linux filesystem",
      ])
    #expect(layout.partitions[3].attributes == 0x8000_0000_0000_0004)
    #expect(layout.partitions[3].isBootable)
    #expect(
      layout.labelLinks == [
        DiskLink(name: "ESP", target: "part1"), DiskLink(name: "root", target: "part2"),
        DiskLink(name: "swap", target: "part7"),
      ])
    #expect(layout.uuidLinks.map(\.target) == ["part1", "part2", "part7"])
  }

  @Test("GPT: an empty one, and one of more entries than usual")
  func gptSizes() throws {
    let image = try ImageFile(byteCount: 8 << 20)
    try tool("sgdisk", ["-o", image.path])
    try compareWithSfdisk(image, image.layout)
    #expect(image.layout.warnings.isEmpty)
    try tool("sgdisk", ["-S", "256", "-n", "200:0:+1M", image.path])
    #expect(image.layout.partitions.map(\.number) == [200])
    try compareWithSfdisk(image, image.layout)
  }

  @Test("MBR: primary partitions, an extended one and logical ones")
  func mbr() throws {
    let image = try ImageFile(byteCount: 64 << 20)
    try tool(
      "sfdisk", [image.path],
      input: """
        label: dos
        label-id: 0xc0ffee01
        size=4M, type=c, bootable
        size=4M, type=82
        size=40M, type=5
        size=2M, type=83
        size=8M, type=83
        size=2M, type=83
        size=2M, type=8e
        size=1M, type=83

        """)
    let home = try ImageFile(byteCount: 8 << 20)
    try tool("mkfs.ext3", ["-q", "-F", "-L", "home", home.path])
    let fifth = try #require(image.layout.partitions.first { $0.number == 5 })
    #expect(fifth.byteCount == 8 << 20)
    try image.insert(home, at: fifth.start)

    let layout = image.layout
    try compareWithSfdisk(image, layout)
    #expect(layout.warnings.isEmpty)
    #expect(layout.partitions.map(\.number) == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(layout.partitions.filter(\.isExtended).map(\.number) == [3])
    #expect(layout.partitions.first?.uuid == "c0ffee01-01")
    #expect(layout.partitions.first { $0.number == 5 }?.fileSystem?.kind == .ext3)
    #expect(layout.labelLinks == [DiskLink(name: "home", target: "part5")])
  }

  @Test("MBR: Linux' and Windows' extended types, and sixty logical partitions")
  func logicals() throws {
    for type in ["f", "85"] {
      let image = try ImageFile(byteCount: 128 << 20)
      try tool(
        "sfdisk", [image.path],
        input: "label: dos\nsize=2M\ntype=\(type)\n"
          + String(repeating: "size=1M\n", count: type == "f" ? 56 : 3))
      let layout = image.layout
      try compareWithSfdisk(image, layout)
      #expect(layout.warnings.isEmpty)
      #expect(layout.partitions.count == (type == "f" ? 58 : 5))
    }
  }

  @Test("MBR: one that has no partitions yet")
  func emptyMBR() throws {
    let image = try ImageFile(byteCount: 8 << 20)
    try tool("sfdisk", [image.path], input: "label: dos\n")
    try compareWithSfdisk(image, image.layout)
    #expect(image.layout.warnings.isEmpty)
  }

  @Test("GPT and MBR together (hybrid): the GPT is used, with a warning")
  func hybrid() throws {
    let image = try ImageFile(byteCount: 16 << 20)
    try tool("sgdisk", ["-n", "1:0:+4M", "-n", "2:0:+4M", image.path])
    try tool("sgdisk", ["-h", "1:2", image.path])
    let layout = image.layout
    #expect(layout.table == .gpt)
    #expect(layout.partitions.count == 2)
    #expect(
      layout.warnings == ["the MBR lists partitions beside the GPT's (hybrid): the GPT is used"])
  }

  @Test("a hybrid ISO image is a file system and has partitions")
  func iso() throws {
    let image = try ImageFile(byteCount: 0)
    let source = image.path + ".source"
    try FileManager.default.createDirectory(atPath: source, withIntermediateDirectories: false)
    try tool(
      "xorriso",
      [
        "-as", "mkisofs", "-quiet", "-V", "HYBRID", "--protective-msdos-label", "-partition_offset",
        "16",
        "-o", image.path, source,
      ])
    let layout = image.layout
    #expect(layout.fileSystem?.kind == .iso9660)
    #expect(layout.table == .mbr)
    #expect(layout.labelLinks.first == DiskLink(name: "HYBRID", target: "disk"))
  }

  @Test("a GPT for sectors of 4096 bytes is found by itself")
  func largeSectors() throws {
    var image = TableImage(byteCount: 64 << 20, sectorSize: 4096)
    image.writeGPT([TableImage.Entry(first: 256, last: 511, name: "four")])
    for known in [nil, 512, 4096] {
      let layout = image.layout(sectorSize: known)
      #expect(layout.table == .gpt)
      #expect(layout.sectorSize == 4096)
      #expect(layout.partitions.map(\.start) == [1 << 20])
      #expect(layout.partitions.map(\.byteCount) == [1 << 20])
      #expect(layout.partitions.map(\.name) == ["four"])
      #expect(layout.warnings.isEmpty)
    }
  }

  @Test("an MBR for sectors of 4096 bytes needs to be told")
  func largeSectorsMBR() {
    var image = TableImage(byteCount: 64 << 20, sectorSize: 4096)
    image.writeMBR([.init(type: 0x83, start: 256, count: 256)])
    #expect(image.layout(sectorSize: 4096).partitions.map(\.start) == [1 << 20])
    #expect(image.layout(sectorSize: nil).partitions.map(\.start) == [256 * 512])
    #expect(image.warnings.isEmpty)
    // A file system shows which of the two it is.
    image.image.write(Array("hsqs".utf8), at: 1 << 20)
    #expect(
      image.warnings == [
        "there are file systems where the MBR says with sectors of 4096 bytes, and none with 512:"
          + " the disk's sectors may be that large"
      ])
    #expect(image.layout(sectorSize: 4096).warnings.isEmpty)
  }

  @Test("info.json has the documented members")
  func json() throws {
    var image = TableImage(byteCount: 4 << 20)
    image.writeGPT([.init(first: 2048, last: 4095, name: "a\"\u{1b}")])
    struct Info: Decodable {
      struct Part: Decodable {
        let number: Int
        let file: String
        let start: UInt64
        let size: UInt64
        let type: String
        let typeName: String?
        let name: String?
        let uuid: String?
        let bootable: Bool
        let attributes: UInt64
        let extended: Bool
        let fileSystem: System?
      }
      struct System: Decodable {
        let kind: String
        let label: String?
        let uuid: String?
        let version: String?
      }
      let table: String
      let sectorSize: Int
      let size: UInt64
      let id: String?
      let fileSystem: System?
      let partitions: [Part]
      let warnings: [String]
    }
    image.image.write(Array("hsqs".utf8), at: 1 << 20)
    image.image.write([4, 0, 1, 0], at: 1 << 20 + 28)
    let info = try JSONDecoder().decode(
      Info.self, from: Data(image.layout(sectorSize: nil).json.text.utf8))
    #expect(info.table == "gpt" && info.sectorSize == 512 && info.size == 4 << 20)
    #expect(info.id == "44332211-6655-8877-0102-030405060708")
    let part = try #require(info.partitions.first)
    #expect(part.number == 1 && part.file == "part1")
    #expect(part.start == 1 << 20 && part.size == 1 << 20)
    #expect(part.type == "0fc63daf-8483-4772-8e79-3d69d8477de4")
    #expect(part.typeName == "Linux filesystem" && part.name == "a\"\u{1b}")
    #expect(part.fileSystem?.kind == "squashfs" && part.fileSystem?.version == "4.1")
    #expect(part.fileSystem?.label == nil && !part.bootable && !part.extended)
    #expect(info.warnings.isEmpty)
  }
}
