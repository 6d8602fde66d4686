// SPDX-License-Identifier: Apache-2.0
//
// What a fuzzer's input means, and what a run of the randomized test is.

public import VirtioRing

/// Runs the harness from the bytes of a fuzzer's input: a scenario, then steps until the bytes end.
///
/// It traps where something is wrong, which is what a fuzzer looks for.
public func runRingInput(_ bytes: [UInt8], isPacked: Bool) {
  var choices = ByteChoices(bytes)
  var features: Features = []
  for feature in [Features.eventIndex, .indirectDescriptors, .inOrder]
  where choices.below(2) == 1 {
    features.insert(feature)
  }
  let scenario = RingScenario.choose(
    isPacked: isPacked, features: features, largest: 256, from: &choices)
  do {
    var harness = try RingHarness(scenario)
    while !choices.isExhausted {
      // RING_RESET: whatever happened before, a ring that is set up anew works.
      if choices.oneIn(64) {
        harness = try RingHarness(scenario)
      } else {
        try harness.hostileStep(&choices)
      }
    }
    if harness.isHonest { try harness.drain(&choices) }
  } catch {
    preconditionFailure("\(error)")
  }
}

/// Runs the harness from a seed until `chainCount` chains went round, on many rings one after another.
///
/// - Throws: where a ring and the model disagree; the message names the scenario.
/// - Returns: how many steps it took.
@discardableResult
public func runRingModel(
  isPacked: Bool, features: Features, seed: UInt64, chainCount: Int, largestRing: Int
) throws -> Int {
  var choices = RandomChoices(seed: seed)
  var chains = 0
  var steps = 0
  while chains < chainCount {
    let scenario = RingScenario.choose(
      isPacked: isPacked, features: features, largest: largestRing, from: &choices)
    var harness = try RingHarness(scenario)
    // Long enough for every index of 16 bits to turn over now and then.
    let limit = min(
      chainCount - chains, choices.oneIn(32) ? 100_000 : 100 + choices.below(4000))
    while harness.collectedCount < limit { try harness.step(&choices) }
    try harness.drain(&choices)
    chains += harness.collectedCount
    steps += harness.stepCount
  }
  return steps
}
