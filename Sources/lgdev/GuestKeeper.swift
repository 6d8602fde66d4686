// SPDX-License-Identifier: Apache-2.0
//
// GuestKeeper: one guest with what it has on the host, from its start to its end. It waits on a thread of its own for
// the guest's end, for signals and for the three Ctrl-C; so a guest whose disk hangs while it is stopped keeps
// nobody but itself waiting. Its devices go with it: taps and locks are free while other guests run on.

import Backends
import LguestTransport
import Linux
import Logging

struct GuestKeeper: Sendable {
  let plan: GuestPlan
  /// Rung when the guest is to end.
  let bell: Bell
  private let isLabelled: Bool
  private let logger: Logger
  private let openPort: GuestDaemon.Opener
  private var devicesInMaking: DevicesInMaking
  private var devices: [MadeDevice] = []
  /// The disks as files, where that is wanted.
  private(set) var export: DiskExport?

  /// Makes what the guest has that is to be made first.
  init(
    _ plan: GuestPlan, in fleet: FleetPlan, _ openPort: @escaping GuestDaemon.Opener
  ) throws(HostError) {
    self.plan = plan
    self.openPort = openPort
    isLabelled = fleet.isLabelled
    let prefix = fleet.isLabelled ? "\(plan.name): " : ""
    logger = Logger(label: "lgdev") { _ in StandardErrorLog(level: fleet.logLevel, prefix: prefix) }
    let bell = try Bell()
    self.bell = bell
    devicesInMaking = try DevicesInMaking(plan.devices, isLegacy: true, logger: logger) {
      bell.ring()
    }
  }

  /// Makes the rest of the guest's devices, and looks whether it can have them.
  mutating func finish() throws(HostError) {
    devices = try devicesInMaking.finish()
    do throws(LguestError) {
      try RunningGuest.check(plan.guest, devices: devices.map(\.device))
    } catch {
      throw HostError(error.description)
    }
  }

  /// Shows the disks as files, where that is wanted.
  mutating func showDisks() throws(HostError) {
    export = try DiskExport(plan.export, devices, logger)
  }

  /// Shows other processes the counters of the guest's devices.
  func show(in statistics: StatisticsFile) {
    statistics.add(devices, transport: "lguest", guest: isLabelled ? plan.name : "")
  }

  var consoles: [ConsoleDevice] { devices.compactMap { $0.device as? ConsoleDevice } }

  /// Runs the guest until it has ended and what it had is given back.
  func run(_ crew: Crew) -> GuestEnd {
    let end = keep(crew)
    export?.stop()
    // The terminal is as it was before anything is said of the guest's end.
    for console in consoles { console.beginShutDown() }
    for console in consoles { console.shutDown() }
    if isLabelled { tell(end) }
    return end
  }

  private func keep(_ crew: Crew) -> GuestEnd {
    do throws(LguestError) {
      let output = EarlyOutput(console: consoles.first, label: isLabelled ? plan.name : nil)
      defer { output.finish() }
      let guest = try start(output)
      let disks = watchDisks()
      let isOver = awaitEnd(guest, disks)
      crew.leave()
      if usesTerminal { RawTerminal.restore() }
      return isOver ? guest.join() : guest.stop()
    } catch {
      crew.leave()
      return .notStarted(error)
    }
  }

  private func watchDisks() -> DiskWatch? {
    do throws(HostError) { return try DiskWatch(devices, logger) } catch {
      logger.warning("new sizes of disks are not noticed: \(error)")
      return nil
    }
  }

  private func start(_ output: EarlyOutput) throws(LguestError) -> RunningGuest {
    for (entry, made) in zip(plan.devices, devices) {
      logger.info("\(entry.name): \(made.summary)")
    }
    var options = plan.guest
    options.earlyOutput = { output.print($0) }
    let name = plan.name
    let openPort = openPort
    let guest = try RunningGuest.start(
      options, devices: devices.map(\.device), name: name, logger: logger
    ) { () throws(LguestError) in try openPort(name) }
    logger.info("guest: \(options.kernel), \(byteCountText(options.memory)) of memory")
    return guest
  }

  private var usesTerminal: Bool {
    plan.devices.contains {
      if case .console(let console) = $0.device { console.end == .stdio() } else { false }
    }
  }

  /// Waits until the guest ends by itself, or is to end. - Returns: whether it has ended.
  private func awaitEnd(_ guest: borrowing RunningGuest, _ disks: DiskWatch?) -> Bool {
    while true {
      var entries: InlineArray<3, PollEntry> = [
        PollEntry(fd: guest.endDescriptor), PollEntry(fd: bell.descriptor),
        PollEntry(fd: disks?.descriptor ?? -1),
      ]
      guard (try? Poll.wait(&entries)) != nil else { return false }
      if entries[0].isReady { return true }
      if entries[1].isReady { return false }
      if entries[2].isReady {
        disks?.look()
        export?.inspect()
      }
    }
  }

  /// Says how one guest of several has ended.
  private func tell(_ end: GuestEnd) {
    switch end {
    case .poweredOff, .stopped: logger.info("\(end)")
    case .died(let reason): StandardError.print("\(plan.name): lguest: \(reason)")
    case .notStarted, .failed: StandardError.print("\(plan.name): lgdev: \(end)")
    }
  }
}

/// What the three Ctrl-C ring, on the console's thread, and signals, on theirs.
final class Bell: Sendable {
  private let event: EventFD

  init() throws(HostError) {
    do throws(Errno) { event = try EventFD() } catch {
      throw HostError("the system gives no eventfd: \(error)")
    }
  }

  var descriptor: Int32 { event.descriptor.raw }
  func ring() { event.signal() }
}
