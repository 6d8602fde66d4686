// SPDX-License-Identifier: Apache-2.0
//
// File systems made by their own tools are recognised as blkid(8) recognises them.

import DiskHarness
import DiskLayout
import Foundation
import Testing

/// One way to make a file system.
struct Making: CustomTestStringConvertible, Sendable {
  let kind: DiskFileSystem.Kind
  let byteCount: UInt64
  let command: String
  let arguments: [String]

  init(_ kind: DiskFileSystem.Kind, _ byteCount: UInt64, _ line: String, label: [String] = []) {
    self.kind = kind
    self.byteCount = byteCount
    let words = line.split(separator: " ").map(String.init)
    command = words[0]
    arguments = words.dropFirst() + label
  }

  var testDescription: String { ([command] + arguments).joined(separator: " ") }

  func make() throws -> ImageFile {
    let image = try ImageFile(byteCount: byteCount)
    switch kind {
    case .squashfs, .iso9660:
      let source = image.path + ".source"
      try FileManager.default.createDirectory(atPath: source, withIntermediateDirectories: false)
      try "content\n".write(toFile: source + "/file", atomically: false, encoding: .utf8)
      let output = kind == .squashfs ? [image.path] : ["-o", image.path]
      try tool(
        command, kind == .squashfs ? [source] + output + arguments : arguments + output + [source])
    default:
      try tool(command, arguments + [image.path], input: "key")
    }
    return image
  }

  private static let quick = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /dev/stdin"

  static let all: [Making] = [
    Making(.ext2, 2 << 20, "mkfs.ext2 -q -F", label: ["-L", "second ext"]),
    Making(.ext3, 8 << 20, "mkfs.ext3 -q -F -L third"),
    Making(.ext4, 8 << 20, "mkfs.ext4 -q -F", label: ["-L", "a b/../\u{fc}\\"]),
    Making(.ext4, 2 << 20, "mkfs.ext4 -q -F -O ^has_journal -b 4096 -L ."),
    Making(.ext4, 8 << 20, "mkfs.ext2 -q -F -O extent"),
    Making(.jbd, 8 << 20, "mkfs.ext4 -q -F -O journal_dev -L journal"),
    Making(.xfs, 32 << 20, "mkfs.xfs -q -f --unsupported -L xroot"),
    Making(.xfs, 32 << 20, "mkfs.xfs -q -f --unsupported -m crc=0 -s size=4096"),
    Making(.btrfs, 32 << 20, "mkfs.btrfs -q -M -m single", label: ["-L", "a \u{65e5}\u{672c}"]),
    Making(.btrfs, 32 << 20, "mkfs.btrfs -q -M -m single --csum xxhash"),
    Making(.vfat, 1 << 20, "mkfs.vfat -F 12", label: ["-n", "TWELVE A"]),
    Making(.vfat, 16 << 20, "mkfs.vfat -F 16 -n SIXTEEN"),
    Making(.vfat, 40 << 20, "mkfs.vfat -F 32 -n THIRTYTWO"),
    Making(.vfat, 40 << 20, "mkfs.vfat -F 32 -s 1 -S 512 -i 00c0ffee"),
    Making(.vfat, 64 << 20, "mkfs.vfat -S 4096 -n SECTORS"),
    Making(.vfat, 16 << 20, "mkfs.vfat --mbr=yes -n FAKEMBR"),
    Making(.swap, 2 << 20, "mkswap -L swapped"),
    Making(.swap, 2 << 20, "mkswap -p 65536"),
    Making(.swap, 2 << 20, "mkswap -p 8192 -U 01234567-89ab-cdef-0123-456789abcdef"),
    Making(.squashfs, 0, "mksquashfs -noappend -quiet -no-progress"),
    Making(.ntfs, 4 << 20, "mkntfs -F -q", label: ["-L", "Windows \u{fc}"]),
    Making(.exfat, 16 << 20, "mkfs.exfat", label: ["-L", "ex fat \u{fc}"]),
    Making(.f2fs, 64 << 20, "mkfs.f2fs -q -f -l flash"),
    Making(.iso9660, 0, "xorriso -as mkisofs -quiet", label: ["-V", "MY ISO"]),
    Making(.iso9660, 0, "xorriso -as mkisofs -quiet -J", label: ["-V", "My Joliet"]),
    Making(.luks, 20 << 20, "cryptsetup luksFormat -q --type luks1 \(quick)"),
    Making(.luks, 20 << 20, "cryptsetup luksFormat -q --type luks2 --label vault \(quick)"),
  ]
}

@Suite("File systems", .timeLimit(.minutes(20)))
struct FileSystemTests {
  @Test("are recognised as blkid recognises them", arguments: Making.all)
  func recognised(making: Making) throws {
    let image = try making.make()
    let layout = image.layout
    #expect(layout.table == .none)
    #expect(layout.partitions.isEmpty)
    #expect(layout.warnings.allSatisfy { $0.contains("part of a sector") })
    let found = try #require(layout.fileSystem)
    #expect(found.kind == making.kind)
    try compare(found, image.blkid())
  }

