// SPDX-License-Identifier: Apache-2.0
//
// Top: `lgdev top`, on a terminal a view that is drawn again and again, else tables one after the other.
//
// On a terminal keys arrive one by one, and signals as events, so there is one way out. The settings of the terminal
// are RawTerminal's to give back, however the program ends; nothing else about the terminal is changed, neither
// its screen nor its cursor, so there is nothing else to be left behind.

import ArgumentParser
import FoundationEssentials
import Linux

/// `lgdev top`.
struct Top: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top",
    abstract: "Watch the queues of running daemons.",
    discussion: """
      For each queue: chains, bytes, kicks and calls a second, requests in flight
      (DEPTH), the service time that half of the requests (P50) and all but one in a
      hundred (P99) did not exceed since the last look, and how long the oldest
      request in flight has been. A wide terminal shows more. 'lgdev stats' shows
      totals, and prints JSON.

      On a terminal q quits and s puts the busiest queues first. Elsewhere a table
      is printed after each interval.

      EXAMPLES
        All daemons that you may look at:
          lgdev top

        One daemon, three tables, ten seconds each, for a file:
          lgdev top --interval 10 --count 3 4711 >load.txt
      """)

  @Argument(help: ArgumentHelp("Daemons, by process; all by default.", valueName: "pid"))
  var processes: [Int32] = []

  @Option(help: ArgumentHelp("Seconds between two looks, from 0.1.", valueName: "seconds"))
  var interval = 1.0

  @Option(help: ArgumentHelp("End after so many looks.", valueName: "n"))
  var count: Int?

  func run() throws {
    guard interval >= 0.1, interval <= 86400 else {
      throw UsageError("--interval \(interval) is not between 0.1 and 86400 seconds")
    }
    if let count, count < 1 { throw UsageError("--count \(count) is not 1 or more") }
    let span = UInt64(interval * 1e9)
    if Terminal(1).isTerminal, Environment.hasCapableTerminal {
      try TopScreen.run(processes, every: span, count: count)
    } else {
      try printTables(span)
    }
  }

  private func printTables(_ span: UInt64) throws(HostError) {
    var earlier = try Daemons.read(processes)
    var left = count ?? .max
    while left > 0 {
      var nobody: InlineArray<1, PollEntry> = [.ignored]
      _ = try? Poll.wait(&nobody, timeout: .nanoseconds(Int64(span)))
      let now = try Daemons.read(processes)
      let lines = TopView.lines(now, since: earlier, width: OutputWidth.columns)
      left -= 1
      try StandardOutput.writeAll(
        Array((lines.joined(separator: "\n") + (left > 0 ? "\n\n" : "\n")).utf8))
      earlier = now
    }
  }
}

/// What the environment says about output.
enum Environment {
  /// Whether escape sequences mean something to the terminal.
  static var hasCapableTerminal: Bool {
    guard let kind = value("TERM") else { return false }
    return kind != "" && kind != "dumb"
  }

  /// Whether there may be more than one colour (no-color.org).
  static var hasColour: Bool { (value("NO_COLOR") ?? "").isEmpty }

  private static func value(_ name: String) -> String? {
    ProcessInfo.processInfo.environment[name]
  }
}
