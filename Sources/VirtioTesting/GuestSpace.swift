// SPDX-License-Identifier: Apache-2.0

/// A range of guest-physical addresses that a test hands out piece by piece.
public struct GuestSpace: Sendable {
  /// The first address that was not handed out.
  public private(set) var next: UInt64
  /// The end of the range.
  public let end: UInt64

  /// Hands out the addresses of a range, from its start.
  public init(_ range: Range<UInt64>) {
    next = range.lowerBound
    end = range.upperBound
  }

  /// Takes a piece.
  ///
  /// - Parameters:
  ///   - byteCount: how large it is.
  ///   - alignment: in bytes, a power of two.
  /// - Precondition: there is room.
  public mutating func take(_ byteCount: UInt64, alignment: UInt64 = 16) -> UInt64 {
    precondition(alignment > 0 && alignment & (alignment - 1) == 0)
    let start = (next + alignment - 1) & ~(alignment - 1)
    precondition(start <= end && byteCount <= end - start, "the test's guest space is used up")
    next = start + byteCount
    return start
  }
}
