// SPDX-License-Identifier: Apache-2.0

import Linux
import Synchronization

/// Passes on lines about what went wrong on the host's side of a device, at most one a second.
///
/// A driver can make some of these errors happen as often as it likes, so the lines in between are counted
/// and the next one says how many there were.
package final class TroubleReport: Sendable {
  private static let interval: UInt64 = 1_000_000_000  // ns

  private struct State {
    var next: UInt64 = 0
    var suppressed = 0
  }

  private let state = Mutex(State())
  private let write: @Sendable (String) -> Void

  /// - Parameter write: takes a line, on the thread that met the trouble; nil drops all of them.
  package init(_ write: (@Sendable (String) -> Void)?) {
    self.write = write ?? { _ in }
  }

  /// Another one to the same place, with a limit of its own: for lines that others must not crowd out.
  package func separate() -> TroubleReport { TroubleReport(write) }

  /// Passes a line on, unless it is too soon for that.
  package func report(_ line: @autoclosure () -> String) {
    let now = MonotonicClock.nanoseconds
    let before: Int? = state.withLock { state in
      guard now >= state.next else {
        state.suppressed += 1
        return nil
      }
      defer { state = State(next: now + Self.interval) }
      return state.suppressed
    }
    guard let before else { return }
    write(before == 0 ? line() : "\(line()) (and \(before) more such lines)")
  }
}
