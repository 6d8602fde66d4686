// SPDX-License-Identifier: Apache-2.0
//
// Time as an event to poll for.

import CLinux
import Glibc

/// A timer behind a descriptor, which is readable once the time is over (timerfd_create(2)).
public struct TimerFD: ~Copyable, Sendable {
  /// The descriptor, for polling.
  public let descriptor: FileDescriptor

  /// Makes a timer that is not set, on the monotonic clock.
  public init() throws(Errno) {
    descriptor = FileDescriptor(
      owning: try systemCall(retryOnInterrupt: false) { clinux_timerfd_create() })
  }

  /// Sets the timer, replacing what was set, and forgets expirations that were not taken.
  ///
  /// - Parameters:
  ///   - delay: until it goes off first; at once when it is not positive.
  ///   - interval: how often it goes off after that; nil for once only.
  public borrowing func set(after delay: Duration, every interval: Duration? = nil) throws(Errno) {
    // A delay of 0 would switch the timer off.
    try set(max(1, delay.wholeNanoseconds), interval.map { max(1, $0.wholeNanoseconds) } ?? 0)
  }

  /// Switches the timer off, and forgets expirations that were not taken.
  public borrowing func cancel() throws(Errno) {
    try set(0, 0)
  }

  /// How often it went off since last asked or set. Never waits.
  @discardableResult
  public borrowing func expirations() throws(Errno) -> UInt64 {
    try descriptor.readWord() ?? 0
  }

  private borrowing func set(_ first: UInt64, _ interval: UInt64) throws(Errno) {
    var setting = itimerspec(
      it_interval: timespec(nanoseconds: interval), it_value: timespec(nanoseconds: first))
    _ = try systemCall(retryOnInterrupt: false) {
      // SAFETY: the call reads a local of the type that it wants.
      unsafe clinux_timerfd_settime(descriptor.raw, &setting)
    }
  }
}
