// SPDX-License-Identifier: Apache-2.0
//
// TopView: what `lgdev top` and `lgdev stats` show of readings, as lines of a given width.

import Backends
import VirtioRing

enum TopView {
  /// In which order queues stand.
  enum Order: String {
    /// By guest, device and index.
    case name
    /// The busiest first.
    case busy
  }

  /// The queues of all daemons and what they did since the last reading; the busiest or the first ones first.
  static func lines(
    _ daemons: Daemons, since earlier: Daemons?, order: Order = .name, width: Int
  ) -> [String] {
    var table = TextTable(columns: columns)
    var counts: [Int] = []
    for daemon in daemons.readings {
      let before = earlier?.readings.first { $0.process == daemon.process }
      let passed = before.map { daemon.statistics.time &- $0.statistics.time } ?? 0
      var queues = shown(daemon.statistics.queues).map { queue in
        let old = before?.statistics.queues.first { $0.serial == queue.serial }
        return (queue, QueueChange(from: old, to: queue, nanoseconds: passed))
      }
      if order == .busy {
        // Equal ones stay as they are.
        queues = queues.enumerated().sorted {
          let (left, right) = ($0.element.1.chains ?? 0, $1.element.1.chains ?? 0)
          return left == right ? $0.offset < $1.offset : left > right
        }.map(\.element)
      }
      table.rows += queues.map { row($0.0, $0.1) }
      counts.append(queues.count)
    }
    return under(daemons, counts, table.lines(width: width), width)
  }

  /// Leaves out the queues that no driver has ever started, but for the first of each name: a disk offers more
  /// than its guest has processors.
  static func shown(_ queues: [QueueReading]) -> [QueueReading] {
    var names: Set<[String]> = []
    return queues.filter {
      names.insert([$0.guest, $0.device, $0.name]).inserted || $0.starts > 0
    }
  }

  /// Puts each daemon's line before its rows, and below all what could not be read.
  private static func under(
    _ daemons: Daemons, _ counts: [Int], _ table: [String], _ width: Int
  ) -> [String] {
    var lines = Array(table.prefix(1))
    var rows = table.dropFirst()
    for (daemon, count) in zip(daemons.readings, counts) {
      lines.append(title(of: daemon))
      lines += rows.prefix(count)
      rows = rows.dropFirst(count)
      lines += notes(of: daemon)
    }
    lines += daemons.troubles.map(\.line)
    if daemons.forbiddenCount > 0 {
      lines.append("(\(daemons.forbiddenCount) more of other users; look at them as root)")
    }
    return lines.map { $0.count > width ? String($0.prefix(max(0, width - 1))) + "~" : $0 }
  }

  private static func title(of daemon: DaemonReading) -> String {
    let statistics = daemon.statistics
    let transports = Set(statistics.queues.map(\.transport)).sorted().joined(separator: ", ")
    let omitted = statistics.omitted > 0 ? ", \(statistics.omitted) more queues" : ""
    return "process \(daemon.process): \(statistics.program), \(transports), up "
      + ShortText.time(statistics.age) + omitted
  }

  /// What is unusual about when the writes of its disks are durable: their guests are slow by it, or not safe.
  private static func notes(of daemon: DaemonReading) -> [String] {
    daemon.statistics.queues.filter { $0.index == 0 && $0.state == .running }.compactMap { queue in
      switch queue.writes {
      case .flushed, nil: nil
      case .synced: "\(queue.deviceText): each write is synced"
      case .never: "\(queue.deviceText): nothing is synced (cache=unsafe)"
      }
    }
  }

  private static let columns: [TextTable.Column] = [
    .init(title: "DEVICE", isNumber: false, width: 10),
    .init(title: "QUEUE", isNumber: false, width: 8),
    .init(title: "STATE", isNumber: false, width: 9, rank: 1),
    .init(title: "CHAIN/S", width: 7),
    .init(title: "BYTE/S", width: 6),
    .init(title: "IN/S", width: 6, rank: 3),
    .init(title: "OUT/S", width: 6, rank: 3),
    .init(title: "KICK/S", width: 6),
    .init(title: "CALL/S", width: 6),
    .init(title: "DEPTH", width: 5),
    .init(title: "P50", width: 6),
    .init(title: "P99", width: 6),
    .init(title: "OLDEST", width: 6),
    .init(title: "ERRORS", width: 6, rank: 2),
    .init(title: "DROPS", width: 5, rank: 4),
    .init(title: "FAULTS", width: 6, rank: 5),
    .init(title: "STARTS", width: 6, rank: 6),
    .init(title: "SIZE", width: 5, rank: 7),
    .init(title: "RING", isNumber: false, width: 6, rank: 7),
  ]

