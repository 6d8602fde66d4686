// SPDX-License-Identifier: Apache-2.0
//
// Calls on a driver's file whose requests are arrays of words. A signal ends such a call, since whoever
// sends it wants the thread back: `WorkerThread.nudge(_:)`.

import Glibc

extension FileDescriptor {
  /// Writes words in host order, with one call that a signal interrupts.
  ///
  /// - Returns: what the driver returned, which need not be the number of bytes.
  public borrowing func writeWords(_ words: [UInt64]) throws(Errno) -> Int {
    // SAFETY: the kernel reads the array's own bytes, during the call.
    try unsafe words.span.withUnsafeBytes { bytes throws(Errno) in
      try systemCall(retryOnInterrupt: false) {
        unsafe Glibc.write(raw, bytes.baseAddress, bytes.count)
      }
    }
  }

  /// Reads once, with one call that a signal interrupts.
  ///
  /// - Returns: what was read, at most `limit` bytes.
  /// - Throws: `.interrupted` when a signal came, and what the driver says.
  public borrowing func readOnce(upTo limit: Int) throws(Errno) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: limit)
    var span = bytes.mutableSpan
    // SAFETY: the kernel writes at most as many bytes as the array has, during the call.
    let count = try unsafe span.withUnsafeMutableBytes { buffer throws(Errno) in
      try systemCall(retryOnInterrupt: false) {
        unsafe Glibc.read(raw, buffer.baseAddress, buffer.count)
      }
    }
    bytes.removeSubrange(count...)
    return bytes
  }
}
