// SPDX-License-Identifier: Apache-2.0
//
// GuestPlan: what a `lgdev serve --transport lguest` command line asks for, checked as far as that goes
// without looking at the host.

import LguestTransport
import Logging

/// A guest, and the devices that it has.
struct GuestPlan {
  /// What a guest gets that was given no --memory.
  private static let usualMemory: UInt64 = 256 << 20

  var guest: GuestOptions
  var devices: [NamedDevice]
  var pidfile: String?
  var logLevel: Logger.Level

  init(_ options: Serve) throws(UsageError) {
    try options.refuse(
      [
        ("--socket-dir", options.socketDir), ("--socket-path", options.socketPath),
        ("--connect", options.connect), ("--fd", options.fd),
        ("--socket-group", options.socketGroup), ("--socket-mode", options.socketMode),
        ("--once", options.once ? "" : nil),
      ], "is for vhost-user; an lguest guest needs no socket")
    guard let kernel = options.kernel else {
      throw UsageError("there is no kernel to run; give --kernel bzImage or --kernel vmlinux")
    }
    guest = GuestOptions(
      kernel: kernel, memory: try options.memory.map(Self.memory) ?? Self.usualMemory)
    guest.initrd = options.initrd
    guest.commandLine = options.append ?? ""
    devices = try NamedDevice.list(options)
    for entry in devices {
      if case .block(let disk) = entry.device, disk.queues > 1 {
        throw UsageError(
          "\(entry.name): queues=\(disk.queues): an lguest guest knows one queue only")
      }
    }
    pidfile = options.pidfile
    logLevel = try options.level()
  }

  /// Reads `256M`, `1G`, `262144K`, or a number of MiB.
  private static func memory(_ text: String) throws(UsageError) -> UInt64 {
    let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
    let unit = text.last.flatMap { units[Character($0.uppercased())] }
    let digits = unit == nil ? text[...] : text.dropLast()
    guard let number = digits.isEmpty ? nil : decimal(digits), number > 0,
      case let (bytes, overflow) = UInt64(number).multipliedReportingOverflow(by: unit ?? 1 << 20),
      !overflow
    else { throw UsageError("--memory \(text) is not a size such as 256M or 1G") }
    return bytes
  }
}
