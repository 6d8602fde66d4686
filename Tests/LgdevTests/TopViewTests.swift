// SPDX-License-Identifier: Apache-2.0
//
// What `lgdev top` and `lgdev stats` make of readings: numbers, tables, differences.

import Linux
import Testing
import VirtioRing

@testable import Backends
@testable import lgdev

struct TopViewTests {
  // MARK: Numbers

  @Test func `numbers have three digits and at most five characters`() {
    let counts: [(Double, String)] = [
      (0, "0"), (7, "7"), (0.5, "0.5"), (999, "999"), (999.4, "999"), (999.6, "1.00k"),
      (1000, "1.00k"), (12_345, "12.3k"), (99_960, "100k"), (123_456, "123k"), (1e6, "1.00M"),
      (9.995e5, "1.00M"), (1e18, "1.00E"), (-1, "0"), (.nan, "0"), (.infinity, "0"),
    ]
    for (value, text) in counts { #expect(ShortText.count(value) == text) }
    #expect(ShortText.count(Double(UInt64.max)) == "18.4E")
    let bytes: [(Double, String)] = [
      (1023, "1.00K"), (1024, "1.00K"), (1536, "1.50K"), (104_857_600, "100M"),
    ]
    for (value, text) in bytes { #expect(ShortText.bytes(value) == text) }
    let times: [(UInt64, String)] = [
      (0, "0ns"), (250, "250ns"), (1200, "1.20us"), (34_500_000, "34.5ms"),
      (5_000_000_000, "5.00s"), (99_000_000_000, "99.0s"), (100_000_000_000, "1m"),
      (7_200_000_000_000, "2h"), (200_000_000_000_000, "2d"),
    ]
    for (value, text) in times { #expect(ShortText.time(value) == text) }
    #expect(ShortText.time(.max) == "213503d")
  }

  // MARK: Tables

  @Test func `a table leaves out what matters least, then cuts its first column`() {
    var table = TextTable(columns: [
      .init(title: "NAME", isNumber: false), .init(title: "A"), .init(title: "B", rank: 1),
      .init(title: "C", rank: 2),
    ])
    table.rows = [["something", "1", "22", "333"], ["x", "4444", "5", "6"]]
    #expect(
      table.lines(width: 80) == [
        "NAME         A  B   C", "something    1 22 333", "x         4444  5   6",
      ])
    #expect(
      table.lines(width: 20) == ["NAME         A  B", "something    1 22", "x         4444  5"])
    #expect(table.lines(width: 14) == ["NAME         A", "something    1", "x         4444"])
    #expect(table.lines(width: 10) == ["NAME     A", "some~    1", "x     4444"])
  }

  // MARK: Differences

  private func queue(
    _ name: String = "block0", serial: UInt64 = 1, chains: UInt64 = 0, starts: UInt64 = 1,
    guest: String = "", state: QueueState = .running, times: [Int: UInt64] = [:]
  ) -> QueueReading {
    var queue = QueueReading(words: [], now: 0)
    queue.serial = serial
    queue.guest = guest
    queue.device = name
    queue.name = "requests"
    queue.transport = "vhost-user"
    queue.state = state
    queue.size = 128
    queue.chains = chains
    queue.bytesToGuest = chains * 4096
    queue.starts = starts
    queue.serviceTimes = ServiceTimes(
      (0..<ServiceTimes.bucketCount).map { times[$0] ?? 0 })
    return queue
  }

  private func daemons(
    _ queues: [QueueReading], process: Int32 = 7, time: UInt64 = 0
  ) throws -> Daemons {
    var reading = try StatisticsReading(StatisticsFile(program: "lgdev 1").duplicate())
    reading.queues = queues
    reading.time = time
    reading.age = 5_000_000_000
    return Daemons(readings: [DaemonReading(process: process, statistics: reading)])
  }

  @Test func `rates are differences for each second, and percentiles are those of the interval`() {
    let change = QueueChange(
      from: queue(chains: 100, times: [10: 100]),
      to: queue(chains: 400, times: [10: 100, 50: 300]),
      nanoseconds: 2_000_000_000)
    #expect(change.chains == 150)
    #expect(change.bytesToGuest == 614_400)
    #expect(change.bytesFromGuest == 0)
    #expect(change.serviceTimes.total == 300)
    #expect(change.serviceTimes.percentile(0) == change.serviceTimes.percentile(1))
    #expect(!change.isRestarted)
  }

  @Test func `a queue that was not there, is another now or counts less has no rate`() {
    let now = queue(chains: 50)
    for earlier in [nil, queue(serial: 2, chains: 10), queue(chains: 51)] {
      let change = QueueChange(from: earlier, to: now, nanoseconds: 1_000_000_000)
      #expect(change.chains == nil)
      #expect(change.calls == nil)
    }
    #expect(QueueChange(from: now, to: now, nanoseconds: 0).chains == nil)
    let restarted = QueueChange(from: queue(), to: queue(starts: 2), nanoseconds: 1)
    #expect(restarted.isRestarted)
  }

  // MARK: Views

  @Test func `eighty columns hold what matters, a wide line all`() throws {
    let before = try daemons([queue(chains: 0)])
    var after = queue(chains: 12_345)
    after.inFlight = 3
    after.oldestAge = 2_500_000
    let now = try daemons([after], time: 1_000_000_000)
    let narrow = TopView.lines(now, since: before, width: 80)
    #expect(narrow.allSatisfy { $0.count <= 80 })
    #expect(
      narrow == [
        "DEVICE     QUEUE    CHAIN/S BYTE/S KICK/S CALL/S DEPTH    P50    P99 OLDEST",
        "process 7: lgdev 1, vhost-user, up 5.00s",
        "block0     requests   12.3k  48.2M      0      0     3      -      - 2.50ms",
      ])
    let wide = TopView.lines(now, since: before, width: 200)
    for title in ["STATE", "IN/S", "OUT/S", "ERRORS", "DROPS", "FAULTS", "STARTS", "SIZE", "RING"] {
      #expect(wide[0].contains(title))
    }
    #expect(wide[2].contains("running"))
    #expect(wide[2].contains("split"))
  }

