// SPDX-License-Identifier: Apache-2.0
//
// What a file asks of transfers that go round the page cache.

import CLinux
import Glibc

extension FileDescriptor {
  /// The alignment that direct I/O on this file asks for (statx(2), STATX_DIOALIGN, Linux 6.1).
  ///
  /// - Returns: in bytes, powers of two: of the memory, and of position and length in the file. 0 where the
  ///   file cannot do direct I/O.
  /// - Throws: `.notSupported` where the kernel or the file system does not tell.
  public borrowing func directAlignment() throws(Errno) -> (memory: Int, offset: Int) {
    var memory: UInt32 = 0
    var offset: UInt32 = 0
    let told = try systemCall(retryOnInterrupt: false) {
      // SAFETY: the call writes two unsigned ints to locals.
      unsafe clinux_statx_dioalign(raw, &memory, &offset)
    }
    guard told != 0 else { throw .notSupported }
    return (Int(memory), Int(offset))
  }
}
