// SPDX-License-Identifier: Apache-2.0
//
// GuestDaemon: the life of `lgdev serve --transport lguest`.
//
//     look (Preflight) -> make devices -> start the guest -> wait -> undo
//
// The guest has a thread of its own; this one waits for its end, for signals and for the three Ctrl-C.

import Backends
import LguestTransport
import Linux
import Logging

enum GuestDaemon {
  /// What ends the program in good order, and what says that the terminal's size has changed.
  private static let signals: SignalSet = [.terminate, .interrupt, .hangup, .windowChange]

  /// Runs the guest of a plan to its end, or until a signal comes.
  ///
  /// - Throws: what the host refuses, or the guest's death.
  static func run(_ plan: GuestPlan) throws {
    try Preflight.check(plan)
    let logger = Logger(label: "lgdev") { _ in StandardErrorLog(level: plan.logLevel) }
    // Before any thread is started, so that no thread takes these signals.
    let signals = try SignalFD.taking(signals)
    Signal.pipe.ignore()
    let escape = try Bell()
    let devices = try MadeDevice.all(plan.devices, isLegacy: true, logger: logger) {
      escape.ring()
    }
    let consoles = devices.compactMap { $0.device as? ConsoleDevice }
    // The terminal is as it was before anything is said of the guest's end.
    let end = try {
      defer {
        for console in consoles { console.beginShutDown() }
        for console in consoles { console.shutDown() }
      }
      let pidFile: PidFile? = if let path = plan.pidfile { try PidFile(path) } else { nil }
      defer { _ = pidFile }
      return try live(plan, devices, consoles, logger, signals, escape)
    }()
    switch end {
    case .poweredOff, .stopped: break
    case .died(let reason): throw GuestDeath(reason: reason)
    case .notStarted, .failed: throw HostError(end.description)
    }
  }

  private static func live(
    _ plan: GuestPlan, _ devices: [MadeDevice], _ consoles: [ConsoleDevice], _ logger: Logger,
    _ signals: borrowing SignalFD, _ escape: Bell
  ) throws -> GuestEnd {
    for (entry, made) in zip(plan.devices, devices) {
      logger.info("\(entry.name): \(made.summary)")
    }
    var options = plan.guest
    options.earlyOutput = { bytes in
      if let console = consoles.first {
        console.print(bytes)
      } else {
        StandardOutput.write(bytes)
      }
    }
    let guest: RunningGuest
    do throws(LguestError) {
      guest = try RunningGuest.start(options, devices: devices.map(\.device), logger: logger)
    } catch {
      throw HostError(error.description)
    }
    logger.info("guest: \(options.kernel), \(byteCountText(options.memory)) of memory")
    let disks = try DiskWatch(devices, logger)
    while true {
      var entries: InlineArray<4, PollEntry> = [
        PollEntry(fd: guest.endDescriptor), PollEntry(fd: signals.descriptor.raw),
        PollEntry(fd: escape.descriptor), PollEntry(fd: disks?.descriptor ?? -1),
      ]
      guard (try? Poll.wait(&entries)) != nil else { return guest.stop() }
      if entries[0].isReady { return guest.join() }
      if entries[2].isReady { return guest.stop() }
      if entries[3].isReady { disks?.look() }
      while let signal = try? signals.next() {
        guard signal == .windowChange else { return guest.stop() }
        for console in consoles { console.hostResized() }
      }
    }
  }
}

/// What the three Ctrl-C ring, on the console's thread.
private final class Bell: Sendable {
  private let event: EventFD

  init() throws(HostError) {
    do throws(Errno) { event = try EventFD() } catch {
      throw HostError("the system gives no eventfd: \(error)")
    }
  }

  var descriptor: Int32 { event.descriptor.raw }
  func ring() { event.signal() }
}
