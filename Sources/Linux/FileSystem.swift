// SPDX-License-Identifier: Apache-2.0
//
// What is done to files by their names.

import Glibc

/// Files by name.
public enum FileSystem {
  /// What a path names, symbolic links followed (stat(2)).
  public static func status(of path: String) throws(Errno) -> FileStatus {
    var status = stat()
    // SAFETY: the path is a terminated string during the call, which fills a local.
    _ = try systemCall(retryOnInterrupt: false) { unsafe stat(path, &status) }
    return FileStatus(status)
  }

  /// Whether a path names something that exists, as far as this process may see.
  public static func exists(_ path: String) -> Bool {
    // SAFETY: the path is a terminated string during the call.
    unsafe access(path, F_OK) == 0
  }

  /// Finds out whether this process's user may write to what a path names (access(2)).
  ///
  /// - Throws: why it may not.
  public static func checkWritable(_ path: String) throws(Errno) {
    // SAFETY: the path is a terminated string during the call.
    _ = try systemCall(retryOnInterrupt: false) { unsafe access(path, W_OK) }
  }

  /// Removes a name, which must not be a directory's (unlink(2)).
  public static func remove(_ path: String) throws(Errno) {
    // SAFETY: the path is a terminated string during the call.
    _ = try systemCall(retryOnInterrupt: false) { unsafe unlink(path) }
  }

  /// Gives a file another name, replacing what had that name (rename(2)).
  public static func rename(_ path: String, to newPath: String) throws(Errno) {
    // SAFETY: both paths are terminated strings during the call.
    _ = try systemCall(retryOnInterrupt: false) { unsafe Glibc.rename(path, newPath) }
  }

  /// Makes a directory (mkdir(2)); its mode is less the umask.
  public static func makeDirectory(_ path: String, mode: UInt32 = 0o777) throws(Errno) {
    // SAFETY: the path is a terminated string during the call.
    _ = try systemCall(retryOnInterrupt: false) { unsafe mkdir(path, mode) }
  }

  /// Removes an empty directory (rmdir(2)).
  public static func removeDirectory(_ path: String) throws(Errno) {
    // SAFETY: the path is a terminated string during the call.
    _ = try systemCall(retryOnInterrupt: false) { unsafe rmdir(path) }
  }

  /// Sets a file's permission bits (chmod(2)).
  public static func setPermissions(of path: String, to mode: UInt32) throws(Errno) {
    // SAFETY: the path is a terminated string during the call.
    _ = try systemCall(retryOnInterrupt: false) { unsafe chmod(path, mode) }
  }
}
