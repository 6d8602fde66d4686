// SPDX-License-Identifier: Apache-2.0

/// Finds the way out of a raw terminal: Ctrl-C three times within a second, nothing else in between.
struct EscapeDetector: Sendable {
  private static let key: UInt8 = 3
  private static let window: UInt64 = 1_000_000_000  // ns

  /// When the last two presses came.
  private var presses: (UInt64?, UInt64?)

  /// Looks at what one read brought. A key is a read of its own, unless the reader was late.
  ///
  /// - Parameter now: in nanoseconds, on a clock that never goes back.
  /// - Returns: whether that was the third time.
  mutating func isEscape(_ bytes: Span<UInt8>, now: UInt64) -> Bool {
    for index in 0..<bytes.count {
      // A Ctrl-C in the middle of other bytes was pasted, or is part of a key's sequence.
      guard bytes[index] == Self.key else {
        presses = (nil, nil)
        return false
      }
    }
    for _ in 0..<bytes.count {
      if let first = presses.0, now &- first <= Self.window {
        presses = (nil, nil)
        return true
      }
      presses = (presses.1, now)
    }
    return false
  }
}
