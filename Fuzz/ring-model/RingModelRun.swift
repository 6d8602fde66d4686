// SPDX-License-Identifier: Apache-2.0
//
// The randomized model test as a program: every combination of ring format, EVENT_IDX, indirect
// descriptors and IN_ORDER, a number of chains each.
//
//     ring-model [chains each] [seed]

import Glibc
import RingHarness
import VirtioRing

/// Prints a line at once, so that nothing is lost where a trap ends the program.
private func say(_ line: String) {
  print(line)
  fflush(nil)
}

@main
struct RingModelRun {
  static func main() {
    let arguments = CommandLine.arguments
    let chainCount = arguments.count > 1 ? Int(arguments[1]) ?? 0 : 1_000_000
    let seed = arguments.count > 2 ? UInt64(arguments[2]) : UInt64.random(in: 0...UInt64.max)
    guard chainCount > 0, let seed else {
      say("usage: ring-model [chains each] [seed]")
      exit(2)
    }
    say("ring-model: \(chainCount) chains each, seed \(seed)")
    var passed = 0
    var failed = 0
    for isPacked in [false, true] {
      for bits in 0..<8 {
        var features: Features = []
        var name = isPacked ? "packed" : "split"
        for (bit, (feature, label)) in [
          (Features.eventIndex, "EVENT_IDX"), (.indirectDescriptors, "INDIRECT_DESC"),
          (.inOrder, "IN_ORDER"),
        ].enumerated() where bits & 1 << bit != 0 {
          features.insert(feature)
          name += " \(label)"
        }
        let combination = UInt64(bits * 2 + (isPacked ? 1 : 0))
        do {
          let steps = try runRingModel(
            isPacked: isPacked, features: features, seed: seed &+ combination,
            chainCount: chainCount, largestRing: 32768)
          say("ok   \(name): \(steps) steps")
          passed += 1
        } catch {
          say("FAIL \(name): \(error)")
          failed += 1
        }
      }
    }
    say("\(passed) passed, \(failed) failed")
    exit(failed == 0 ? 0 : 1)
  }
}
