// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc

extension FileDescriptor {
  /// Copies bytes to another file, or another place of this one, without bringing them here
  /// (copy_file_range(2)).
  ///
  /// - Returns: how many bytes, 0 at the end of this file.
  /// - Throws: `.invalidArgument` where the ranges overlap, `.notSupported` or EXDEV where these files cannot.
  public borrowing func copyRange(
    from offset: UInt64, to target: borrowing FileDescriptor, at targetOffset: UInt64, count: UInt64
  ) throws(Errno) -> Int {
    var from = try Self.position(offset)
    var to = try Self.position(targetOffset)
    let targetRaw = target.raw
    return try systemCall(retryOnInterrupt: true) {
      // SAFETY: the call reads and writes two locals of the type that it wants.
      unsafe clinux_copy_file_range(raw, &from, targetRaw, &to, Int(clamping: count))
    }
  }

  /// How much room its file system has for this user, in bytes (fstatvfs(3)).
  public borrowing func freeByteCount() throws(Errno) -> UInt64 {
    var status = statvfs()
    // SAFETY: the call fills a local of the right type.
    _ = try systemCall(retryOnInterrupt: true) { unsafe fstatvfs(raw, &status) }
    return UInt64(status.f_bavail) * UInt64(status.f_frsize)
  }
}
