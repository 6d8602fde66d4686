// SPDX-License-Identifier: Apache-2.0

import Glibc

extension FileSystem {
  /// Makes a symbolic link to a target, which need not exist (symlink(2)).
  public static func makeSymbolicLink(_ path: String, to target: String) throws(Errno) {
    // SAFETY: both are terminated strings during the call.
    _ = try systemCall(retryOnInterrupt: false) { unsafe symlink(target, path) }
  }

  /// What a symbolic link says (readlink(2)).
  ///
  /// - Throws: `.invalidArgument` when the path names something else.
  public static func symbolicLinkTarget(_ path: String) throws(Errno) -> String {
    var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
    // SAFETY: the path is a terminated string during the call, which fills the buffer, as bytes of
    // either signedness, at most to its end.
    let count = try unsafe bytes.withUnsafeMutableBufferPointer { buffer throws(Errno) in
      guard let base = buffer.baseAddress else { return 0 }
      return try systemCall(retryOnInterrupt: false) {
        unsafe base.withMemoryRebound(to: CChar.self, capacity: buffer.count) {
          unsafe readlink(path, $0, buffer.count)
        }
      }
    }
    return String(decoding: bytes[..<count], as: UTF8.self)
  }
}
