// SPDX-License-Identifier: Apache-2.0

/// Whether it is worth asking the page cache first.
///
/// Where it has missed it is likely to miss again, and each question costs a call: so many reads go
/// without asking as have missed in a row, up to a limit.
struct CacheLuck: Sendable {
  private var misses = 0
  private var skipped = 0
  private static let limit = 64

  /// Whether to ask for this read.
  @inline(__always)
  mutating func isWorthIt() -> Bool {
    guard skipped > 0 else { return true }
    skipped &-= 1
    return false
  }

  /// What the answer was.
  @inline(__always)
  mutating func note(_ isHit: Bool) {
    misses = isHit ? 0 : min(misses &+ 1, Self.limit)
    skipped = misses
  }
}
