// SPDX-License-Identifier: Apache-2.0

import CHostTesting
public import Linux

/// What a thread is refused.
public enum Confinement {
  /// Making, filling and changing io_uring.
  public static let ring = [
    CHOSTTESTING_IO_URING_SETUP, CHOSTTESTING_IO_URING_ENTER, CHOSTTESTING_IO_URING_REGISTER,
  ].map { Int32($0) }
  /// Moving data from and to files at a position, and syncing them.
  public static let storage = [
    CHOSTTESTING_PREAD, CHOSTTESTING_PWRITE, CHOSTTESTING_PREADV, CHOSTTESTING_PWRITEV,
    CHOSTTESTING_PREADV2, CHOSTTESTING_PWRITEV2, CHOSTTESTING_FSYNC, CHOSTTESTING_FDATASYNC,
  ].map { Int32($0) }
  /// Starting threads and processes.
  public static let threads = [CHOSTTESTING_CLONE, CHOSTTESTING_CLONE3].map { Int32($0) }

  /// From here on the calling thread, and each thread that it starts, is refused the system calls of these numbers
  /// with `.permission` (seccomp(2)). There is no way back: for threads and processes of a test's own.
  ///
  /// - Throws: what the system says to that.
  public static func refuse(_ calls: [Int32]) throws(Errno) {
    // SAFETY: the call reads as many numbers as there are.
    let code = unsafe calls.withUnsafeBufferPointer { calls in
      unsafe chosttesting_refuse(calls.baseAddress, calls.count)
    }
    guard code == 0 else { throw Errno(rawValue: code) }
  }
}
