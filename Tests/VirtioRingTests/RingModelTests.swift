// SPDX-License-Identifier: Apache-2.0
//
// The randomized test, short: the proof Tests/Proofs/ring-model runs it with a million chains for each
// combination in a release build. A failure tells its seed; SEED=N in the environment repeats it.

import Foundation
import RingHarness
import Testing
import VirtioRing

@Suite("Driver and device agree with the reference model", .timeLimit(.minutes(20)))
struct RingModelTests {
  @Test("in every combination of ring features", arguments: [false, true], 0..<8)
  func agreement(isPacked: Bool, bits: Int) throws {
    var features: Features = []
    if bits & 1 != 0 { features.insert(.eventIndex) }
    if bits & 2 != 0 { features.insert(.indirectDescriptors) }
    if bits & 4 != 0 { features.insert(.inOrder) }
    let seed =
      ProcessInfo.processInfo.environment["SEED"].flatMap { UInt64($0) }
      ?? UInt64.random(in: 0...UInt64.max)
    do {
      try runRingModel(
        isPacked: isPacked, features: features, seed: seed, chainCount: 3000, largestRing: 1024)
    } catch {
      Issue.record("seed \(seed): \(error)")
    }
  }
}
