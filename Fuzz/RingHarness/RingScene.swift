// SPDX-License-Identifier: Apache-2.0
//
// RingScene: memory, and a plan of where a ring lies in it, for one run of the harness.
//
//     0x1000 A ring and tables | B small | C            hole            D far away
//            |<------ adjacent in guest-physical space ->|
//                            |<----- buffers ----------->|             |<-->|
//
// Buffers are taken from an arena that begins near the end of A, so that many cross from region to
// region. A table at the border of B and C has a descriptor that both regions share.

public import VirtioRing
import VirtioTesting

/// What one run of the harness is about.
public struct RingScenario: Sendable {
  /// Packed, else split.
  public var isPacked: Bool
  /// The layout of one piece, for split rings.
  public var isLegacy: Bool
  /// What was negotiated, without the bits of the format itself.
  public var features: Features
  /// Entries of the ring.
  public var size: UInt16
  /// Where both sides start.
  public var start: UInt16
  /// The wrap counter there.
  public var wrap: Bool

  /// Describes a run.
  public init(
    isPacked: Bool, isLegacy: Bool = false, features: Features, size: UInt16, start: UInt16 = 0,
    wrap: Bool = true
  ) {
    self.isPacked = isPacked
    self.isLegacy = isLegacy
    self.features = features
    self.size = size
    self.start = start
    self.wrap = wrap
  }

  /// Takes what is not fixed by the caller from `choices`: size, start, legacy layout.
  ///
  /// - Parameter sizes: how to choose: most rings small, so that they wrap and that invariants, whose
  ///   cost grows with the size, can be checked at every step.
  public static func choose<Choices: ChoiceSource & ~Copyable>(
    isPacked: Bool, features: Features, largest: Int, from choices: inout Choices
  ) -> RingScenario {
    var size = 1 + choices.below(16)
    if choices.oneIn(8) { size = 1 << choices.below(16) }
    if choices.oneIn(8) { size = 1 + choices.below(300) }
    size = min(size, largest)
    if !isPacked { while size & (size - 1) != 0 { size &= size - 1 } }
    let start: Int
    switch choices.below(4) {
    case 0: start = 0
    case 1: start = isPacked ? size - 1 : 0xffff
    case 2: start = isPacked ? size / 2 : 0x8000 - 3
    default: start = choices.below(isPacked ? size : 65536)
    }
    let isLegacy = !isPacked && choices.below(2) == 1
    var features = features
    if isLegacy, choices.below(2) == 1 { features.insert(.notifyOnEmpty) }
    return RingScenario(
      isPacked: isPacked, isLegacy: isLegacy, features: features, size: UInt16(size),
      start: UInt16(start), wrap: choices.below(2) == 0)
  }
}

/// Memory for one run.
struct RingScene {
  static let indirectCapacity = 8
  let scenario: RingScenario
  let memory: TestMemory
  let plan: RingPlan
  let features: Features
  /// The part of guest memory where buffers are.
  let arena: Range<UInt64>
  /// A page of its own.
  let far: Range<UInt64> = 0x1_0000_0000..<0x1_0000_1000
  /// Where an indirect table crosses from B to C in the middle of a descriptor.
  let sharedTable: UInt64

  init(_ scenario: RingScenario) {
    self.scenario = scenario
    let count = UInt64(scenario.size)
    let tables = count * UInt64(Self.indirectCapacity) * 16
    // The largest layout is the legacy one, with up to a page of padding before each of two parts.
    let ring = count * 26 + 0x2100
    let startOfA: UInt64 = 0x1000
    let endOfA = (startOfA + ring + tables + 0x400 + 0xfff) & ~0xfff
    let endOfB = endOfA + 0x800
    let endOfC = endOfB + 0x1000
    do {
      memory = try TestMemory([startOfA..<endOfA, endOfA..<endOfB, endOfB..<endOfC, far])
    } catch {
      preconditionFailure("the harness's memory is refused: \(error)")
    }
    arena = endOfA - 0x400..<endOfC
    sharedTable = endOfB - 0x29
    var space = GuestSpace(startOfA..<endOfA - 0x400)
    let capacity = Self.indirectCapacity
    if scenario.isPacked {
      plan = .packed(size: scenario.size, in: &space, indirectCapacity: capacity)
      features = scenario.features.union([.version1, .packedRing])
    } else if scenario.isLegacy {
      plan = .legacy(size: scenario.size, in: &space, indirectCapacity: capacity)
      features = scenario.features
    } else {
      plan = .split(size: scenario.size, in: &space, indirectCapacity: capacity)
      features = scenario.features.union(.version1)
    }
  }
}