  @Test func `queues that do not run say so in place of a rate, a restart is shown`() throws {
    let now = try daemons(
      [
        queue("a", serial: 1, state: .stopped), queue("b", serial: 2, state: .failed),
        queue("c", serial: 3, starts: 2),
      ], time: 1)
    let narrow = TopView.lines(now, since: nil, width: 80)
    #expect(narrow[2].contains("stopped"))
    #expect(narrow[3].contains("failed"))
    #expect(narrow[4].contains("  - "))
    let before = try daemons([queue("c", serial: 3, starts: 1)])
    #expect(TopView.lines(now, since: before, width: 120)[4].contains("restarted"))
  }

  @Test func `queues that no driver has started are left out, but for the first of each name`()
    throws
  {
    let two = try daemons([
      queue("disk", serial: 1), queue("disk", serial: 2, starts: 2),
      queue("disk", serial: 3, starts: 0, state: .stopped), queue("new", serial: 4, starts: 0),
      queue("new", serial: 5, starts: 0), queue("disk", serial: 6, starts: 0, guest: "other"),
    ])
    func devices(_ lines: [String]) -> [String] {
      lines.compactMap { $0.split(separator: " ").first.map(String.init) }
        .filter { $0.contains("disk") || $0.contains("new") }
    }
    let expected = ["disk", "disk", "new", "other/disk"]
    #expect(devices(TopView.lines(two, since: nil, width: 1000)) == expected)
    #expect(devices(TopView.totals(two, width: 1000)) == expected)
  }

  @Test func `disks that sync each write, or never do, are named`() throws {
    var synced = queue("slow", serial: 1)
    synced.writes = .synced
    var never = queue("fast", serial: 2, guest: "web")
    never.writes = .never
    var usual = queue("usual", serial: 3)
    usual.writes = .flushed
    let three = try daemons([synced, never, usual, queue("card", serial: 4)])
    let expected = ["slow: each write is synced", "web/fast: nothing is synced (cache=unsafe)"]
    #expect(TopView.lines(three, since: nil, width: 1000).suffix(2) == expected[...])
    #expect(TopView.totals(three, width: 1000).suffix(2) == expected[...])
  }

  @Test func `the busiest queues come first where that is wanted`() throws {
    let names = ["a", "b", "c"]
    let before = try daemons(names.enumerated().map { queue($1, serial: UInt64($0 + 1)) })
    let loads: [UInt64] = [5, 500, 50]
    let now = try daemons(
      names.enumerated().map { queue($1, serial: UInt64($0 + 1), chains: loads[$0]) }, time: 10)
    func order(_ order: TopView.Order) -> [Character?] {
      TopView.lines(now, since: before, order: order, width: 80).dropFirst(2).map(\.first)
    }
    #expect(order(.name) == ["a", "b", "c"])
    #expect(order(.busy) == ["b", "c", "a"])
  }

  @Test func `guests stand before their devices, and what could not be read below`() throws {
    var now = try daemons([queue(guest: "web")])
    now.troubles = [.init(process: 9, reason: "its statistics are damaged")]
    now.forbiddenCount = 2
    let lines = TopView.totals(now, width: 80)
    #expect(lines[2].hasPrefix("web/block0"))
    #expect(lines[3] == "process 9: its statistics are damaged")
    #expect(lines[4] == "(2 more of other users; look at them as root)")
    #expect(lines.allSatisfy { $0.count <= 80 })
  }

  @Test func `a low window says how many lines it does not show`() throws {
    let now = try daemons((1...30).map { queue("d\($0)", serial: $0) })
    let page = TopScreen.page(
      now, since: nil, order: .name, interval: 1_000_000_000, width: 80, height: 10,
      hasKeys: true)
    #expect(page.count == 10)
    #expect(page.first == "lgdev top: 30 queues, every 1.00s; q quits, s: busiest first")
    #expect(page.last == "(24 more lines; a higher window shows them)")
  }

  // MARK: Nothing to show

  @Test func `where there is nothing to show one line says why`() {
    #expect(throws: HostError("no lgdev daemon runs; 'lgdev serve' starts one")) {
      _ = try Daemons().checked()
    }
    #expect(throws: HostError("all daemons that run are other users'; look at them as root")) {
      _ = try Daemons(forbiddenCount: 1).checked()
    }
    #expect(throws: HostError("process 3: damaged")) {
      _ = try Daemons(troubles: [.init(process: 3, reason: "damaged")]).checked()
    }
  }
}
