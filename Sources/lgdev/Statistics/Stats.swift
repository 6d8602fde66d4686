// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Linux

/// `lgdev stats`.
struct Stats: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats",
    abstract: "Show once what the queues of running daemons have done.",
    discussion: """
      The numbers count from the daemon's start. IN is what went into the guest's
      memory, OUT what came out of it; P50 and P99 are service times, DEPTH is how
      many requests are in flight and OLDEST how long the oldest of them has been.
      'lgdev top' shows how the numbers change.

      The exit code is 1 where there is nothing to show.
      """)

  @Argument(help: ArgumentHelp("Daemons, by process; all by default.", valueName: "pid"))
  var processes: [Int32] = []

  @Flag(help: "Print a JSON object; docs/statistics.md describes its keys.")
  var json = false

  func run() throws {
    let daemons = try Daemons.read(processes)
    let text =
      json
      ? JSONText.of(StatisticsReport(daemons))
      : TopView.totals(daemons, width: OutputWidth.columns).joined(separator: "\n")
    try StandardOutput.writeAll(Array((text + "\n").utf8))
  }
}

/// How wide a line may be.
enum OutputWidth {
  /// Where there is no terminal, no column is left out.
  static let unlimited = 1000

  static var columns: Int {
    guard let size = try? Terminal(1).size(), size.columns > 0 else { return unlimited }
    return max(20, Int(size.columns))
  }
}
