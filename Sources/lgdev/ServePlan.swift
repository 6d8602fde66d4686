// SPDX-License-Identifier: Apache-2.0
//
// ServePlan: what a `lgdev serve` command line asks for, checked as far as that goes without looking at
// the host.

import Backends
import Logging

/// Which devices to serve, and where.
struct ServePlan {
  /// One device and the place where its front-end is met.
  struct Entry: Equatable {
    /// Such as `block0`.
    var name: String
    var device: DeviceArgument
    var endpoint: Endpoint
  }

  /// Where a front-end is met.
  enum Endpoint: Equatable {
    case listen(path: String)
    case connect(path: String)
    /// An inherited socket that is connected or listens.
    case inherited(descriptor: Int32)
  }

  var entries: [Entry]
  var socketGroup: String?
  var socketMode: UInt32
  var pidfile: String?
  /// Where the disks are shown as files.
  var export: String?
  var logLevel: Logger.Level
  /// End when the front-ends have gone.
  var isOnce: Bool
  /// Offer kicks and calls as messages.
  var offersInBandNotifications: Bool

  init(_ options: Serve) throws(UsageError) {
    try options.refuse(
      [
        ("--kernel", options.kernel), ("--memory", options.memory), ("--initrd", options.initrd),
        ("--append", options.append),
      ], "is for guests that this program runs; give --transport lguest as well")
    let named = try NamedDevice.list(options)
    let endpoints = try Self.endpoints(of: options, for: named.map(\.name))
    entries = zip(named, endpoints).map {
      Entry(name: $0.name, device: $0.device, endpoint: $1)
    }
    socketGroup = options.socketGroup
    socketMode = try Self.mode(options.socketMode)
    pidfile = options.pidfile
    try DiskExport.check(options.export, named)
    export = options.export
    logLevel = try options.level()
    isOnce = options.once
    offersInBandNotifications = options.inBandNotifications
  }

  private static func endpoints(
    of options: Serve, for names: [String]
  ) throws(UsageError) -> [Endpoint] {
    let given = [
      options.socketDir.map { ("--socket-dir", $0) },
      options.socketPath.map { ("--socket-path", $0) },
      options.connect.map { ("--connect", $0) }, options.fd.map { ("--fd", $0) },
    ].compactMap { $0 }
    guard let (option, value) = given.first else {
      throw UsageError("no place for sockets; give --socket-dir, --socket-path, --connect or --fd")
    }
    guard given.count == 1 else {
      throw UsageError("\(option) and \(given[1].0) exclude each other")
    }
    if option == "--socket-dir" {
      var endpoints: [Endpoint] = []
      for name in names {
        endpoints.append(.listen(path: try socketPath("\(value)/\(name).sock", option)))
      }
      return endpoints
    }
    guard names.count == 1 else {
      throw UsageError("\(option) is for one device, not \(names.count); use --socket-dir")
    }
    switch option {
    case "--socket-path": return [.listen(path: try socketPath(value, option))]
    case "--connect": return [.connect(path: try socketPath(value, option))]
    default:
      guard let number = Int32(value), number >= 3 else {
        throw UsageError("--fd \(value) is not the number of an inherited socket, from 3 up")
      }
      return [.inherited(descriptor: number)]
    }
  }

  private static func socketPath(_ path: String, _ option: String) throws(UsageError) -> String {
    if let trouble = socketPathTrouble(path) { throw UsageError("\(option): \(trouble)") }
    return path
  }

  private static func mode(_ text: String?) throws(UsageError) -> UInt32 {
    guard let text else { return 0o600 }
    guard let mode = UInt32(text, radix: 8), mode <= 0o777 else {
      throw UsageError("--socket-mode \(text) is not an octal mode such as 0660")
    }
    return mode
  }
}
