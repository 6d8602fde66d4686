// SPDX-License-Identifier: Apache-2.0
//
// Replays the seeds of the ring fuzzers. Fuzz/make-ring-seeds.py writes them, and what each must lead to.

import Foundation
import RingHarness
import Testing
import VirtioRing

/// A seed and what it leads to.
struct CorpusSeed: CustomTestStringConvertible, Sendable {
  let target: String
  let name: String
  let fault: String
  let takenCount: Int

  var testDescription: String { "\(target)/\(name)" }

  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fuzz/corpus")

  static func all(_ target: String) -> [CorpusSeed] {
    let list = try? String(
      contentsOf: folder.appending(path: "\(target).expected"), encoding: .utf8)
    return (list ?? "").split(separator: "\n").map { line in
      let words = line.split(separator: " ")
      return CorpusSeed(
        target: target, name: String(words[0]), fault: String(words[1]),
        takenCount: Int(words[2]) ?? -1)
    }
  }
}

@Suite("The fuzzers' seeds", .timeLimit(.minutes(20)))
struct FuzzCorpusTests {
  @Test("every seed leads where its name says", arguments: ["ring-split", "ring-packed"])
  func replay(target: String) throws {
    let seeds = CorpusSeed.all(target)
    #expect(seeds.count > 30)
    for seed in seeds {
      let bytes = try Data(contentsOf: CorpusSeed.folder.appending(path: "\(target)/\(seed.name)"))
      let outcome = runRingInput(Array(bytes), isPacked: target == "ring-packed")
      #expect(outcome.faults.first == faults[seed.fault], "\(seed.name)")
      #expect(seed.fault == "none" || faults[seed.fault] != nil, "\(seed.name)")
      #expect(outcome.takenCount == seed.takenCount, "\(seed.name)")
      #expect(outcome.isHonest == seed.name.hasPrefix("honest-"), "\(seed.name)")
    }
  }

  @Test("every file of the corpus is one of them", arguments: ["ring-split", "ring-packed"])
  func complete(target: String) throws {
    let files = try FileManager.default.contentsOfDirectory(
      atPath: CorpusSeed.folder.appending(path: target).path)
    #expect(Set(files) == Set(CorpusSeed.all(target).map(\.name)))
  }
}

/// The faults by the names that the generator of the seeds uses: those of the cases.
private let faults: [String: RingError] = [
  "availableIndexJumped": .availableIndexJumped, "headOutOfRange": .headOutOfRange,
  "headInFlight": .headInFlight, "nextOutOfRange": .nextOutOfRange,
  "chainTooLong": .chainTooLong, "tooManySegments": .tooManySegments,
  "addressOutsideMemory": .addressOutsideMemory, "readableAfterWritable": .readableAfterWritable,
  "indirectNotNegotiated": .indirectNotNegotiated, "indirectWithNext": .indirectWithNext,
  "indirectNested": .indirectNested, "indirectBadLength": .indirectBadLength,
  "indirectOutsideMemory": .indirectOutsideMemory, "idOutOfRange": .idOutOfRange,
  "descriptorNotAvailable": .descriptorNotAvailable,
]
