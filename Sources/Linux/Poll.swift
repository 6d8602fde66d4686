// SPDX-License-Identifier: Apache-2.0
//
// Waiting for a few descriptors without allocating: what a worker thread does between two batches, and
// the control thread with a list that it makes anew each time.

import CLinux
import Glibc

/// What can be waited for on a descriptor, and what was found (poll(2)).
public struct PollEvents: OptionSet, Sendable, Hashable {
  /// The bits, as in `struct pollfd`.
  public let rawValue: Int16

  /// Makes a set from its bits.
  public init(rawValue: Int16) {
    self.rawValue = rawValue
  }

  /// Reading does not wait, perhaps because it finds the end (POLLIN).
  public static let readable = PollEvents(rawValue: Int16(POLLIN))
  /// Writing does not wait (POLLOUT).
  public static let writable = PollEvents(rawValue: Int16(POLLOUT))
  /// An error is pending. Always found, whether asked for or not (POLLERR).
  public static let error = PollEvents(rawValue: Int16(POLLERR))
  /// The peer is gone. Always found, whether asked for or not (POLLHUP).
  public static let hangup = PollEvents(rawValue: Int16(POLLHUP))
  /// The descriptor is not open. Always found, whether asked for or not (POLLNVAL).
  public static let invalid = PollEvents(rawValue: Int16(POLLNVAL))
}

/// One descriptor to wait for.
public struct PollEntry: Sendable, BitwiseCopyable {
  /// One C structure and nothing else, so that an array of entries is an array of `struct pollfd`.
  var storage: pollfd

  /// An entry that waits for a descriptor; the caller keeps it open meanwhile.
  ///
  /// - Parameters:
  ///   - fd: the descriptor's number; -1 makes an entry that is never ready.
  ///   - events: what to wait for.
  public init(fd: Int32, events: PollEvents = .readable) {
    storage = pollfd(fd: fd, events: events.rawValue, revents: 0)
  }

  /// An entry that is never ready.
  public static var ignored: PollEntry { PollEntry(fd: -1, events: []) }

  /// The descriptor's number, negative for an entry that is ignored.
  public var fd: Int32 {
    get { storage.fd }
    set { storage.fd = newValue }
  }

  /// What to wait for.
  public var events: PollEvents {
    get { PollEvents(rawValue: storage.events) }
    set { storage.events = newValue.rawValue }
  }

  /// What the last wait found.
  public var returned: PollEvents { PollEvents(rawValue: storage.revents) }

  /// Whether the last wait found anything at all: reading or writing will now say what.
  public var isReady: Bool { storage.revents != 0 }
}

/// Waiting for a few descriptors.
public enum Poll {
  /// Waits until an entry is ready or the time is over (ppoll(2)).
  ///
  /// - Parameters:
  ///   - entries: what to wait for; each one's `returned` is set.
  ///   - timeout: how long to wait: nil for ever, zero to look only.
  /// - Returns: the number of entries that are ready, 0 when the time is over.
  public static func wait(
    _ entries: inout MutableSpan<PollEntry>, timeout: Duration? = nil
  ) throws(Errno) -> Int {
    // SAFETY: PollEntry is one struct pollfd, so the span's memory is an array of them; the kernel
    // reads and writes that many, during the call.
    try unsafe entries.withUnsafeMutableBytes { buffer throws(Errno) in
      try unsafe poll(buffer.baseAddress, buffer.count / MemoryLayout<pollfd>.stride, timeout)
    }
  }

  /// Waits until an entry is ready or the time is over, for entries in place.
  public static func wait<let count: Int>(
    _ entries: inout InlineArray<count, PollEntry>, timeout: Duration? = nil
  ) throws(Errno) -> Int {
    var span = entries.mutableSpan
    return try wait(&span, timeout: timeout)
  }

  /// Waits for one descriptor.
  ///
  /// - Returns: what was found, empty when the time is over.
  public static func wait(
    for events: PollEvents, on descriptor: borrowing FileDescriptor, timeout: Duration? = nil
  ) throws(Errno) -> PollEvents {
    var entries: InlineArray<1, PollEntry> = [PollEntry(fd: descriptor.raw, events: events)]
    _ = try wait(&entries, timeout: timeout)
    return entries[0].returned
  }

  /// Polls `count` structures at `base`. A signal does not lengthen the wait: the end is fixed first.
  private static func poll(
    _ base: UnsafeMutableRawPointer?, _ count: Int, _ timeout: Duration?
  ) throws(Errno) -> Int {
    guard let timeout else {
      return Int(
        // SAFETY: the caller's buffer holds `count` structures; a null time is "for ever".
        try systemCall(retryOnInterrupt: true) { unsafe clinux_ppoll(base, UInt(count), nil) })
    }
    let end = timeout > .zero ? Deadline(after: timeout) : Deadline.passed
    return Int(
      try systemCall(retryOnInterrupt: true) {
        var left = timespec(nanoseconds: end.nanosecondsLeft)
        // SAFETY: the caller's buffer holds `count` structures; the time is a local.
        return unsafe clinux_ppoll(base, UInt(count), &left)
      })
  }
}
