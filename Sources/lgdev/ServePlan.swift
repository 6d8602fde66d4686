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
  var logLevel: Logger.Level
  /// End when the front-ends have gone.
  var isOnce: Bool

  init(_ options: Serve) throws(UsageError) {
    guard options.transport == "vhost-user" else {
      throw UsageError("--transport \(options.transport) is not offered; there is vhost-user")
    }
    let named = try Self.named(Self.devices(of: options))
    let endpoints = try Self.endpoints(of: options, for: named.map(\.name))
    entries = zip(named, endpoints).map {
      Entry(name: $0.name, device: $0.device, endpoint: $1)
    }
    socketGroup = options.socketGroup
    socketMode = try Self.mode(options.socketMode)
    pidfile = options.pidfile
    guard let level = Logger.Level(rawValue: options.logLevel) else {
      let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
      throw UsageError("--log-level \(options.logLevel) is not one of \(levels)")
    }
    logLevel = level
    isOnce = options.once
  }

  private static func devices(of options: Serve) throws(UsageError) -> [DeviceArgument] {
    var devices: [DeviceArgument] = []
    do throws(DeviceStringError) {
      for text in options.block { devices.append(.block(try BlockArgument(text))) }
      if let file = options.blkFile { devices.append(.block(BlockArgument(path: file))) }
      for text in options.net { devices.append(.net(try NetArgument(text))) }
      for text in options.console { devices.append(.console(try ConsoleArgument(text))) }
      for text in options.rng { devices.append(.rng(try RngArgument(text))) }
    } catch {
      throw UsageError(error.description)
    }
    guard !devices.isEmpty else {
      throw UsageError("there is no device to serve; give --block, --net, --console or --rng")
    }
    if options.readOnly {
      devices = devices.map { device in
        guard case .block(var argument) = device else { return device }
        argument.isReadOnly = true
        return .block(argument)
      }
      guard devices.contains(where: { $0.type == .block }) else {
        throw UsageError("--read-only is about disks, and there is none; give --block")
      }
    }
    return devices
  }

  /// Names the devices: block0, block1, net0 …, in the order of the command line, or as the user says.
  private static func named(
    _ devices: [DeviceArgument]
  ) throws(UsageError) -> [(name: String, device: DeviceArgument)] {
    var counts: [DeviceType: Int] = [:]
    var names: Set<String> = []
    var named: [(name: String, device: DeviceArgument)] = []
    for device in devices {
      let name = device.id ?? "\(device.type.rawValue)\(counts[device.type, default: 0])"
      counts[device.type, default: 0] += 1
      guard names.insert(name).inserted else {
        throw UsageError("two devices are called '\(name)'; give one of them another id=")
      }
      named.append((name, device))
    }
    let terminals = devices.filter {
      if case .console(let console) = $0 { console.end == .stdio() } else { false }
    }
    guard terminals.count <= 1 else {
      throw UsageError("--console stdio is given twice, and there is one terminal; use pty")
    }
    return named
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

  /// A socket's path must fit into an address with its final zero: unix(7), sun_path.
  private static func socketPath(_ path: String, _ option: String) throws(UsageError) -> String {
    guard !path.isEmpty, path.utf8.count <= 107 else {
      throw UsageError(
        "\(option): the socket's path '\(path)' has \(path.utf8.count) bytes; Linux wants 1 to 107")
    }
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
