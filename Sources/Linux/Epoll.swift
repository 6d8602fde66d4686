// SPDX-License-Identifier: Apache-2.0
//
// Waiting for many descriptors that come and go: the control thread's loop.

import CLinux
import Glibc

/// One descriptor that is ready.
public struct EpollEvent: Sendable, Equatable {
  /// What the descriptor was added under.
  public let token: UInt64
  /// What was found: the wanted events, and `.error` and `.hangup` in any case.
  public let events: PollEvents
}

/// A set of descriptors to wait for (epoll(7)), level-triggered.
///
/// A descriptor belongs in the set only while its owner keeps it open. Remove it before closing it:
/// the kernel forgets it by itself only when the last duplicate, perhaps in another process, is closed.
public struct Epoll: ~Copyable, Sendable {
  /// The descriptor of the set itself, which is readable while any in it is ready.
  public let descriptor: FileDescriptor

  /// Makes an empty set.
  public init() throws(Errno) {
    descriptor = FileDescriptor(
      owning: try systemCall(retryOnInterrupt: false) { clinux_epoll_create1() })
  }

  /// Adds a descriptor.
  ///
  /// - Parameters:
  ///   - fd: its number.
  ///   - token: what its events are to say; the caller's choice.
  ///   - interest: `.readable`, `.writable`, both, or none for errors only.
  /// - Throws: `.exists` when it is in the set, `.permission` when such a file cannot be waited for.
  public borrowing func add(
    _ fd: Int32, token: UInt64, interest: PollEvents = .readable
  ) throws(Errno) {
    try control(clinux_EPOLL_CTL_ADD, fd, interest, token)
  }

  /// Changes what is waited for, or the token.
  ///
  /// - Throws: `.notFound` when it is not in the set.
  public borrowing func modify(
    _ fd: Int32, token: UInt64, interest: PollEvents
  ) throws(Errno) {
    try control(clinux_EPOLL_CTL_MOD, fd, interest, token)
  }

  /// Takes a descriptor out.
  ///
  /// - Throws: `.notFound` when it is not in the set.
  public borrowing func remove(_ fd: Int32) throws(Errno) {
    try control(clinux_EPOLL_CTL_DEL, fd, [], 0)
  }

  /// Waits until any descriptor is ready or the time is over.
  ///
  /// - Parameters:
  ///   - maxEvents: how many to report at most; the others are reported next time.
  ///   - timeout: how long to wait, rounded up to milliseconds: nil for ever, zero to look only.
  /// - Returns: who is ready, nobody when the time is over.
  public borrowing func wait(
    maxEvents: Int = 64, timeout: Duration? = nil
  ) throws(Errno) -> [EpollEvent] {
    precondition(maxEvents > 0, "at least one event must fit")
    let end = timeout.map { $0 > .zero ? Deadline(after: $0) : .passed }
    let size = clinux_epoll_event_size()
    var buffer = [UInt8](repeating: 0, count: maxEvents * size)
    let count = try systemCall(retryOnInterrupt: true) {
      // SAFETY: the buffer has room for `maxEvents` events.
      unsafe buffer.withUnsafeMutableBytes { buffer in
        unsafe clinux_epoll_wait(
          descriptor.raw, buffer.baseAddress, Int32(maxEvents), end?.millisecondsLeft ?? -1)
      }
    }
    // SAFETY: the kernel filled that many events.
    return unsafe buffer.withUnsafeBytes { buffer in
      (0..<count).map { index in
        unsafe EpollEvent(
          token: clinux_epoll_token(buffer.baseAddress, index),
          events: PollEvents(
            rawValue: Int16(truncatingIfNeeded: clinux_epoll_events(buffer.baseAddress, index))))
      }
    }
  }

  private borrowing func control(
    _ operation: Int32, _ fd: Int32, _ interest: PollEvents, _ token: UInt64
  ) throws(Errno) {
    // The bits of poll and epoll are the same for everything that PollEvents names.
    let events = UInt32(UInt16(bitPattern: interest.rawValue))
    _ = try systemCall(retryOnInterrupt: false) {
      clinux_epoll_ctl(descriptor.raw, operation, fd, events, token)
    }
  }
}

extension Deadline {
  /// The time left, rounded up so that no wait is too short, and at most some 24 days.
  fileprivate var millisecondsLeft: Int32 {
    let nanoseconds = nanosecondsLeft
    let milliseconds = nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 == 0 ? 0 : 1)
    return Int32(min(milliseconds, UInt64(Int32.max)))
  }
}
