// SPDX-License-Identifier: Apache-2.0

import CLinux

/// The kernel's random numbers.
public enum Random {
  /// Fills a buffer without waiting (getrandom(2)).
  ///
  /// - Returns: bytes written; fewer than the buffer holds only after a signal, or past 32 MiB.
  /// - Throws: `.again` while the machine, just started, has not gathered entropy yet.
  @unsafe
  public static func fill(_ buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
    try systemCall(retryOnInterrupt: true) {
      // SAFETY: the caller vouches for the buffer; the kernel writes nothing else.
      unsafe clinux_getrandom(buffer.baseAddress, buffer.count, clinux_GRND_NONBLOCK)
    }
  }
}
