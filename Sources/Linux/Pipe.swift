// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc

/// A pipe: what is written to one end is read at the other (pipe(7)). Either end can be moved out.
@frozen
public struct Pipe: ~Copyable, Sendable {
  /// Where bytes come out; at its end when all writing ends are closed.
  public var reading: FileDescriptor
  /// Where bytes go in.
  public var writing: FileDescriptor

  /// Makes a pipe, closed on exec, which holds 64 KiB or what the user's limit leaves.
  ///
  /// - Parameter nonBlocking: whether both ends never wait.
  public init(nonBlocking: Bool = true) throws(Errno) {
    var ends: InlineArray<2, Int32> = [-1, -1]
    let flags = O_CLOEXEC | (nonBlocking ? O_NONBLOCK : 0)
    // SAFETY: the call fills an array of two ints.
    _ = try systemCall(retryOnInterrupt: false) {
      unsafe withUnsafeMutablePointer(to: &ends) { pointer in
        unsafe pointer.withMemoryRebound(to: Int32.self, capacity: 2) {
          unsafe clinux_pipe2($0, flags)
        }
      }
    }
    reading = FileDescriptor(owning: ends[0])
    writing = FileDescriptor(owning: ends[1])
  }

  /// Closes this process's writing end, so that the other one ends with whoever else has it.
  public consuming func closeWriting() -> FileDescriptor { reading }
}
