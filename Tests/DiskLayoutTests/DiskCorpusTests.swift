// SPDX-License-Identifier: Apache-2.0
//
// Replays the seeds of the fuzzer of disk layouts. Fuzz/make-disk-seeds.py writes them, and what each must
// lead to.

import DiskHarness
import DiskLayout
import Foundation
import Testing

@Suite("The fuzzer's images", .timeLimit(.minutes(20)))
struct DiskCorpusTests {
  private static let corpus = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fuzz/corpus")
  private static let folder = corpus.appending(path: "disk-layout")

  /// What each seed must lead to: the table, the partitions' numbers, the file systems.
  private static var expected: [String: String] {
    get throws {
      let text = try String(
        contentsOf: corpus.appending(path: "disk-layout.expected"), encoding: .utf8)
      return Dictionary(
        uniqueKeysWithValues: text.split(separator: "\n").map { line in
          let halves = line.split(separator: " ", maxSplits: 1)
          return (String(halves[0]), String(halves[1]))
        })
    }
  }

  @Test("every image leads where its name says")
  func replay() throws {
    let expected = try Self.expected
    #expect(expected.count > 40)
    for (name, words) in expected {
      let bytes = try Data(contentsOf: Self.folder.appending(path: name))
      let layout = DiskInput(Array(bytes)).run()
      let numbers = layout.partitions.map { "\($0.number)" }.joined(separator: ",")
      let systems = ([layout.fileSystem] + layout.partitions.map(\.fileSystem))
        .compactMap { $0?.kind.rawValue }.joined(separator: ",")
      let found = [layout.table.rawValue, numbers, systems].map { $0.isEmpty ? "-" : $0 }
      #expect(found.joined(separator: " ") == words, "\(name)")
    }
  }

  @Test("every file of the corpus is one of them")
  func complete() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
    #expect(try Set(files) == Set(Self.expected.keys))
  }

  @Test("labels are where the images have them")
  func labels() throws {
    let labels = [
      "fs-ext4": "ext label", "fs-xfs": "xfs label", "fs-btrfs": "btrfs label",
      "fs-swap": "swap label", "fs-f2fs": "label", "fs-erofs": "erofs", "fs-crypto_luks": "label",
      "fs-iso9660": "Joliet", "fs-ntfs": "NTFS", "fs-exfat": "exfat", "fs-vfat": "ROOT LABEL",
      "fs-fat32": "FAT32 LABEL",
    ]
    for (name, label) in labels {
      let bytes = try Data(contentsOf: Self.folder.appending(path: name))
      #expect(DiskInput(Array(bytes)).run().fileSystem?.label == label, "\(name)")
    }
  }
}
