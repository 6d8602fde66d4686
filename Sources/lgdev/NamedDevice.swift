// SPDX-License-Identifier: Apache-2.0

import Backends
import Linux

/// One device of the command line and its name, such as `block0`.
struct NamedDevice: Equatable {
  var name: String
  var device: DeviceArgument

  /// The devices that a command line asks for, in its order: disks, network cards, consoles, sources of
  /// randomness.
  static func list(_ options: Serve) throws(UsageError) -> [NamedDevice] {
    let devices = try devices(of: options)
    let named = try UsageError.throwingFirst { complain in
      Self.named(devices, complain)
    }
    try checkShares(named)
    return named
  }

  /// Refuses devices that would be in each other's way.
  static func checkShares(_ devices: [NamedDevice]) throws(UsageError) {
    var owners: [String: (name: String, isShared: Bool)] = [:]
    for device in devices {
      guard let (thing, isShared) = device.device.resource else { continue }
      if let owner = owners[thing], !(isShared && owner.isShared) {
        let advice = device.device.type == .block ? ", or make both read-only with ro" : ""
        throw UsageError(
          "\(device.name): \(thing) is \(owner.name)'s already; give it another\(advice)")
      }
      owners[thing] = (device.name, isShared)
    }
  }

  /// The devices that a command line asks for, without names.
  static func devices(of options: Serve) throws(UsageError) -> [DeviceArgument] {
    var devices: [DeviceArgument] = []
    do throws(DeviceStringError) {
      for text in options.block { devices.append(try DeviceArgument(.block, text)) }
      if let file = options.blkFile { devices.append(.block(BlockArgument(path: file))) }
      for text in options.net { devices.append(try DeviceArgument(.net, text)) }
      for text in options.console { devices.append(try DeviceArgument(.console, text)) }
      for text in options.rng { devices.append(try DeviceArgument(.rng, text)) }
    } catch {
      throw UsageError(error.description)
    }
    guard !devices.isEmpty else {
      throw UsageError("there is no device to serve; give --block, --net, --console or --rng")
    }
    if let text = options.format {
      let format = try BlockOptions.Format(argument: text, of: "--format")
      devices = devices.map { device in
        guard case .block(var argument) = device else { return device }
        argument.format = format
        return .block(argument)
      }
      guard devices.contains(where: { $0.type == .block }) else {
        throw UsageError("--format is about disks, and there is none; give --block")
      }
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
  ///
  /// - Parameter complain: told of all that is wrong with any of them.
  static func named(
    _ devices: [DeviceArgument], _ complain: (String) -> Void
  ) -> [NamedDevice] {
    var counts: [DeviceType: Int] = [:]
    var names: Set<String> = []
    var named: [NamedDevice] = []
    for device in devices {
      let name = device.id ?? "\(device.type.rawValue)\(counts[device.type, default: 0])"
      counts[device.type, default: 0] += 1
      if !names.insert(name).inserted {
        complain("two devices are called '\(name)'; give one of them another id=")
      }
      if case .console(let console) = device, case .socket(let path) = console.end,
        let trouble = socketPathTrouble(path)
      {
        complain("\(name): \(trouble)")
      }
      named.append(NamedDevice(name: name, device: device))
    }
    let terminals = devices.filter {
      if case .console(let console) = $0 { console.end == .stdio() } else { false }
    }
    if terminals.count > 1 {
      complain("--console stdio is given twice, and there is one terminal; use pty")
    }
    return named
  }
}

/// What is wrong with a socket's path; nil where nothing is. It must fit into an address with its final zero: unix(7),
/// sun_path.
func socketPathTrouble(_ path: String) -> String? {
  let (count, limit) = (path.utf8.count, UnixSocket.maximumPathLength)
  guard count == 0 || count > limit else { return nil }
  return "the socket's path '\(path)' has \(count) bytes; Linux wants 1 to \(limit)"
}
