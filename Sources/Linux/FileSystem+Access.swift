// SPDX-License-Identifier: Apache-2.0

import Glibc

extension FileSystem {
  /// Whether this process may make and remove files in a directory (faccessat(2), effective user).
  ///
  /// - Throws: `.notFound`, `.notDirectory`; `.accessDenied` or `.readOnlyFileSystem` where it may not.
  public static func checkDirectoryIsWritable(_ path: String) throws(Errno) {
    guard try status(of: path).kind == .directory else { throw .notDirectory }
    // SAFETY: the path is a terminated string during the call.
    _ = try systemCall(retryOnInterrupt: false) {
      unsafe faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS)
    }
  }

  /// Whether a path names a program that this process may run.
  public static func isExecutable(_ path: String) -> Bool {
    guard let status = try? status(of: path), status.kind == .regular else { return false }
    // SAFETY: the path is a terminated string during the call.
    return unsafe faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0
  }
}
