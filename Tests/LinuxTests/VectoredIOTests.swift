// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Linux

/// Three pieces of 2, 0 and 3 bytes of somebody else's memory.
@safe
private struct Pieces: ~Copyable {
  private let memory: UnsafeMutableRawBufferPointer
  let vectors: UnsafeMutableBufferPointer<iovec>

  init(_ bytes: [UInt8] = [0, 0, 0, 0, 0]) {
    // SAFETY: five bytes and three pieces of them, freed at the end.
    unsafe memory = .allocate(byteCount: 5, alignment: 1)
    unsafe memory.copyBytes(from: bytes)
    unsafe vectors = .allocate(capacity: 3)
    let base = unsafe memory.baseAddress
    unsafe vectors.initializeElement(at: 0, to: iovec(iov_base: base, iov_len: 2))
    unsafe vectors.initializeElement(at: 1, to: iovec(iov_base: nil, iov_len: 0))
    unsafe vectors.initializeElement(at: 2, to: iovec(iov_base: base?.advanced(by: 2), iov_len: 3))
  }

  deinit {
    unsafe vectors.deallocate()
    unsafe memory.deallocate()
  }

  var bytes: [UInt8] { unsafe Array(memory) }
}

@Suite(.timeLimit(.minutes(20))) struct VectoredIOTests {
  @Test func piecesAreReadAndWrittenInOrder() throws {
    let pipe = try Pipe(nonBlocking: false)
    let source = Pieces([1, 2, 3, 4, 5])
    let target = Pieces()
    // SAFETY: the pieces live through the calls.
    #expect(try unsafe pipe.writing.writev(UnsafeBufferPointer(source.vectors)) == 5)
    #expect(try unsafe pipe.reading.readv(UnsafeBufferPointer(target.vectors)) == 5)
    #expect(target.bytes == [1, 2, 3, 4, 5])
  }

  @Test func positionsAreObeyedAndTheEndCutsShort() throws {
    let file = try Memfd.create(name: "pieces", size: 0)
    let source = Pieces([1, 2, 3, 4, 5])
    let target = Pieces([9, 9, 9, 9, 9])
    // SAFETY: the pieces live through the calls.
    #expect(try unsafe file.pwritev(UnsafeBufferPointer(source.vectors), at: 100) == 5)
    #expect(try file.status().size == 105)
    #expect(try unsafe file.preadv(UnsafeBufferPointer(target.vectors), at: 102) == 3)
    #expect(target.bytes == [3, 4, 5, 9, 9])
    #expect(try unsafe file.preadv(UnsafeBufferPointer(target.vectors), at: 105) == 0)
    #expect(throws: Errno.invalidArgument) {
      _ = try unsafe file.preadv(UnsafeBufferPointer(target.vectors), at: -1)
    }
  }
}
