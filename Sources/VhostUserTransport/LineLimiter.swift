// SPDX-License-Identifier: Apache-2.0

import Linux
import Logging

/// Writes at most one line a second, and says how many it left out: what a front-end or a guest can
/// cause as often as it likes must not fill the log.
struct LineLimiter {
  private static let interval: UInt64 = 1_000_000_000

  private var lastLine: UInt64?
  private var suppressed = 0

  /// Writes a line, or counts it.
  mutating func log(_ level: Logger.Level, _ line: @autoclosure () -> String, to logger: Logger) {
    let now = MonotonicClock.nanoseconds
    if let lastLine, now - lastLine < Self.interval {
      suppressed += 1
      return
    }
    lastLine = now
    let count = suppressed
    suppressed = 0
    let left = count == 0 ? "" : " (\(count) more lines suppressed before)"
    logger.log(level: level, "\(line())\(left)")
  }
}
