// SPDX-License-Identifier: Apache-2.0
//
// Daemon: the life of `lgdev serve`.
//
//     look (Preflight) -> make devices -> make sockets -> write the pid file -> serve -> undo
//
// Whatever fails on the way, what was made before is undone.

import Backends
import Linux
import Logging
import Synchronization
import VhostUserTransport

enum Daemon {
  /// Serves the devices of a plan until a signal comes or, with `--once`, the front-ends have gone.
  static func run(_ plan: ServePlan) throws(HostError) {
    let access = try Preflight.check(plan)
    let logger = Logger(label: "lgdev") { _ in StandardErrorLog(level: plan.logLevel) }
    // Before any thread is started, so that no thread takes these signals.
    let signals = try SignalFD.taking(SignalWatch.signals)
    let server = try makeServer(plan, logger)
    let stopper = server.stopper
    let named = plan.entries.map { NamedDevice(name: $0.name, device: $0.device) }
    let devices = try MadeDevice.all(named, logger: logger) { stopper.requestStop() }
    let export = try DiskExport(plan.export, devices, logger)
    StatisticsFile.ofThisProgram(logger)?.add(devices, transport: "vhost-user")
    let consoles = devices.compactMap { $0.device as? ConsoleDevice }
    let witness = server.witness
    let lastResort = LastResort(
      consoles: consoles, busyDevice: { witness.busyDevice },
      removeSockets: {
        witness.removeSockets()
        export?.detach()
      })
    let watch = try SignalWatch(
      signals,
      .init(
        resize: { for console in consoles { console.hostResized() } },
        end: { stopper.requestStop() }, giveUp: { lastResort.end() }))
    // Queues first, then what they write to. The terminal does not wait for queues.
    defer {
      watch.expectEnd()
      RawTerminal.restore()
      server.shutdown()
      export?.stop()
      for console in consoles { console.beginShutDown() }
      for console in consoles { console.shutDown() }
      lastResort.pidFile.withLock { $0 }?.remove()
      watch.finish()
    }
    let disks = try DiskWatch(devices, logger)
    if let disks {
      server.watch(disks.descriptor) {
        disks.look()
        export?.inspect()
      }
    }
    for (entry, made) in zip(plan.entries, devices) {
      do throws(DeviceError) {
        try server.add(made.device, at: entry.endpoint.location(access))
      } catch {
        throw HostError("\(entry.name): \(error)")
      }
    }
    // It names this process until this function returns.
    let pidFile: PidFile? =
      if let path = plan.pidfile { try PidFile(path) } else { nil }
    lastResort.pidFile.withLock { $0 = pidFile }
    for (entry, made) in zip(plan.entries, devices) {
      logger.info("\(entry.name): \(entry.endpoint) (\(made.summary))")
    }
    do throws(Errno) {
      try server.run()
    } catch {
      throw HostError("the control thread cannot wait: \(error)")
    }
  }

  private static func makeServer(
    _ plan: ServePlan, _ logger: Logger
  ) throws(HostError) -> VhostUserServer {
    do throws(Errno) { return try VhostUserServer(logger: logger, once: plan.isOnce) } catch {
      throw HostError("the system gives no eventfd: \(error)")
    }
  }
}

extension SignalFD {
  /// Takes signals in the calling thread, before any other is started.
  static func taking(_ signals: SignalSet) throws(HostError) -> SignalFD {
    do throws(Errno) { return try SignalFD(signals) } catch {
      throw HostError("the system gives no signalfd: \(error)")
    }
  }
}

extension ServePlan.Endpoint: CustomStringConvertible {
  /// The place in the transport's terms.
  func location(_ access: SocketAccess) -> FrontEndLocation {
    switch self {
    case .listen(let path): .listen(path, access)
    case .connect(let path): .connect(path)
    case .inherited(let descriptor): .descriptor(descriptor)
    }
  }

  /// What a device does there.
  var description: String {
    switch self {
    case .listen(let path): "listening on \(path)"
    case .connect(let path): "connecting to \(path)"
    case .inherited(let descriptor): "serving descriptor \(descriptor)"
    }
  }
}
