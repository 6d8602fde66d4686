// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc

extension FileSystem {
  /// Whether a directory has no entries but `.` and `..` (readdir(3)).
  ///
  /// - Throws: `.notDirectory`, `.accessDenied` and what else keeps it from being read.
  public static func isEmptyDirectory(_ path: String) throws(Errno) -> Bool {
    // SAFETY: the path is a terminated string during the call; the stream is closed on every way out and read
    // only in between.
    guard let directory = unsafe opendir(path) else { throw .current }
    defer { unsafe closedir(directory) }
    var count = 0
    while count <= 2, unsafe readdir(directory) != nil { count += 1 }
    return count <= 2
  }

  /// The path without links, `.` and `..`, from the root (realpath(3)).
  public static func resolve(_ path: String) throws(Errno) -> String {
    // SAFETY: the path is a terminated string during the call, whose result is ours to free.
    guard let resolved = unsafe realpath(path, nil) else { throw .current }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }

  /// Unmounts what is mounted on a path (umount2(2)).
  ///
  /// - Throws: `.busy` where something uses it, `.invalidArgument` where nothing is mounted, `.permission` for whom
  ///   the mount is not.
  public static func unmount(_ path: String) throws(Errno) {
    // SAFETY: the path is a terminated string during the call.
    _ = try systemCall(retryOnInterrupt: false) { unsafe clinux_unmount(path) }
  }

  /// Takes a mount out of the tree; it goes when nobody uses it any more (umount2(2), MNT_DETACH).
  ///
  /// - Throws: `.invalidArgument` where nothing is mounted, `.permission` for whom the mount is not.
  public static func detachMount(_ path: String) throws(Errno) {
    // SAFETY: the path is a terminated string during the call.
    _ = try systemCall(retryOnInterrupt: false) { unsafe clinux_detach_mount(path) }
  }

  /// How much room the file system of a path has for this user, in bytes (statvfs(3)).
  public static func freeByteCount(at path: String) throws(Errno) -> UInt64 {
    var status = statvfs()
    // SAFETY: the path is a terminated string during the call, which fills a local of the right type.
    _ = try systemCall(retryOnInterrupt: true) { unsafe statvfs(path, &status) }
    return UInt64(status.f_bavail) * UInt64(status.f_frsize)
  }

  /// All of a file, at most `limit` bytes of it.
  public static func contents(of path: String, limit: Int) throws(Errno) -> [UInt8] {
    let file = try FileDescriptor.open(path, .readOnly)
    var bytes: [UInt8] = []
    while bytes.count < limit {
      let piece = try file.read(upTo: min(1 << 16, limit - bytes.count))
      guard !piece.isEmpty else { break }
      bytes += piece
    }
    return bytes
  }
}
