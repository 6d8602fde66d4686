// SPDX-License-Identifier: Apache-2.0
//
// Scatter and gather. The pieces come as C's own struct iovec, since they are somebody else's memory.

import CLinux
public import Glibc

extension FileDescriptor {
  // SAFETY (all): the caller vouches for the pieces; the kernel touches nothing else.

  /// Reads into the pieces in order (readv(2)).
  ///
  /// - Parameters:
  ///   - vectors: where to put the bytes.
  ///   - retryOnInterrupt: false for a call that waits, and that a nudge is to end.
  /// - Returns: bytes read, 0 at the end.
  @unsafe
  public borrowing func readv(
    _ vectors: UnsafeBufferPointer<iovec>, retryOnInterrupt: Bool = true
  ) throws(Errno) -> Int {
    try systemCall(retryOnInterrupt: retryOnInterrupt) {
      unsafe Glibc.readv(raw, vectors.baseAddress, Int32(vectors.count))
    }
  }

  /// Writes the pieces in order (writev(2)). - Returns: bytes written.
  @unsafe
  public borrowing func writev(_ vectors: UnsafeBufferPointer<iovec>) throws(Errno) -> Int {
    try systemCall(retryOnInterrupt: true) {
      unsafe Glibc.writev(raw, vectors.baseAddress, Int32(vectors.count))
    }
  }

  /// Reads from a position of the file (preadv(2)). - Returns: bytes read, 0 at the end.
  @unsafe
  public borrowing func preadv(
    _ vectors: UnsafeBufferPointer<iovec>, at offset: Int
  ) throws(Errno) -> Int {
    try systemCall(retryOnInterrupt: true) {
      unsafe Glibc.preadv(raw, vectors.baseAddress, Int32(vectors.count), offset)
    }
  }

  /// Reads from a position of the file what can be had without waiting, from the page cache
  /// (preadv2(2), RWF_NOWAIT). - Returns: bytes read, 0 at the end.
  /// - Throws: `.again` where nothing can, `.notSupported` where the file system cannot tell.
  @unsafe
  @inline(__always)
  public borrowing func preadvCached(
    _ vectors: UnsafeBufferPointer<iovec>, at offset: Int
  ) throws(Errno) -> Int {
    try systemCall(retryOnInterrupt: false) {
      unsafe clinux_preadv2_nowait(raw, vectors.baseAddress, Int32(vectors.count), offset)
    }
  }

  /// Writes to a position of the file (pwritev(2)). - Returns: bytes written.
  @unsafe
  public borrowing func pwritev(
    _ vectors: UnsafeBufferPointer<iovec>, at offset: Int
  ) throws(Errno) -> Int {
    try systemCall(retryOnInterrupt: true) {
      unsafe Glibc.pwritev(raw, vectors.baseAddress, Int32(vectors.count), offset)
    }
  }
}
