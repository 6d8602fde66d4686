// SPDX-License-Identifier: Apache-2.0
//
// The randomized model test as a program: every combination of ring format, EVENT_IDX, indirect
// descriptors and IN_ORDER, a number of chains each.
//
//     ring-model [chains each] [seed]

import RingHarness
import VirtioRing

@main
struct RingModelRun {
  static func main() {
    let arguments = CommandLine.arguments
    let chainCount = arguments.count > 1 ? Int(arguments[1]) ?? 0 : 1_000_000
    let seed = arguments.count > 2 ? UInt64(arguments[2]) : UInt64.random(in: 0...UInt64.max)
    guard chainCount > 0, let seed else {
      print("usage: ring-model [chains each] [seed]")
      return
    }
    print("ring-model: \(chainCount) chains each, seed \(seed)")
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
          print("ok   \(name): \(steps) steps")
          passed += 1
        } catch {
          print("FAIL \(name): \(error)")
          failed += 1
        }
      }
    }
    print("\(passed) passed, \(failed) failed")
    precondition(failed == 0)
  }
}
