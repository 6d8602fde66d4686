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
}
