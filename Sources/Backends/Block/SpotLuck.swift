// SPDX-License-Identifier: Apache-2.0

/// Whether it is worth trying a transfer on the spot, before the ring gets it.
///
/// Where one has failed the next is likely to fail, and each attempt costs a call, or a wait: so many transfers
/// go without one as have failed in a row, up to a limit.
struct SpotLuck: Sendable {
  private var misses = 0
  private var skipped = 0
  private static let limit = 64

  /// Whether to try this transfer.
  @inline(__always)
  mutating func isWorthIt() -> Bool {
    guard skipped > 0 else { return true }
    skipped &-= 1
    return false
  }

  /// How it went.
  @inline(__always)
  mutating func note(_ isHit: Bool) {
    misses = isHit ? 0 : min(misses &+ 1, Self.limit)
    skipped = misses
  }
}
