// SPDX-License-Identifier: Apache-2.0
//
// What a socket can be asked about itself.

import Glibc

extension FileDescriptor {
  /// Whether it is a socket that listens for connections (SO_ACCEPTCONN of socket(7)).
  ///
  /// - Throws: ENOTSOCK where it is no socket.
  public borrowing func isListening() throws(Errno) -> Bool {
    var answer: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    _ = try systemCall(retryOnInterrupt: false) {
      // SAFETY: the call writes at most `size` bytes, to a local of that size.
      unsafe getsockopt(raw, SOL_SOCKET, SO_ACCEPTCONN, &answer, &size)
    }
    return answer != 0
  }

  /// Whether it is a socket that keeps messages apart: SOCK_DGRAM, SOCK_SEQPACKET or SOCK_RAW rather
  /// than SOCK_STREAM (SO_TYPE of socket(7)).
  ///
  /// - Throws: ENOTSOCK where it is no socket.
  public borrowing func keepsMessages() throws(Errno) -> Bool {
    var answer: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    _ = try systemCall(retryOnInterrupt: false) {
      // SAFETY: the call writes at most `size` bytes, to a local of that size.
      unsafe getsockopt(raw, SOL_SOCKET, SO_TYPE, &answer, &size)
    }
    return answer != Int32(SOCK_STREAM.rawValue)
  }
}
