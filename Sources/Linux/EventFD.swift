// SPDX-License-Identifier: Apache-2.0
//
// An eventfd of our own: the bell between two threads.

import CLinux

/// A 64-bit counter behind a descriptor: adding to it wakes whoever polls (eventfd(2)).
public struct EventFD: ~Copyable, Sendable {
  /// The descriptor, for polling and for handing a duplicate to somebody else.
  public let descriptor: FileDescriptor

  /// Makes an eventfd.
  ///
  /// - Parameters:
  ///   - initial: the counter's first value; above 0 the descriptor is readable at once.
  ///   - nonBlocking: whether `drain()` returns 0, rather than waits, while the counter is 0.
  public init(initial: UInt32 = 0, nonBlocking: Bool = true) throws(Errno) {
    let flags = clinux_EFD_CLOEXEC | (nonBlocking ? clinux_EFD_NONBLOCK : 0)
    descriptor = FileDescriptor(
      owning: try systemCall(retryOnInterrupt: false) { clinux_eventfd(initial, flags) })
  }

  /// Takes over a descriptor that is known to be an eventfd.
  public init(adopting descriptor: consuming FileDescriptor) {
    self.descriptor = descriptor
  }

  /// Adds one to the counter. A counter that is full (2^64 - 2) is as readable as it can be, so that
  /// is no error; no other can happen to an open eventfd.
  public borrowing func signal() {
    do throws(Errno) {
      try descriptor.writeWord(1)
    } catch {
      assertionFailure("eventfd: \(error)")
    }
  }

  /// Takes the counter's value and sets it to 0; 0 when nobody signalled.
  @discardableResult
  public borrowing func drain() -> UInt64 {
    do throws(Errno) {
      return try descriptor.readWord() ?? 0
    } catch {
      assertionFailure("eventfd: \(error)")
      return 0
    }
  }
}
