// SPDX-License-Identifier: Apache-2.0
//
// MadeDevice: a device of the command line turned into one that can be served.

import Backends
import Linux
import Logging

/// A device, and what is said of it when it is served.
struct MadeDevice {
  let device: any Device
  /// What it stands on, in a few words: `disk.img, 64 MiB, io_uring, writeback`.
  let summary: String

  /// Makes a device and everything on the host that belongs to it.
  ///
  /// - Parameters:
  ///   - isLegacy: whether the guest is one of lguest.
  ///   - end: ends the program, from any thread.
  init(
    _ entry: NamedDevice, isLegacy: Bool = false, logger: Logger,
    end: @escaping @Sendable () -> Void
  ) throws(HostError) {
    let report: @Sendable (String) -> Void = { line in logger.warning("\(line)") }
    do throws(DeviceError) {
      switch entry.device {
      case .block(let argument):
        self = try .init(
          block: argument, name: entry.name, isLegacy: isLegacy, logger: logger, report: report)
      case .rng(let argument):
        self = try .init(rng: argument, name: entry.name, report: report)
      case .net(let argument):
        self = try .init(net: argument, name: entry.name, report: report)
      case .console(let argument):
        self = try .init(console: argument, name: entry.name, report: report, end: end)
      }
    } catch {
      throw HostError("\(entry.name): \(error)")
    }
  }

  private init(device: any Device, summary: [String?]) {
    self.device = device
    self.summary = summary.compactMap { $0 }.joined(separator: ", ")
  }

  private init(
    block argument: BlockArgument, name: String, isLegacy: Bool, logger: Logger,
    report: @escaping @Sendable (String) -> Void
  ) throws(DeviceError) {
    var options = argument.options(isLegacy: isLegacy)
    options.onTrouble = report
    let disk = try BlockDevice(name: name, options: options)
    if let note = disk.engineNote { logger.notice("\(name): \(note)") }
    if !argument.isReadOnly,
      let note = FileSizeLimit.note(argument.path, byteCount: disk.byteCount)
    {
      logger.warning("\(name): \(note)")
    }
    if let note = disk.sizeNote { logger.warning("\(name): \(note)") }
    self.init(
      device: disk,
      summary: [
        argument.path, byteCountText(disk.byteCount), disk.engineName,
        "cache=\(argument.cache.rawValue)",
        argument.isReadOnly ? "read-only" : nil,
      ])
  }

  private init(
    net argument: NetArgument, name: String, report: @escaping @Sendable (String) -> Void
  ) throws(DeviceError) {
    var options = NetOptions(tap: argument.tap)
    options.mac = argument.mac
    options.mtu = argument.mtu
    options.bridge = argument.bridge
    options.address = argument.address
    options.onTrouble = report
    let card = try NetDevice(name: name, options: options)
    self.init(
      device: card,
      summary: [
        card.interfaceName ?? argument.tap.text, argument.address?.description,
        argument.bridge.map { "port of \($0)" }, argument.mac.map { "mac \($0)" },
        argument.mtu.map { "mtu \($0)" },
      ])
  }

  private init(
    console argument: ConsoleArgument, name: String,
    report: @escaping @Sendable (String) -> Void, end: @escaping @Sendable () -> Void
  ) throws(DeviceError) {
    var options = ConsoleOptions(argument.end)
    options.overflow = argument.overflow
    options.size = argument.size
    options.onEscape = end
    options.onTrouble = report
    let console = try ConsoleDevice(name: name, options: options)
    let place =
      switch argument.end {
      case .stdio: "stdio; Ctrl-C three times ends"
      case .pty(nil): "pty \(console.hostPath ?? "")"
      case .pty(let link?): "pty \(link)"
      case .socket(let path): "socket \(path)"
      case .file(let path): "file \(path)"
      }
    self.init(
      device: console,
      summary: [place, argument.size.map { "\($0.columns)x\($0.rows)" }])
  }

  private init(
    rng argument: RngArgument, name: String, report: @escaping @Sendable (String) -> Void
  ) throws(DeviceError) {
    var options = RngOptions()
    if let source = argument.source { options.source = .file(source) }
    options.onTrouble = report
    self.init(
      device: try RngDevice(name: name, options: options),
      summary: [argument.source ?? "getrandom"])
  }
}

extension BlockArgument {
  private static let usualQueueCount = 16

  fileprivate func options(isLegacy: Bool) -> BlockOptions {
    var options = BlockOptions(path: path)
    options.serial = serial ?? ""
    options.isReadOnly = isReadOnly
    // An lguest guest has one processor and few requests in flight: a call that is made at once costs it
    // less than a turn through io_uring.
    options.engine = isLegacy && engine == .auto ? .threads : engine
    options.cache = cache
    options.format = format
    // A front-end takes as many as its guest has processors; those that it leaves cost next to nothing.
    options.queueCount = queues ?? (isLegacy ? 1 : Self.usualQueueCount)
    options.queueSize = queueSize
    options.blockSize = blockSize
    options.isLegacy = isLegacy
    return options
  }
}

extension DeviceArgument {
  /// The sizes of the queues that its device will have.
  func queueSizes(isLegacy: Bool) -> [UInt16] {
    switch self {
    case .block(let argument): BlockDevice.queueSizes(argument.options(isLegacy: isLegacy))
    case .net: NetDevice.queueSizes
    case .console: ConsoleDevice.queueSizes
    case .rng: RngDevice.queueSizes
    }
  }
}

/// A size in the largest unit that leaves something before the point: `64 MiB`, `1.5 GiB`.
func byteCountText(_ count: UInt64) -> String {
  var unit: UInt64 = 1
  var names = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][...]
  while names.count > 1, count / unit >= 1024 {
    unit *= 1024
    names.removeFirst()
  }
  // Rounded down: a size should not look larger than it is.
  let tenths = count % unit * 10 / unit
  return "\(count / unit)\(tenths == 0 ? "" : ".\(tenths)") \(names.first ?? "")"
}
