// SPDX-License-Identifier: Apache-2.0
//
// GuestDaemon: the life of `lgdev serve --transport lguest`, and of `lgdev serve --config`.
//
//     look (Preflight) -> open all disks -> look at the module -> take signals -> make all devices -> start the guests
//     -> wait -> undo
//
// Until the disks are open signals end the program as they do by themselves, as storage may hang.
//
// Each guest has a keeper (GuestKeeper) with a thread of its own; this one waits for all of them. Signals reach
// all guests, the three Ctrl-C the one at the terminal. What can be found wrong with any guest is found before the
// first one starts.

import ArgumentParser
import Backends
import LguestTransport
import Linux
import Logging
import Synchronization

enum GuestDaemon {
  /// Opens what a guest of this name runs on.
  typealias Opener = @Sendable (_ guest: String) throws(LguestError) -> any GuestPort

  /// Runs the guests of a plan until each has ended, or until a signal comes.
  ///
  /// - Throws: what the host refuses. A guest's death, where it is the only one; else a code, when all have ended and
  ///   everything was said.
  static func run(
    _ plan: FleetPlan,
    openPort: @escaping Opener = { (_) throws(LguestError) in try DevicePort() }
  ) throws {
    try Preflight.check(plan)
    Signal.pipe.ignore()
    var keepers: [GuestKeeper] = []
    for guest in plan.guests {
      keepers.append(
        try plan.naming(guest) { () throws(HostError) in
          try GuestKeeper(guest, in: plan, openPort)
        })
    }
    try Preflight.checkHost(plan, openPort)
    // Before any thread is started, so that no thread takes these signals.
    let signals = try SignalFD.taking(SignalWatch.signals)
    let bells = keepers.map(\.bell)
    let lastResort = LastResort()
    let watch = try SignalWatch(
      signals,
      .init(
        resize: { lastResort.resize() }, end: { for bell in bells { bell.ring() } },
        giveUp: { lastResort.end() }))
    let ends = try {
      defer {
        // A guest that has run has done so already.
        watch.expectEnd()
        lastResort.stopExports()
        lastResort.shutDownConsoles()
        lastResort.pidFile.withLock { $0 }?.remove()
        watch.finish()
      }
      for (index, guest) in plan.guests.enumerated() {
        try plan.naming(guest) { () throws(HostError) in
          try keepers[index].finish()
          lastResort.consoles.withLock { $0 += keepers[index].consoles }
        }
      }
      for (index, guest) in plan.guests.enumerated() {
        try plan.naming(guest) { () throws(HostError) in
          try keepers[index].showDisks()
          if let export = keepers[index].export {
            lastResort.exports.withLock { $0.append(export) }
          }
        }
      }
      let logger = Logger(label: "lgdev") { _ in StandardErrorLog(level: plan.logLevel) }
      if let statistics = StatisticsFile.ofThisProgram(logger) {
        for keeper in keepers { keeper.show(in: statistics) }
      }
      let pidFile: PidFile? = if let path = plan.pidfile { try PidFile(path) } else { nil }
      lastResort.pidFile.withLock { $0 = pidFile }
      let crew = Crew(keepers.count) { watch.expectEnd() }
      // What a guest has goes with its keeper, while others still run.
      let threads = try start(keepers: &keepers, crew)
      return threads.map { $0.join() }
    }()
    try judge(ends, plan)
  }

  /// Starts each keeper on a thread of its own.
  private static func start(
    keepers: inout [GuestKeeper], _ crew: Crew
  ) throws(HostError) -> [KeeperThread] {
    let bells = keepers.map(\.bell)
    var threads: [KeeperThread] = []
    do throws(Errno) {
      for keeper in keepers { threads.append(try KeeperThread(keeper, crew)) }
      keepers = []
      return threads
    } catch {
      for bell in bells { bell.ring() }
      for thread in threads { _ = thread.join() }
      throw HostError("the system gives no thread for a guest: \(error)")
    }
  }

  private static func judge(_ ends: [GuestEnd], _ plan: FleetPlan) throws {
    guard plan.isLabelled else {
      for end in ends {
        switch end {
        case .poweredOff, .stopped: break
        case .died(let reason): throw GuestDeath(reason: reason)
        case .notStarted, .failed: throw HostError(end.description)
        }
      }
      return
    }
    // Each was told when it happened.
    if ends.contains(where: { $0 != .poweredOff && $0 != .stopped }) { throw ExitCode(1) }
  }
}

/// A keeper's thread, to be joined once.
private final class KeeperThread {
  private var thread: WorkerThread<GuestEnd>?

  init(_ keeper: GuestKeeper, _ crew: Crew) throws(Errno) {
    thread = try WorkerThread.start(name: "\(keeper.plan.name)-keeper", state: (keeper, crew)) {
      $0.0.run($0.1)
    }
  }

  func join() -> GuestEnd { thread.take()?.join() ?? .stopped }
}

/// Those that have not begun to end.
final class Crew: Sendable {
  private let count: Atomic<Int>
  private let lastLeaves: @Sendable () -> Void

  /// - Parameter lastLeaves: told when the last one begins to end.
  init(_ count: Int, lastLeaves: @escaping @Sendable () -> Void) {
    self.count = Atomic(count)
    self.lastLeaves = lastLeaves
  }

  func leave() {
    if count.wrappingSubtract(1, ordering: .relaxed).newValue == 0 { lastLeaves() }
  }
}

extension FleetPlan {
  /// Lets an error say which guest it is about, where there can be several.
  func naming<Result>(
    _ guest: GuestPlan, _ body: () throws(HostError) -> Result
  ) throws(HostError) -> Result {
    do throws(HostError) { return try body() } catch {
      throw isLabelled ? HostError("\(guest.name): \(error)") : error
    }
  }
}
