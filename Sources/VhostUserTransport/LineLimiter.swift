// SPDX-License-Identifier: Apache-2.0

import Linux
import Logging

/// Writes a line a second on average, and says how many it left out: what a front-end or a guest can
/// cause as often as it likes must not fill the log.
struct LineLimiter {
  private static let interval: UInt64 = 1_000_000_000

  /// How many lines may come at once after a quiet time.
  private let burst: UInt64
  /// When the log would be quiet if every line took a second.
  private var busyUntil: UInt64 = 0
  private var suppressed = 0

  init(burst: Int = 1) { self.burst = UInt64(burst) }

  /// Writes a line, or counts it.
  mutating func log(_ level: Logger.Level, _ line: @autoclosure () -> String, to logger: Logger) {
    let now = MonotonicClock.nanoseconds
    guard busyUntil <= now + (burst - 1) * Self.interval else {
      suppressed += 1
      return
    }
    busyUntil = max(now, busyUntil) + Self.interval
    let count = suppressed
    suppressed = 0
    let left = count == 0 ? "" : " (\(count) more lines suppressed before)"
    logger.log(level: level, "\(line())\(left)")
  }
}
