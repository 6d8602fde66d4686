// SPDX-License-Identifier: Apache-2.0
//
// Time that only goes forward, and the conversions between Duration and the kernel's timespec.

import Glibc

/// The clock that counts time since boot and is never set (CLOCK_MONOTONIC).
public enum MonotonicClock {
  /// Nanoseconds since some fixed point before this process started.
  public static var nanoseconds: UInt64 {
    var time = timespec()
    // SAFETY: the call fills a local. It cannot fail: the clock exists and the pointer is valid.
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}

/// The clock that tells the date, and that may be set (CLOCK_REALTIME).
public enum SystemClock {
  /// Nanoseconds since 1970.
  public static var nanoseconds: UInt64 {
    var time = timespec()
    // SAFETY: the call fills a local. It cannot fail: the clock exists and the pointer is valid.
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(max(0, time.tv_sec)) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}

/// The moment at which a wait ends.
struct Deadline {
  /// On `MonotonicClock`; 0 is long ago.
  private let end: UInt64

  /// A moment that is over.
  static let passed = Deadline(end: 0)

  private init(end: UInt64) {
    self.end = end
  }

  /// The moment `duration` from now.
  init(after duration: Duration) {
    let now = MonotonicClock.nanoseconds
    let (end, overflow) = now.addingReportingOverflow(duration.wholeNanoseconds)
    self.end = overflow ? .max : end
  }

  /// The time left, 0 when it is over.
  var nanosecondsLeft: UInt64 {
    guard end > 0 else { return 0 }
    let now = MonotonicClock.nanoseconds
    return end > now ? end - now : 0
  }
}

extension Duration {
  /// Nanoseconds, rounded up so that no wait is too short; 0 when negative, and at most 292 years.
  var wholeNanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    guard seconds < Int64.max / 1_000_000_000 else { return UInt64(Int64.max) }
    return UInt64(seconds) * 1_000_000_000 + UInt64((attoseconds + 999_999_999) / 1_000_000_000)
  }
}

extension timespec {
  /// A span of time as the kernel wants it.
  init(nanoseconds: UInt64) {
    self.init(
      tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
  }
}