  private static func row(_ queue: QueueReading, _ change: QueueChange) -> [String] {
    func rate(_ value: Double?) -> String { value.map(ShortText.count) ?? "-" }
    func bytes(_ value: Double?) -> String { value.map(ShortText.bytes) ?? "-" }
    func time(_ value: UInt64?) -> String { value.map(ShortText.time) ?? "-" }
    let state = change.isRestarted ? "restarted" : queue.state.word
    let all = change.bytesFromGuest.map { $0 + (change.bytesToGuest ?? 0) }
    return [
      queue.deviceText, queue.name, state,
      // Where the state has no column it stands for the rate.
      queue.state == .running ? rate(change.chains) : queue.state.word,
      bytes(all), bytes(change.bytesToGuest), bytes(change.bytesFromGuest),
      rate(change.kicks), rate(change.calls), "\(queue.inFlight)",
      time(change.serviceTimes.percentile(0.5)), time(change.serviceTimes.percentile(0.99)),
      time(queue.oldestAge), ShortText.count(Double(queue.errors)),
      ShortText.count(Double(queue.dropped)), ShortText.count(Double(queue.faults)),
      ShortText.count(Double(queue.starts)), "\(queue.size)",
      queue.features.contains(.packedRing) ? "packed" : "split",
    ]
  }
}

// MARK: One reading

extension TopView {
  /// All that was counted so far.
  static func totals(_ daemons: Daemons, width: Int) -> [String] {
    var table = TextTable(columns: [
      .init(title: "DEVICE", isNumber: false, width: 10),
      .init(title: "QUEUE", isNumber: false, width: 8),
      .init(title: "STATE", isNumber: false, width: 7),
      .init(title: "CHAINS", width: 6),
      .init(title: "IN", width: 6),
      .init(title: "OUT", width: 6),
      .init(title: "KICKS", width: 5, rank: 4),
      .init(title: "CALLS", width: 5, rank: 4),
      .init(title: "DEPTH", width: 5),
      .init(title: "P50", width: 6),
      .init(title: "P99", width: 6),
      .init(title: "OLDEST", width: 6),
      .init(title: "ERRORS", width: 6, rank: 2),
      .init(title: "DROPS", width: 5, rank: 3),
      .init(title: "FAULTS", width: 6, rank: 5),
      .init(title: "STARTS", width: 6, rank: 6),
      .init(title: "SIZE", width: 5, rank: 7),
      .init(title: "RING", isNumber: false, width: 6, rank: 7),
    ])
    for queue in daemons.readings.flatMap({ shown($0.statistics.queues) }) {
      func time(_ value: UInt64?) -> String { value.map(ShortText.time) ?? "-" }
      table.rows.append([
        queue.deviceText, queue.name, queue.state.word, ShortText.count(Double(queue.chains)),
        ShortText.bytes(Double(queue.bytesToGuest)), ShortText.bytes(Double(queue.bytesFromGuest)),
        ShortText.count(Double(queue.kicks)), ShortText.count(Double(queue.calls)),
        "\(queue.inFlight)", time(queue.serviceTimes.percentile(0.5)),
        time(queue.serviceTimes.percentile(0.99)), time(queue.oldestAge),
        ShortText.count(Double(queue.errors)), ShortText.count(Double(queue.dropped)),
        ShortText.count(Double(queue.faults)), ShortText.count(Double(queue.starts)),
        "\(queue.size)", queue.features.contains(.packedRing) ? "packed" : "split",
      ])
    }
    return under(
      daemons, daemons.readings.map { shown($0.statistics.queues).count },
      table.lines(width: width), width)
  }
}

extension QueueReading {
  /// The device, and its guest before it where there is one of that name.
  var deviceText: String { guest.isEmpty ? device : "\(guest)/\(device)" }
}