  @Test("of the named kinds are all tried")
  func complete() {
    let kinds = Set(Making.all.map(\.kind))
    #expect(
      kinds.isSuperset(of: [.ext2, .ext3, .ext4, .xfs, .btrfs, .vfat, .swap, .squashfs]))
  }

  @Test("FAT's label is the root directory's, and else the boot sector's")
  func fatLabels() throws {
    for (size, arguments) in [(1 << 20, ["-F", "12"]), (40 << 20, ["-F", "32"])] {
      let image = try ImageFile(byteCount: UInt64(size))
      try tool("mkfs.vfat", arguments + ["-n", "FIRST", image.path])
      #expect(image.layout.fileSystem?.label == "FIRST")
      // The entry of the root directory comes after the boot sector's copies of the label.
      let bytes = try Data(contentsOf: URL(filePath: image.path))
      let entry = try #require(
        bytes.range(of: Data("FIRST      ".utf8), options: .backwards)?.lowerBound)
      try image.write(Array("SECOND".utf8), at: UInt64(entry))
      #expect(image.layout.fileSystem?.label == "SECOND")
      try image.write([0xe5], at: UInt64(entry))
      #expect(image.layout.fileSystem?.label == "FIRST")
    }
  }

  @Test("what was not unmounted says what a read-only mount needs")
  func readOnlyOptions() throws {
    let ext = try ImageFile(byteCount: 8 << 20)
    try tool("mkfs.ext4", ["-q", "-F", ext.path])
    #expect(ext.layout.fileSystem?.readOnlyOptions == nil)
    // Its journal is to be played back (INCOMPAT_RECOVER).
    let features = try ext.read(at: 1024 + 0x60, count: 1)[0]
    try ext.write([features | 4], at: 1024 + 0x60)
    #expect(ext.layout.fileSystem?.readOnlyOptions == "noload")
    #expect(ext.layout.json.text.contains("\"readOnlyOptions\": \"noload\""))
    let btrfs = try ImageFile(byteCount: 32 << 20)
    try tool("mkfs.btrfs", ["-q", "-M", "-m", "single", btrfs.path])
    #expect(btrfs.layout.fileSystem?.readOnlyOptions == nil)
    try btrfs.write([1], at: 65536 + 0x60)
    #expect(btrfs.layout.fileSystem?.readOnlyOptions == "rescue=nologreplay")
    let xfs = try ImageFile(byteCount: 32 << 20)
    try tool("mkfs.xfs", ["-q", "-f", "--unsupported", xfs.path])
    #expect(xfs.layout.fileSystem?.readOnlyOptions == "norecovery")
  }

  @Test("a member of an array on the last partition is not one on the whole disk")
  func lastPartition() throws {
    // The superblock of version 0.90 is in the last 64 KiB of both.
    let member = DiskKind.linuxRAID("0.90").content
    var table = TableImage(byteCount: DiskContent.byteCount)
    table.writeMBR([
      .init(type: 0xfd, start: 65536 / 512, count: UInt32((DiskContent.byteCount - 65536) / 512))
    ])
    let image = try member.image()
    try image.write(table.image.bytes(at: 0, count: 512), at: 0)
    let layout = image.layout
    #expect(layout.partitions.map(\.fileSystem?.kind) == [.linuxRAID])
    #expect(layout.fileSystem == nil)
    #expect(try image.blkid()["ID_FS_TYPE"] == nil)
  }

  @Test("a disc with UDF and ISO 9660 is UDF")
  func bridge() throws {
    let image = try ImageFile(byteCount: 16 << 20)
    try tool("mkudffs", ["-l", "discus", image.path])
    // ISO's descriptor comes first, then UDF's three.
    let structure = try image.read(at: 32768, count: 3 * 2048)
    try image.write(structure, at: 32768 + 2048)
    try image.write([1] + Array("CD001".utf8) + [1], at: 32768)
    let found = try #require(image.layout.fileSystem)
    #expect(found.kind == .udf)
    #expect(image.layout.warnings.isEmpty)
    try compare(found, image.blkid())
  }

  @Test("swap space with the memory of a machine that hibernates is told apart")
  func hibernated() throws {
    let image = try ImageFile(byteCount: 2 << 20)
    try tool("mkswap", ["-L", "sleeping", image.path])
    try image.write(Array("S1SUSPEND\0".utf8), at: 4086)
    let found = try #require(image.layout.fileSystem)
    #expect(found.kind == .swsuspend)
    try compare(found, image.blkid())
  }
}

/// Compares what was found with what blkid says.
func compare(_ found: DiskFileSystem, _ blkid: [String: String]) throws {
  #expect(blkid["ID_FS_TYPE"] == found.kind.rawValue)
  // blkid(8) does not take FAT's boot sector for its word.
  let label = blkid["ID_FS_LABEL_ENC"] ?? blkid["ID_FS_LABEL_FATBOOT_ENC"]
  #expect(safeFileName(found.labelBytes) == (label == "." ? "\\x2e" : label))
  #expect(found.uuid == blkid["ID_FS_UUID"])
  // blkid(8) has none for these.
  if found.kind != .exfat, found.kind != .ntfs, found.kind != .swsuspend {
    #expect(safeFileName(Array((found.version ?? "").utf8)) == blkid["ID_FS_VERSION"])
  }
}
