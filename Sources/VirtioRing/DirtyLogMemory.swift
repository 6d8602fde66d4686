// SPDX-License-Identifier: Apache-2.0
//
// DirtyLogMemory: the bitmap of a live migration, shared with the front-end. A fence file.

import Synchronization

/// A bitmap that records which guest pages the device wrote, for live migration.
///
/// One bit for each 4096-byte page, bit `n % 8` of byte `n / 8` (vhost-user, "Migration").
@safe
public struct DirtyLog: @unchecked Sendable {
  private let base: UnsafeMutableRawPointer
  private let byteCount: Int
  private let owner: (any AnyObject & Sendable)?

  /// - Parameters:
  ///   - base: a bitmap of `byteCount` bytes that other processes may share.
  ///   - byteCount: how large it is.
  ///   - owner: keeps the bitmap mapped for as long as this value or a copy of it lives.
  @unsafe
  public init(
    base: UnsafeMutableRawPointer, byteCount: Int, owner: (any AnyObject & Sendable)?
  ) {
    // SAFETY: the caller vouches for the bitmap, whose owner is kept here.
    unsafe self.base = unsafe base
    self.byteCount = byteCount
    self.owner = owner
  }

  /// Marks the pages of a guest-physical range. Pages past the bitmap's end are ignored.
  public func mark(_ address: UInt64, count: UInt64) {
    guard count > 0 else { return }
    let (sum, overflow) = address.addingReportingOverflow(count - 1)
    let last = min((overflow ? UInt64.max : sum) >> 12, UInt64(byteCount) &* 8 &- 1)
    var page = address >> 12
    while page <= last, byteCount > 0 {
      // SAFETY: page / 8 < byteCount since page <= last < byteCount * 8.
      _ = unsafe (base + Int(page >> 3)).assumingMemoryBound(to: Atomic<UInt8>.self).pointee
        .bitwiseOr(UInt8(1) << UInt8(page & 7), ordering: .releasing)
      page &+= 1
    }
  }
}
