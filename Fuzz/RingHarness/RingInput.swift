// SPDX-License-Identifier: Apache-2.0
//
// What a fuzzer's input means, and what a run of the randomized test is.

public import VirtioRing

/// What an input led to.
public struct RingOutcome: Sendable {
  /// The errors that broke the queue, in the order in which they came; one for each ring that was set
  /// up, at most.
  public internal(set) var faults: [RingError] = []
  /// Chains that the device took.
  public internal(set) var takenCount = 0
  /// Whether no word was written that an honest driver would not write.
  public internal(set) var isHonest = true
}

/// Runs the harness from the bytes of a fuzzer's input: a scenario, then steps until the bytes end.
///
/// It traps where something is wrong, which is what a fuzzer looks for.
@discardableResult
public func runRingInput(_ bytes: [UInt8], isPacked: Bool) -> RingOutcome {
  var choices = ByteChoices(bytes)
  var features: Features = []
  for feature in [Features.eventIndex, .indirectDescriptors, .inOrder] {
    if choices.below(2) == 1 { features.insert(feature) }
  }
  let scenario = RingScenario.choose(
    isPacked: isPacked, features: features, largest: 256, from: &choices)
  var outcome = RingOutcome()
  do {
    var harness = try RingHarness(scenario)
    while !choices.isExhausted {
      // RING_RESET: whatever happened before, a ring that is set up anew works.
      if choices.oneIn(64) {
        outcome.add(harness)
        harness = try RingHarness(scenario)
      } else {
        try harness.hostileStep(&choices)
      }
    }
    outcome.add(harness)
    if harness.isHonest { try harness.drain(&choices) }
  } catch {
    preconditionFailure("\(error)")
  }
  return outcome
}

extension RingOutcome {
  fileprivate mutating func add(_ harness: borrowing RingHarness) {
    if let fault = harness.queue.fault { faults.append(fault) }
    takenCount += harness.takenCount
    isHonest = isHonest && harness.isHonest
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
