// SPDX-License-Identifier: Apache-2.0
//
// Each kind of disk alone, and each over each other, is what blkid(8) says it is.

import DiskLayout
import Foundation
import Testing

@Suite("One kind of disk over another", .timeLimit(.minutes(20)))
struct PairTests {
  @Test("is what blkid says it is, or nothing where it is ambivalent")
  func pairs() throws {
    let kinds = try DiskKind.all.get()
    var differences: [String] = []
    for under in kinds {
      for over in kinds {
        let content = under.name == over.name ? under.content : under.content.under(over.content)
        let image = try content.image()
        let expected = try image.blkid()
        let layout = image.layout
        let found = layout.fileSystem
        let type = expected["ID_FS_TYPE"]
        if under.name == over.name {
          #expect(under.name.hasPrefix(type ?? "nothing"), "\(under.name)")
          try compare(try #require(found, "\(under.name)"), expected)
          #expect(layout.warnings.isEmpty, "\(under.name): \(layout.warnings)")
        } else if found?.kind.rawValue != type {
          differences.append(
            "\(over.name) over \(under.name): \(found?.kind.rawValue ?? "-"), blkid: \(type ?? "-")"
          )
        }
        // What is ambivalent is a warning, and no link.
        if found == nil {
          #expect(
            layout.warnings.contains { $0.hasPrefix("the disk looks like ") }, "\(layout.warnings)")
          #expect(layout.labelLinks.isEmpty && layout.uuidLinks.isEmpty)
        }
      }
    }
    #expect(differences.isEmpty, "\(differences.joined(separator: "\n"))")
  }

  /// A table with two partitions.
  private static func table(_ label: String) throws -> DiskContent {
    let image = try ImageFile(byteCount: DiskContent.byteCount)
    try tool("sfdisk", ["-q", image.path], input: "label: \(label)\nsize=40M\nsize=200M\n")
    return try DiskContent(image)
  }

  @Test(
    "and partition tables, over what was there before and under it, are what blkid and sfdisk say",
    arguments: ["dos", "gpt"])
  func tables(label: String) throws {
    let table = try Self.table(label)
    for kind in try DiskKind.all.get() {
      for (name, content) in [
        ("\(label) over \(kind.name)", kind.content.under(table)),
        ("\(kind.name) over \(label)", table.under(kind.content)),
      ] {
        let image = try content.image()
        try compareTables(image, image.layout, name)
      }
    }
  }

  /// docs/disk-images.md has the differences that are meant.
  private func compareTables(_ image: ImageFile, _ layout: DiskLayout, _ name: String) throws {
    let blkid = try image.blkid()
    let kind = layout.fileSystem?.kind
    let hasPartitions = !layout.partitions.isEmpty
    switch blkid["ID_FS_TYPE"] {
    case "linux_raid_member" where hasPartitions:
      // Linux shows partitions in a member of an array, blkid does not.
      #expect(kind == .linuxRAID, "\(name)")
      #expect(layout.warnings.contains { $0.contains("is linux_raid_member too") }, "\(name)")
      return
    case nil where kind == .lvm2:
      // To blkid a table has overwritten the volume, whose label is in the second sector.
      #expect(layout.warnings.contains { $0.contains("is LVM2_member too") }, "\(name)")
    case let type? where hasPartitions && kind == nil:
      // What has partitions is no file system, but for hybrids.
      #expect(layout.warnings.contains { $0.contains("looks like \(type) too") }, "\(name)")
    case let type: #expect(kind?.rawValue == type, "\(name): \(layout.warnings)")
    }
    let known = ["dos": DiskLayout.Table.mbr, "gpt": .gpt]
    let expected = blkid["ID_PART_TABLE_TYPE"].flatMap { known[$0] } ?? .none
    // blkid takes exFAT's own boot sector for a table.
    guard layout.table == expected || kind != .exfat else { return }
    #expect(layout.table == expected, "\(name): \(layout.warnings)")
    guard hasPartitions else { return }
    let text = try tool("sfdisk", ["--json", image.path]).text
    let json = text[(text.firstIndex(of: "{") ?? text.startIndex)...]
    let table = try JSONDecoder().decode(SfdiskTable.self, from: Data(json.utf8)).partitiontable
    let entries = table.partitions ?? []
    #expect(entries.map(\.start) == layout.partitions.map { $0.start / 512 }, "\(name)")
    #expect(entries.map(\.size) == layout.partitions.map { $0.byteCount / 512 }, "\(name)")
    #expect(table.id.lowercased() == layout.diskID, "\(name)")
  }
}
