// SPDX-License-Identifier: Apache-2.0

/// A piece of a request's buffer in host memory, laid out as the C library's `struct iovec`.
public struct IOVector: Sendable, Equatable {
  /// The host address. Following it is unsafe, so it is a number here.
  public let address: UInt
  /// In bytes.
  public let byteCount: Int

  /// Makes a segment; nothing is checked here.
  @inline(__always)
  public init(address: UInt, byteCount: Int) {
    self.address = address
    self.byteCount = byteCount
  }
}
