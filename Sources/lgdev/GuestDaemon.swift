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
import Synchronization

enum GuestDaemon {
  /// Runs the guest of a plan to its end, or until a signal comes.
  ///
  /// - Throws: what the host refuses, or the guest's death.
  static func run(_ plan: GuestPlan) throws {
    try Preflight.check(plan)
    let logger = Logger(label: "lgdev") { _ in StandardErrorLog(level: plan.logLevel) }
    // Before any thread is started, so that no thread takes these signals.
    let signals = try SignalFD.taking(SignalWatch.signals)
    Signal.pipe.ignore()
    let escape = try Bell()
    let devices = try MadeDevice.all(plan.devices, isLegacy: true, logger: logger) {
      escape.ring()
    }
    let consoles = devices.compactMap { $0.device as? ConsoleDevice }
    let lastResort = LastResort(consoles: consoles)
    let watch = try SignalWatch(
      signals,
      .init(
        resize: { for console in consoles { console.hostResized() } },
        end: { escape.ring() }, giveUp: { lastResort.end() }))
    // The terminal is as it was before anything is said of the guest's end.
    let end = try {
      defer {
        for console in consoles { console.beginShutDown() }
        for console in consoles { console.shutDown() }
        lastResort.pidFile.withLock { $0 }?.remove()
        watch.finish()
      }
      let pidFile: PidFile? = if let path = plan.pidfile { try PidFile(path) } else { nil }
      lastResort.pidFile.withLock { $0 = pidFile }
      let guest = try start(plan, devices, consoles, logger)
      let disks = try DiskWatch(devices, logger)
      let isOver = awaitEnd(guest, escape, disks)
      watch.expectEnd()
      RawTerminal.restore()
      return isOver ? guest.join() : guest.stop()
    }()
    switch end {
    case .poweredOff, .stopped: break
    case .died(let reason): throw GuestDeath(reason: reason)
    case .notStarted, .failed: throw HostError(end.description)
    }
  }

  private static func start(
    _ plan: GuestPlan, _ devices: [MadeDevice], _ consoles: [ConsoleDevice], _ logger: Logger
  ) throws(HostError) -> RunningGuest {
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
    do throws(LguestError) {
      let guest = try RunningGuest.start(options, devices: devices.map(\.device), logger: logger)
      logger.info("guest: \(options.kernel), \(byteCountText(options.memory)) of memory")
      return guest
    } catch {
      throw HostError(error.description)
    }
  }

  /// Waits until the guest ends by itself, or is to end. - Returns: whether it has ended.
  private static func awaitEnd(
    _ guest: borrowing RunningGuest, _ escape: Bell, _ disks: DiskWatch?
  ) -> Bool {
    while true {
      var entries: InlineArray<3, PollEntry> = [
        PollEntry(fd: guest.endDescriptor), PollEntry(fd: escape.descriptor),
        PollEntry(fd: disks?.descriptor ?? -1),
      ]
      guard (try? Poll.wait(&entries)) != nil else { return false }
      if entries[0].isReady { return true }
      if entries[1].isReady { return false }
      if entries[2].isReady { disks?.look() }
    }
  }
}

/// What the three Ctrl-C ring, on the console's thread, and signals, on theirs.
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
