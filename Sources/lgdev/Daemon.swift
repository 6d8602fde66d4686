// SPDX-License-Identifier: Apache-2.0
//
// Daemon: the life of `lgdev serve`.
//
//     look (Preflight) -> open disks -> take signals -> make devices -> make sockets -> write the pid file -> serve -> undo
//
// Whatever fails on the way, what was made before is undone. Until the disks are open signals end the program as they
// do by themselves, as storage may hang.

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
    let server = try makeServer(plan, logger)
    let stopper = server.stopper
    let named = plan.entries.map { NamedDevice(name: $0.name, device: $0.device) }
    var devicesInMaking = try DevicesInMaking(named, logger: logger) { stopper.requestStop() }
    // Before any thread is started, so that no thread takes these signals.
    let signals = try SignalFD.taking(SignalWatch.signals)
    let witness = server.witness
    let lastResort = LastResort(
      busyDevice: { witness.busyDevice }, removeSockets: { witness.removeSockets() })
    let watch = try SignalWatch(
      signals,
      .init(
        resize: { lastResort.resize() }, end: { stopper.requestStop() },
        giveUp: { lastResort.end() }))
    // Queues first, then what they write to. The terminal does not wait for queues.
    defer {
      watch.expectEnd()
      RawTerminal.restore()
      server.shutdown()
      lastResort.stopExports()
      lastResort.shutDownConsoles()
      lastResort.pidFile.withLock { $0 }?.remove()
      watch.finish()
    }
    let devices = try devicesInMaking.finish()
    lastResort.consoles.withLock { $0 = devices.compactMap { $0.device as? ConsoleDevice } }
    let export = try DiskExport(plan.export, devices, logger)
    if let export { lastResort.exports.withLock { $0 = [export] } }
    StatisticsFile.ofThisProgram(logger)?.add(devices, transport: "vhost-user")
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
    do throws(Errno) {
      return try VhostUserServer(
        logger: logger, once: plan.isOnce, inBandNotifications: plan.offersInBandNotifications)
    } catch {
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
