// SPDX-License-Identifier: Apache-2.0
//
// Where a harness takes its decisions from: a seeded generator, or the bytes of a fuzzer's input.

import VirtioTesting

/// An endless or finite stream of decisions.
public protocol ChoiceSource: ~Copyable {
  /// A number below `bound`, which is 1 to 65536.
  mutating func below(_ bound: Int) -> Int

  /// A word of any value.
  mutating func word() -> UInt64

  /// Whether all decisions were taken; those that follow are 0.
  var isExhausted: Bool { get }
}

extension ChoiceSource where Self: ~Copyable {
  /// True once in `bound` times.
  mutating func oneIn(_ bound: Int) -> Bool { below(bound) == bound - 1 }
}

/// A seeded generator, the same on every machine.
public struct RandomChoices: ChoiceSource {
  private var numbers: SplitMix

  /// Starts a stream.
  public init(seed: UInt64) { numbers = SplitMix(seed: seed) }

  /// A word of any value.
  public mutating func word() -> UInt64 { numbers.next() }

  /// A number below `bound`.
  public mutating func below(_ bound: Int) -> Int {
    // The bias of a multiplication is below 2^-47 here.
    Int(truncatingIfNeeded: ((word() >> 32) &* UInt64(bound)) >> 32)
  }

  /// Never.
  public var isExhausted: Bool { false }
}

/// The bytes of a fuzzer's input: one byte for a small decision, two for a larger one, eight for a
/// word. Fixed widths, so that a change of one byte changes one decision.
public struct ByteChoices: ChoiceSource {
  private let bytes: [UInt8]
  private var position = 0

  /// Reads an input from its start.
  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  private mutating func byte() -> Int {
    guard position < bytes.count else { return 0 }
    position += 1
    return Int(bytes[position - 1])
  }

  /// A number below `bound`.
  public mutating func below(_ bound: Int) -> Int {
    if bound <= 1 { return 0 }
    if bound <= 256 { return byte() % bound }
    let low = byte()
    return (low | byte() << 8) % bound
  }

  /// A word of any value.
  public mutating func word() -> UInt64 {
    (0..<8).reduce(0) { $0 | UInt64(byte()) << ($1 * 8) }
  }

  /// Whether every byte was read.
  public var isExhausted: Bool { position >= bytes.count }
}
